"""A dead-man's switch: what is known of a schedule with ``monitor``, kept beside its state, and what it means.

A watch begins with the change that makes a schedule monitored and active, in the same write. ``success_ms`` is the last
success that is known of, or else when watching began (``since_ms``). It is noted at most a hundred times a window, and
the alert waits as much longer (``slack_ms``): so a frequent schedule costs little. ``silent_ms`` is when the silence
began that lasts (0: there is none), ``told`` whether the alert of it was sent. ``look_ms`` is when to check next; a
late check makes an alert late, and nothing worse.
"""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.limits import SWEEP_PERIOD_MS
from chalicelib.core.schedules import schedule
from chalicelib.core.schedules.schedule import Key, Schedule

NOTES_A_WINDOW = 100
REVS_OF_A_WATCH = 1 << 20  # how far apart the revs of a schedule's watches begin, so that no two are ever the same


class MonitorState(Struct, frozen=True, kw_only=True):
    """What is known of one monitored schedule; times in unix milliseconds. ``rev`` orders all writes."""

    tenant: str
    id: str
    shard: int
    rev: int
    window_ms: int
    since_ms: int
    success_ms: int
    look_ms: int
    silent_ms: int = 0
    told: bool = False

    @property
    def key(self) -> Key:
        return Key(self.tenant, self.id)

    @property
    def slack_ms(self) -> int:
        """How long an alert waits beyond the window, and by how much a noted success may be older than the last."""
        return self.window_ms // NOTES_A_WINDOW

    @property
    def due_ms(self) -> int:
        """When it counts as silent, unless a success comes before."""
        return self.success_ms + self.window_ms + self.slack_ms


class MonitorFinding(StrEnum):
    """What a check of a watch finds."""

    FELL_SILENT = "fell silent"
    STILL_SILENT = "still silent"
    SPOKE = "spoke"
    WELL = "well"


def to_begin(before: Schedule | None, after: Schedule) -> MonitorState | None:
    """The watch that begins with a change: one that creates or resumes a monitored schedule, wakes a completed one, or
    changes its monitor. One that is paused until an instant is watched from then on. None when a watch goes on, or
    there is nothing to watch."""
    definition = after.definition
    if definition.monitor is None or not definition.active:
        return None
    if before is not None and before.definition.monitor == definition.monitor and _is_active(before, after):
        return None
    return _begun(after, definition.monitor.window_ms)


def _is_active(before: Schedule, after: Schedule) -> bool:
    since_ms = after.definition.since_ms
    return not after.definition.rests_at(since_ms) and schedule.progress(before, since_ms).state == "active"


def _begun(after: Schedule, window_ms: int) -> MonitorState:
    state, since_ms = after.state, after.definition.owes_from(after.definition.since_ms)
    fresh = MonitorState(
        tenant=state.tenant,
        id=state.id,
        shard=state.shard,
        rev=state.rev * REVS_OF_A_WATCH,
        window_ms=window_ms,
        since_ms=since_ms,
        success_ms=since_ms,
        look_ms=since_ms,
    )
    return replace(fresh, look_ms=fresh.due_ms)


def check(watch: MonitorState, success_ms: int, now_ms: int) -> tuple[MonitorFinding, MonitorState]:
    """What a check at ``now_ms`` finds, and the watch to write; ``success_ms`` is the last success in the journal."""
    known = replace(watch, rev=watch.rev + 1, success_ms=max(watch.success_ms, success_ms))
    if watch.silent_ms and known.success_ms > watch.success_ms:
        return MonitorFinding.SPOKE, replace(known, silent_ms=0, told=False, look_ms=known.due_ms)
    if watch.silent_ms:
        wait_ms = watch.window_ms if watch.told else SWEEP_PERIOD_MS
        return MonitorFinding.STILL_SILENT, replace(known, look_ms=now_ms + wait_ms)
    if known.due_ms > now_ms:
        return MonitorFinding.WELL, replace(known, look_ms=known.due_ms)
    silent_ms = known.success_ms + watch.window_ms
    return MonitorFinding.FELL_SILENT, replace(known, silent_ms=silent_ms, look_ms=now_ms + SWEEP_PERIOD_MS)


def notified(watch: MonitorState, now_ms: int) -> MonitorState:
    """The watch after the alert of its silence was sent."""
    return replace(watch, rev=watch.rev + 1, told=True, look_ms=now_ms + watch.window_ms)


def put_off(watch: MonitorState, now_ms: int) -> MonitorState:
    """The watch of a schedule that has completed, and may be changed to go on."""
    return replace(watch, rev=watch.rev + 1, look_ms=now_ms + watch.window_ms)


def spoke(watch: MonitorState, success_ms: int) -> MonitorState | None:
    """The watch after a success; None when that is not worth a write."""
    if success_ms <= watch.success_ms:
        return None
    if watch.silent_ms:
        fresh = replace(watch, rev=watch.rev + 1, success_ms=success_ms, silent_ms=0, told=False)
        return replace(fresh, look_ms=fresh.due_ms)
    if success_ms - watch.success_ms < watch.slack_ms:
        return None
    return replace(watch, rev=watch.rev + 1, success_ms=success_ms)
