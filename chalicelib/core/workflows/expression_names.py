"""Every expression and script of a definition, with its place, and the names that an expression may use."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from chalicelib.core.errors import FieldError
from chalicelib.core.workflows.definition import WorkflowDefinition, WorkflowNode
from chalicelib.core.workflows.templates import leaves

VARIABLES: Final[Mapping[str, str]] = {
    "input": "any", "nodes": "map", "run": "map", "item": "any", "index": "any",
}  # fmt: skip
_NODE: Final = re.compile(r"""\bnodes(?:\.([A-Za-z_]\w*)|\[\s*["']([^"']+)["']\s*\])""", re.ASCII)
_TEMPLATES: Final = ("payload", "headers", "body", "message", "for_ms", "until", "filter")


class PlacedCode(NamedTuple):
    """Something to evaluate, and where it stands."""

    place: str
    language: str  # "cel", "python" or "jsonata"
    text: str


def all_code(definition: WorkflowDefinition) -> Iterator[PlacedCode]:
    """All of a definition."""
    if definition.concurrency is not None:
        yield PlacedCode("concurrency.key.cel", "cel", definition.concurrency.key)
    for node in definition.nodes:
        yield from _of_node(node)


def unknown_nodes(definition: WorkflowDefinition) -> Iterator[FieldError]:
    """Expressions that name a node which is not there: they could only ever fail."""
    known = {node.id for node in definition.nodes}
    for code in all_code(definition):
        if code.language == "cel":
            for match in _NODE.finditer(code.text):
                name = match[1] or match[2]
                if name not in known:
                    yield FieldError(code.place, f"there is no node {name}")


def _of_node(node: WorkflowNode) -> Iterator[PlacedCode]:
    place, fields = f"nodes.{node.id}", node.fields
    for name, template in (("input", node.input), *((name, fields.get(name)) for name in _TEMPLATES)):
        for where, leaf in leaves(f"{place}.{name}", template):
            yield _cel(where, leaf)
    if node.type == "notification":
        for name in ("headers", "subject"):
            for where, leaf in leaves(f"{place}.channel.{name}", fields["channel"].get(name)):
                yield _cel(where, leaf)
    if node.type == "condition":
        for number, case in enumerate(fields["cases"]):
            yield _cel(f"{place}.cases[{number}].when", case["when"])
    if node.is_foreach and not isinstance(fields["foreach"]["items"], list):
        yield _cel(f"{place}.foreach.items", fields["foreach"]["items"])
    if node.type == "script":
        yield PlacedCode(f"{place}.code", "python", fields["code"])
    if node.type == "transform":
        yield PlacedCode(f"{place}.jsonata", "jsonata", fields["jsonata"])


def _cel(place: str, leaf: Any) -> PlacedCode:
    return PlacedCode(f"{place}.cel", "cel", leaf["cel"])
