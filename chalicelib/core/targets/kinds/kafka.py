"""The kind ``kafka``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

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
)

PORTS: Final = {"": 9092}
TOPIC: Final = r"(\.{0,2}[A-Za-z0-9_-]|\.{3})[A-Za-z0-9._-]*"  # Kafka has no topics "." and ".."
Acks = Literal["all", "leader"]
KafkaProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
KafkaMechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class KafkaSecurity(Struct, forbid_unknown_fields=True, kw_only=True):
    """How to sign in at a cluster; `secret_ref` names the credentials."""

    protocol: KafkaProtocol
    mechanism: KafkaMechanism | UnsetType = UNSET
    secret_ref: CredentialsRef | UnsetType = UNSET


class KafkaTarget(TargetFields, tag="kafka", kw_only=True):
    """A topic of Kafka. Without `key` the schedule's id is the key, which keeps each schedule in order."""

    brokers: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=URL_MAX_CHARS, examples=["kafka.example.com:9092"])]],
        Meta(min_length=1, max_length=BROKER_ADDRESSES_MAX),
    ]
    topic: Annotated[str, Meta(min_length=1, max_length=249)]
    key: TargetName | UnsetType = UNSET
    mode: EventMode | UnsetType = UNSET
    acks: Acks | UnsetType = UNSET
    security: KafkaSecurity | UnsetType = UNSET


def _destination(target: StoredTarget) -> str:
    brokers = target.get("brokers")
    first = brokers[0] if isinstance(brokers, list | tuple) and brokers else ""
    return f"kafka/{first}/{target.get('topic')}"


def _sent_secret(target: StoredTarget) -> Mapping[str, str]:
    security = target.get("security")
    ref = security.get("secret_ref") if isinstance(security, Mapping) else None
    return {"security.secret_ref": ref} if isinstance(ref, str) else {}


def check_security(security: Mapping[str, object], _allow: object) -> str | None:
    """What is wrong with a way to sign in, or None."""
    signs_in = str(security.get("protocol")).startswith("SASL_")
    if signs_in and "secret_ref" not in security:
        return "needs secret_ref: the protocol signs in"
    if not signs_in and "mechanism" in security:
        return "must have a protocol that signs in (SASL_…) where it has mechanism"
    if security.get("protocol") == "PLAINTEXT" and "secret_ref" in security:
        return "must have another protocol than PLAINTEXT where it has secret_ref"
    return None


KIND = TargetDescription(
    fields=KafkaTarget,
    rules={
        "brokers": FieldRule(
            f"a list of 1 to {BROKER_ADDRESSES_MAX} texts such as host:port", check=address_check(PORTS)
        ),
        "topic": FieldRule("the name of a topic", TOPIC),
        "key": FieldRule("1 to 512 characters"),
        "mode": FieldRule("one of " + ", ".join(EVENT_MODES)),
        "acks": FieldRule("one of " + ", ".join(get_args(Acks))),
        "security": FieldRule(
            "an object of protocol ("
            + ", ".join(get_args(KafkaProtocol))
            + "), mechanism ("
            + ", ".join(get_args(KafkaMechanism))
            + ") and secret_ref",
            check=check_security,
        ),
    },
    defaults={"mode": STRUCTURED, "acks": "all"},
    secret_fields=(),
    header_refs=_sent_secret,
    destination=_destination,
    max_batch=1,
    permissions=READS_SECRETS,
    sent_as="a record; the key is `key`, or the schedule's id",
    completed_means="all replicas in sync have it; with `acks: leader`, the leader",
    messaging="kafka",
)
