"""What a server says of the certificate that a caller showed it, or showed not.

In TLS 1.3 a caller is through before the server has judged him. Its alert comes while he writes already, and is lost
when the connection breaks under that. So who was cut off connects once more, and only listens.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Final

from chalicelib.adapters.brokers.addresses import BrokerPeer
from chalicelib.adapters.brokers.faults import BrokerAway

LISTEN_S: Final = 5.0  # a server that says nothing within that has another reason than the certificate
GREETING_MAX_BYTES: Final = 65_536
_ALERT: Final = re.compile(r"ALERT_([A-Z0-9_]+)")
_OF_CERTIFICATES: Final = re.compile(r"CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED")
_UNHEARD: Final = (TimeoutError, ConnectionRefusedError, socket.gaierror, ssl.SSLCertVerificationError)


class CertificateRefused(BrokerAway):
    """Raised when a broker does not take the certificate of its caller, or misses one. Its owner may mend that."""


@contextlib.contextmanager
def heard(
    peer: BrokerPeer,
    tls: ssl.SSLContext | None,
    timeout_s: float,
    monotonic_s: Callable[[], float],
    greets: bool = False,
) -> Iterator[None]:
    """For the time of connecting: a connection over TLS that broke off is explained by the server's alert, where it
    gives one. ``greets``: the server speaks first, before TLS. Raises CertificateRefused beside what is raised
    within."""
    until_s = monotonic_s() + timeout_s
    try:
        yield
    except (BrokerAway, OSError) as problem:
        left_s = min(until_s - monotonic_s(), LISTEN_S)
        if tls is None or left_s <= 0 or isinstance(problem, _UNHEARD):
            raise
        if refusal := listen(peer, tls, left_s, greets):
            raise refusal from problem
        raise


def listen(peer: BrokerPeer, tls: ssl.SSLContext, timeout_s: float, greets: bool = False) -> CertificateRefused | None:
    """The alert of a server to a caller who says nothing; None when there is none."""
    try:
        with socket.create_connection((peer.ip, peer.port), timeout_s) as plain:
            if greets and not _greeting(plain):
                return None
            with tls.wrap_socket(plain, server_hostname=peer.host) as connection:
                connection.recv(1)
    except ssl.SSLError as error:
        alert = _ALERT.fullmatch((error.reason or "").partition("_")[2])
        if alert is not None and _OF_CERTIFICATES.search(alert[1]):
            said = alert[1].replace("_", " ").lower()
            return CertificateRefused(
                f"the broker asks for a certificate that it trusts (certificate and key of the secret): {said}"
            )
    except OSError:
        pass
    return None


def _greeting(plain: socket.socket) -> bool:
    """Whether a server has said its line."""
    for _ in range(GREETING_MAX_BYTES):
        byte = plain.recv(1)  # no more than the line: what follows is of TLS
        if byte in (b"", b"\n"):
            return byte == b"\n"
    return False
