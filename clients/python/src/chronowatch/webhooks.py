"""Verifying what a ChronoWatch service sends: Standard Webhooks, HMAC-SHA256."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chronowatch.errors import InvalidSignature, NotAFiring

TOLERANCE_S = 300.0
_TIMESTAMP_MAX_DIGITS = 16
BODY_MAX_BYTES = 256 * 1024
CANCELLATION = "chronowatch.cancellations.v1"

Secret = str | Sequence[str]


@dataclass(frozen=True, slots=True)
class Firing:
    """One firing: the CloudEvent of an instant. ``event`` is all of it, ``data`` the schedule's payload.

    ``id`` is the same for every attempt, ``fencing_token`` higher for each.
    """

    id: str
    schedule_id: str
    time: str
    attempt: int
    fencing_token: int
    data: Any
    event: Mapping[str, Any]

    @property
    def is_cancellation(self) -> bool:
        """Whether it says that an execution which was accepted is cancelled: ``data`` names it, and the reason."""
        return self.event.get("type") == CANCELLATION


def verify(
    *,
    body: bytes | str,
    headers: Mapping[str, str],
    secret: Secret,
    tolerance_s: float = TOLERANCE_S,
    now_s: float | None = None,
) -> Firing:
    """The firing in ``body``, which must be the bytes as they came. ``secret`` is ``whsec_…``, or several of them while
    one is rotated. Raises InvalidSignature and NotAFiring."""
    content = body.encode() if isinstance(body, str) else body
    given = {name.lower(): value for name, value in headers.items()}
    message_id, timestamp = given.get("webhook-id", ""), given.get("webhook-timestamp", "")
    signatures = given.get("webhook-signature", "").split()
    if not (message_id and timestamp and signatures):
        raise InvalidSignature("the request is not signed")
    now = time.time() if now_s is None else now_s
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= _TIMESTAMP_MAX_DIGITS):
        raise InvalidSignature("the timestamp is no number of seconds")
    if abs(now - int(timestamp)) > tolerance_s:
        raise InvalidSignature("the timestamp is too far from this clock")
    signed = f"{message_id}.{timestamp}.".encode() + content
    sent = [each.removeprefix("v1,").encode() for each in signatures if each.startswith("v1,")]
    if not any(hmac.compare_digest(ours, each) for ours in _signatures(signed, secret) for each in sent):
        raise InvalidSignature("the signature does not match")
    firing = read(content)
    if firing.id != message_id:
        raise InvalidSignature("the signed id is another than the firing's")
    return firing


def read(body: bytes | str) -> Firing:
    """The firing in ``body``, unverified. Raises NotAFiring."""
    if len(body) > BODY_MAX_BYTES:
        raise NotAFiring(f"the body has more than {BODY_MAX_BYTES // 1024} KiB")
    try:
        return firing_of(json.loads(body))
    except ValueError:  # RecursionError is caught below: json.loads raises it for what is nested too deep
        raise NotAFiring("the body is not JSON") from None
    except RecursionError:
        raise NotAFiring("the body is nested too deep") from None


def firing_of(event: Any) -> Firing:
    """The firing that a CloudEvent is. Raises NotAFiring."""
    if not isinstance(event, dict) or event.get("specversion") != "1.0":
        raise NotAFiring("it is no CloudEvent")
    if event.get("type") == CANCELLATION and isinstance(event.get("data"), dict):
        token, attempt = event["data"].get("fencing_token"), event["data"].get("attempt")
        event = {**event, "fencingtoken": token, "attempt": attempt}
    wanted = {"id": str, "subject": str, "time": str, "attempt": int, "fencingtoken": int}
    for name, kind in wanted.items():
        if not isinstance(event.get(name), kind) or isinstance(event[name], bool):
            raise NotAFiring(f"it has no {name}: it is {event.get('type', 'of no type')}")
    return Firing(
        id=event["id"],
        schedule_id=event["subject"],
        time=event["time"],
        attempt=event["attempt"],
        fencing_token=event["fencingtoken"],
        data=event.get("data"),
        event=event,
    )


def key_of(secret: str) -> bytes:
    """The bytes that ``whsec_…`` stands for. Raises ValueError."""
    if not secret.startswith("whsec_"):
        raise ValueError("a secret begins with whsec_")
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise ValueError("what follows whsec_ must be base64") from None
    if not key:
        raise ValueError("nothing follows whsec_")
    return key


def _signatures(signed: bytes, secret: Secret) -> list[bytes]:
    secrets = [secret] if isinstance(secret, str) else secret
    return [base64.b64encode(hmac.new(key_of(each), signed, hashlib.sha256).digest()) for each in secrets]
