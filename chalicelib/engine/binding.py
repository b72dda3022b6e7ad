"""Which version of its schedule a firing runs under, and whether it is owed under that version at all.

A queued instant is judged before it is claimed (``verdicts``), an open record whenever its schedule may have changed
(``bind``). Both follow the rule of ``core.schedules.schedule``: the version in force at the instant decides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import CANCELLED, PENDING, SKIPPED, SUPERSEDED, Execution
from chalicelib.core.queue_messages import Firing
from chalicelib.core.schedules.schedule import Definition, Key, State, VersionRef
from chalicelib.core.schedules.verdict import Verdict, judge, judge_snapshot
from chalicelib.engine.definitions import load_definitions
from chalicelib.ports.services import Services
from chalicelib.ports.stores.schedules import Versioned

DELETED = "the schedule was deleted"
PAUSED = "the schedule was paused"


class Binding(Struct, frozen=True):
    """A record runs, under ``definition``."""

    definition: Definition


class Unbound(Struct, frozen=True):
    """A record must not run, for ``reason``."""

    reason: str


def verdicts(s: Services, firings: Sequence[Firing], states: Mapping[Key, State]) -> dict[Firing, Verdict]:
    """What becomes of queued instants; versions older than the state names are read."""
    found = {f: judge(states.get(f.schedule), f.version, f.at_ms) for f in firings}
    unsure = [f for f, verdict in found.items() if verdict is Verdict.UNKNOWN and f.schedule in states]
    if unsure:
        snapshots = s.stores.schedules.snapshots(list({Versioned(f.schedule, f.version) for f in unsure}))
        for f in unsure:
            snapshot = snapshots.get(Versioned(f.schedule, f.version))
            found[f] = judge_snapshot(states.get(f.schedule), snapshot, f.at_ms)
    return found


def bind(s: Services, state: State | None, record: Execution) -> Binding | Unbound:
    """What an open record runs under now.

    A record that is bound to its version runs unless the schedule is deleted. One that only was claimed is owed under
    the version in force at its instant, whichever that is.
    """
    if state is None or state.status == "deleted":
        return Unbound(DELETED)
    version = record.version
    if not record.is_bound:
        ref = _in_force_at(s, state, record.firing_ms)
        version = ref.id if ref is not None else version
        if ref is not None and not ref.active:
            return Unbound(PAUSED)
    wanted = Versioned(record.key_of_schedule, version)
    definition = load_definitions(s, {wanted}).get(wanted)
    if definition is None:
        return Unbound(DELETED)
    if not record.is_bound and definition.rests_at(record.firing_ms):
        return Unbound(PAUSED)
    owed = version == record.version or _is_owed(s, state, definition, record.firing_ms)
    return Binding(definition) if owed else Unbound(SUPERSEDED)


def ended_unbound(record: Execution, unbound: Unbound, now_ms: int) -> Execution:
    """An open record that must not run, ended: cancelled when it had begun or its schedule is gone, else skipped."""
    state = CANCELLED if unbound.reason == DELETED or record.state != PENDING else SKIPPED
    return journal.settle(record, state, now_ms, unbound.reason)


def _in_force_at(s: Services, state: State, at_ms: int) -> VersionRef | None:
    """The version in force at an instant, also after more changes since than the state names."""
    ref = state.in_force_at(at_ms)
    if ref is not None:
        return ref
    earlier = [d for d in s.stores.schedules.history(state.key) if d.since_ms <= at_ms]
    return VersionRef(earlier[-1].version, earlier[-1].since_ms, earlier[-1].active) if earlier else None


def _is_owed(s: Services, state: State, definition: Definition, at_ms: int) -> bool:
    """Whether an instant that another version had queued is owed under this one. A DELAY schedule has no grid: only the
    instant that it waits for is owed. An edit that begins a new wait takes back the one before. When a version has
    spent its ``max_runs``, no later instant is owed, though its grid goes on."""
    if definition.type == "DELAY":
        return state.queued_ms == at_ms
    if definition.compiled().next_after(at_ms - 1) != at_ms:
        return False
    if definition.version == state.current.id:
        return state.has_runs_until(at_ms)
    return at_ms < _until_ms(s, Versioned(definition.key, definition.version), at_ms + 1)


def _until_ms(s: Services, version: Versioned, otherwise_ms: int) -> int:
    """When a version ceased to be in force, as stored: it may be known here from when it still was."""
    found = s.stores.schedules.snapshots([version]).get(version)
    return otherwise_ms if found is None or found.until_ms is None else found.until_ms
