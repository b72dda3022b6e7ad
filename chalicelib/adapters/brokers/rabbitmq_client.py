"""Connections to RabbitMQ: how firings and triggers make them, and why they could not."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator
from typing import Any, Final

from chalicelib.adapters.brokers.addresses import BrokerPeer
from chalicelib.adapters.brokers.credentials import BrokerCredentials
from chalicelib.adapters.brokers.faults import BrokerAway, BrokerRefused, SignInRefused

TLS_SCHEME: Final = "amqps"
HEARTBEAT_S: Final = 30
ACCESS_REFUSED, NOT_ALLOWED = 403, 530


def connection_parameters(
    peer: BrokerPeer,
    credentials: BrokerCredentials,
    tls: ssl.SSLContext | None,
    timeout_s: float,
    **options: Any,
) -> Any:
    """Where a broker is, and how to sign in. Who shows a certificate and names no user is who the certificate says."""
    import pika  # type: ignore[import-untyped]

    # What pika logs as errors are outcomes here, and its records quote what brokers say.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    if tls is not None:
        options["ssl_options"] = pika.SSLOptions(tls, peer.host)
    if credentials.get("username") is not None:
        name, password = credentials.get("username") or "", credentials.get("password") or ""
        options["credentials"] = pika.PlainCredentials(name, password)
    elif tls is not None and credentials.get("certificate"):
        options["credentials"] = pika.credentials.ExternalCredentials()
    return pika.ConnectionParameters(
        host=peer.ip,
        port=peer.port,
        virtual_host="/" if peer.path is None else peer.path,
        heartbeat=HEARTBEAT_S,
        socket_timeout=timeout_s,
        stack_timeout=timeout_s,
        connection_attempts=1,
        client_properties={"connection_name": "chronowatch"},
        **options,
    )


def of_opening(error: BaseException) -> Exception:
    """An error of pika, while a connection is made, in the language of ``faults``."""
    from pika import exceptions

    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, exceptions.ProbableAuthenticationError | exceptions.AuthenticationError):
            return SignInRefused(f"RabbitMQ refused the credentials: {_text(cause)}")
        if isinstance(cause, exceptions.ProbableAccessDeniedError):
            return SignInRefused(f"RabbitMQ does not let these credentials into the virtual host: {_text(cause)}")
        if isinstance(cause, exceptions.ConnectionClosedByBroker):
            if cause.reply_code == ACCESS_REFUSED:
                return SignInRefused(f"RabbitMQ refused the credentials: {cause.reply_text}")
            if cause.reply_code == NOT_ALLOWED:
                return BrokerRefused(f"RabbitMQ refused it: {cause.reply_text}")
    last = causes[-1]
    return last if isinstance(last, OSError) else BrokerAway(f"RabbitMQ cannot be reached: {_text(last)}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what pika wrapped in it, in whichever of its three ways."""
    yield error
    for inner in (*getattr(error, "exceptions", ()), getattr(error, "exception", None), *error.args):
        if isinstance(inner, BaseException):
            yield from _causes(inner)


def _text(error: BaseException) -> str:
    return str(getattr(error, "reply_text", "")) or str(error) or type(error).__name__
