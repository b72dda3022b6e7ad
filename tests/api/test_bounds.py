"""The models of the API and the rules of a definition judge the same bounds: neither takes what the other refuses."""

from __future__ import annotations

from typing import Any, get_args

import msgspec
import pytest

from chalicelib.api.schedules.schemas import MonitorBody, NewSchedule, RetryPolicyBody, request_of
from chalicelib.core.errors import InvalidField
from chalicelib.core.limits import DURATION_MAX_MS, INSTANT_MAX_MS, OWNER_MAX_CHARS
from chalicelib.core.recurrence.expressions import RecurrenceType
from chalicelib.core.recurrence.walltime import DstGap, DstOverlap
from chalicelib.core.schedules import validation
from chalicelib.core.schedules.limits import (
    FAILURES_IN_ROW_MAX,
    JITTER_MAX_MS,
    MONITOR_WINDOW_MIN_MS,
    NAME_MAX_CHARS,
    RETRY_MAX_ATTEMPTS,
    RUNS_MAX,
    SHARD_KEY_MAX_CHARS,
    TAG_MAX_CHARS,
    TAGS_MAX_COUNT,
)
from chalicelib.core.schedules.request import given
from chalicelib.core.schedules.schedule import Backoff, Definition, Overlap

NUMBERS = {
    "start_at_unix_ms": (0, INSTANT_MAX_MS),
    "end_at_unix_ms": (0, INSTANT_MAX_MS),
    "max_runs": (1, RUNS_MAX),
    "sla_ms": (0, DURATION_MAX_MS),
    "catch_up_window_ms": (0, DURATION_MAX_MS),
    "jitter_ms": (0, JITTER_MAX_MS),
    "timeout_ms": (1, DURATION_MAX_MS),
    "pause_after_failures": (1, FAILURES_IN_ROW_MAX),
    "monitor.window_ms": (MONITOR_WINDOW_MIN_MS, DURATION_MAX_MS),
    "retry_policy.max_attempts": (1, RETRY_MAX_ATTEMPTS),
    "retry_policy.base_ms": (0, DURATION_MAX_MS),
    "retry_policy.max_ms": (0, DURATION_MAX_MS),
}
TEXTS = {"name": NAME_MAX_CHARS, "owner": OWNER_MAX_CHARS, "shard_key": SHARD_KEY_MAX_CHARS, "tags.0": TAG_MAX_CHARS}
CHOICES = {
    "type": RecurrenceType,
    "overlap": Overlap,
    "dst_gap": DstGap,
    "dst_overlap": DstOverlap,
    "retry_policy.backoff": Backoff,
}
INNER = {"retry_policy": RetryPolicyBody, "monitor": MonitorBody}


def _sent(field: str, value: object) -> dict[str, Any]:
    sent: dict[str, Any] = {"type": "RATE", "expr": "rate:5s"}
    name, _, inner = field.partition(".")
    if inner:
        sent[name] = [value] if inner == "0" else {inner: value}
        if inner == "base_ms":
            sent[name]["max_ms"] = DURATION_MAX_MS
        if inner == "max_ms":
            sent[name]["base_ms"] = 0
    else:
        sent[name] = value
    return sent


def _model_takes(sent: dict[str, Any]) -> bool:
    try:
        msgspec.convert(sent, NewSchedule)
    except msgspec.ValidationError:
        return False
    return True


def _rules_refuse(sent: dict[str, Any]) -> set[str]:
    """The fields that the rules refuse, of what the model is not asked about."""
    body = NewSchedule(type="RATE", expr="rate:5s")
    loose = msgspec.defstruct("Loose", [(f.name, Any, msgspec.UNSET) for f in msgspec.structs.fields(NewSchedule)])
    values = msgspec.structs.asdict(msgspec.convert(sent, loose))
    for name, value in values.items():
        if value is not msgspec.UNSET:
            setattr(body, name, INNER[name](**value) if name in INNER else value)
    fields = given(request_of(body))
    known = {"tenant": "t", "id": "i", "version": "v", "since_ms": 0, "created_at_ms": 0, "updated_at_ms": 0}
    try:
        validation.check(Definition(**known, **fields), 0, ())
    except InvalidField as refused:
        return {e.field for e in refused.errors}
    return set()


def _agree(field: str, value: object, taken: bool) -> None:
    sent = _sent(field, value)
    assert _model_takes(sent) is taken
    assert (field in _rules_refuse(sent)) is not taken


@pytest.mark.parametrize("field", NUMBERS)
def test_a_number_has_one_range(field: str) -> None:
    least, most = NUMBERS[field]
    for value in (least - 1, least, most, most + 1):
        _agree(field, value, least <= value <= most)


@pytest.mark.parametrize("field", TEXTS)
def test_a_text_has_one_length(field: str) -> None:
    longest = TEXTS[field]
    for length in (1, longest, longest + 1):
        _agree(field, "x" * length, length <= longest)


def test_tags_have_one_count() -> None:
    for count in (TAGS_MAX_COUNT, TAGS_MAX_COUNT + 1):
        _agree("tags", ["t"] * count, count <= TAGS_MAX_COUNT)


@pytest.mark.parametrize("field", CHOICES)
def test_a_choice_is_stated_once(field: str) -> None:
    for choice in get_args(CHOICES[field]):
        assert _model_takes(_sent(field, choice))
        if field != "type":
            assert field not in _rules_refuse(_sent(field, choice))
    _agree(field, "sometimes", False)
