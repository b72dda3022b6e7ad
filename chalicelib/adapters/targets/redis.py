"""Firings to streams of Redis: XADD, whose answer is the id of the entry."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

from chalicelib.adapters.brokers.addresses import BrokerPeer
from chalicelib.adapters.brokers.alerts import heard
from chalicelib.adapters.brokers.credentials import BrokerCredentials
from chalicelib.adapters.brokers.faults import UNKNOWN, BrokerAway, BrokerRefused, BrokerSilent, SignInRefused
from chalicelib.adapters.brokers.links import BrokerLink, Receipt
from chalicelib.adapters.brokers.sender import BrokerSender, first_to_answer
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.targets.kinds.redis import KIND, PORTS
from chalicelib.ports.target import Delivery

CONNECTIONS_MAX = 64  # of one lane; a command has a connection to itself until it is answered


class RedisSender(BrokerSender):
    """Appends firings to streams: the CloudEvents object is the field ``event``."""

    max_batch = KIND.max_batch
    ports = PORTS
    takes_path = True

    def _addresses(self, target: Mapping[str, object]) -> Sequence[str]:
        return (str(target.get("url", "")),)

    def _connect(
        self,
        peers: Sequence[BrokerPeer],
        credentials: BrokerCredentials,
        target: Mapping[str, object],
        timeout_s: float,
    ) -> BrokerLink:
        def dial(peer: BrokerPeer, share_s: float) -> BrokerLink:
            tls = self._tls_context(credentials) if peer.scheme == "rediss" else None
            with heard(peer, tls, share_s, self._monotonic_s):
                return _RedisLink(self._pool(peer, credentials, tls, share_s))

        return first_to_answer(peers, dial, timeout_s)

    def _pool(
        self, peer: BrokerPeer, credentials: BrokerCredentials, tls: ssl.SSLContext | None, timeout_s: float
    ) -> Any:
        import redis
        from redis.backoff import NoBackoff
        from redis.maint_notifications import MaintNotificationsConfig
        from redis.retry import Retry

        class Pinned(redis.Connection):
            """Dials the address that was judged, and checks the certificate against the name."""

            def _connect(self) -> socket.socket:
                plain = socket.create_connection((peer.ip, peer.port), timeout_s)
                try:
                    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    plain.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                    return plain if tls is None else tls.wrap_socket(plain, server_hostname=peer.host)
                except BaseException:
                    plain.close()
                    raise

        return redis.BlockingConnectionPool(  # type: ignore[no-untyped-call]
            max_connections=CONNECTIONS_MAX,
            timeout=timeout_s,
            connection_class=Pinned,
            host=peer.host,
            port=peer.port,
            db=int(peer.path or 0),
            username=credentials.get("username"),
            password=credentials.get("password"),
            socket_connect_timeout=timeout_s,
            socket_timeout=timeout_s,
            # retry_policy decides about attempts: a command that was repeated unseen would be two entries.
            retry=Retry(NoBackoff(), 0),
            retry_on_error=[],
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )


class _RedisLink:
    def __init__(self, pool: Any) -> None:
        import redis

        self._pool = pool
        self._errors = redis.exceptions
        self._client = redis.Redis(connection_pool=pool)
        self._open = True
        try:
            self._client.ping()
        except Exception as error:
            self.close()
            raise self._translated(error, sent=False) from error

    def publish(self, delivery: Delivery, timeout_s: float) -> Receipt:
        target = delivery.target
        fields: dict[Any, Any] = {"event": delivery.event}
        connection = None
        try:
            connection = self._pool.get_connection()
            connection.send_command(*_xadd(target, fields))
            entry = connection.read_response(timeout=timeout_s)
        except Exception as error:
            if connection is not None:
                connection.disconnect()
            raise self._translated(error, sent=connection is not None) from error
        finally:
            if connection is not None:
                self._pool.release(connection)
        return {"id": entry.decode() if isinstance(entry, bytes) else str(entry)}

    def is_open(self) -> bool:
        return self._open

    def close(self) -> None:
        self._open = False
        with contextlib.suppress(Exception):
            self._pool.disconnect()

    def _translated(self, error: Exception, sent: bool) -> Exception:
        """In the language of ``faults``. What begins with a word of Redis is its answer."""
        known = self._errors
        if isinstance(error, known.AuthenticationError | known.AuthorizationError):
            return SignInRefused(f"Redis refused the credentials: {error}")
        if isinstance(
            error,
            known.OutOfMemoryError
            | known.BusyLoadingError
            | known.ReadOnlyError
            | known.TryAgainError
            | known.ClusterDownError,
        ):
            return BrokerAway(f"Redis cannot take it now: {error}")
        if isinstance(error, known.TimeoutError):
            return BrokerSilent(f"Redis: {UNKNOWN}") if sent else BrokerAway(f"Redis did not answer in time: {error}")
        if isinstance(error, known.ConnectionError):
            self._open = False
            return BrokerAway(f"the connection to Redis broke off: {UNKNOWN}" if sent else f"Redis: {error}")
        if isinstance(error, known.ResponseError):
            return self._answer(str(error))
        return error

    def _answer(self, text: str) -> Exception:
        if text.startswith(
            ("OOM", "LOADING", "BUSY", "MISCONF", "NOREPLICAS", "READONLY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN")
        ):
            return BrokerAway(f"Redis cannot take it now: {text}")
        if text.startswith(("WRONGPASS", "NOAUTH")) or "invalid password" in text.lower():
            return SignInRefused(f"Redis refused the credentials: {text}")
        return BrokerRefused(f"Redis refused it: {text}")


def _xadd(target: Mapping[str, object], fields: Mapping[Any, Any]) -> list[Any]:
    command: list[Any] = ["XADD", str(target.get("stream", ""))]
    if isinstance(maxlen := target.get("maxlen"), int):
        command += ["MAXLEN", "~", maxlen]
    return [*command, "*", *(part for pair in fields.items() for part in pair)]


def make(parts: TargetParts) -> RedisSender:
    """The sender of a process."""
    return RedisSender(parts)
