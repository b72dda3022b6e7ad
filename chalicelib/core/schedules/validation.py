"""Whether a whole schedule, as a caller wants it, may exist: every rule of its fields that needs no stored data.

The ways in (HTTP, /jobs, imports) check the shape of what they are sent. Here the meaning is checked, once for all of
them and with all errors together. Field names are those of the API, nested ones with dots. What is wrong with a target
is read off the description of its kind (``core.targets.registry``).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final, get_args

from chalicelib.core.errors import FieldError, InvalidField, TooLarge
from chalicelib.core.instants import parse_rfc3339
from chalicelib.core.limits import DURATION_MAX_MS, INSTANT_MAX_MS, OWNER_MAX_CHARS
from chalicelib.core.recurrence.limits import EXPR_MAX_CHARS
from chalicelib.core.schedules.limits import (
    FAILURES_IN_ROW_MAX,
    JITTER_MAX_MS,
    MONITOR_WINDOW_MIN_MS,
    NAME_MAX_CHARS,
    NOTE_MAX_CHARS,
    PAYLOAD_MAX_BYTES,
    RETRY_MAX_ATTEMPTS,
    RUNS_MAX,
    SHARD_KEY_MAX_CHARS,
    TAG_MAX_CHARS,
    TAGS_MAX_COUNT,
)
from chalicelib.core.schedules.schedule import Backoff, Definition, Overlap, RetryPolicy
from chalicelib.core.secrets.secret_policy import STRICTEST, SecretPolicy
from chalicelib.core.targets import registry

OVERLAPS: Final = get_args(Overlap)
BACKOFFS: Final = get_args(Backoff)

TEXT_PATTERN: Final = r"^[^\x00-\x1f\x7f]*$"  # of names, tags and the like
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check(
    definition: Definition,
    now_ms: int,
    webhook_allow: tuple[str, ...],
    allow_past: bool = False,
    secrets: SecretPolicy = STRICTEST,
) -> None:
    """Refuse a definition that is wrong anywhere, naming every wrong field.

    ``now_ms`` decides whether an AT lies in the past, which only ``allow_past`` lets through. ``webhook_allow`` lists
    the private addresses that webhooks may reach; ``secrets`` says which references are taken. Raises TooLarge
    (``payload_too_large``), InvalidField.
    """
    check_payload(definition.payload)
    errors = [
        *_texts(definition),
        *_numbers(definition),
        *_policy(definition.retry_policy),
        *registry.problems(definition.target, webhook_allow, secrets),
    ]
    named = {e.field for e in errors}
    errors += [e for e in _recurrence(definition, now_ms, allow_past) if e.field not in named]
    if errors:
        raise InvalidField(errors)


def check_payload(text: str) -> None:
    """Refuse serialised JSON that is longer than a payload may be: TooLarge (``payload_too_large``)."""
    size = len(text.encode())
    if size > PAYLOAD_MAX_BYTES:
        detail = f"the payload has {size} bytes, and at most {PAYLOAD_MAX_BYTES} are taken"
        raise TooLarge(detail, code="payload_too_large")


def check_target(
    target: Mapping[str, object], webhook_allow: tuple[str, ...], secrets: SecretPolicy = STRICTEST
) -> None:
    """Raise InvalidField with everything that is wrong with a target by itself."""
    errors = list(registry.problems(target, webhook_allow, secrets))
    if errors:
        raise InvalidField(errors)


def _texts(definition: Definition) -> Iterable[FieldError]:
    d = definition
    named = (
        ("name", d.name, NAME_MAX_CHARS),
        ("owner", d.owner, OWNER_MAX_CHARS),
        ("shard_key", d.shard_key or None, SHARD_KEY_MAX_CHARS),
        *((f"tags.{i}", tag, TAG_MAX_CHARS) for i, tag in enumerate(d.tags)),
    )
    for field, value, longest in named:
        problem = None if value is None else _text_problem(value, longest)
        if problem:
            yield FieldError(field, problem)
    if d.note is not None and len(d.note) > NOTE_MAX_CHARS:  # it may have several lines
        yield FieldError("note", f"must have at most {NOTE_MAX_CHARS} characters")
    if len(d.tags) > TAGS_MAX_COUNT:
        yield FieldError("tags", f"at most {TAGS_MAX_COUNT} tags")
    if len(d.expr) > EXPR_MAX_CHARS:
        yield FieldError("expr", f"must have at most {EXPR_MAX_CHARS} characters")


def _text_problem(value: str, longest: int) -> str | None:
    if not 1 <= len(value) <= longest:
        return f"must have 1 to {longest} characters"
    if _CONTROL.search(value):
        return "must not hold control characters"
    return None


def _numbers(definition: Definition) -> Iterable[FieldError]:
    d = definition
    ranges = (
        ("start_at_unix_ms", d.start_at_ms, 0, INSTANT_MAX_MS),
        ("end_at_unix_ms", d.end_at_ms, 0, INSTANT_MAX_MS),
        ("max_runs", d.max_runs, 1, RUNS_MAX),
        ("sla_ms", d.sla_ms, 0, DURATION_MAX_MS),
        ("catch_up_window_ms", d.catch_up_window_ms, 0, DURATION_MAX_MS),
        ("jitter_ms", d.jitter_ms, 0, JITTER_MAX_MS),
        ("timeout_ms", d.timeout_ms, 1, DURATION_MAX_MS),
        ("pause_after_failures", d.pause_after_failures, 1, FAILURES_IN_ROW_MAX),
    )
    for field, value, least, most in ranges:
        if value is not None and not least <= value <= most:
            yield FieldError(field, f"must be from {least} to {most}")
    if d.monitor is not None:
        least, most = MONITOR_WINDOW_MIN_MS, DURATION_MAX_MS
        if not least <= d.monitor.window_ms <= most:
            yield FieldError("monitor.window_ms", f"must be from {least} to {most}")
    for index, exclusion in enumerate(d.exclude):
        if not isinstance(exclusion, str):
            for name, at_ms in zip(("from_unix_ms", "to_unix_ms"), exclusion, strict=True):
                if not 0 <= at_ms <= INSTANT_MAX_MS:
                    yield FieldError(f"exclude.{index}.{name}", f"must be from 0 to {INSTANT_MAX_MS}")
    if d.overlap not in OVERLAPS:
        yield FieldError("overlap", "must be one of " + ", ".join(OVERLAPS))


def _policy(policy: RetryPolicy) -> Iterable[FieldError]:
    if not 1 <= policy.max_attempts <= RETRY_MAX_ATTEMPTS:
        yield FieldError("retry_policy.max_attempts", f"must be from 1 to {RETRY_MAX_ATTEMPTS}")
    if policy.backoff not in BACKOFFS:
        yield FieldError("retry_policy.backoff", "must be one of " + ", ".join(BACKOFFS))
    for name, value in (("base_ms", policy.base_ms), ("max_ms", policy.max_ms)):
        if not 0 <= value <= DURATION_MAX_MS:
            yield FieldError(f"retry_policy.{name}", f"must be from 0 to {DURATION_MAX_MS}")
    if policy.max_ms < policy.base_ms:
        yield FieldError("retry_policy.max_ms", "must not be less than base_ms")


def _recurrence(definition: Definition, now_ms: int, allow_past: bool) -> Iterable[FieldError]:
    try:
        compiled = definition.compiled()
    except InvalidField as refused:
        return refused.errors
    if allow_past:
        return ()
    if definition.type == "AT":
        at_ms = parse_rfc3339(definition.expr.strip().partition(":")[2].strip())
        if at_ms < now_ms:
            return [FieldError("expr", "lies in the past")]
    if compiled.first_ms is None and compiled.next_after(-1) is None:  # of one that is over, there was a first
        return [FieldError("expr", "can never fire: nothing is left between its start and the year 9999")]
    return ()
