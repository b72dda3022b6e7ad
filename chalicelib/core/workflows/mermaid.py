"""A workflow as a Mermaid flowchart."""

from __future__ import annotations

from typing import Final

from chalicelib.core.workflows.definition import WorkflowDefinition, WorkflowNode

_SHAPES: Final = {
    "trigger": ("([", "])"), "condition": ("{", "}"), "approval": ("{{", "}}"), "join": ("((", "))"),
    "delay": ("(", ")"), "subworkflow": ("[[", "]]"),
}  # fmt: skip


def flowchart(definition: WorkflowDefinition) -> str:
    """The text of the flowchart. Node ids are numbered: those of authors may be words of Mermaid's own."""
    names = {node.id: f"n{number}" for number, node in enumerate(definition.nodes)}
    lines = ["flowchart TD"]
    for node in definition.nodes:
        begin, end = _SHAPES.get(node.type, ("[", "]"))
        lines.append(f'  {names[node.id]}{begin}"{_label(node)}"{end}')
    for edge in definition.edges:
        said = edge.case or ("" if edge.on == "success" else edge.on)
        arrow = f'-->|"{_escaped(said)}"|' if said else "-->"
        lines.append(f"  {names[edge.source]} {arrow} {names[edge.target]}")
    undone = [node for node in definition.nodes if node.compensate]
    lines += [f'  {names[node.id]} -.->|"compensate"| {names[node.compensate]}' for node in undone]
    return "\n".join(lines) + "\n"


def _label(node: WorkflowNode) -> str:
    return _escaped(f"{node.name or node.id}") + f"<br/>{node.type}"


def _escaped(text: str) -> str:
    return "".join(c if c.isalnum() or c in " _-.,:@/" else f"#{ord(c)};" for c in text)
