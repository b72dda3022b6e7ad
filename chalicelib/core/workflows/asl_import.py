"""A state machine of Amazon States Language as a workflow.

The subset: JSONata states Pass, Wait, Choice, Parallel, Map, Succeed, and Task of ``http:invoke``. What a state reads
must be ``$states.input``; all else is refused with its place. Only ``Authentication`` is left out: a
connection of EventBridge has no form here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from chalicelib.core.errors import InvalidField
from chalicelib.core.limits import DURATION_MAX_MS
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
_ARGUMENTS: Final = frozenset({"Method", "ApiEndpoint", "Headers", "RequestBody", "Authentication"})
_RETRY: Final = frozenset(
    {"ErrorEquals", "IntervalSeconds", "MaxAttempts", "BackoffRate", "MaxDelaySeconds", "JitterStrategy", "Comment"}
)
_EVERY_ERROR: Final = ("States.ALL", "States.TaskFailed")
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
    late = _seconds(machine, "TimeoutSeconds", "", "timeout_ms")
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

    def machine(self, machine: Any, before: _Before, place: str, depth: int) -> list[_Before]:
        """Read the states of a machine, a branch or a body; what its ends are."""
        if depth > _DEPTH_MAX:
            raise InvalidField.of(place, "is nested too deep", code="no_import")
        if not isinstance(machine, Mapping):
            raise InvalidField.of(place.rstrip("."), "must be an object", code="no_import")
        states, start = machine.get("States"), machine.get("StartAt")
        if not isinstance(states, Mapping) or not isinstance(start, str) or start not in states:
            raise InvalidField.of(f"{place}StartAt", "names no state", code="no_import")
        return self._chain(states, start, before, place, depth, set())

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
        if state.get("End") is not True:
            raise InvalidField.of(here, "needs Next, or End: true", code="no_import")
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
        if type(seconds) is int:
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
        for number, one in enumerate(_listed(state, "Choices", here)):
            case = f"case{number + 1}"
            where = f"{here}.Choices[{number}]"
            if not isinstance(one, Mapping):
                raise InvalidField.of(where, "must be an object", code="no_import")
            if unknown := one.keys() - {"Condition", "Next", "Comment"}:
                raise InvalidField.of(f"{where}.{sorted(unknown)[0]}", "is not taken", code="no_import")
            cases.append({"name": case, "when": {"cel": _condition(one.get("Condition"), before, where)}})
            ways.append((case, str(one.get("Next"))))
        node = self._add(name, before, type="condition", cases=cases, default="otherwise")
        if "Default" in state:
            ways.append(("otherwise", str(state["Default"])))
        elif depth:
            raise InvalidField.of(here, "needs a Default in here", code="no_import")
        else:  # a state without one fails where nothing is chosen; a condition does not
            no_match = f"$error({json.dumps(f'States.NoChoiceMatched: no choice of {name} holds')})"
            self._add(f"{name} unmatched", _Before(node, before.value, "otherwise"), type="transform", jsonata=no_match)
        ends: list[_Before] = []
        for case, target in ways:
            ends += self._chain(states, target, _Before(node, before.value, case), place, depth, seen)
        return ends

    def _parallel(self, name: str, state: Mapping[str, Any], before: _Before, here: str, depth: int) -> _Before:
        split = self._add(name, before, type="parallel")
        values = []
        join = self._id(f"{name} joined")
        for number, branch in enumerate(_listed(state, "Branches", here)):
            place = f"{here}.Branches[{number}]."
            [end] = self._one_end(self.machine(branch, _Before(split, before.value), place, depth + 1), place)
            self.edges.append({"from": end.node, "to": join, **({"case": end.case} if end.case else {})})
            values.append(end.value)
        self.nodes.append({"id": join, "type": "join"})
        return _Before(join, "[" + ", ".join(values) + "]")

    def _map(self, name: str, state: Mapping[str, Any], before: _Before, here: str, depth: int) -> _Before:
        items = state.get("Items", "{% $states.input %}")
        each = {"items": items if isinstance(items, list) else {"cel": _path(items, before, f"{here}.Items")}}
        most = state.get("MaxConcurrency", 0)
        loop = self._add(name, before, type="parallel", foreach={**each, "max_concurrency": most or 1000})
        place = f"{here}.ItemProcessor."
        body = self.machine(state.get("ItemProcessor"), _Before(loop, "item"), place, depth + 1)
        [end] = self._one_end(body, place)
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
        if not isinstance(given, Mapping):
            raise InvalidField.of(f"{here}.Arguments", "must be an object", code="no_import")
        if unknown := given.keys() - _ARGUMENTS:
            raise InvalidField.of(f"{here}.Arguments.{sorted(unknown)[0]}", "is not taken", code="no_import")
        fields: dict[str, Any] = {"method": given.get("Method"), "url": given.get("ApiEndpoint")}
        for asl, ours in (("Headers", "headers"), ("RequestBody", "body")):
            if asl in given:
                fields[ours] = _template(given[asl], before, f"{here}.Arguments.{asl}")
        fields |= _seconds(state, "TimeoutSeconds", f"{here}.", "timeout_ms")
        if "Retry" in state:
            fields["retry"] = _retry(_listed(state, "Retry", here), f"{here}.Retry")
        node = self._add(name, before, type="http", **fields)
        return _Before(node, f"nodes.{node}.output")


def _listed(state: Mapping[str, Any], field: str, here: str) -> list[Any]:
    found = state.get(field)
    if not isinstance(found, list) or not found:
        raise InvalidField.of(f"{here}.{field}", "must be a list of at least one", code="no_import")
    return found


def _seconds(given: Mapping[str, Any], field: str, place: str, ours: str) -> dict[str, int]:
    if field not in given:
        return {}
    if type(given[field]) is not int:
        raise InvalidField.of(f"{place}{field}", "must be a whole number: queries are not taken", code="no_import")
    return {ours: given[field] * 1000}


def _retry(rules: list[Any], place: str) -> dict[str, Any]:
    """One rule for every error: a step here tries the same again whatever it was that may pass."""
    if len(rules) > 1 or not isinstance(rules[0], Mapping):
        raise InvalidField.of(place, "only one rule is taken", code="no_import")
    rule, place = rules[0], f"{place}[0]"
    if unknown := rule.keys() - _RETRY:
        raise InvalidField.of(f"{place}.{sorted(unknown)[0]}", "is not taken", code="no_import")
    errors = rule.get("ErrorEquals")
    if not isinstance(errors, list) or not any(name in errors for name in _EVERY_ERROR):
        said = f"must have {' or '.join(_EVERY_ERROR)}: a rule for some errors has no form here"
        raise InvalidField.of(f"{place}.ErrorEquals", said, code="no_import")
    for field, least in (("MaxAttempts", 0), ("IntervalSeconds", 1), ("MaxDelaySeconds", 1)):
        if field in rule and not (type(rule[field]) is int and rule[field] >= least):
            raise InvalidField.of(f"{place}.{field}", f"must be an integer of at least {least}", code="no_import")
    rate = rule.get("BackoffRate", 2)
    if rate not in (1, 2) or isinstance(rate, bool):
        raise InvalidField.of(f"{place}.BackoffRate", "must be 1 or 2: waits stay, or double", code="no_import")
    attempts, base_ms = rule.get("MaxAttempts", 3), 1000 * rule.get("IntervalSeconds", 1)
    most_ms = 1000 * rule["MaxDelaySeconds"] if "MaxDelaySeconds" in rule else base_ms << min(attempts, 40)
    return {
        "max_attempts": 1 + attempts,
        "base_ms": base_ms,
        "max_ms": min(most_ms, DURATION_MAX_MS),
        "backoff": "exponential" if rate == 2 else "fixed",
        "jitter": rule.get("JitterStrategy") == "FULL",
    }


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
