"""What expressions see: ``input``, ``nodes``, ``run``, and within a foreach ``item`` and ``index``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from chalicelib.core.workflows.templates import fill, leaves
from chalicelib.engine.workflows import outputs
from chalicelib.engine.workflows.run_access import LoadedRun, load, parts_of
from chalicelib.ports.services import Services

_WORDS: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)


class StepScope:
    """The values that the expressions of one step see. Outputs are read when an expression names their node."""

    def __init__(self, s: Services, run: LoadedRun, name: str) -> None:
        self._s = s
        self._run = run
        self._name = name
        self._around: list[LoadedRun] | None = None
        self._outputs: dict[str, Any] = {}

    def evaluate(self, text: str) -> Any:
        """The value of an expression. Raises StepFailed."""
        return parts_of(self._s).expressions.evaluate(text, self.values(_WORDS.findall(text)))

    def fill(self, template: Any) -> Any:
        """A template with its expressions evaluated. Raises StepFailed."""
        if template is None:
            return None
        return fill(template, self.evaluate) if any(True for _ in leaves("", template)) else template

    def input(self) -> Any:
        """The step's input: its template; without one the item of a foreach, or what the run was started with."""
        given = self._run.workflow.whole.nodes[self._name].input
        if given is not None:
            return self.fill(given)
        state = self._run.state
        return outputs.read(self._s, state.tenant, state.id, state.input)["item"] if state.scope else self.run_input()

    def run_input(self) -> Any:
        """The input of the run; for an item that of the run whose foreach it is."""
        outermost = (self._runs() or [self._run])[0]
        return outputs.read(self._s, outermost.state.tenant, outermost.state.id, outermost.state.input)

    def values(self, words: Iterable[str]) -> dict[str, Any]:
        """The variables, with the outputs of the nodes that are among ``words``."""
        named, state = set(words), self._run.state
        nodes: dict[str, Any] = {}
        for run in [*self._runs(), self._run]:
            for name, node in run.state.nodes.items():
                seen: dict[str, Any] = {"state": node.status}
                if name in named and node.status in ("completed", "failed", "timeout"):
                    seen["output"] = self._output(run, name)
                    if node.error:
                        seen["error"] = node.error
                        seen["error_type"] = node.error_type
                if name in named or name not in nodes:
                    nodes[name] = seen
        found: dict[str, Any] = {
            "nodes": nodes,
            "run": {
                "id": state.root or state.id,
                "workflow": state.workflow,
                "version": state.version,
                "started_unix_ms": state.started_ms,
                "owner": state.owner,
            },
            "input": self.run_input() if "input" in named else None,
            "item": None,
            "index": None,
        }
        if state.scope:
            own = outputs.read(self._s, state.tenant, state.id, state.input)
            found |= {"item": own["item"], "index": state.indices[-1]}
        return found

    def _output(self, run: LoadedRun, name: str) -> Any:
        key = json.dumps([run.state.id, name])
        if key not in self._outputs:
            self._outputs[key] = outputs.of_node(self._s, run, name)
        return self._outputs[key]

    def _runs(self) -> list[LoadedRun]:
        """The runs around an item, the outermost first."""
        if self._around is None:
            self._around = []
            inner = self._run
            while inner.state.scope:
                inner = load(self._s, inner.state.tenant, inner.state.parent)
                self._around.insert(0, inner)
        return self._around
