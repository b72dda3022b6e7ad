"""Channels of gRPC to addresses that were judged, and what they trust."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Sequence
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from chalicelib.adapters.brokers.addresses import BrokerPeer
from chalicelib.adapters.brokers.own_certificates import OwnCertificates

ANSWER_MAX_BYTES: Final = 64 * 1024  # of an answer, which nothing reads


def open_channel(
    peers: Sequence[BrokerPeer], server_name: str | None, certificates: OwnCertificates | None, ca_file: str | None
) -> Any:
    """A channel to peers of one family of addresses, not connected yet. Without ``certificates`` it is plain."""
    import grpc

    host = server_name or peers[0].host
    named = f"[{host}]" if ":" in host else host
    options: list[tuple[str, Any]] = [
        ("grpc.default_authority", f"{named}:{peers[0].port}"),
        ("grpc.max_receive_message_length", ANSWER_MAX_BYTES),
        ("grpc.max_send_message_length", -1),  # the service's own bound decides
        ("grpc.enable_retries", 0),  # retry_policy decides about attempts
        ("grpc.enable_http_proxy", 0),  # what was judged is dialled
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.use_local_subchannel_pool", 1),  # channels with other credentials are other connections
        ("grpc.primary_user_agent", "chronowatch"),
    ]
    target = _target(peers)
    if certificates is None:
        return grpc.insecure_channel(target, options)
    credentials = grpc.ssl_channel_credentials(
        certificates.ca.encode() or _trusted(ca_file),
        certificates.key.encode() or None,
        certificates.certificate.encode() or None,
    )
    return grpc.secure_channel(target, credentials, [*options, ("grpc.ssl_target_name_override", host)])


def families(peers: Sequence[BrokerPeer]) -> list[list[BrokerPeer]]:
    """The peers by family of addresses, IPv4 first: a channel has addresses of one."""
    return [list(same) for _, same in groupby(sorted(peers, key=_is_v6), _is_v6)]


def connects(channel: Any, timeout_s: float) -> bool:
    """Connect. False when that failed, or took longer."""
    from grpc import ChannelConnectivity as States

    settled = threading.Event()
    found: list[Any] = []

    def changed(state: Any) -> None:
        found.append(state)
        if state in (States.READY, States.TRANSIENT_FAILURE, States.SHUTDOWN):
            settled.set()

    channel.subscribe(changed, try_to_connect=True)
    try:
        settled.wait(timeout_s)
    finally:
        channel.unsubscribe(changed)
    return States.READY in found


def _is_v6(peer: BrokerPeer) -> bool:
    return ":" in peer.ip


def _target(peers: Sequence[BrokerPeer]) -> str:
    if _is_v6(peers[0]):
        return "ipv6:" + ",".join(f"[{peer.ip}]:{peer.port}" for peer in peers)
    return "ipv4:" + ",".join(f"{peer.ip}:{peer.port}" for peer in peers)


@cache
def _trusted(ca_file: str | None) -> bytes | None:
    """The system's certificates, and those of ``ca_file``. None where the system has none: gRPC brings some."""
    system = ssl.create_default_context().get_ca_certs(binary_form=True)
    own = Path(ca_file).read_text() if ca_file else ""
    return (own + "".join(ssl.DER_cert_to_PEM_cert(each) for each in system)).encode() or None
