"""A state machine of Amazon States Language as a workflow.

The subset: JSONata states Pass, Wait, Choice, Parallel, Map, Succeed, and Task of ``http:invoke``. What a state reads
must be ``$states.input``; all else is refused with its place.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from chalicelib.core.errors import InvalidField
from chalicelib.core.workflows.definition import FORMAT

_QUERY: Final = re.compile(r"^\{%\s*(.*?)\s*%\}$", re.DOTALL)
_CONDITION: Final = re.compile(
    r"^\$states\.input((?:\.[A-Za-z_]\w*)*)\s*(=|!=|<=|>=|<|>)\s*(-?\d+(?:\.\d+)?|\"[^\"\\]*\"|true|false|null)$",
    re.ASCII,
)
_TRUTH: Final = re.compile(r"^\$states\.input((?:\.[A-Za-z_]\w*)+)$", re.ASCII)
_HTTP: Final = "arn:aws:states:::http:invoke"
_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "Pass": frozenset({"Output"}),
    "Wait": frozenset({"Seconds", "Timestamp"}),
    "Choice": frozenset({"Choices", "Default"}),
    "Parallel": frozenset({"Branches"}),
    "Map": frozenset({"Items", "ItemProcessor", "MaxConcurrency"}),
    "Succeed": frozenset(),
    "Task": frozenset({"Resource", "Arguments", "Retry", "TimeoutSeconds", "Output"}),
}
_COMMON: Final = frozenset({"Type", "Next", "End", "Comment", "QueryLanguage"})
_DEPTH_MAX: Final = 20


def document(machine: Any, name: str) -> dict[str, Any]:
    """The definition. Raises InvalidField for what is not of the subset."""
    if not isinstance(machine, Mapping) or not isinstance(machine.get("States"), Mapping):
        raise InvalidField.of("States", "must be an object: this is no state machine")
    if machine.get("QueryLanguage") != "JSONata":
        raise InvalidField.of("QueryLanguage", "must be JSONata: JSONPath states are not taken", code="no_import")
    taken = _Taken()
    taken.nodes.append({"id": "begin", "type": "trigger", "on": "manual"})
    taken.machine(machine, _Before("begin", "input"), "", 0)
    said = {"description": machine["Comment"]} if isinstance(machine.get("Comment"), str) else {}
    timeout = machine.get("TimeoutSeconds")
    late = {"timeout_ms": timeout * 1000} if isinstance(timeout, int) else {}
    return {"format": FORMAT, "name": name, **said, **late, "nodes": taken.nodes, "edges": taken.edges}


class _Before:
    """What a state follows: a node, the expression of what it came to, and the case that leads on."""

    def __init__(self, node: str, value: str, case: str = "") -> None:
        self.node = node
        self.value = value
        self.case = case


class _Taken:
    """Nodes and edges as states are read."""

    def __init__(self) -> None:
        self.nodes: list[dict[str, Any]] = []
        self.edges: list[dict[str, Any]] = []
        self._ids: set[str] = {"begin"}

    def machine(self, machine: Mapping[str, Any], before: _Before, place: str, depth: int) -> list[_Before]:
        """Read the states of a machine, a branch or a body; what its ends are."""
        if depth > _DEPTH_MAX:
            raise InvalidField.of(place, "is nested too deep", code="no_import")
        states, start = machine.get("States"), machine.get("StartAt")
        if not isinstance(states, Mapping) or start not in states:
            raise InvalidField.of(f"{place}StartAt", "names no state", code="no_import")
        return self._chain(states, str(start), before, place, depth, set())

    def _chain(
        self, states: Mapping[str, Any], name: str, before: _Before, place: str, depth: int, seen: set[str]
    ) -> list[_Before]:
        here = f"{place}States.{name}"
        state = states.get(name)
        if not isinstance(state, Mapping):
            raise InvalidField.of(here, "there is no such state", code="no_import")
        if name in seen:
            raise InvalidField.of(here, "several states lead to it, or it leads to itself", code="no_import")
        seen.add(name)
        kind = str(state.get("Type"))
        if kind not in _KNOWN:
            raise InvalidField.of(f"{here}.Type", f"{kind} is not taken: only {', '.join(_KNOWN)}", code="no_import")
        if unknown := state.keys() - _KNOWN[kind] - _COMMON:
            raise InvalidField.of(f"{here}.{sorted(unknown)[0]}", "is not taken", code="no_import")
        if kind == "Succeed":
            return [before]
        if kind == "Choice":
            return self._choice(states, name, state, before, place, depth, seen)
        after = getattr(self, f"_{kind.lower()}")(name, state, before, here, depth)
        if "Next" in state:
            return self._chain(states, str(state["Next"]), after, place, depth, seen)
        return [after]

    def _add(self, name: str, before: _Before, **fields: Any) -> str:
        node = self._id(name)
        self.nodes.append({"id": node, **({"name": name} if node != name else {}), **fields})
        self.edges.append({"from": before.node, "to": node, **({"case": before.case} if before.case else {})})
        return node

    def _id(self, name: str) -> str:
        made = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:60]
        made = made if re.match(r"[A-Za-z_]", made) else f"s_{made}"
        found, number = made, 2
        while found in self._ids:
            found, number = f"{made}_{number}", number + 1
        self._ids.add(found)
        return found

    # -- the types of states

    def _pass(self, name: str, state: Mapping[str, Any], before: _Before, here: str, depth: int) -> _Before:
        code = _code(state.get("Output", "{% $states.input %}"), f"{here}.Output")
        node = self._add(name, before, type="transform", input={"cel": before.value}, jsonata=code)
        return _Before(node, f"nodes.{node}.output")

    def _wait(self, name: str, state: Mapping[str, Any], before: _Before, here: str, depth: int) -> _Before:
        seconds, instant = state.get("Seconds"), state.get("Timestamp")
        if isinstance(seconds, int):
            node = self._add(name, before, type="delay", for_ms=seconds * 1000)
        elif isinstance(instant, str) and not _QUERY.match(instant):
            node = self._add(name, before, type="delay", until=instant)
        else:
            raise InvalidField.of(here, "needs Seconds as a number, or a Timestamp as text", code="no_import")
        return _Before(node, before.value)

    def _choice(
        self,
        states: Mapping[str, Any],
        name: str,
        state: Mapping[str, Any],
        before: _Before,
        place: str,
        depth: int,
        seen: set[str],
    ) -> list[_Before]:
        here, cases, ways = f"{place}States.{name}", [], []
        for number, one in enumerate(state.get("Choices", ())):
            case = f"case{number + 1}"
            where = f"{here}.Choices[{number}]"
            if unknown := one.keys() - {"Condition", "Next", "Comment"}:
                raise InvalidField.of(f"{where}.{sorted(unknown)[0]}", "is not taken", code="no_import")
            cases.append({"name": case, "when": {"cel": _condition(one.get("Condition"), before, where)}})
            ways.append((case, str(one.get("Next"))))
        default = {"default": "otherwise"} if "Default" in state else {}
        node = self._add(name, before, type="condition", cases=cases, **default)
        if default:
            ways.append(("otherwise", str(state["Default"])))
        ends: list[_Before] = []
        for case, target in ways:
            ends += self._chain(states, target, _Before(node, before.value, case), place, depth, seen)
        return ends

    def _parallel(self, name: str, state: Mapping[str, Any], before: _Before, here: str, depth: int) -> _Before:
        split = self._add(name, before, type="parallel")
        values = []
        join = self._id(f"{name} joined")
        for number, branch in enumerate(state.get("Branches", ())):
            place = f"{here}.Branches[{number}]."
            [end] = self._one_end(self.machine(branch, _Before(split, before.value), place, depth + 1), place)
            self.edges.append({"from": end.node, "to": join, **({"case": end.case} if end.case else {})})
            values.append(end.value)
        if not values:
            raise InvalidField.of(f"{here}.Branches", "must not be empty", code="no_import")
        self.nodes.append({"id": join, "type": "join"})
        return _Before(join, "[" + ", ".join(values) + "]")

    def _map(self, name: str, state: Mapping[str, Any], before: _Before, here: str, depth: int) -> _Before:
        items = state.get("Items", "{% $states.input %}")
        each = {"items": items if isinstance(items, list) else {"cel": _path(items, before, f"{here}.Items")}}
        most = state.get("MaxConcurrency", 0)
        loop = self._add(name, before, type="parallel", foreach={**each, "max_concurrency": most or 1000})
        place = f"{here}.ItemProcessor."
        processor = state.get("ItemProcessor")
        if not isinstance(processor, Mapping):
            raise InvalidField.of(f"{here}.ItemProcessor", "must be an object", code="no_import")
        [end] = self._one_end(self.machine(processor, _Before(loop, "item"), place, depth + 1), place)
        join = self._id(f"{name} joined")
        self.nodes.append({"id": join, "type": "join"})
        self.edges.append({"from": end.node, "to": join, **({"case": end.case} if end.case else {})})
        return _Before(join, f"nodes.{join}.output")

    def _one_end(self, ends: list[_Before], place: str) -> list[_Before]:
        if len(ends) != 1:
            raise InvalidField.of(place.rstrip("."), "a choice in here has several ends", code="no_import")
        return ends

    def _task(self, name: str, state: Mapping[str, Any], before: _Before, here: str, depth: int) -> _Before:
        given = state.get("Arguments", {})
        if state.get("Resource") != _HTTP:
            raise InvalidField.of(f"{here}.Resource", f"only {_HTTP} is taken", code="no_import")
        if "Output" in state:
            raise InvalidField.of(f"{here}.Output", "is not taken of a Task: add a Pass", code="no_import")
        fields: dict[str, Any] = {"method": given.get("Method"), "url": given.get("ApiEndpoint")}
        for asl, ours in (("Headers", "headers"), ("RequestBody", "body")):
            if asl in given:
                fields[ours] = _template(given[asl], before, f"{here}.Arguments.{asl}")
        if "TimeoutSeconds" in state:
            fields["timeout_ms"] = state["TimeoutSeconds"] * 1000
        if rules := state.get("Retry"):
            fields["retry"] = {
                "max_attempts": 1 + int(rules[0].get("MaxAttempts", 3)),
                "base_ms": 1000 * int(rules[0].get("IntervalSeconds", 1)),
                "backoff": "exponential" if rules[0].get("BackoffRate", 2) > 1 else "fixed",
            }
        node = self._add(name, before, type="http", **fields)
        return _Before(node, f"nodes.{node}.output")


def _code(output: Any, place: str) -> str:
    """What a Pass gives, as JSONata over its input."""
    match = _QUERY.match(output) if isinstance(output, str) else None
    code = match[1] if match else None
    if code is None:
        parts = json.dumps(output, ensure_ascii=False)
        if "{%" in parts:
            parts = re.sub(r'"\{%\s*(.*?)\s*%\}"', lambda found: f"({_unquoted(found[1])})", parts)
        code = parts
    code = code.replace("$states.input", "$")
    if "$states" in code or re.search(r"\$[A-Za-z_]\w*(?!\w*\s*\()", code):
        raise InvalidField.of(place, "variables, and $states but for its input, are not taken", code="no_import")
    return code


def _unquoted(text: str) -> str:
    return text.replace('\\"', '"').replace("\\\\", "\\")


def _path(query: Any, before: _Before, place: str) -> str:
    match = _QUERY.match(query) if isinstance(query, str) else None
    found = re.match(r"^\$states\.input((?:\.[A-Za-z_]\w*)*)$", match[1], re.ASCII) if match else None
    if found is None:
        raise InvalidField.of(place, "must be {% $states.input… %}", code="no_import")
    return before.value + found[1]


def _template(value: Any, before: _Before, place: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _template(one, before, f"{place}.{name}") for name, one in value.items()}
    if isinstance(value, list):
        return [_template(one, before, place) for one in value]
    return {"cel": _path(value, before, place)} if isinstance(value, str) and _QUERY.match(value) else value


def _condition(query: Any, before: _Before, place: str) -> str:
    match = _QUERY.match(query) if isinstance(query, str) else None
    text = match[1] if match else ""
    if (found := _CONDITION.match(text)) is not None:
        return f"{before.value}{found[1]} {'==' if found[2] == '=' else found[2]} {found[3]}"
    if (found := _TRUTH.match(text)) is not None:
        return f"{before.value}{found[1]}"
    raise InvalidField.of(f"{place}.Condition", "must compare a path of $states.input with a literal", code="no_import")
