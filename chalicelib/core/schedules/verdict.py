"""What becomes of a queued instant, by the version in force at that instant."""

from __future__ import annotations

from enum import StrEnum

from chalicelib.core.schedules.schedule import Definition, State


class Verdict(StrEnum):
    """What becomes of a queued instant."""

    FIRE = "fire"
    DROP = "drop"  # superseded: the version in force at the instant is another, and has queued its own
    PAUSED = "paused"
    DELETED = "deleted"
    UNKNOWN = "unknown"  # the version is not written (yet), or so old that only its snapshot is kept


def judge(state: State | None, version: str, instant_ms: int) -> Verdict:
    """Judge an instant queued under ``version`` by the version in force at that instant."""
    if state is None:
        return Verdict.UNKNOWN
    ref = state.in_force_at(instant_ms)
    if ref is None or all(v.id != version for v in state.versions):
        return Verdict.UNKNOWN
    if ref.id == version:
        if not ref.active:
            return Verdict.DROP
        return Verdict.DELETED if state.status == "deleted" else Verdict.FIRE
    if not ref.active:
        return Verdict.DROP if state.status == "deleted" else Verdict.PAUSED
    return Verdict.DROP


def judge_snapshot(state: State | None, snapshot: Definition | None, instant_ms: int) -> Verdict:
    """Judge by the snapshot of a version that the state no longer (or not yet) names."""
    if state is None or snapshot is None:
        return Verdict.UNKNOWN
    in_force = snapshot.since_ms <= instant_ms and (snapshot.until_ms is None or instant_ms < snapshot.until_ms)
    if not (in_force and snapshot.active):
        return Verdict.DROP
    return Verdict.DELETED if state.status == "deleted" else Verdict.FIRE
