"""A whole run in virtual time: the real decisions and steps, and mocks for all that reaches outside.

It ends when nothing is left to do. A run that then waits for a person, who never comes, is shown as it is.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from chalicelib.core.errors import ChronoError, InvalidField
from chalicelib.core.queue_messages import RunHint
from chalicelib.core.security.caller import DEFAULT_TENANT
from chalicelib.core.workflows.definition import WorkflowDefinition
from chalicelib.core.workflows.happenings import Decides, Ends
from chalicelib.core.workflows.mocks import Mock, Mocks
from chalicelib.core.workflows.node_rules import reference_of
from chalicelib.core.workflows.parse import parse
from chalicelib.core.workflows.run_state import RunEvent
from chalicelib.core.workflows.tried import Rehearsed, StoryEvent
from chalicelib.engine.workflows import children, forked, outputs, steps
from chalicelib.engine.workflows.forked import ForkOrigin
from chalicelib.engine.workflows.run_access import advance, load
from chalicelib.engine.workflows.versions import resolved_children
from chalicelib.ports.services import Services
from chalicelib.ports.stores.workflows import PublishedVersion, WorkflowHead
from chalicelib.ports.target import Delivery, Outcome
from chalicelib.ports.workflow_steps import HttpReply, HttpRequest, Stage, StepFailed

log = logging.getLogger(__name__)

RUN_ID = "run"
EVENTS_MAX_COUNT = 60_000
_AGAIN_MS = 1_000
_FINAL_STATUS_FROM, _SERVER_ERROR_FROM = 400, 500


class Play:
    """One rehearsal. ``definitions`` are all that may begin, by name; what they begin beside is a stub that gives back
    what its mock says. ``is_over``: whether it has taken too long. ``forked_from``: it goes on from there."""

    def __init__(
        self,
        definitions: Mapping[str, WorkflowDefinition],
        main: str,
        mocks: Mocks,
        is_over: Callable[[], bool] = lambda: False,
        forked_from: ForkOrigin | None = None,
    ) -> None:
        self._definitions = dict(definitions)
        self._main = main
        self._mocks = mocks
        self._is_over = is_over
        self._forked_from = forked_from
        self._is_seeding = False
        self._story: list[StoryEvent] = []
        self._workflows: dict[str, str] = {}  # of each run
        self._stage: Stage

    def run(self, open_stage: Callable[[Any, int], Stage], given: Any, now_ms: int) -> Rehearsed:
        """Rehearse. Raises InvalidField."""
        self._stage = stage = open_stage(self, now_ms)
        s = stage.services
        try:
            self._publish(s)
            if self._forked_from is None:
                s.tasks.start(partial(self._begin, given, now_ms))
            else:
                self._fork(s, self._forked_from, given)
            self._until_nothing_is_left(s)
            run = load(s, DEFAULT_TENANT, RUN_ID)
            done = [name for name, node in run.state.nodes.items() if node.status == "completed"]
            found = {name: outputs.of_node(s, run, name) for name in done}
            output = outputs.of_run(s, run) if run.state.status == "completed" else None
            return Rehearsed(run.state, output, found, tuple(self._story), now_ms)
        finally:
            stage.close()

    def _begin(self, given: Any, now_ms: int) -> None:
        s, made = self._stage.services, self._definitions[self._main]
        head = s.stores.workflows.load(DEFAULT_TENANT, made.name)
        assert head is not None, "_publish came before"
        kept = outputs.encoded(given)
        fields = {
            "tenant": DEFAULT_TENANT,
            "id": RUN_ID,
            "workflow": made.name,
            "version": made.version,
            "owner": "rehearsal",
            "started_by": "rehearsal",
            "input": kept.ref,
            "child_versions": resolved_children(s, head, made.version),
        }
        children.begin(s, fields, kept)

    def _fork(self, s: Services, origin: ForkOrigin, given: Any) -> None:
        made = self._definitions[self._main]
        self._is_seeding, self._workflows[RUN_ID] = True, self._main
        forked.seed(s, RUN_ID, origin)
        self._is_seeding = False
        forked.go_on(s, RUN_ID, made, given)

    def _until_nothing_is_left(self, s: Services) -> None:
        looked: set[tuple[str, int]] = set()
        while True:
            if len(self._story) > EVENTS_MAX_COUNT or self._is_over():
                raise InvalidField.of("input", "the rehearsal takes too long: give it less", code="rehearsal_too_long")
            next_ms = self._stage.next_ms()
            woken = [w for w in s.stores.runs.woken(1 << 60, 1) if (w.id, w.wake_ms) not in looked]
            if woken and (next_ms is None or woken[0].wake_ms < next_ms):
                looked.add((woken[0].id, woken[0].wake_ms))
                s.tasks.at(woken[0].wake_ms, partial(self._look, woken[0].id))
            elif next_ms is None:
                return
            else:
                self._stage.run_next()

    def _look(self, run_id: str) -> None:
        steps.look(self._stage.services, DEFAULT_TENANT, run_id)

    # -- what is published on the stage

    def _publish(self, s: Services) -> None:
        wanted: dict[str, set[str]] = {name: set() for name in self._definitions}
        for made in list(self._definitions.values()):
            begun = [(node.id, reference_of(node.fields)) for node in made.nodes if node.type == "subworkflow"]
            begun += [("on_failure", made.on_failure)] if made.on_failure else []
            for node, reference in begun:
                name, _, version = reference.partition("@")
                if name not in self._definitions:
                    self._definitions[name] = _stub(name, self._mocks.of(made.name, node))
                wanted.setdefault(name, set()).add(version or "live")
        for name, made in self._definitions.items():
            self._publish_one(s, made, wanted[name])

    def _publish_one(self, s: Services, made: WorkflowDefinition, wanted: set[str]) -> None:
        """Publish it under every version that another workflow names: there is one of each on the stage."""
        text = json.dumps(made.document)
        names = {made.version} | {one for one in wanted if one != "live" and not one.isdigit()}
        numbers = {1} | {int(one) for one in wanted if one.isdigit()}
        for version in names:
            s.stores.workflows.save_version(DEFAULT_TENANT, made.name, version, text)
        versions = [PublishedVersion(0, version, 0, "") for version in sorted(names - {made.version})]
        versions += [PublishedVersion(number, made.version, 0, "") for number in sorted(numbers)]
        s.stores.workflows.save(
            WorkflowHead(DEFAULT_TENANT, made.name, "rehearsal", made.version, tuple(versions), 1, 0, 0), 0
        )

    # -- the cast: see ports.workflow_steps

    def take(self, hint: RunHint) -> None:
        """Do what a hint points at."""
        s = self._stage.services
        try:
            steps.handle(s, hint)
        except ChronoError as problem:
            log.info("a hint comes again: %s", problem.detail)
            s.tasks.after(_AGAIN_MS, partial(self.take, hint))

    def call(self, request: HttpRequest) -> HttpReply:
        """Answer a call by its mock."""
        mock = self._answer(request.key, request.attempt, request.timeout_ms)
        content = b"" if mock.body is None else json.dumps(mock.body).encode()
        return HttpReply(mock.status, {"content-type": "application/json", **mock.headers}, content)

    def dispatch(self, delivery: Delivery) -> Outcome:
        """Take a job by its mock."""
        try:
            mock = self._answer(delivery.execution_id, delivery.attempt, delivery.timeout_ms)
        except StepFailed as problem:
            return Outcome("failed", None, problem.error_type, problem.error)
        if mock.reports is not None:
            return Outcome("accepted", 202)
        if mock.status < _FINAL_STATUS_FROM:
            return Outcome("completed", mock.status)
        is_final = mock.status < _SERVER_ERROR_FROM and mock.status not in (408, 429)
        return Outcome("failed", mock.status, "http_error", f"it answered {mock.status}", permanent=is_final)

    def _answer(self, key: str, attempt: int, timeout_ms: int) -> Mock:
        run_id, name, *more = key.split("/")
        node = name.partition("#")[0]
        made = self._definitions[self._workflows[run_id]]
        if more and more[-1] == "comp":
            node = next(n.compensate for n in made.nodes if n.id == node)
        index = next((int(one.partition("#")[0]) for one in more if one.partition("#")[0].isdigit()), None)
        mock = self._mocks.of(made.name, node, attempt, index)
        clock = self._stage.services.clock
        clock.sleep_until(clock.now_ms() + min(mock.takes_ms, timeout_ms))
        if mock.takes_ms > timeout_ms:
            raise StepFailed("timeout", "no answer in time", retryable=True)
        if mock.error:
            raise StepFailed("connection_error", mock.error, retryable=True)
        return mock

    def appended(self, run_id: str, events: Sequence[RunEvent]) -> None:
        """Keep the story, and let the person come that a node waits for."""
        for event in () if self._is_seeding else events:
            self._story.append(StoryEvent(run_id, event))
            if event.type == "run_started":
                self._workflows[run_id] = event.data["run"]["workflow"]
            elif event.type == "node_waiting":
                self._let_them_come(run_id, event)

    def _let_them_come(self, run_id: str, event: RunEvent) -> None:
        tasks = self._stage.services.tasks
        made = self._definitions[self._workflows[run_id]]
        mock = self._mocks.of(made.name, event.node)
        if "gate" in event.data and mock.approve is not None:
            gate = event.data["gate"]
            who = mock.by or tuple(gate["approvers"])
            for number in range(gate["quorum"] if mock.approve else 1):
                by = who[number] if number < len(who) else f"approver {number + 1}"
                decides = Decides(event.node, gate["nonce"], mock.approve, by, "rehearsed")
                tasks.after(mock.after_ms, partial(self._tell, run_id, decides))
        elif event.data.get("then") == "timeout" and mock.reports is not None:
            said = dict(mock.reports)
            ends = Ends(event.node, None, "completed", output={"value": said.get("output")})
            if "error" in said:
                ends = Ends(event.node, None, "failed", error_type="reported", error=str(said["error"]))
            tasks.after(int(said.get("after_ms", 0)), partial(self._tell, run_id, ends))

    def _tell(self, run_id: str, happening: Decides | Ends) -> None:
        try:
            advance(self._stage.services, DEFAULT_TENANT, run_id, happening)
        except ChronoError as problem:  # who comes too late is refused, as all callers are
            log.info("refused: %s", problem.detail)


def _stub(name: str, mock: Mock) -> WorkflowDefinition:
    """A workflow that is not there: it gives back what its mock says."""
    literal = json.dumps(mock.output)
    nodes = [
        {"id": "begin", "type": "trigger", "on": "manual"},
        {"id": "takes", "type": "delay", "for_ms": mock.takes_ms},
        {
            "id": "answer",
            "type": "transform",
            "jsonata": f"$error({json.dumps(mock.error)})" if mock.error else literal,
        },
    ]
    edges = [{"from": "begin", "to": "takes"}, {"from": "takes", "to": "answer"}]
    return parse({"name": name, "nodes": nodes, "edges": edges})
