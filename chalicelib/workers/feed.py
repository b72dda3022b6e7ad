"""Feed: what the stream of executions sets off, away from the path of the firings.

The stream brings every record that was written, at least once and each schedule's in order, although its writer died
after that. So here stands what must be emitted about an execution, but not at its instant. ``feed_counts`` counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from chalicelib.core.executions.execution import COMPLETED, FAILED, Execution
from chalicelib.core.policies import policy_events, sla
from chalicelib.core.policies.failures import FAILURES
from chalicelib.core.policies.limits import FEED_LAG_MAX_MS
from chalicelib.core.policies.policy_events import PolicyEvent
from chalicelib.core.schedules.schedule import Definition, FailurePause, Key
from chalicelib.engine import failures, monitors
from chalicelib.engine.definitions import load_definitions
from chalicelib.engine.events import emit
from chalicelib.engine.rule_presence import has_rules
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import Versioned


class Written(NamedTuple):
    """A record as it was written, and as it was before: None when it is new, or the stream does not say."""

    before: Execution | None
    after: Execution

    def became(self, states: Iterable[str]) -> bool:
        """Whether this write put it into one of ``states``."""
        return self.after.state in states and (self.before is None or self.before.state != self.after.state)


def run(s: Services, batch: Sequence[Written]) -> None:
    """Do what follows from a batch of writes, in the order in which they were made.

    Raises Unavailable, OutcomeUnknown or TooMany when something could not be done: the whole batch must come again.
    Doing it again does no harm; an event that is sent again has the same id.
    """
    monitors.note(s, [(w.after.key_of_schedule, w.after.finished_ms or 0) for w in batch if _is_watched_success(w)])
    _enter_denials(s, [w.after for w in batch if w.became((FAILED,)) and _is_denied(w.after)])
    events = _sla_misses(s, batch) + _pauses(s, batch)
    if events:
        emit(s, events)
    _tell_rules(s, batch)


def _tell_rules(s: Services, batch: Sequence[Written]) -> None:
    """Note what went wrong, and what succeeded, for the notification rules of the tenants concerned."""
    ended = [w for w in batch if w.became((COMPLETED, *FAILURES)) or _is_late_now(w)]
    for tenant in dict.fromkeys(w.after.key.tenant for w in ended):
        if has_rules(s, tenant):
            from chalicelib.workers import feed_notices  # not before: rule_presence

            feed_notices.note(s, tenant, [w.after for w in ended if w.after.key.tenant == tenant])


def _is_late_now(written: Written) -> bool:
    return sla.is_missed(written.after) and not (written.before and sla.is_missed(written.before))


def _enter_denials(s: Services, denied: Sequence[Execution]) -> None:
    if not denied or s.config.audit == "off":
        return
    from chalicelib.engine import firing_denials  # loaded with the first of them

    firing_denials.enter(s, denied)


def _is_denied(execution: Execution) -> bool:
    return bool(execution.attempts and execution.attempts[-1].denied_by)


def _is_watched_success(written: Written) -> bool:
    return written.after.monitored and written.became((COMPLETED,))


def _sla_misses(s: Services, batch: Sequence[Written]) -> list[PolicyEvent]:
    """The events of executions whose record shows by one of these writes that they missed their SLA."""
    missed = [w.after for w in batch if sla.is_missed(w.after) and not (w.before and sla.is_missed(w.before))]
    latest = {e.key: e for e in missed}
    definitions = load_definitions(s, {_version_of(e) for e in latest.values()})
    names = {version: definition.name for version, definition in definitions.items()}
    return [policy_events.sla_missed(e, names.get(_version_of(e))) for e in latest.values()]


def _version_of(execution: Execution) -> Versioned:
    return Versioned(execution.key_of_schedule, execution.version)


def _pauses(s: Services, batch: Sequence[Written]) -> list[PolicyEvent]:
    """Pause the schedules that keep failing. Returns the events to emit. The journal is newer than any record of the
    batch, so one check of each schedule is enough."""
    failed: dict[Key, list[Execution]] = {}
    for written in batch:
        if written.became(FAILURES):
            failed.setdefault(written.after.key_of_schedule, []).append(written.after)
    events: list[PolicyEvent] = []
    for key in _with_policy(s, list(failed)) if failed else ():
        judged = failures.judge(s, failed[key][-1])
        if judged is not None:
            pauses = [p for p in judged.failure_pauses if any(_had_part(e, p, judged) for e in failed[key])]
            events += [policy_events.paused_after_failures(judged, p) for p in pauses]
    return events


def _with_policy(s: Services, keys: Sequence[Key]) -> list[Key]:
    found = s.stores.schedules.definitions(keys)
    return [key for key, d in found.items() if d.pause_after_failures is not None or d.failure_pauses]


def _had_part(failed: Execution, pause: FailurePause, judged: Definition) -> bool:
    """Whether a failure can have had part in a pause, and so must emit its event. The worker that paused may have died
    after that, and the schedule may have been resumed since; what failed long after the pause emits nothing."""
    if failed.id == pause.execution_id:
        return True
    before = (failed.finished_ms or 0) <= pause.at_ms + FEED_LAG_MAX_MS
    return before and (not judged.active or failed.firing_ms < judged.failures_from_ms)
