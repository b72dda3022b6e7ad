"""Clients of librdkafka: how firings and triggers connect, and why they could not."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from chalicelib.adapters.brokers.addresses import BrokerPeer
from chalicelib.adapters.brokers.alerts import listen
from chalicelib.adapters.brokers.credentials import BrokerCredentials
from chalicelib.adapters.brokers.faults import BrokerAway, SignInRefused
from chalicelib.adapters.brokers.own_certificates import read_certificates, tls_context

SECRET_FIELDS: Final = ("username", "password", "mechanism")
DEFAULT_MECHANISM: Final = "PLAIN"
SLICE_S: Final = 0.25
PROBLEMS_MAX: Final = 10
_WHEN: Final = re.compile(r" \(after \d+ms in state \w+\)$")  # the same problem again would be a new one
Refusal = Callable[[float], Exception | None]


def connection_options(
    peers: Sequence[BrokerPeer], credentials: BrokerCredentials, security: Mapping[str, Any], ca_file: str | None
) -> dict[str, Any]:
    """Where the cluster is, and how to sign in. ``security`` is as the user wrote it. Raises SecretMissing."""
    options: dict[str, Any] = {
        "bootstrap.servers": ",".join(dict.fromkeys(f"{_bracketed(peer.host)}:{peer.port}" for peer in peers)),
        "client.id": "chronowatch",
        "socket.keepalive.enable": True,
        "security.protocol": security.get("protocol", "PLAINTEXT"),
    }
    if str(options["security.protocol"]).startswith("SASL_"):
        options["sasl.mechanism"] = security.get("mechanism") or credentials.get("mechanism") or DEFAULT_MECHANISM
        options["sasl.username"] = credentials.get("username") or ""
        options["sasl.password"] = credentials.get("password") or ""
    own = read_certificates(credentials)
    if own.ca:
        options["ssl.ca.pem"] = own.ca
    elif ca_file:
        options["ssl.ca.location"] = ca_file
    if own.certificate:
        options |= {"ssl.certificate.pem": own.certificate, "ssl.key.pem": own.key}
    return options


def refusal_of(
    peers: Sequence[BrokerPeer], credentials: BrokerCredentials, security: Mapping[str, Any], ca_file: str | None
) -> Refusal | None:
    """What asks the brokers whether they take the caller's certificate: librdkafka says but that it was cut off. None
    where there is no TLS."""
    if not str(security.get("protocol")).endswith("SSL"):
        return None
    context = tls_context(credentials, ca_file)

    def ask(timeout_s: float) -> Exception | None:
        refusals = (listen(peer, context, timeout_s / len(peers)) for peer in peers)
        return next((each for each in refusals if each is not None), None)

    return ask


def described(
    client: Any,
    topic: str,
    timeout_s: float,
    monotonic_s: Callable[[], float],
    problems: Sequence[Any],
    refusal: Refusal | None,
) -> Any:
    """What a cluster says of itself and of a topic. It is asked for in slices, since librdkafka waits for it after a
    refusal too; each is longer, for a cluster that is far away. Raises what ``faults`` names."""
    from confluent_kafka import KafkaError, KafkaException

    until_s, slice_s = monotonic_s() + timeout_s, SLICE_S
    while True:
        left_s = max(0.001, until_s - monotonic_s())
        try:
            return client.list_topics(topic, min(left_s, slice_s))
        except KafkaException as error:
            if refusal is not None and (refused := refusal(SLICE_S)):
                raise refused from None
            client.poll(0)  # a consumer hands its problems over in that alone
            told = any(each.code() in (KafkaError._AUTHENTICATION, KafkaError._SSL) for each in list(problems))
            if told or left_s <= slice_s:
                raise of_asking(error.args[0], problems) from None
            slice_s *= 2


def advertised(metadata: Any) -> list[str]:
    """The addresses of all brokers, as the cluster says them."""
    return [f"{_bracketed(broker.host)}:{broker.port}" for broker in metadata.brokers.values()]


def of_asking(error: Any, problems: Sequence[Any]) -> Exception:
    """An error of a call that got no answer. Why is known to the callback of errors alone, which had ``problems``."""
    from confluent_kafka import KafkaError as codes

    for problem in reversed(list(problems)):
        if problem.code() == codes._AUTHENTICATION:  # so they are named
            return SignInRefused(f"Kafka refused the credentials: {problem.str()}")
        if problem.code() == codes._SSL:
            return BrokerAway(f"no TLS with Kafka: {_WHEN.sub('', problem.str())}")
    return BrokerAway(f"Kafka cannot be reached: {error.str()}")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
