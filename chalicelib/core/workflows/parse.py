"""A document as its author sent it, judged as a whole: all errors at once, each with its place."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, get_args

from chalicelib.core.errors import FieldError, InvalidField
from chalicelib.core.limits import DURATION_MAX_MS
from chalicelib.core.schedules.limits import RETRY_MAX_ATTEMPTS
from chalicelib.core.schedules.schedule import RetryPolicy
from chalicelib.core.workflows import graph, node_rules
from chalicelib.core.workflows.definition import (
    FORMAT,
    Concurrency,
    EdgeOn,
    NodeType,
    WorkflowDefinition,
    WorkflowEdge,
    WorkflowNode,
    version_of,
)
from chalicelib.core.workflows.limits import CONCURRENCY_MAX_COUNT, EDGES_MAX_COUNT, NODES_MAX_COUNT
from chalicelib.core.workflows.templates import bounded_expression

NAME_PATTERN: Final = r"^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$"
NAME_RULE: Final = "must be 1 to 64 lower-case letters, digits, dots, dashes or underscores"
NODE_ID_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
REFERENCE_PATTERN: Final = r"^[a-z0-9][a-z0-9._-]{0,63}(@[a-z0-9]{1,64})?$"
_TOP: Final = frozenset(
    {"format", "name", "description", "input_schema", "concurrency", "timeout_ms", "sla_ms", "on_failure", "nodes",
     "edges", "layout"}
)  # fmt: skip
_EDGE: Final = frozenset({"from", "to", "on", "case"})
_RETRY: Final = frozenset(RetryPolicy.__struct_fields__)
TYPES: Final = get_args(NodeType)
ONS: Final = get_args(EdgeOn)


class Findings:
    """Errors with their places, as they are found."""

    def __init__(self) -> None:
        self.errors: list[FieldError] = []

    def add(self, place: str, message: str) -> None:
        self.errors.append(FieldError(place, message))

    def unknown(self, place: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
        """Name every field that is not known there."""
        for name in given.keys() - set(known):
            self.add(f"{place}{name}", "is not a field of this")

    def duration(self, place: str, value: Any, least: int = 1) -> None:
        if type(value) is not int or not least <= value <= DURATION_MAX_MS:
            self.add(place, f"must be an integer of {least} to {DURATION_MAX_MS} milliseconds")


def parse(document: Mapping[str, Any]) -> WorkflowDefinition:
    """The definition of a document. Raises InvalidField with all that is wrong."""
    found = Findings()
    _top(found, document)
    nodes = _nodes(found, document.get("nodes"))
    edges = _edges(found, document.get("edges", []), {node.id: node for node in nodes})
    if not found.errors:
        _shape(found, nodes, edges)
    if found.errors:
        raise InvalidField(found.errors)
    concurrency = document.get("concurrency")
    return WorkflowDefinition(
        name=document["name"],
        version=version_of(document),
        document=document,
        nodes=tuple(nodes),
        edges=tuple(edges),
        input_schema=document.get("input_schema"),
        concurrency=None
        if concurrency is None
        else Concurrency(
            concurrency["key"]["cel"],
            concurrency["limit"],
            concurrency.get("on_limit", "queue"),
            concurrency.get("hold_while_waiting", False),
        ),
        timeout_ms=document.get("timeout_ms"),
        sla_ms=document.get("sla_ms"),
        on_failure=document.get("on_failure", ""),
    )


def _top(found: Findings, document: Mapping[str, Any]) -> None:
    found.unknown("", document, _TOP)
    if document.get("format", FORMAT) != FORMAT:
        found.add("format", f"must be {FORMAT}")
    name = document.get("name")
    if not isinstance(name, str) or not re.fullmatch(NAME_PATTERN, name):
        found.add("name", NAME_RULE)
    for field in ("timeout_ms", "sla_ms"):
        if field in document:
            found.duration(field, document[field])
    for field, kind, called in (("description", str, "text"), ("input_schema", dict, "an object"),
                                ("layout", dict, "an object")):  # fmt: skip
        if field in document and not isinstance(document[field], kind):
            found.add(field, f"must be {called}")
    after = document.get("on_failure")
    if after is not None and not (isinstance(after, str) and re.fullmatch(REFERENCE_PATTERN, after)):
        found.add("on_failure", "must be a workflow, or workflow@version")
    if "concurrency" in document:
        _concurrency(found, document["concurrency"])


def _concurrency(found: Findings, given: Any) -> None:
    if not isinstance(given, Mapping):
        found.add("concurrency", "must be an object")
        return
    found.unknown("concurrency.", given, ("key", "limit", "on_limit", "hold_while_waiting"))
    if (problem := bounded_expression(given.get("key"))) is not None:
        found.add("concurrency.key", problem)
    if type(given.get("limit")) is not int or not 1 <= given["limit"] <= CONCURRENCY_MAX_COUNT:
        found.add("concurrency.limit", f"must be 1 to {CONCURRENCY_MAX_COUNT}")
    if given.get("on_limit", "queue") not in ("queue", "skip", "cancel_oldest"):
        found.add("concurrency.on_limit", "must be queue, skip or cancel_oldest")
    if type(given.get("hold_while_waiting", False)) is not bool:
        found.add("concurrency.hold_while_waiting", "must be true or false")


def _nodes(found: Findings, given: Any) -> list[WorkflowNode]:
    if not isinstance(given, Sequence) or isinstance(given, str) or not 1 <= len(given) <= NODES_MAX_COUNT:
        found.add("nodes", f"must be a list of 1 to {NODES_MAX_COUNT} nodes")
        return []
    nodes = [node for place, one in enumerate(given) if (node := _node(found, f"nodes[{place}]", one)) is not None]
    for name, count in Counter(node.id for node in nodes).items():
        if count > 1:
            found.add("nodes", f"{count} nodes have the id {name}")
    entries = [node.id for node in nodes if node.type == "trigger"]
    if len(entries) != 1:
        found.add("nodes", f"there must be exactly one trigger; there are {len(entries)}")
    return nodes


def _node(found: Findings, place: str, given: Any) -> WorkflowNode | None:
    if not isinstance(given, Mapping):
        found.add(place, "must be an object")
        return None
    name: Any = given.get("id")
    kind: Any = given.get("type")
    if not isinstance(name, str) or not re.fullmatch(NODE_ID_PATTERN, name):
        found.add(f"{place}.id", "must begin with a letter, and have up to 64 letters, digits, dashes or underscores")
        return None
    if kind not in TYPES:
        found.add(f"{place}.type", "must be one of " + ", ".join(sorted(TYPES)))
        return None
    place = f"nodes.{name}"
    fields = {key: value for key, value in given.items() if key not in node_rules.COMMON}
    for problem in node_rules.problems(kind, fields):
        found.add(f"{place}.{problem.field}", problem.message)
    for field in ("timeout_ms", "sla_ms"):
        if field in given:
            found.duration(f"{place}.{field}", given[field])
    for field in ("name", "compensate"):
        if not isinstance(given.get(field, ""), str):
            found.add(f"{place}.{field}", "must be text")
            return None
    for wrong in node_rules.template_problems("input", given.get("input")):
        found.add(f"{place}.{wrong.field}", wrong.message)
    return WorkflowNode(
        id=name,
        type=kind,
        name=given.get("name", ""),
        fields=fields,
        retry=_retry(found, f"{place}.retry", given.get("retry")),
        timeout_ms=given.get("timeout_ms"),
        sla_ms=given.get("sla_ms"),
        input=given.get("input"),
        compensate=given.get("compensate", ""),
    )


def _retry(found: Findings, place: str, given: Any) -> RetryPolicy:
    if given is None:
        return RetryPolicy(max_attempts=1)
    if not isinstance(given, Mapping):
        found.add(place, "must be an object")
        return RetryPolicy()
    found.unknown(f"{place}.", given, _RETRY)
    before = len(found.errors)
    if "max_attempts" in given and not (
        type(given["max_attempts"]) is int and 1 <= given["max_attempts"] <= RETRY_MAX_ATTEMPTS
    ):
        found.add(f"{place}.max_attempts", f"must be 1 to {RETRY_MAX_ATTEMPTS}")
    for field in ("base_ms", "max_ms"):
        if field in given:
            found.duration(f"{place}.{field}", given[field])
    if given.get("backoff", "fixed") not in ("exponential", "fixed"):
        found.add(f"{place}.backoff", "must be exponential or fixed")
    if type(given.get("jitter", True)) is not bool:
        found.add(f"{place}.jitter", "must be true or false")
    if len(found.errors) > before or given.keys() - _RETRY:
        return RetryPolicy()
    return RetryPolicy(**given)


def _edges(found: Findings, given: Any, nodes: Mapping[str, WorkflowNode]) -> list[WorkflowEdge]:
    if not isinstance(given, Sequence) or isinstance(given, str) or len(given) > EDGES_MAX_COUNT:
        found.add("edges", f"must be a list of at most {EDGES_MAX_COUNT} edges")
        return []
    edges = []
    for number, one in enumerate(given):
        edge = _edge(found, f"edges[{number}]", one, nodes)
        if edge in edges:
            found.add(f"edges[{number}]", f"{edge} is there twice")
        elif edge is not None:
            edges.append(edge)
    return edges


def _edge(found: Findings, place: str, given: Any, nodes: Mapping[str, WorkflowNode]) -> WorkflowEdge | None:
    if not isinstance(given, Mapping):
        found.add(place, "must be an object")
        return None
    found.unknown(f"{place}.", given, _EDGE)
    source, target, on, case = given.get("from"), given.get("to"), given.get("on", "success"), given.get("case", "")
    before = len(found.errors)
    for field, name in (("from", source), ("to", target)):
        if not isinstance(name, str) or name not in nodes:
            found.add(f"{place}.{field}", f"there is no node {name}")
    if len(found.errors) > before or not isinstance(source, str) or not isinstance(target, str):
        return None
    if on not in ONS:
        found.add(f"{place}.on", "must be one of " + ", ".join(ONS))
    if "case" in given:
        if nodes[source].type != "condition":
            found.add(f"{place}.case", f"{source} is no condition")
        elif case not in node_rules.cases_of(nodes[source].fields):
            found.add(f"{place}.case", f"{source} has no case {case}")
        if "on" in given:
            found.add(f"{place}.on", "an edge has on or case, not both")
    if on == "rejected" and nodes[source].type != "approval":
        found.add(f"{place}.on", "only an approval can be rejected")
    return WorkflowEdge(source, target, on, case)


def _shape(found: Findings, nodes: Sequence[WorkflowNode], edges: Sequence[WorkflowEdge]) -> None:
    known = {node.id: node for node in nodes}
    undo = [node.compensate for node in nodes if node.compensate]
    entry = next(node.id for node in nodes if node.type == "trigger")
    for node in nodes:
        if node.compensate:
            _compensation(found, node, known, edges, undo)
        into = [edge for edge in edges if edge.target == node.id]
        if node.id == entry and into:
            found.add(f"nodes.{node.id}", "nothing can lead to the trigger")
        elif node.id != entry and not into and node.id not in undo:
            found.add(f"nodes.{node.id}", "nothing leads to it")
        if node.mode == "n_of" and node.needed > len(into):
            found.add(f"nodes.{node.id}.n", f"only {len(into)} edges lead to it")
    if found.errors:
        return
    try:
        made = graph.build(nodes, edges, entry)
        for node in nodes:
            if node.is_foreach:
                graph.body_of(made, node.id)
                graph.of_item(made, node.id)
    except InvalidField as wrong:
        found.errors += wrong.errors


def _compensation(
    found: Findings,
    node: WorkflowNode,
    known: Mapping[str, WorkflowNode],
    edges: Sequence[WorkflowEdge],
    undo: list[str],
) -> None:
    place = f"nodes.{node.id}.compensate"
    other = known.get(node.compensate)
    if other is None or other is node:
        found.add(place, f"there is no other node {node.compensate}")
    elif any(node.compensate in (edge.source, edge.target) for edge in edges):
        found.add(place, f"{node.compensate} has edges: what compensates stands apart")
    elif undo.count(node.compensate) > 1:
        found.add(place, f"{node.compensate} compensates another node already")
    elif other.type not in node_rules.EFFECTS or other.compensate:
        found.add(
            place, f"a {other.type} node cannot compensate" if not other.compensate else "has a compensation itself"
        )
    elif node.type not in node_rules.EFFECTS:
        found.add(place, f"a {node.type} node has nothing to compensate")
