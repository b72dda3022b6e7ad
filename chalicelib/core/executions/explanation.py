"""Why an instant of a schedule did or did not fire, will or will not: from its versions and its execution alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Literal, NamedTuple, get_args

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.executions.execution import (
    CANCELLED,
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    MISSED,
    PENDING,
    SKIPPED,
    TIMEOUT,
    Execution,
)
from chalicelib.core.executions.ledger import LOST, spent_before
from chalicelib.core.executions.limits import LOST_AFTER_MS
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.schedules.schedule import Definition

ReasonCode = Literal[
    "not_on_grid",
    "excluded",
    "paused",
    "before_start",
    "after_end",
    "max_runs_reached",
    "dst_gap",
    "dst_overlap",
    "missed_window",
    "overlap_skipped",
    "policy_denied",
    "waiting_for_limit",
    "delivered",
    "pending",
    "not_yet",
    "failed",
    "timeout",
    "cancelled",
]
REASON_CODES: Final[tuple[ReasonCode, ...]] = get_args(ReasonCode)
_NOTES: Final[dict[str, tuple[ReasonCode, str]]] = {
    "gap": ("dst_gap", "the clocks go forward here: it was moved out of the hour that does not exist"),
    "overlap": ("dst_overlap", "the clocks go back here: its wall time comes twice"),
}


class Reason(NamedTuple):
    """One thing that had a part in it."""

    code: ReasonCode
    detail: str


_NOT_YET: Final = Reason("not_yet", "it fires when its time comes")


class Explanation(Struct, frozen=True):
    """``owed``: the version in force then was active, and its grid has the instant. ``version`` is None before the
    first. ``outcome`` is None where nothing came of it yet."""

    at_ms: int
    owed: bool
    outcome: str | None
    reasons: tuple[Reason, ...]
    version: str | None


def explain(
    versions: Sequence[Definition],
    execution: Execution | None,
    at_ms: int,
    now_ms: int,
    owed_until_ms: int | None,
    delay_next_ms: int | None,
) -> Explanation:
    """``versions`` are all that the schedule has had, by ``since_ms``. ``owed_until_ms`` is the last instant of an
    exhausted schedule. ``delay_next_ms`` is the next instant of a DELAY, which has no grid."""
    version = next((v for v in reversed(versions) if v.since_ms <= at_ms), None)
    if version is None:
        against = [_before_all(versions[0], at_ms)]
        return _told(at_ms, False, execution, against, [], None, now_ms)
    spent_ms = owed_until_ms if version is versions[-1] else spent_before(version, at_ms + 1)
    against = _against(version, at_ms, spent_ms, execution, delay_next_ms)
    notes = [Reason(*_NOTES[kind]) for _, kind in version.compiled().dst_notes([at_ms])] if not against else []
    return _told(at_ms, not against, execution, against, notes, version.version, now_ms)


def _before_all(first: Definition, at_ms: int) -> Reason:
    """Versions that were superseded long ago are no longer kept."""
    if at_ms < first.created_at_ms:
        created = to_rfc3339(first.created_at_ms)
        return Reason("before_start", f"the schedule was made at {created}, after this instant")
    since = to_rfc3339(first.since_ms)
    return Reason("before_start", f"what the schedule was before {since} is no longer kept, nor what it owed then")


def _against(
    version: Definition,
    at_ms: int,
    spent_ms: int | None,
    execution: Execution | None,
    delay_next_ms: int | None,
) -> list[Reason]:
    """What keeps an instant from being owed."""
    found: list[Reason] = []
    compiled = version.compiled()
    ended = version.until_ms is not None and version.until_ms <= at_ms
    if not version.active or (ended and spent_ms is None):
        since = to_rfc3339(version.since_ms if not version.active else version.until_ms or 0)
        note = f": {version.note}" if version.note else ""
        found.append(Reason("paused", f"the schedule was paused at {since}{note}"))
    elif version.rests_at(at_ms):
        span = f"at {to_rfc3339(version.since_ms)} until {to_rfc3339(version.owes_from(0))}"
        note = f": {version.note}" if version.note else ""
        found.append(Reason("paused", f"the schedule was paused {span}{note}"))
    if version.start_at_ms is not None and at_ms < version.start_at_ms:
        found.append(Reason("before_start", f"it begins at {to_rfc3339(version.start_at_ms)}"))
    elif version.end_at_ms is not None and at_ms > version.end_at_ms:
        found.append(Reason("after_end", f"it ended at {to_rfc3339(version.end_at_ms)}"))
    elif version.type == "DELAY":
        if at_ms != delay_next_ms and (execution is None or not execution.is_due_by_itself):
            found.append(
                Reason("not_on_grid", "a DELAY runs after the end of the run before it, and not at this instant")
            )
    elif compiled.excluded_between(at_ms, at_ms, 1):
        found.append(Reason("excluded", "one of its exclusions covers this instant"))
    elif not compiled.between(at_ms, at_ms, 1):
        found += _left_out(version, at_ms)
        following = compiled.next_after(at_ms)
        near = "no instant follows" if following is None else f"the next instant is {to_rfc3339(following)}"
        found.append(Reason("not_on_grid", f"{version.expr} in {version.timezone} has no instant here; {near}"))
    elif spent_ms is not None and at_ms > spent_ms:
        began_spent = spent_ms < version.since_ms
        last = "its runs were spent before" if began_spent else f"its last run is that of {to_rfc3339(spent_ms)}"
        found.append(Reason("max_runs_reached", last))
    return found


def _left_out(version: Definition, at_ms: int) -> Iterator[Reason]:
    """The clock change that has no instant here because of what the schedule says about it: with another ``dst_gap`` or
    ``dst_overlap`` it would have one."""
    for gap in ("run_after", "shift"):
        if gap != version.dst_gap and _has(replace(version, dst_gap=gap), at_ms, "gap"):
            detail = f"dst_gap is {version.dst_gap}; only with {gap} would it run at this instant"
            yield Reason("dst_gap", f"the clocks go forward here, and {detail}")
    if version.dst_overlap == "once" and _has(replace(version, dst_overlap="twice"), at_ms, "overlap"):
        yield Reason("dst_overlap", "the clocks go back here: its wall time comes twice, and dst_overlap is once")


def _has(version: Definition, at_ms: int, kind: str) -> bool:
    compiled = version.compiled()
    return bool(compiled.between(at_ms, at_ms, 1)) and (at_ms, kind) in compiled.dst_notes([at_ms])


def _told(
    at_ms: int,
    owed: bool,
    execution: Execution | None,
    against: list[Reason],
    notes: list[Reason],
    version: str | None,
    now_ms: int,
) -> Explanation:
    if execution is not None:
        reasons = [*against, *notes]
        if not (
            against and execution.state == SKIPPED and execution.is_superseded
        ):  # what speaks against it is why it was taken back
            reasons.append(_of_execution(execution))
        if at_ms > now_ms and execution.state == PENDING and not execution.manual:
            reasons.append(_NOT_YET)  # its record is written a few seconds ahead
        return Explanation(at_ms, owed, execution.state, tuple(dict.fromkeys(reasons)), version)
    if not owed:
        return Explanation(at_ms, owed, None, (*against, *notes), version)
    if at_ms > now_ms:
        return Explanation(at_ms, owed, None, (*notes, _NOT_YET), version)
    if now_ms - at_ms < LOST_AFTER_MS:
        return Explanation(at_ms, owed, PENDING, (*notes, Reason("pending", "it is on its way")), version)
    lost = Reason("pending", "it was owed and has left no trace: it counts as lost until it is repaired")
    return Explanation(at_ms, owed, LOST, (*notes, lost), version)


def _of_execution(execution: Execution) -> Reason:
    """What became of it, in its own words."""
    said = execution.history[-1].reason if execution.history else None
    lateness = "" if execution.lateness_ms is None else f", {execution.lateness_ms} ms after its instant"
    if execution.held_note is not None:
        lateness += f"; {execution.held_note}"
    if execution.state == COMPLETED:
        return Reason("delivered", f"delivered by attempt {execution.attempt}{lateness}")
    if execution.state == MISSED:
        return Reason("missed_window", said or "it was found later than its catch-up window allows")
    if execution.state == SKIPPED:
        paused = said is not None and "paus" in said
        return Reason("paused" if paused else "overlap_skipped", said or "another run was in its way")
    if execution.state in (FAILED, TIMEOUT):
        return _of_failure(execution)
    if execution.state == CANCELLED:
        return Reason("cancelled", said or "it was cancelled")
    if execution.is_held and execution.held_note is not None:
        return Reason("pending", f"{execution.held_note}; it goes on when the queue is resumed")
    if execution.waits:
        return Reason("waiting_for_limit", "it waits until the run before it has ended")
    if execution.state == IN_PROGRESS:
        return Reason("pending", f"attempt {execution.attempt} is under way")
    until = "" if execution.retry_at_ms is None else f" until {to_rfc3339(execution.retry_at_ms)}"
    return Reason("pending", f"it waits for its next attempt{until}" if execution.attempts else "it is about to start")


def _of_failure(execution: Execution) -> Reason:
    error = execution.error or "no attempt succeeded"
    last = execution.attempts[-1].error_type if execution.attempts else None
    if execution.state == FAILED and last == "rejected" and error.startswith("policy "):
        return Reason("policy_denied", error)
    attempts = "one attempt" if execution.attempt == 1 else f"{execution.attempt} attempts"
    return Reason("timeout" if execution.state == TIMEOUT else "failed", f"after {attempts}: {error}")
