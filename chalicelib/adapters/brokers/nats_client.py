"""Clients of NATS: how firings and triggers connect and sign in."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any, Final

from chalicelib.adapters.brokers.addresses import BrokerPeer
from chalicelib.adapters.brokers.credentials import BrokerCredentials
from chalicelib.adapters.brokers.faults import BrokerAway, SignInRefused

SECRET_FIELDS: Final = ("username", "password", "token")
CLOSE_S: Final = 0.2
_NAMES: Final = {"user": "username", "password": "password", "token": "token"}


def nats_client(tls: bool) -> Any:
    """A client that is not connected. With ``tls`` it sends credentials through TLS alone.

    nats-py would send them plain to a server that does not ask for TLS, and to an attacker in its place.
    """
    from nats.aio.client import Client

    class TlsClient(Client):
        async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
            info["tls_required"] = True
            await super()._process_info(info, initial_connection)

    return TlsClient() if tls else Client()


async def connect(
    client: Any,
    peer: BrokerPeer,
    credentials: BrokerCredentials,
    tls: ssl.SSLContext | None,
    timeout_s: float,
    **options: Any,
) -> None:
    """Connect and sign in. What the server says of others in its cluster is not followed. Raises what nats-py raises;
    ``meaning`` translates it."""
    host = f"[{peer.ip}]" if ":" in peer.ip else peer.ip
    found = {name: credentials.get(field) for name, field in _NAMES.items()}
    known: dict[str, Any] = {name: value for name, value in found.items() if value is not None}
    if tls is not None:
        known |= {"tls": tls, "tls_hostname": peer.host}
    try:
        async with asyncio.timeout(timeout_s):
            await client.connect(
                servers=[f"nats://{host}:{peer.port}"],
                allow_reconnect=False,
                max_reconnect_attempts=1,  # 0 is without end: it would ask a server that is away all the time
                reconnect_time_wait=0,
                connect_timeout=max(1, round(timeout_s)),
                **known,
                **options,
            )
    except Exception:
        with contextlib.suppress(Exception):
            async with asyncio.timeout(CLOSE_S):  # nats-py waits without end where TLS has failed
                await client.close()
        raise


def meaning(error: Exception, peer: BrokerPeer) -> Exception:
    """An error of connecting in the language of ``faults``."""
    text = str(error).lower()
    if "authorization" in text or "authentication" in text:
        return SignInRefused(f"NATS refused the credentials: {error}")
    if isinstance(error, OSError):
        return error
    return BrokerAway(f"NATS at {peer.host}:{peer.port} cannot be reached: {error or type(error).__name__}")
