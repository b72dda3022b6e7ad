"""Conditions: a tree of tests, read and checked once, compiled to closures that answer fast, and explained on demand.

The answer is yes, no or None: nothing can be said, since a field is absent. ``all`` is no where one part is no, else
None where one is None. ``any`` is yes where one part is yes, else None where one is None. ``not`` of None is None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from msgspec import Struct

from chalicelib.core.errors import FieldError, InvalidField, NotSupported
from chalicelib.core.rules import operators
from chalicelib.core.rules.limits import (
    CONDITION_MAX_DEPTH,
    CONDITION_MAX_NODES,
    FIELD_MAX_CHARS,
    FIELD_PATTERN,
)
from chalicelib.core.rules.operators import BadOperand, Test
from chalicelib.core.rules.subject import Subject

Answer = bool | None
Ask = Callable[[Subject], Answer]
COMBINATORS: Final = ("all", "any", "not")
ENGINES: Final = ("cel",)  # languages that conditions will be written in, too
REGO: Final = "rego"
_FIELD: Final = re.compile(FIELD_PATTERN, re.ASCII)
_LEAF: Final = frozenset({"field", "operator", "value"})


class Leaf(Struct, frozen=True):
    """One test of one field. ``operator`` is as the rule wrote it."""

    field: str
    operator: str
    operand: Any
    ask: Ask


class Branch(Struct, frozen=True):
    """``all``, ``any`` or ``not`` of others."""

    combinator: str
    parts: tuple[Condition, ...]
    ask: Ask


Condition = Leaf | Branch


class Explained(Struct, omit_defaults=True):
    """A condition with what it was asked about: a leaf with its field's value, a branch with its parts."""

    holds: bool | None
    field: str | None = None
    operator: str | None = None
    expected: Any = None
    value: Any = None
    combinator: str | None = None
    parts: list[Explained] = []


def read(document: Any, place: str) -> Condition:
    """The condition of a JSON document. Raises InvalidField naming the part at ``place`` that is wrong, and
    NotSupported for a language that is not offered."""
    return _Reader().read(document, place, 1)


class _Reader:
    """Reads one condition, and counts its parts."""

    def __init__(self) -> None:
        self._nodes = 0

    def read(self, document: Any, place: str, depth: int) -> Condition:
        self._nodes += 1
        if depth > CONDITION_MAX_DEPTH:
            raise InvalidField.of(place, f"is nested deeper than {CONDITION_MAX_DEPTH}")
        if self._nodes > CONDITION_MAX_NODES:
            raise InvalidField.of(place, f"a rule may have at most {CONDITION_MAX_NODES} conditions")
        if not isinstance(document, dict):
            raise InvalidField.of(place, "must be an object: {field, operator, value}, or one of all, any, not")
        for engine in ENGINES:
            if engine in document:
                error = FieldError(f"{place}.{engine}", f"conditions in {engine} are not offered yet")
                raise NotSupported([error], code="not_offered")
        if REGO in document:
            raise InvalidField.of(f"{place}.{REGO}", "must be the whole condition of its rule")
        used = [name for name in COMBINATORS if name in document]
        if used:
            if len(document) > 1:
                raise InvalidField.of(place, f"{used[0]} must stand alone")
            return self._branch(used[0], document[used[0]], f"{place}.{used[0]}", depth)
        return _leaf(document, place)

    def _branch(self, combinator: str, document: Any, place: str, depth: int) -> Condition:
        if combinator == "not":
            parts = (self.read(document, place, depth + 1),)
            return Branch(combinator, parts, _not(parts[0].ask))
        if not isinstance(document, list) or not document:
            raise InvalidField.of(place, "must be a list of conditions, and not an empty one")
        several = tuple(self.read(part, f"{place}.{n}", depth + 1) for n, part in enumerate(document))
        asks = tuple(part.ask for part in several)
        return Branch(combinator, several, _all(asks) if combinator == "all" else _any(asks))


def _leaf(document: dict[str, Any], place: str) -> Leaf:
    for name in document:
        if name not in _LEAF:
            raise InvalidField.of(f"{place}.{name}", "is not a known field")
    for name in ("field", "operator"):
        if not isinstance(document.get(name), str):
            raise InvalidField.of(f"{place}.{name}", "is required: a text")
    field, written = document["field"], document["operator"]
    if len(field) > FIELD_MAX_CHARS or _FIELD.fullmatch(field) is None:
        raise InvalidField.of(f"{place}.field", "must be a name such as target.url")
    name = operators.ALIASES.get(written, written)
    if name not in operators.OPERATORS:
        raise InvalidField.of(f"{place}.operator", "must be one of " + ", ".join(operators.OPERATORS))
    operand = document.get("value")
    if name in operators.PRESENCE:
        if operand is not None:
            raise InvalidField.of(f"{place}.value", f"{written} takes no value")
        return Leaf(field, written, None, _presence(field, name == "exists"))
    if "value" not in document:
        raise InvalidField.of(f"{place}.value", "is required")
    if name in operators.ON_RECURRENCE and field != "expr":
        raise InvalidField.of(f"{place}.field", f"{written} judges when a schedule runs: its field is expr")
    try:
        test = operators.compile_test(name, operand)
    except BadOperand as wrong:
        raise InvalidField.of(f"{place}.value", str(wrong)) from None
    return Leaf(field, written, operand, _test(field, test))


def _test(field: str, test: Test) -> Ask:
    def ask(about: Subject) -> Answer:
        value = about.fields.get(field)
        return None if value is None else test(value, about)

    return ask


def _presence(field: str, wanted: bool) -> Ask:
    return lambda about: (field in about.fields) is wanted


def _not(ask: Ask) -> Ask:
    def negated(about: Subject) -> Answer:
        answer = ask(about)
        return None if answer is None else not answer

    return negated


def _all(asks: tuple[Ask, ...]) -> Ask:
    def every(about: Subject) -> Answer:
        unsure = False
        for ask in asks:
            answer = ask(about)
            if answer is False:
                return False
            unsure = unsure or answer is None
        return None if unsure else True

    return every


def _any(asks: tuple[Ask, ...]) -> Ask:
    def some(about: Subject) -> Answer:
        unsure = False
        for ask in asks:
            answer = ask(about)
            if answer:
                return True
            unsure = unsure or answer is None
        return None if unsure else False

    return some


def leaves(condition: Condition) -> Iterator[Leaf]:
    """The leaves of a condition, in the order they were written."""
    if isinstance(condition, Leaf):
        yield condition
    else:
        for part in condition.parts:
            yield from leaves(part)


def culprit(condition: Condition, about: Subject) -> Leaf:
    """The leaf that a violation names: the first one that keeps the condition from holding."""
    wanted = True
    while isinstance(condition, Branch):
        if condition.combinator == "not":
            wanted = not wanted
        condition = next((part for part in condition.parts if part.ask(about) is not wanted), condition.parts[0])
    return condition


def explain(condition: Condition, about: Subject) -> Explained:
    """The whole tree, with values."""
    if isinstance(condition, Leaf):
        return Explained(
            condition.ask(about),
            field=condition.field,
            operator=condition.operator,
            expected=condition.operand,
            value=about.value(condition.field),
        )
    parts = [explain(part, about) for part in condition.parts]
    return Explained(condition.ask(about), combinator=condition.combinator, parts=parts)
