"""The part of JSON Schema (2020-12) that an ``input_schema`` may use: judged at publish, held to at each start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from chalicelib.core.errors import FieldError

_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}  # fmt: skip
_KNOWN: Final = frozenset(
    {"$schema", "$id", "title", "description", "default", "examples", "type", "properties", "required", "items",
     "additionalProperties", "enum", "const", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems",
     "format"}
)  # fmt: skip
_NUMBERS: Final = ("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")
_DEPTH_MAX: Final = 20


def schema_problems(schema: Any, place: str = "input_schema", depth: int = 0) -> Iterator[FieldError]:
    """What is wrong with a schema, or beyond what is held to."""
    if isinstance(schema, bool):
        return
    if not isinstance(schema, Mapping) or depth > _DEPTH_MAX:
        yield FieldError(place, "must be a schema of JSON Schema")
        return
    for word in schema.keys() - _KNOWN:
        yield FieldError(f"{place}.{word}", "is a word of JSON Schema that is not held to here")
    kinds = schema.get("type", [])
    for kind in kinds if isinstance(kinds, list) else [kinds]:
        if not isinstance(kind, str) or kind not in _TYPES:
            yield FieldError(f"{place}.type", f"{kind} is no type of JSON")
    for word in _NUMBERS:
        if word in schema and (isinstance(schema[word], bool) or not isinstance(schema[word], int | float)):
            yield FieldError(f"{place}.{word}", "must be a number")
    if not isinstance(schema.get("enum", []), list):
        yield FieldError(f"{place}.enum", "must be a list")
    required = schema.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        yield FieldError(f"{place}.required", "must be a list of names")
    properties = schema.get("properties", {})
    if not isinstance(properties, Mapping):
        yield FieldError(f"{place}.properties", "must be an object")
        return
    for name, inner in properties.items():
        yield from schema_problems(inner, f"{place}.properties.{name}", depth + 1)
    for word in ("items", "additionalProperties"):
        if word in schema:
            yield from schema_problems(schema[word], f"{place}.{word}", depth + 1)


def problems(schema: Any, value: Any, place: str = "input") -> Iterator[FieldError]:
    """Where a value does not fit."""
    if isinstance(schema, bool):
        if not schema:
            yield FieldError(place, "is not allowed")
        return
    kinds = schema.get("type")
    if kinds is not None and not any(_is(value, kind) for kind in (kinds if isinstance(kinds, list) else [kinds])):
        yield FieldError(place, f"must be of type {kinds if isinstance(kinds, str) else ' or '.join(kinds)}")
        return
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        yield FieldError(place, "must be one of the values that the schema lists")
    if "const" in schema and not _same(value, schema["const"]):
        yield FieldError(place, "must be the value that the schema gives")
    yield from _bounds(schema, value, place)
    if isinstance(value, dict):
        yield from _of_object(schema, value, place)
    if isinstance(value, list) and "items" in schema:
        for index, one in enumerate(value):
            yield from problems(schema["items"], one, f"{place}[{index}]")


def _of_object(schema: Mapping[str, Any], value: Mapping[str, Any], place: str) -> Iterator[FieldError]:
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield FieldError(f"{place}.{name}", "is required")
    for name, one in value.items():
        if name in known:
            yield from problems(known[name], one, f"{place}.{name}")
        elif "additionalProperties" in schema:
            yield from problems(schema["additionalProperties"], one, f"{place}.{name}")


def _bounds(schema: Mapping[str, Any], value: Any, place: str) -> Iterator[FieldError]:
    sizes: list[tuple[str, float]] = []
    if isinstance(value, int | float) and not isinstance(value, bool):
        sizes = [("imum", value)]
    elif isinstance(value, str):
        sizes = [("Length", len(value))]
    elif isinstance(value, list):
        sizes = [("Items", len(value))]
    for word, size in sizes:
        if f"min{word}" in schema and size < schema[f"min{word}"]:
            yield FieldError(place, f"is below min{word} {schema[f'min{word}']}")
        if f"max{word}" in schema and size > schema[f"max{word}"]:
            yield FieldError(place, f"is above max{word} {schema[f'max{word}']}")


def _same(value: Any, other: Any) -> bool:
    """Equal as JSON says it: ``true`` is not 1."""
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _is(value: Any, kind: str) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])
