"""The kind ``redis``."""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import UNSET, Meta, UnsetType

from chalicelib.core.secrets.secret_ref import FORMS, PATTERN
from chalicelib.core.targets.broker_address import address_check
from chalicelib.core.targets.credentials_ref import CredentialsRef
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

PORTS: Final = {"redis": 6379, "rediss": 6379}
STREAM_LENGTH_MAX: Final = 2**53 - 1


class RedisTarget(TargetFields, tag="redis", kw_only=True):
    """A stream of Redis, which is made when it is not there."""

    url: Annotated[str, Meta(min_length=1, max_length=URL_MAX_CHARS, examples=["redis://redis.example.com:6379/0"])]
    stream: TargetName
    maxlen: Annotated[int, Meta(ge=1, le=STREAM_LENGTH_MAX)] | UnsetType = UNSET
    secret_ref: CredentialsRef | UnsetType = UNSET


def _destination(target: StoredTarget) -> str:
    return f"redis/{target.get('url')}/{target.get('stream')}"


KIND = TargetDescription(
    fields=RedisTarget,
    rules={
        "url": FieldRule(
            "a text such as redis://host:port/0",
            r"[Rr][Ee][Dd][Ii][Ss]{1,2}://[^/?#@\s]+(/([0-9]{1,5})?)?",
            address_check(PORTS, True),
        ),
        "stream": FieldRule("1 to 512 characters"),
        "maxlen": FieldRule(f"from 1 to {STREAM_LENGTH_MAX}"),
        "secret_ref": FieldRule(FORMS, PATTERN),
    },
    secret_fields=("secret_ref",),
    header_refs=sent_secret,
    destination=_destination,
    max_batch=1,
    permissions=READS_SECRETS,
    sent_as="XADD; the object is the field `event`",
    completed_means="Redis answered with the entry's id",
    messaging="redis",
)
