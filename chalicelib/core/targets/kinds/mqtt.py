"""The kind ``mqtt``."""

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
    TargetName,
    sent_secret,
)

PORTS: Final = {"mqtt": 1883, "mqtts": 8883}


class MqttTarget(TargetFields, tag="mqtt", kw_only=True):
    """A topic of a broker that speaks MQTT 5."""

    broker: Annotated[str, Meta(min_length=1, max_length=URL_MAX_CHARS, examples=["mqtts://mqtt.example.com:8883"])]
    topic: TargetName
    qos: Annotated[int, Meta(ge=0, le=2)] | UnsetType = UNSET
    retain: bool | UnsetType = UNSET
    mode: EventMode | UnsetType = UNSET
    secret_ref: CredentialsRef | UnsetType = UNSET


def _destination(target: StoredTarget) -> str:
    return f"mqtt/{target.get('broker')}/{target.get('topic')}"


KIND = TargetDescription(
    fields=MqttTarget,
    rules={
        "broker": FieldRule("a text such as mqtt://host:port", check=address_check(PORTS)),
        "topic": FieldRule("a topic without wildcards and control characters", r"[^+#\x00-\x1f\x7f]+"),
        "qos": FieldRule("0, 1 or 2"),
        "retain": FieldRule("true or false"),
        "mode": FieldRule("one of " + ", ".join(EVENT_MODES)),
        "secret_ref": FieldRule(FORMS, PATTERN),
    },
    defaults={"qos": 1, "retain": False, "mode": STRUCTURED},
    secret_fields=("secret_ref",),
    header_refs=sent_secret,
    destination=_destination,
    max_batch=1,
    permissions=READS_SECRETS,
    sent_as="PUBLISH of MQTT 5",
    completed_means="the broker acknowledged it; with `qos: 0`, it was sent",
    messaging="mqtt",
)
