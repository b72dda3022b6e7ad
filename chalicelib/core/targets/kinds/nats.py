"""The kind ``nats``."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from chalicelib.core.secrets.secret_ref import FORMS, PATTERN
from chalicelib.core.targets.broker_address import BROKER_ADDRESSES_MAX, address_check
from chalicelib.core.targets.credentials_ref import CredentialsRef
from chalicelib.core.targets.event_modes import EVENT_MODES, STRUCTURED, EventMode
from chalicelib.core.targets.limits import URL_MAX_CHARS
from chalicelib.core.targets.target_description import (
    READS_SECRETS,
    FieldRule,
    StoredTarget,
    TargetDescription,
    TargetFields,
    TargetName,
    sent_secret,
)

PORTS: Final = {"nats": 4222, "tls": 4222}
Server = Annotated[str, Meta(min_length=1, max_length=URL_MAX_CHARS, examples=["nats://nats.example.com:4222"])]


class NatsTarget(TargetFields, tag="nats", kw_only=True):
    """A subject of NATS: a message of the stream that binds it. With `jetstream` false, subscribers of the moment."""

    servers: Annotated[list[Server], Meta(min_length=1, max_length=BROKER_ADDRESSES_MAX)]
    subject: TargetName
    jetstream: bool | UnsetType = UNSET
    mode: EventMode | UnsetType = UNSET
    secret_ref: CredentialsRef | UnsetType = UNSET


def _destination(target: StoredTarget) -> str:
    servers = target.get("servers")
    first = servers[0] if isinstance(servers, list | tuple) and servers else ""
    return f"nats/{first}/{target.get('subject')}"


KIND = TargetDescription(
    fields=NatsTarget,
    rules={
        "servers": FieldRule(
            f"a list of 1 to {BROKER_ADDRESSES_MAX} texts such as nats://host:port", check=address_check(PORTS)
        ),
        "subject": FieldRule("a subject without blanks and wildcards", r"[^\s.*>]+(\.[^\s.*>]+)*"),
        "jetstream": FieldRule("true or false"),
        "mode": FieldRule("one of " + ", ".join(EVENT_MODES)),
        "secret_ref": FieldRule(FORMS, PATTERN),
    },
    defaults={"jetstream": True, "mode": STRUCTURED},
    secret_fields=("secret_ref",),
    header_refs=sent_secret,
    destination=_destination,
    max_batch=1,
    permissions=READS_SECRETS,
    sent_as="a message of JetStream with `Nats-Msg-Id`",
    completed_means="the stream stored it; with `jetstream: false`, the server read it",
    messaging="nats",
)
