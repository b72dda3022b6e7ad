"""What the emulator does anew for every call and need not: parsing texts that it has parsed before, copying slowly.

It serves everything on one thread. A batch of 25 statements took it seven milliseconds, and every call that came
meanwhile waited. Most of that went into parsing the same few texts, twice each.

Runs in the emulator's own environment, beside ``ministack_extended``, which loads it by path.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

TEXTS_MAX = 1024  # texts that are remembered; others are parsed anew
SIMPLE = frozenset({"S", "N", "BOOL", "NULL"})  # kinds of a value that is put into a parsed statement as it is
WHOLE_ATTRIBUTES = re.compile(r"\s*\w+\s*(,\s*\w+\s*)*")

Build = Callable[[list[Any]], Any]


# -- statements of PartiQL


def remember_statements(dynamodb: Any) -> None:
    """Parse each text of a statement once. Raises AttributeError when the emulator is another."""
    parse, wrong = dynamodb._parse_partiql, dynamodb._partiql_parameter_error
    truthy, evaluate, conditions = dynamodb._pq_truthy, dynamodb._pq_eval, dynamodb._pq_conditions

    @lru_cache(maxsize=TEXTS_MAX)
    def template(text: str, kinds: tuple[str, ...]) -> Build | None:
        holes = [{kind: "0" if kind == "N" else f"value {n}"} for n, kind in enumerate(kinds)]
        parsed = parse(text, holes)
        if not holes or parsed["op"] not in ("INSERT", "UPDATE"):
            return None
        del parsed["where_fn"], parsed["conditions"]  # made of the rest, below
        places = {id(hole): n for n, hole in enumerate(holes)}
        found: list[int] = []
        build = _builder(parsed, places, found)
        return build if sorted(found) == list(range(len(holes))) else None

    def parse_known(text: Any, values: Any) -> Any:
        kinds = _simple_kinds(values)
        build = template(text, kinds) if kinds is not None and isinstance(text, str) else None
        if build is None or kinds is None:
            return parse(text, values)
        for kind, value in zip(kinds, values, strict=True):
            if kind == "N" and (problem := wrong(value)):
                raise ValueError(problem)
        parsed = build(values)
        where = parsed.get("where")
        parsed["where_fn"] = None if where is None else lambda item: truthy(evaluate(where, item))
        parsed["conditions"] = conditions(where)
        return parsed

    last: list[Any] = []  # a batch parses a statement to judge it, and then to run it

    def parse_once(text: Any, values: Any) -> Any:
        if last and last[0] is values and last[1] is text:
            return last.pop()
        parsed = parse_known(text, values)
        last[:] = [values, text, parsed] if values else []
        return parsed

    dynamodb._parse_partiql = parse_once


def _simple_kinds(values: Any) -> tuple[str, ...] | None:
    """The kinds of a statement's values; None when some is not simple."""
    if not isinstance(values, list):
        return None
    kinds = tuple(next(iter(value)) if type(value) is dict and len(value) == 1 else "" for value in values)
    return kinds if SIMPLE.issuperset(kinds) else None


def _builder(node: Any, places: dict[int, int], found: list[int]) -> Build:
    """What makes ``node`` again with given values in its holes. Each hole that is met is entered in ``found``."""
    if id(node) in places:
        place = places[id(node)]
        found.append(place)
        return lambda values: values[place]
    before = len(found)
    if type(node) is dict:
        members = _varying(node.items(), places, found)
        if len(found) > before:
            return lambda values: {**node, **{key: build(values) for key, build in members}}
    elif type(node) in (tuple, list):
        kind, parts = type(node), _varying(enumerate(node), places, found)

        def build_sequence(values: list[Any]) -> Any:
            made = list(node)
            for position, build in parts:
                made[position] = build(values)
            return kind(made)

        if len(found) > before:
            return build_sequence
    return lambda _: node


def _varying(parts: Iterable[tuple[Any, Any]], places: dict[int, int], found: list[int]) -> list[tuple[Any, Build]]:
    """The parts that hold a hole, with what makes each again."""
    varying = []
    for name, part in parts:
        before = len(found)
        build = _builder(part, places, found)
        if len(found) > before:
            varying.append((name, build))
    return varying


# -- expressions


def remember_expressions(dynamodb: Any) -> None:
    """Take each text of an expression apart once. Raises AttributeError when the emulator is another."""
    dynamodb._tokenize = _shared(dynamodb._tokenize)
    dynamodb._condition_syntax_error = lru_cache(maxsize=TEXTS_MAX)(dynamodb._condition_syntax_error)
    dynamodb._project_item = _projecting(dynamodb._project_item)


def _projecting(project: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """Of an expression that names whole attributes the names are taken apart, and judged, once."""

    @lru_cache(maxsize=TEXTS_MAX)
    def attributes(text: str) -> tuple[str, ...] | None:
        if not WHOLE_ATTRIBUTES.fullmatch(text):
            return None
        project({}, text, {})
        return tuple(name.strip() for name in text.split(","))

    def project_known(item: Any, text: Any, names: Any) -> Any:
        wanted = attributes(text) if isinstance(text, str) else None
        return project(item, text, names) if wanted is None else {name: item[name] for name in wanted if name in item}

    return project_known


def _shared(tokenize: Callable[[str], list[Any]]) -> Callable[[Any], list[Any]]:
    remembered = lru_cache(maxsize=TEXTS_MAX)(tokenize)
    return lambda text: list(remembered(text)) if isinstance(text, str) else tokenize(text)


# -- copies


def copy_quickly(dynamodb: Any) -> None:
    """Copy items by a function for what JSON is made of. Raises AttributeError when the emulator is another."""
    if dynamodb.copy is not copy:
        raise AttributeError("copy")
    dynamodb.copy = SimpleNamespace(copy=copy.copy, deepcopy=deep_copy)


def deep_copy(value: Any, memo: dict[int, Any] | None = None) -> Any:
    """As ``copy.deepcopy``; a value that lies in two places becomes two."""
    kind = type(value)
    if kind is str or kind is int or kind is bool or value is None:
        return value
    if kind is dict:
        return {key: deep_copy(member) for key, member in value.items()}
    if kind is list:
        return [deep_copy(member) for member in value]
    return copy.deepcopy(value, memo)
