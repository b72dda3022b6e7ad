"""What a caller asks of a schedule, in the words of ``Definition``. What is UNSET was left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, Union

from msgspec import UNSET, Struct, UnsetType

from chalicelib.core.recurrence.expressions import Exclusion, RecurrenceType
from chalicelib.core.recurrence.walltime import DstGap, DstOverlap
from chalicelib.core.schedules.schedule import Monitor, Overlap, RetryPolicy

T = TypeVar("T")
Opt = Union[T, UnsetType]  # noqa: UP007 -- a generic alias over a type variable has no other spelling in 3.11


class ScheduleRequest(Struct, frozen=True, kw_only=True):
    """The fields of a new schedule (with ``type`` and ``expr``), or those to change. ``payload`` is serialised JSON."""

    name: Opt[str | None] = UNSET
    type: Opt[RecurrenceType] = UNSET
    expr: Opt[str] = UNSET
    timezone: Opt[str] = UNSET
    start_at_ms: Opt[int | None] = UNSET
    end_at_ms: Opt[int | None] = UNSET
    max_runs: Opt[int | None] = UNSET
    payload: Opt[str] = UNSET
    target: Opt[Mapping[str, object]] = UNSET
    enabled: Opt[bool] = UNSET
    owner: Opt[str] = UNSET
    shard_key: Opt[str] = UNSET
    sla_ms: Opt[int] = UNSET
    overlap: Opt[Overlap] = UNSET
    catch_up_window_ms: Opt[int] = UNSET
    jitter_ms: Opt[int] = UNSET
    dst_gap: Opt[DstGap] = UNSET
    dst_overlap: Opt[DstOverlap] = UNSET
    exclude: Opt[tuple[Exclusion, ...]] = UNSET
    retry_policy: Opt[RetryPolicy] = UNSET
    timeout_ms: Opt[int] = UNSET
    pause_after_failures: Opt[int | None] = UNSET
    monitor: Opt[Monitor | None] = UNSET
    tags: Opt[tuple[str, ...]] = UNSET


class PreviewRequest(Struct, frozen=True, kw_only=True):
    """A recurrence to preview: its first ``count`` instants after ``after_ms`` (None: now)."""

    type: RecurrenceType
    expr: str
    timezone: Opt[str] = UNSET
    start_at_ms: Opt[int | None] = UNSET
    end_at_ms: Opt[int | None] = UNSET
    exclude: Opt[tuple[Exclusion, ...]] = UNSET
    dst_gap: Opt[DstGap] = UNSET
    dst_overlap: Opt[DstOverlap] = UNSET
    after_ms: int | None = None
    count: int


def given(request: ScheduleRequest | PreviewRequest, *without: str) -> dict[str, Any]:
    """The fields that were not left out, by name, as ``Definition`` takes them (``enabled`` is its ``active``)."""
    named = ((name, getattr(request, name)) for name in request.__struct_fields__ if name not in without)
    return {"active" if name == "enabled" else name: value for name, value in named if value is not UNSET}
