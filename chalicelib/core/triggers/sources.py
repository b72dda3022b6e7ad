"""From where the events of a trigger come: the fields of each kind, and what can be wrong with them by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Union
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from chalicelib.core.errors import FieldError
from chalicelib.core.json_schema import formed, states
from chalicelib.core.secrets.secret_policy import SecretPolicy
from chalicelib.core.secrets.secret_ref import FORMS, PATTERN, REF_MAX_CHARS
from chalicelib.core.targets import ssrf
from chalicelib.core.targets.broker_address import BROKER_ADDRESSES_MAX, address_check
from chalicelib.core.targets.credentials_ref import CredentialsRef
from chalicelib.core.targets.kinds import kafka, nats, rabbitmq
from chalicelib.core.targets.limits import URL_MAX_CHARS

WEBHOOK: Final = "webhook"
BROKERS: Final = ("kafka", "nats", "rabbitmq")
ROUTED: Final = ("eventbridge",)  # a bus brings their events, once it has a rule for them
LISTENED: Final = ("sqs", *BROKERS)  # a worker goes and gets their events; those of the others are brought
_PATTERN_FIELDS: Final = ("source", "detail-type")
_TEXTS: Final = {"type": "array", "items": {"type": "string"}, "minItems": 1}
_QUEUE_URL: Final = r"^https?://[A-Za-z0-9.:\[\]-]+(/[A-Za-z0-9_.-]+){2,}$"
_Name = Annotated[str, Meta(min_length=1, max_length=255)]
_SigningKeyRef = Annotated[
    str,
    Meta(min_length=1, max_length=REF_MAX_CHARS, description=f"Where the secret is kept: `{FORMS}`."),
    states(pattern=f"^{PATTERN}$"),
]
_Url = Annotated[str, Meta(min_length=1, max_length=URL_MAX_CHARS)]
_Addresses = Annotated[list[_Url], Meta(min_length=1, max_length=BROKER_ADDRESSES_MAX)]


class _SourceFields(Struct, tag_field="type", forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """The fields of one kind."""


class WebhookSource(_SourceFields, tag="webhook", kw_only=True):
    """`POST` to the trigger's `ingest_url`. With `secret_ref` each call must have a Standard Webhooks signature."""

    secret_ref: _SigningKeyRef | UnsetType = UNSET


class EventBridgeSource(_SourceFields, tag="eventbridge", kw_only=True):
    """Events of a bus."""

    bus: Annotated[str, formed(pattern=r"^[A-Za-z0-9._/-]+$", max_length=256)] | UnsetType = UNSET
    pattern: (
        Annotated[
            dict[str, Any],
            Meta(description="`source` and `detail-type`, each a list of texts."),
            states(properties=dict.fromkeys(_PATTERN_FIELDS, _TEXTS), additionalProperties=False),
        ]
        | UnsetType
    ) = UNSET


class SqsSource(_SourceFields, tag="sqs", kw_only=True):
    """A queue of yours."""

    queue_url: Annotated[str, formed(pattern=_QUEUE_URL, max_length=URL_MAX_CHARS)]


class KafkaSource(_SourceFields, tag="kafka", kw_only=True):
    """A topic of Kafka. Without `group` the consumer group is the trigger's own."""

    brokers: _Addresses
    topic: Annotated[str, formed(pattern=f"^{kafka.TOPIC}$", max_length=249)]
    group: _Name | UnsetType = UNSET
    security: kafka.KafkaSecurity | UnsetType = UNSET


class NatsSource(_SourceFields, tag="nats", kw_only=True):
    """A subject of a stream of JetStream. Without `durable` the consumer is the trigger's own."""

    servers: _Addresses
    subject: Annotated[str, formed(pattern=r"^[^\s\x00-\x1f.]+(\.[^\s\x00-\x1f.]+)*$", max_length=255)]
    durable: Annotated[str, formed(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")] | UnsetType = UNSET
    secret_ref: CredentialsRef | UnsetType = UNSET


class RabbitMqSource(_SourceFields, tag="rabbitmq", kw_only=True):
    """A queue of RabbitMQ, which must be there."""

    url: _Url
    queue: _Name
    secret_ref: CredentialsRef | UnsetType = UNSET


KINDS: Final = (WebhookSource, EventBridgeSource, SqsSource, KafkaSource, NatsSource, RabbitMqSource)
Source = Union[WebhookSource, EventBridgeSource, SqsSource, KafkaSource, NatsSource, RabbitMqSource]  # noqa: UP007
NAMES: Final = tuple(str(kind.__struct_config__.tag) for kind in KINDS)
_ADDRESSES: Final = {
    "kafka": ("brokers", address_check(kafka.PORTS)),
    "nats": ("servers", address_check(nats.PORTS)),
    "rabbitmq": ("url", address_check(rabbitmq.PORTS, True)),
}


def stored(source: Source) -> dict[str, Any]:
    """A source as it is stored and shown."""
    found: dict[str, Any] = msgspec.to_builtins(source)
    return found


def is_listened(source: Mapping[str, Any]) -> bool:
    """Whether a worker has to get its events."""
    return source["type"] in LISTENED


def is_routed(source: Mapping[str, Any]) -> bool:
    """Whether a bus brings its events, once it has a rule for them."""
    return source["type"] in ROUTED


def unheard(source: Mapping[str, Any], has_listener: bool) -> str | None:
    """Why no event would ever come from a source; None: they come."""
    if source["type"] not in LISTENED or has_listener:
        return None
    return f"{source['type']} needs a worker that listens, which this deployment runs without (CHRONO_LISTEN)"


def queue_problems(source: Mapping[str, Any], allowed: Sequence[str], stage: str) -> Iterator[FieldError]:
    """What is wrong with the queue that a source names, if it names one."""
    queue_url = source.get("queue_url")
    if queue_url is not None and (problem := queue_problem(queue_url, allowed, stage)):
        yield FieldError("source.queue_url", problem)


def queue_problem(queue_url: str, allowed: Sequence[str], stage: str) -> str | None:
    """Why a queue may not be read for a trigger, or None. ``allowed`` are ARNs, whose parts may have wildcards."""
    if ssrf.url_problem(queue_url):
        return "must be the URL of a queue"
    parts = urlsplit(queue_url)
    account, _, name = parts.path.strip("/").rpartition("/")
    if not name or not account:
        return "must be the URL of a queue"
    if name.startswith(f"chronowatch-{stage}-"):
        return "is a queue of this service"
    host = parts.hostname or ""
    region = host.split(".")[1] if host.endswith(".amazonaws.com") else None
    for pattern in allowed:
        wanted = pattern.split(":", 5)
        if pattern == "*" or (
            len(wanted) == 6
            and fnmatchcase(account.rpartition("/")[2], wanted[4])
            and fnmatchcase(name, wanted[5])
            and (region is None or fnmatchcase(region, wanted[3]))
        ):
            return None
    return "is not among the queues that triggers may read (CHRONO_TRIGGER_QUEUES)"


def problems(source: Mapping[str, Any], webhook_allow: Sequence[str], secrets: SecretPolicy) -> Iterator[FieldError]:
    """Everything that is wrong with a source by itself, beyond its shape."""
    kind = source["type"]
    if kind in _ADDRESSES:
        name, check = _ADDRESSES[kind]
        if problem := check(source[name], webhook_allow):
            yield FieldError(f"source.{name}", problem)
    if kind == "eventbridge":
        yield from _pattern_problems(source.get("pattern") or {})
    security = source.get("security")
    if kind == "kafka" and isinstance(security, Mapping) and (problem := kafka.check_security(security, ())):
        yield FieldError("source.security", problem)
    yield from _secret_problems(source, security, secrets)


def _secret_problems(source: Mapping[str, Any], security: Any, secrets: SecretPolicy) -> Iterator[FieldError]:
    """Credentials go to the broker that the owner chose, as those of a target do. A signing key never leaves."""
    ref = source.get("secret_ref")
    if ref is not None:
        problem = secrets.problem(ref) if source["type"] == WEBHOOK else secrets.header_problem(ref)
        if problem:
            yield FieldError("source.secret_ref", problem)
    inner = security.get("secret_ref") if isinstance(security, Mapping) else None
    if inner is not None and (problem := secrets.header_problem(inner)):
        yield FieldError("source.security.secret_ref", problem)


def _pattern_problems(pattern: Mapping[str, Any]) -> Iterator[FieldError]:
    for name, value in pattern.items():
        if name not in _PATTERN_FIELDS:
            yield FieldError("source.pattern", f"knows {' and '.join(_PATTERN_FIELDS)}: use filter for {name[:64]!r}")
        elif not (isinstance(value, list) and value and all(isinstance(one, str) for one in value)):
            yield FieldError(f"source.pattern.{name}", "must be a list of texts")
