"""Templates: JSON whose leaves may be ``{"cel": "…"}``. A string is a string: it is never evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from chalicelib.core.workflows.limits import EXPRESSION_MAX_CHARS


def is_expression(value: object) -> bool:
    """Whether this is a leaf to evaluate."""
    return isinstance(value, Mapping) and value.keys() == {"cel"}


def bounded_expression(value: object) -> str | None:
    """What is wrong with ``{"cel": "…"}`` as a form; None: nothing."""
    if not isinstance(value, Mapping) or value.keys() != {"cel"}:
        return 'must be {"cel": "…"}'
    text = value["cel"]
    if not isinstance(text, str) or not text.strip() or len(text) > EXPRESSION_MAX_CHARS:
        return f"must hold an expression of 1 to {EXPRESSION_MAX_CHARS} characters"
    return None


def leaves(place: str, template: object) -> Iterator[tuple[str, object]]:
    """The expressions in a template, each with its place."""
    if isinstance(template, Mapping):
        if is_expression(template):
            yield place, template
            return
        for name, value in template.items():
            yield from leaves(f"{place}.{name}", value)
    elif isinstance(template, list | tuple):
        for index, value in enumerate(template):
            yield from leaves(f"{place}[{index}]", value)


def fill(template: Any, evaluate: Callable[[str], Any]) -> Any:
    """The template with its leaves evaluated."""
    if isinstance(template, Mapping):
        if is_expression(template):
            return evaluate(template["cel"])
        return {name: fill(value, evaluate) for name, value in template.items()}
    if isinstance(template, list | tuple):
        return [fill(value, evaluate) for value in template]
    return template
