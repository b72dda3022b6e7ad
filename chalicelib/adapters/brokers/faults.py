"""What a broker's answer, or its silence, means for a delivery."""

from __future__ import annotations

import socket
import ssl

from chalicelib.adapters.aws.failures import failed
from chalicelib.adapters.http.dialer import AddressRefused
from chalicelib.adapters.http.distrust import distrust
from chalicelib.ports.secrets import SecretAway, SecretMissing
from chalicelib.ports.target import Outcome


class BrokerRefused(Exception):
    """Raised when a broker will not take this message, whenever it is sent."""


class SignInRefused(BrokerRefused):
    """Raised when a broker does not take the credentials. Others may have been stored meanwhile."""


class BrokerAway(Exception):
    """Raised when a broker cannot be reached, went away, or says that it cannot take a message now."""


class BrokerSilent(Exception):
    """Raised when a message was sent and nothing came back: the broker may have it, or not."""


UNKNOWN = "the message was sent and not acknowledged, so the broker may have it"


def outcome_of(error: Exception, timeout_ms: int, requirements: str) -> Outcome:
    """A failed delivery's outcome; ``requirements`` is the file that names the client.

    The order matters, since several of these are kinds of OSError.
    """
    if isinstance(error, BrokerRefused | AddressRefused | SecretMissing):
        return failed("rejected", str(error), permanent=True)
    if isinstance(error, SecretAway):
        return failed("internal_error", f"a secret cannot be read: {error}")
    if isinstance(error, socket.gaierror):
        return failed("dns_error", f"the name cannot be resolved: {error.strerror or error}")
    if isinstance(error, BrokerSilent):
        return failed("timeout", str(error))
    if isinstance(error, BrokerAway):
        return failed("connection_error", str(error))
    if isinstance(error, TimeoutError):
        return failed("timeout", f"no connection within {timeout_ms} ms")
    if isinstance(error, ssl.SSLCertVerificationError):
        return failed("connection_error", distrust(error))
    if isinstance(error, OSError):
        return failed("connection_error", f"{type(error).__name__}: {error}")
    if isinstance(error, ImportError):
        return failed("internal_error", f"this deployment lacks the packages of {requirements}: {error}")
    return failed("internal_error", f"{type(error).__name__}: {error}")
