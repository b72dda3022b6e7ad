"""Callers of workflows: they start, cancel, decide, report and drive again, and remember what they were told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chalicelib.core.errors import ChronoError, Unavailable
from chalicelib.core.security.caller import ANONYMOUS_ADMIN, Caller, caller_of
from chalicelib.core.workflows.run_state import RunState
from chalicelib.usecases import runs, workflows
from tests.simulation.actors.clients import ACKNOWLEDGED, API_LIMIT_MS, REFUSED, UNKNOWN
from tests.simulation.actors.run_tables import RunRecord
from tests.simulation.workflow_plan import PEOPLE, PlannedCall, WorkflowPlan
from tests.simulation.world import World

REPEATS_MAX = 4
PATIENCE_MS = 40_000
PERSONS: dict[str, Caller] = {
    name: caller_of("default", name, ["admin"], {}, credential="jwt", expires_at_ms=None) for name in PEOPLE
}


@dataclass(slots=True)
class RunCall:
    """One call of the API as its caller knows it. Without an answer its outcome is unknown."""

    kind: str
    run: str
    started_ms: int
    node: str = ""
    nonce: str = ""
    by: str = ""
    approve: bool = False
    outcome: str = UNKNOWN
    error: str = ""
    ended_ms: int | None = None


class RunClients:
    """Everybody who calls."""

    def __init__(
        self, world: World, fleet: Any, record: RunRecord, plan: WorkflowPlan, left_out: frozenset[str]
    ) -> None:
        self._world = world
        self._fleet = fleet
        self._record = record
        self._plan = plan
        self.calls: list[RunCall] = []
        self._create(list(plan.documents))
        for call in plan.calls:
            if f"call {call.number}" not in left_out:
                world.call_at(call.at_ms, self._planned(call))

    def _create(self, documents: list[dict[str, Any]]) -> None:
        """Their author is there before anything goes wrong, and publishes what others begin first."""

        def work(s: Any) -> None:
            for document in documents:
                workflows.create(s, ANONYMOUS_ADMIN, document)

        self._ask(RunCall("publish", "", self._world.now), work)

    def _planned(self, call: PlannedCall) -> Callable[[], None]:
        def act() -> None:
            if self._world.told is not None:
                self._world.tell("client", str(call))
            getattr(self, f"_{call.kind}")(call, 0)

        return act

    # -- what they ask for

    def _start(self, call: PlannedCall, times: int) -> None:
        name, given = call.workflow, call.fields
        self._ask(
            RunCall("start", call.run, self._world.now),
            lambda s: runs.start(s, ANONYMOUS_ADMIN, name, given, run_id=call.run),
            lambda: self._start(call, times + 1) if times < REPEATS_MAX else None,
        )

    def _cancel(self, call: PlannedCall, times: int) -> None:
        if call.run not in self._record.states:
            self._later(call, lambda: self._cancel(call, times))
            return
        self._ask(
            RunCall("cancel", call.run, self._world.now),
            lambda s: runs.cancel(s, ANONYMOUS_ADMIN, call.run, "no longer wanted"),
            lambda: self._cancel(call, times + 1) if times < REPEATS_MAX else None,
        )

    def _redrive(self, call: PlannedCall, times: int) -> None:
        state = self._record.states.get(call.run)
        if state is None or not state.is_ended:
            self._later(call, lambda: self._redrive(call, times))
            return
        begun = [name for name, node in state.nodes.items() if node.status != "pending"]
        start_at = begun[int(call.draw * len(begun))] if call.fields["from"] else None
        known = [version for name, version in self._record.documents if name == state.workflow]
        version = known[-1] if call.fields["version"] else None
        self._ask(
            RunCall("redrive", call.run, self._world.now),
            lambda s: runs.drive_again(s, ANONYMOUS_ADMIN, call.run, start_at, version, None, False),
        )

    def _decide(self, call: PlannedCall, times: int) -> None:
        gates = self.waiting("gate")
        if not gates:
            self._later(call, lambda: self._decide(call, times))
            return
        run, node = gates[int(call.draw * len(gates))]
        crowd, approve = call.fields["crowd"], call.fields["approve"]
        for number in range(crowd):
            self.decide(run, node, PEOPLE[number % len(PEOPLE)], approve == (number % 3 != 2))

    def decide(self, run: str, node: str, who: str, approve: bool) -> None:
        """A person decides at a gate: sees its nonce first, as everybody must."""
        asked = RunCall("decide", run, self._world.now, node, by=who, approve=approve)

        def work(s: Any) -> None:
            shown = runs.get(s, PERSONS[who], run)
            gate = shown.run.state.nodes[node].gate
            if gate is not None:
                asked.nonce = gate.nonce
                runs.decide(s, PERSONS[who], run, node, gate.nonce, approve, "")

        self._ask(asked, work)

    def _report(self, call: PlannedCall, times: int) -> None:
        jobs = self.waiting("job")
        if not jobs:
            self._later(call, lambda: self._report(call, times))
            return
        self.report(*jobs[int(call.draw * len(jobs))], call.fields["completes"])

    def report(self, run: str, node: str, completes: bool) -> None:
        """Who answered 202 says how it ended."""
        why = None if completes else ("http_error", "it did not work")
        self._ask(
            RunCall("report", run, self._world.now, node, approve=completes),
            lambda s: runs.end_node(s, ANONYMOUS_ADMIN, run, node, {"said": completes}, why),
        )

    def _publish(self, call: PlannedCall, times: int) -> None:
        """The author mends the first workflow."""
        edited = self._plan.edited
        self._ask(
            RunCall("publish", "", self._world.now),
            lambda s: workflows.put(s, ANONYMOUS_ADMIN, edited["name"], edited, None),
        )

    def _later(self, call: PlannedCall, act: Callable[[], None]) -> None:
        """Nothing is there yet: look again soon."""
        world = self._world
        if world.now < call.at_ms + PATIENCE_MS and not world.resting:
            world.call_at(world.now + 120 + int(call.draw * 700), act)

    # -- what they see

    def waiting(self, what: str) -> list[tuple[str, str]]:
        """Runs and nodes that wait for a person, or for a report."""
        found = []
        for run_id, state in self._record.states.items():
            found += [(run_id, name) for name in _waiting(state, what)]
        return found

    # -- calls

    def _ask(self, call: RunCall, use_case: Callable[[Any], Any], again: Callable[[], None] | None = None) -> None:
        """Call the API on some instance; a caller without an answer may ask again."""
        world = self._world
        instance = self._fleet.any_alive()
        if instance is None:
            if call.kind in ("start", "publish"):
                world.call_at(world.now + 1_000, lambda: self._ask(call, use_case, again))
            return
        self.calls.append(call)

        def work() -> None:
            try:
                use_case(instance.services)
                call.outcome = ACKNOWLEDGED
            except Unavailable as error:
                call.error = error.code
                if again is not None and not world.faults.over:
                    world.call_at(world.now + 1_000, again)
            except ChronoError as error:
                call.outcome, call.error = REFUSED, error.code
                if error.code == "already_decided":
                    world.hit("gate: decided twice")
            call.ended_ms = world.now
            world.hit(f"client:{call.kind} {call.outcome}")
            if world.told is not None:
                world.tell("client", f"{call.kind} {call.run} {call.node} {call.by}: {call.outcome} {call.error}")

        world.invoke(instance, work, API_LIMIT_MS, op=call)


def _waiting(state: RunState, what: str) -> list[str]:
    def fits(node: Any) -> bool:
        if node.status != "waiting":
            return False
        if what == "gate":
            return node.gate is not None
        return node.gate is None and node.then == "timeout"

    return [] if state.is_ended else [name for name, node in state.nodes.items() if fits(node)]
