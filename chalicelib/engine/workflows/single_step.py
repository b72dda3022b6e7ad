"""One node alone, with sample input: what it would do, and what it would come to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct

from chalicelib.core.errors import InvalidField
from chalicelib.core.security.caller import DEFAULT_TENANT
from chalicelib.core.workflows.compiled import CompiledWorkflow
from chalicelib.core.workflows.definition import WorkflowDefinition
from chalicelib.core.workflows.happenings import Ends, Fans
from chalicelib.core.workflows.mocks import Mock
from chalicelib.core.workflows.run_state import NodeState, RunState
from chalicelib.core.workflows.tried import TriedStep
from chalicelib.engine.workflows import nodes, outputs
from chalicelib.engine.workflows.nodes import TakenStep
from chalicelib.engine.workflows.run_access import LoadedRun
from chalicelib.engine.workflows.scope import StepScope
from chalicelib.ports.services import Services
from chalicelib.ports.target import Delivery, Outcome
from chalicelib.ports.workflow_steps import HttpReply, HttpRequest, Stage, StepFailed

# Types that decide nothing by themselves: what follows from their edges is for a whole run.
WITHOUT_STEP = frozenset({"trigger", "join", "subworkflow"})


class Samples(Struct, frozen=True):
    """What the node sees: the input of the run, what other nodes came to, and of a foreach the item."""

    input: Any = None
    outputs: Mapping[str, Any] = {}
    item: Any = None
    has_item: bool = False


class SingleStep:
    """The cast of one step."""

    def __init__(self, mock: Mock) -> None:
        self._mock = mock
        self.request: dict[str, Any] | None = None

    def call(self, request: HttpRequest) -> HttpReply:
        """Note what would be sent."""
        self.request = {
            "method": request.method,
            "url": request.url,
            "headers": {n: "***" if isinstance(v, Mapping) else v for n, v in request.headers.items()},  # a secret
            "body": None if request.body is None else json.loads(request.body),
            "idempotency_key": request.key,
        }
        if self._mock.error:
            raise StepFailed("connection_error", self._mock.error, retryable=True)
        content = b"" if self._mock.body is None else json.dumps(self._mock.body).encode()
        return HttpReply(self._mock.status, {"content-type": "application/json", **self._mock.headers}, content)

    def dispatch(self, delivery: Delivery) -> Outcome:
        """Note what would be dispatched."""
        payload = json.loads(delivery.event).get("data")
        self.request = {
            "target": dict(delivery.target),
            "payload": payload,
            "idempotency_key": delivery.execution_id,
        }
        if self._mock.reports is not None:
            return Outcome("accepted", 202)
        if self._mock.error or self._mock.status >= 400:
            return Outcome("failed", self._mock.status, "http_error", self._mock.error or f"{self._mock.status}")
        return Outcome("completed", self._mock.status)

    def take(self, hint: Any) -> None:
        """Nothing follows from a step that is taken alone."""

    def appended(self, run_id: str, events: Any) -> None:
        """There is no log."""


class _SampleScope(StepScope):
    """What expressions see, as it was given."""

    def __init__(self, s: Services, run: LoadedRun, name: str, samples: Samples) -> None:
        super().__init__(s, run, name)
        self._samples = samples

    def input(self) -> Any:
        given = self._run.workflow.whole.nodes[self._name].input
        if given is not None:
            return self.fill(given)
        return self._samples.item if self._samples.has_item else self._samples.input

    def run_input(self) -> Any:
        return self._samples.input

    def values(self, words: Iterable[str]) -> dict[str, Any]:
        state, samples = self._run.state, self._samples
        known = {name: {"state": "completed", "output": value} for name, value in samples.outputs.items()}
        states = {name: {"state": node.status} for name, node in state.nodes.items()}
        run = {"id": state.id, "workflow": state.workflow, "version": state.version, "started_unix_ms": 0, "owner": ""}
        index = 0 if samples.has_item else None
        return {"nodes": states | known, "run": run, "input": samples.input, "item": samples.item, "index": index}


def take(stage: Stage, cast: SingleStep, definition: WorkflowDefinition, node: str, samples: Samples) -> TriedStep:
    """Take one step. Raises InvalidField."""
    s, made = stage.services, CompiledWorkflow(definition)
    if node not in made.whole.nodes:
        raise InvalidField.of("node", f"there is no node {node}")
    kind = made.whole.nodes[node].type
    if kind in WITHOUT_STEP or (kind == "parallel" and not made.whole.nodes[node].is_foreach):
        raise InvalidField.of("node", f"a {kind} node takes no step of its own: leave node out to test the whole run")
    if unknown := samples.outputs.keys() - made.whole.nodes.keys():
        raise InvalidField.of(f"nodes.{sorted(unknown)[0]}", "there is no such node")
    state = RunState(tenant=DEFAULT_TENANT, id="test", workflow=definition.name, version=definition.version)
    state.nodes = {name: NodeState() for name in made.whole.nodes}
    state.nodes[node] = NodeState("running", attempt=1, token=1, worker="test")
    run = LoadedRun(state, made)
    step = TakenStep(run, made.whole.nodes[node], 1, 1, _SampleScope(s, run, node, samples))
    answer = nodes.take(s, step)
    request = cast.request
    if isinstance(answer, Ends):
        value = outputs.read(s, DEFAULT_TENANT, state.id, answer.output)
        return TriedStep(
            answer.status, value, answer.case, answer.error_type, answer.error, answer.retry_in_ms, request=request
        )
    if isinstance(answer, Fans):
        return TriedStep("waiting", outputs.read(s, DEFAULT_TENANT, state.id, answer.output), items=answer.count)
    value = outputs.read(s, DEFAULT_TENANT, state.id, answer.output)
    return TriedStep("waiting", value, due_ms=answer.due_ms, request=request)
