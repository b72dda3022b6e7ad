"""The kind ``rabbitmq``."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from chalicelib.core.secrets.secret_ref import FORMS, PATTERN
from chalicelib.core.targets.broker_address import address_check
from chalicelib.core.targets.credentials_ref import CredentialsRef
from chalicelib.core.targets.event_modes import EVENT_MODES, STRUCTURED, EventMode
from chalicelib.core.targets.limits import URL_MAX_CHARS
from chalicelib.core.targets.target_description import (
    READS_SECRETS,
    FieldRule,
    StoredTarget,
    TargetDescription,
    TargetFields,
    sent_secret,
)

PORTS: Final = {"amqp": 5672, "amqps": 5671}
_Short = Annotated[str, Meta(max_length=255)]


class RabbitMqTarget(TargetFields, tag="rabbitmq", kw_only=True):
    """An exchange of RabbitMQ; the empty name is the default exchange, whose routing key is a queue's name."""

    url: Annotated[str, Meta(min_length=1, max_length=URL_MAX_CHARS, examples=["amqps://rabbit.example.com/vhost"])]
    exchange: _Short
    routing_key: _Short
    mode: EventMode | UnsetType = UNSET
    secret_ref: CredentialsRef | UnsetType = UNSET


def _destination(target: StoredTarget) -> str:
    return f"rabbitmq/{target.get('url')}/{target.get('exchange')}/{target.get('routing_key')}"


def _short(value: str, _allow: object) -> str | None:
    return "must be at most 255 bytes long in UTF-8" if len(value.encode()) > 255 else None


KIND = TargetDescription(
    fields=RabbitMqTarget,
    rules={
        "url": FieldRule("a text such as amqp://host:port/vhost", check=address_check(PORTS, True)),
        "exchange": FieldRule("a text of at most 255 bytes", check=_short),
        "routing_key": FieldRule("a text of at most 255 bytes", check=_short),
        "mode": FieldRule("one of " + ", ".join(EVENT_MODES)),
        "secret_ref": FieldRule(FORMS, PATTERN),
    },
    defaults={"mode": STRUCTURED},
    secret_fields=("secret_ref",),
    header_refs=sent_secret,
    destination=_destination,
    max_batch=1,
    permissions=READS_SECRETS,
    sent_as="a persistent message, mandatory and confirmed",
    completed_means="RabbitMQ confirmed it, and a queue has it",
    messaging="rabbitmq",
)
