"""Firings to brokers of MQTT 5. The acknowledgement of the very message (PUBACK, PUBCOMP) completes a delivery."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, Final

from chalicelib.adapters.brokers.addresses import BrokerPeer
from chalicelib.adapters.brokers.alerts import heard
from chalicelib.adapters.brokers.credentials import BrokerCredentials
from chalicelib.adapters.brokers.faults import UNKNOWN, BrokerAway, BrokerRefused, BrokerSilent, SignInRefused
from chalicelib.adapters.brokers.links import BrokerLink, Receipt
from chalicelib.adapters.brokers.sender import BrokerSender, first_to_answer
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.targets.event_modes import encode
from chalicelib.core.targets.kinds.mqtt import KIND, PORTS
from chalicelib.ports.target import Delivery

KEEPALIVE_S: Final = 30
IN_FLIGHT_MAX: Final = 1000  # a broker that takes fewer says so, and is heeded
PACKET_SLACK_BYTES: Final = 16  # of a packet beside its topic, properties and body
NO_MATCHING_SUBSCRIBERS: Final = 0x10
NOT_AUTHORIZED: Final = frozenset({0x86, 0x87, 0x8C})  # bad user name or password, not authorized, bad method
BUSY: Final = frozenset({0x80, 0x83, 0x88, 0x89, 0x97})  # unspecified, own error, unavailable, busy, quota exceeded
TOO_LARGE: Final = 0x95


class MqttSender(BrokerSender):
    """Publishes firings to topics."""

    max_batch = KIND.max_batch
    ports = PORTS

    def _addresses(self, target: Mapping[str, object]) -> Sequence[str]:
        return (str(target.get("broker", "")),)

    def _connect(
        self,
        peers: Sequence[BrokerPeer],
        credentials: BrokerCredentials,
        target: Mapping[str, object],
        timeout_s: float,
    ) -> BrokerLink:
        def dial(peer: BrokerPeer, share_s: float) -> BrokerLink:
            tls = self._tls_context(credentials) if peer.scheme == "mqtts" else None
            with heard(peer, tls, share_s, self._monotonic_s):
                return _MqttLink(peer, credentials, tls, share_s)

        return first_to_answer(peers, dial, timeout_s)


class _MqttLink:
    def __init__(self, peer: BrokerPeer, credentials: BrokerCredentials, tls: Any, timeout_s: float) -> None:
        from paho.mqtt import client as paho
        from paho.mqtt.enums import CallbackAPIVersion
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        class Pinned(paho.Client):
            """Dials the address that was judged, and checks the certificate against the name."""

            def _create_socket_connection(self) -> socket.socket:
                return socket.create_connection((peer.ip, peer.port), timeout_s)

            def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> Any:
                return tls.wrap_socket(tcp_sock, server_hostname=peer.host)  # and closed when the handshake fails

        self._properties: Callable[[], Any] = lambda: Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        self._connected: Future[None] = Future()
        self._lock = threading.Lock()
        self._pending: dict[int, Future[int]] = {}
        self._packet_max: int | None = None
        self._open = False
        self._client = Pinned(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5, reconnect_on_failure=False)
        self._client.max_inflight_messages_set(IN_FLIGHT_MAX)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_publish = self._on_publish
        if credentials.get("username") is not None:
            self._client.username_pw_set(credentials.get("username"), credentials.get("password"))
        if tls is not None:
            self._client.tls_set_context(tls)
        try:
            self._client.connect(peer.host, peer.port, KEEPALIVE_S)
            self._client.loop_start()
            self._connected.result(timeout_s)
        except FutureTimeout:
            self.close()
            raise BrokerAway("the broker did not accept a connection in time") from None
        except BaseException:
            self.close()
            raise

    def publish(self, delivery: Delivery, timeout_s: float) -> Receipt:
        target, encoded = delivery.target, encode(delivery.event, delivery.target.get("mode"))
        topic, qos = str(target.get("topic", "")), target.get("qos", 1)
        properties = self._properties()
        properties.ContentType = encoded.content_type
        properties.UserProperty = list(encoded.attributes.items())
        size = len(encoded.body) + len(topic.encode()) + len(properties.pack()) + PACKET_SLACK_BYTES
        if self._packet_max is not None and size > self._packet_max:
            raise BrokerRefused(
                f"a packet of {size} bytes is above the broker's Maximum Packet Size of {self._packet_max}"
            )
        info = self._client.publish(
            topic, encoded.body, qos if isinstance(qos, int) else 1, target.get("retain") is True, properties
        )
        if info.rc != 0:
            raise BrokerAway(f"the connection to the broker broke off (code {info.rc})")
        answer = self._answer_to(info.mid)
        if not self._open:
            self._fail_all()
        try:
            code = answer.result(timeout_s)
        except FutureTimeout:
            raise BrokerSilent(f"MQTT: {UNKNOWN}") from None
        finally:
            with self._lock:
                self._pending.pop(info.mid, None)
        if problem := _problem(code):
            raise problem
        if qos == 0:
            return {"packet_id": info.mid, "acknowledged": False}
        return {"packet_id": info.mid, **({"subscribers": False} if code == NO_MATCHING_SUBSCRIBERS else {})}

    def is_open(self) -> bool:
        return self._open

    def close(self) -> None:
        self._open = False
        with contextlib.suppress(Exception):
            self._client.disconnect()
        threading.Thread(target=self._client.loop_stop, daemon=True).start()  # it waits for the other thread

    def _answer_to(self, packet_id: int) -> Future[int]:
        """An answer may come before it is waited for."""
        with self._lock:
            return self._pending.setdefault(packet_id, Future())

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, code: Any, properties: Any) -> None:
        if code.is_failure:
            text = f"the broker refused the connection: {code}"
            self._connected.set_exception(SignInRefused(text) if code.value in NOT_AUTHORIZED else BrokerAway(text))
            return
        self._packet_max = getattr(properties, "MaximumPacketSize", None)
        self._open = True
        if not self._connected.done():
            self._connected.set_result(None)

    def _on_publish(self, _client: Any, _data: Any, packet_id: int, code: Any, _properties: Any) -> None:
        answer = self._answer_to(packet_id)
        if not answer.done():
            answer.set_result(int(code.value))

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        self._open = False
        if not self._connected.done():
            self._connected.set_exception(BrokerAway(f"the broker closed the connection: {code}"))
        self._fail_all()

    def _fail_all(self) -> None:
        with self._lock:
            pending = [each for each in self._pending.values() if not each.done()]
            for each in pending:
                each.set_exception(BrokerAway(f"the connection to the broker broke off: {UNKNOWN}"))


def _problem(code: int) -> Exception | None:
    """What a reason code of MQTT 5 means; those below 0x80 are successes."""
    if code < 0x80:
        return None
    if code == TOO_LARGE:
        return BrokerRefused("the message is above the broker's bound of sizes: packet too large (0x95)")
    if code in BUSY:
        return BrokerAway(f"the broker cannot take it now (0x{code:02x})")
    return BrokerRefused(
        f"the broker refused it (0x{code:02x})" + (": not authorized" if code in NOT_AUTHORIZED else "")
    )


def make(parts: TargetParts) -> MqttSender:
    """The sender of a process."""
    return MqttSender(parts)
