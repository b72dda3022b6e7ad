"""A workflow as a state machine of Amazon States Language, in its JSONata form.

Only what is shaped in blocks has one. Blocks are branches from one node to one join of all, choices with a default, and
bodies of a ``foreach``. All else is refused, with the node and the reason.

Every state hands on an object with ``input``, ``nodes`` and, for an item, ``item`` and ``index``. So an expression
finds the same names in each, and nothing hangs on the scope of variables.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from chalicelib.core.errors import InvalidField
from chalicelib.core.workflows import cel_to_jsonata, graph
from chalicelib.core.workflows.definition import WorkflowDefinition, WorkflowEdge, WorkflowNode
from chalicelib.core.workflows.graph import Graph
from chalicelib.core.workflows.templates import is_expression

CONTEXT: Final = "$states.input"
_PLAIN: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_SECOND_MS: Final = 1000
_WHY: Final[Mapping[str, str]] = {
    "approval": "states have no approvals",
    "script": "states run no Python: write a transform",
    "notification": "channels have no form in states: write an http node",
    "job": "targets have no form in states: write an http node",
}


def state_machine(definition: WorkflowDefinition) -> dict[str, Any]:
    """The state machine. Raises InvalidField for what is not shaped in blocks."""
    whole = graph.whole(definition)
    for node in definition.nodes:
        if node.compensate:
            _refuse(node.id, "states have no compensations")
    if definition.concurrency is not None:
        raise InvalidField.of("concurrency", "states have no limits of their own", code="no_asl")
    if definition.on_failure:
        raise InvalidField.of("on_failure", "states begin nothing once they failed", code="no_asl")
    machine = _Machine(whole)
    made = machine.of(whole.entry)
    said = {"Comment": definition.document["description"]} if "description" in definition.document else {}
    timeout = {} if definition.timeout_ms is None else {"TimeoutSeconds": max(1, definition.timeout_ms // _SECOND_MS)}
    return {**said, "QueryLanguage": "JSONata", **timeout, **made}


def _refuse(node: str, why: str) -> None:
    raise InvalidField.of(f"nodes.{node}", why, code="no_asl")


class _Region:
    """States that are written into one map. ``stop`` is the join that ends them; empty: the end of the run."""

    def __init__(self, stop: str = "", is_item: bool = False) -> None:
        self.stop = stop
        self.is_item = is_item
        self.states: dict[str, Any] = {}


class _Machine:
    def __init__(self, whole: Graph) -> None:
        self._graph = whole
        self._item_of = ""  # the foreach whose body is being written
        self._names: set[str] = set()

    def of(self, entry: str) -> dict[str, Any]:
        region = _Region()
        first: dict[str, Any] = {"Type": "Pass"}
        region.states[entry] = first
        self._names.add(entry)
        begun = _object({"input": CONTEXT, "nodes": _object({entry: CONTEXT})})
        first["Output"] = _query(begun)
        first.update(self._after(region, entry))
        return {"StartAt": entry, "States": region.states}

    # -- the way from state to state

    def _after(self, region: _Region, name: str) -> dict[str, Any]:
        """Where it goes on after a state, which is written if it is not yet."""
        out = self._graph.outgoing[name]
        if not out:
            return {"End": True}
        for edge in out:
            if edge.case or edge.on != "success":
                _refuse(name, f"the edge {edge} has no form in states: only success and cases have")
        if len(out) > 1:
            return {"Next": self._parallel(region, name, [edge.target for edge in out])}
        if out[0].target == region.stop:
            return {"End": True}
        return {"Next": self._state(region, out[0].target)}

    def _state(self, region: _Region, name: str) -> str:
        if name in region.states:
            return name
        if name in self._names:
            _refuse(name, "two branches lead to it, and they do not end in one join")
        self._names.add(name)
        region.states[name] = made = {}
        node = self._graph.nodes[name]
        if node.type == "condition":
            made.update(self._choice(region, node))
        elif node.is_foreach:
            made.update(self._map(region, node))
        elif node.type == "parallel":
            made.update({"Type": "Pass", "Output": self._output(region, name, "null")} | self._after(region, name))
        elif node.type == "join":
            made.update(self._merge(region, node))
        else:
            made.update(self._step(region, node))
        return name

    def _output(self, region: _Region, name: str, value: str) -> str:
        """What a state hands on: all so far and its own; at the end of a run or an item its own alone."""
        out = self._graph.outgoing[name]
        nodes = f"$merge([{CONTEXT}.nodes, {_object({name: value})}])"
        if not out or (region.is_item and out[0].target == region.stop):
            return _query(value)
        if len(out) == 1 and out[0].target == region.stop:
            return _end_of_branch(nodes, _object({name: value}))
        return _query(f"$merge([{CONTEXT}, {_object({'nodes': nodes})}])")

    def _parallel(self, region: _Region, source: str, targets: list[str]) -> str:
        join = self._join_of(source, targets)
        name = f"{source} in parallel"
        branches = []
        for target in targets:
            inner = _Region(join)
            if target == join:
                value = f"{CONTEXT}.nodes.{_field(source)}"
                end = f"{source} to {join}"
                output = _end_of_branch(f"{CONTEXT}.nodes", _object({source: value}))
                inner.states[end] = {"Type": "Pass", "Output": output, "End": True}
                branches.append({"StartAt": end, "States": inner.states})
            else:
                branches.append({"StartAt": self._state(inner, target), "States": inner.states})
        self._names.add(join)
        region.states[name] = {"Type": "Parallel", "Branches": branches, "Next": join}
        region.states[join] = {"Type": "Pass", "Output": self._joined(region, join)} | self._after(region, join)
        return name

    def _joined(self, region: _Region, join: str) -> str:
        """What a join hands on, which gets what each branch handed on."""
        live = f"$merge({CONTEXT}.live)"
        nodes = f"$merge($append({CONTEXT}.nodes, [{_object({join: live})}]))"
        out = self._graph.outgoing[join]
        if not out or (region.is_item and out[0].target == region.stop):
            return _query(live)
        if len(out) == 1 and out[0].target == region.stop:
            return _query(f"$merge([{CONTEXT}[0], {_object({'nodes': nodes, 'live': _object({join: live})})}])")
        return _query(f"$merge([{CONTEXT}[0], {_object({'nodes': nodes})}])")

    def _join_of(self, source: str, targets: list[str]) -> str:
        """The join of all in which these branches end."""
        common = set(self._graph.nodes)
        for target in targets:
            common &= self._graph.descendants(target) | {target}
        for name in self._graph.order:
            node = self._graph.nodes[name]
            if name in common and node.type == "join":
                if node.mode != "all":
                    _refuse(name, f"a join of {node.mode} has no form in states")
                return name
        _refuse(source, "its branches do not end in one join")
        raise AssertionError

    def _choice(self, region: _Region, node: WorkflowNode) -> dict[str, Any]:
        out = {edge.case: edge for edge in self._graph.outgoing[node.id] if edge.case}
        default = node.fields.get("default")
        if len(out) < len(self._graph.outgoing[node.id]):
            _refuse(node.id, "one case leads to several nodes, or an edge has no case")
        if default is None:
            _refuse(node.id, "it needs a default: where nothing is chosen, states fail")
        choices = []
        for case in node.fields["cases"]:
            self._edge_of(node, out, case["name"])
            when = _query(self._cel(f"nodes.{node.id}.cases", case["when"]["cel"]))
            choices.append({"Condition": when, **self._chosen(region, node, out[case["name"]])})
        self._edge_of(node, out, str(default))
        last = self._chosen(region, node, out[str(default)])
        return {"Type": "Choice", "Choices": choices, "Default": last["Next"], "Output": last["Output"]}

    def _edge_of(self, node: WorkflowNode, out: Mapping[str, WorkflowEdge], case: str) -> None:
        if case not in out:
            _refuse(node.id, f"no edge takes the case {case}")

    def _chosen(self, region: _Region, node: WorkflowNode, edge: WorkflowEdge) -> dict[str, Any]:
        value = _object({"case": json.dumps(edge.case)})
        nodes = f"$merge([{CONTEXT}.nodes, {_object({node.id: value})}])"
        output = _query(f"$merge([{CONTEXT}, {_object({'nodes': nodes})}])")
        if edge.target != region.stop:
            return {"Next": self._state(region, edge.target), "Output": output}
        end = f"{node.id} to {region.stop} ({edge.case})"
        own = f"{CONTEXT}.nodes.{_field(node.id)}"
        ends = _end_of_branch(f"{CONTEXT}.nodes", _object({node.id: own}))
        region.states[end] = {"Type": "Pass", "Output": _query(own) if region.is_item else ends, "End": True}
        return {"Next": end, "Output": output}

    def _merge(self, region: _Region, node: WorkflowNode) -> dict[str, Any]:
        """A join of ways of which a choice takes one."""
        if node.mode not in ("all", "any"):
            _refuse(node.id, f"a join of {node.mode} has no form in states")
        live = []
        for edge in self._graph.incoming[node.id]:
            own = f"{CONTEXT}.nodes.{_field(edge.source)}"
            is_live = f"{own}.case = {json.dumps(edge.case)}" if edge.case else f"$exists({own})"
            live.append(f"({is_live} ? {_object({edge.source: own})} : {{}})")
        value = f"$merge([{', '.join(live)}])"
        return {"Type": "Pass", "Output": self._output(region, node.id, value)} | self._after(region, node.id)

    def _map(self, region: _Region, node: WorkflowNode) -> dict[str, Any]:
        each = node.fields["foreach"]
        if each.get("tolerated_failures"):
            _refuse(node.id, "tolerated_failures has no form in a Map that is not distributed")
        if self._item_of:
            _refuse(node.id, "a foreach within a foreach has no form here")
        join, _ = graph.body_of(self._graph, node.id)
        starts = [edge.target for edge in self._graph.outgoing[node.id]]
        if len(starts) != 1:
            _refuse(node.id, "its body must begin with one node")
        inner = _Region(join, is_item=True)
        self._item_of = node.id
        start = self._state(inner, starts[0])
        self._item_of = ""
        self._names.add(join)
        items = each["items"]
        given = json.dumps(items) if isinstance(items, list) else self._cel(f"nodes.{node.id}.foreach", items["cel"])
        of_item = {"item": "$states.context.Map.Item.Value", "index": "$states.context.Map.Item.Index"}
        out = self._graph.outgoing[join]
        value = "$states.result"
        nodes = f"$merge([{CONTEXT}.nodes, {_object({node.id: value, join: value})}])"
        output = f"$merge([{CONTEXT}, {_object({'nodes': nodes})}])"
        if not out:
            output = value
        elif len(out) == 1 and out[0].target == region.stop:
            output = f"$merge([{CONTEXT}, {_object({'nodes': nodes, 'live': _object({join: value})})}])"
        return {
            "Type": "Map",
            "Items": _query(given),
            "MaxConcurrency": int(each.get("max_concurrency", 10)),
            "ItemSelector": _query(f"$merge([{CONTEXT}, {_object(of_item)}])"),
            "ItemProcessor": {"ProcessorConfig": {"Mode": "INLINE"}, "StartAt": start, "States": inner.states},
            "Output": _query(output),
            **self._after(region, join),
        }

    # -- steps

    def _step(self, region: _Region, node: WorkflowNode) -> dict[str, Any]:
        if node.type in _WHY:
            _refuse(node.id, _WHY[node.type])
        made: dict[str, Any]
        if node.type == "transform":
            code = node.fields["jsonata"]
            if "$$" in code or "$states" in code:
                _refuse(node.id, "$$ and $states mean something else in a state")
            made = {"Type": "Pass", "Output": self._output(region, node.id, f"({self._input(node)}).({code})")}
        elif node.type == "delay":
            made = {"Type": "Wait", **self._wait(node), "Output": self._output(region, node.id, "null")}
        elif node.type == "http":
            made = self._http(region, node)
        else:
            made = self._subworkflow(region, node)
        return made | self._after(region, node.id)

    def _wait(self, node: WorkflowNode) -> dict[str, Any]:
        fields = node.fields
        if "until_cron" in fields:
            _refuse(node.id, "until_cron has no form in states")
        if "until" in fields:
            if is_expression(fields["until"]):
                return {"Timestamp": _query(self._cel(f"nodes.{node.id}.until", fields["until"]["cel"]))}
            if isinstance(fields["until"], str):
                return {"Timestamp": fields["until"]}
            _refuse(node.id, "until must be text of RFC 3339 there")
        if is_expression(fields["for_ms"]):
            return {"Seconds": _query(f"$ceil({self._cel(f'nodes.{node.id}.for_ms', fields['for_ms']['cel'])} / 1000)")}
        if fields["for_ms"] % _SECOND_MS:
            _refuse(node.id, "a Wait takes whole seconds")
        return {"Seconds": fields["for_ms"] // _SECOND_MS}

    def _http(self, region: _Region, node: WorkflowNode) -> dict[str, Any]:
        fields = node.fields
        if "expect" in fields:
            _refuse(node.id, "expect has no form in states")
        arguments: dict[str, Any] = {
            "ApiEndpoint": fields["url"],
            "Method": fields["method"],
            "Authentication": {"ConnectionArn": "${ConnectionArn}"},
            "Headers": {"Idempotency-Key": _query(self._key(node))},
        }
        for name, value in fields.get("headers", {}).items():
            if isinstance(value, Mapping) and not is_expression(value):
                _refuse(node.id, f"the secret of header {name} belongs into the connection")
            arguments["Headers"][name] = self._filled(node.id, value)
        if "body" in fields:
            arguments["RequestBody"] = self._filled(node.id, fields["body"])
        result = {"status": "StatusCode", "headers": "Headers", "body": "ResponseBody"}
        value = _object({name: f"$states.result.{field}" for name, field in result.items()})
        made: dict[str, Any] = {
            "Type": "Task",
            "Resource": "arn:aws:states:::http:invoke",
            "Arguments": arguments,
            "Output": self._output(region, node.id, value),
        }
        if node.timeout_ms is not None:
            made["TimeoutSeconds"] = max(1, node.timeout_ms // _SECOND_MS)
        return made | _retry(node)

    def _key(self, node: WorkflowNode) -> str:
        key = f'$states.context.Execution.Name & "/{node.id}"'
        return f'{key} & "/" & $string({CONTEXT}.index)' if self._item_of else key

    def _subworkflow(self, region: _Region, node: WorkflowNode) -> dict[str, Any]:
        waits = node.fields.get("wait", True)
        name = re.sub(r"\W", "", str(node.fields["workflow"]).partition("@")[0].title())
        value = "$states.result.Output" if waits else _object({"run_id": "$states.result.ExecutionArn"})
        return {
            "Type": "Task",
            "Resource": "arn:aws:states:::states:startExecution" + (".sync:2" if waits else ""),
            "Arguments": {"StateMachineArn": f"${{{name}Arn}}", "Input": _query(self._input(node))},
            "Output": self._output(region, node.id, value),
        } | _retry(node)

    # -- expressions

    def _input(self, node: WorkflowNode) -> str:
        if node.input is None:
            return f"{CONTEXT}.item" if self._item_of else f"{CONTEXT}.input"
        return self._literal(f"nodes.{node.id}.input", node.input)

    def _filled(self, node: str, template: Any) -> Any:
        """A template as a field of ``Arguments``: leaves are queries."""
        if is_expression(template):
            return _query(self._cel(f"nodes.{node}", template["cel"]))
        if isinstance(template, Mapping):
            return {name: self._filled(node, value) for name, value in template.items()}
        if isinstance(template, str) and template.startswith("{%"):
            return _query(json.dumps(template, ensure_ascii=False))  # states would take the text for a query
        return [self._filled(node, one) for one in template] if isinstance(template, list) else template

    def _literal(self, place: str, template: Any) -> str:
        """A template as one expression."""
        if is_expression(template):
            return self._cel(place, template["cel"])
        if isinstance(template, Mapping):
            return _object({name: self._literal(f"{place}.{name}", value) for name, value in template.items()})
        if isinstance(template, list):
            return "[" + ", ".join(self._literal(place, one) for one in template) + "]"
        return json.dumps(template, ensure_ascii=False)

    def _cel(self, place: str, text: str) -> str:
        try:
            return cel_to_jsonata.translate(text, self._path)
        except cel_to_jsonata.NoJsonata as wrong:
            raise InvalidField.of(place, f"{text}: {wrong}", code="no_asl") from None

    def _path(self, names: list[str]) -> str:
        first, *rest = names
        if first == "nodes" and len(rest) >= 2 and rest[1] == "output":
            return ".".join([CONTEXT, "nodes", _field(rest[0]), *map(_field, rest[2:])])
        if first in ("input", "item", "index"):
            return ".".join([CONTEXT, first, *map(_field, rest)])
        raise cel_to_jsonata.NoJsonata(f"{'.'.join(names)} has no form in states")


def _retry(node: WorkflowNode) -> dict[str, Any]:
    policy = node.retry
    if policy.max_attempts <= 1:
        return {}
    rule: dict[str, Any] = {
        "ErrorEquals": ["States.ALL"],
        "IntervalSeconds": max(1, policy.base_ms // _SECOND_MS),
        "MaxAttempts": policy.max_attempts - 1,
        "BackoffRate": 2.0 if policy.backoff == "exponential" else 1.0,  # linters want a float
        "JitterStrategy": "FULL" if policy.jitter else "NONE",
    }
    if policy.backoff == "exponential" and policy.max_ms // _SECOND_MS > rule["IntervalSeconds"]:
        rule["MaxDelaySeconds"] = policy.max_ms // _SECOND_MS
    return {"Retry": [rule]}


def _query(text: str) -> str:
    return f"{{% {text} %}}"


def _end_of_branch(nodes: str, live: str) -> str:
    """What the last state of a branch hands to the join: all so far, and what the live edge brings."""
    return _query(f"$merge([{CONTEXT}, {_object({'nodes': nodes, 'live': live})}])")


def _field(name: str) -> str:
    return name if _PLAIN.fullmatch(name) else f"`{name}`"


def _object(fields: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(name)}: {value}" for name, value in fields.items()) + "}"
