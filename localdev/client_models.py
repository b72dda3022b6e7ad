"""The answers and bodies of the API as typed dictionaries of Python."""

from __future__ import annotations

import keyword
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from localdev.client_table import Entry

_HEAD: Final = '''"""What the service answers and takes. Made by scripts/generate-clients: do not edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Union

if TYPE_CHECKING:
    from typing_extensions import NotRequired

'''
_PLAIN: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}


def module(document: Mapping[str, Any], entries: Sequence[Entry]) -> str:
    """The text of the module: every model that the operations name, and what those name."""
    schemas: Mapping[str, Any] = document["components"]["schemas"]
    wanted = _reached(schemas, entries)
    objects = [_model(name, schemas[name]) for name in schemas if name in wanted and "properties" in schemas[name]]
    unions = [_union(name, schemas[name]) for name in schemas if name in wanted and "anyOf" in schemas[name]]
    return _HEAD + "\n\n".join([*objects, *unions]) + "\n"


def _reached(schemas: Mapping[str, Any], entries: Sequence[Entry]) -> set[str]:
    found: set[str] = set()
    ahead = [name for e in entries for part in (e.answer_schema, *(f.schema for f in e.body)) for name in _named(part)]
    while ahead:
        name = ahead.pop()
        if name not in found:
            found.add(name)
            ahead += _named(schemas[name])
    return found


def _named(node: Any) -> Iterable[str]:
    if isinstance(node, list):
        return [name for each in node for name in _named(each)]
    if not isinstance(node, dict):
        return []
    own = [node["$ref"].rpartition("/")[2]] if isinstance(node.get("$ref"), str) else []
    inside = (value for key, value in node.items() if key not in ("default", "example", "examples", "discriminator"))
    return own + [name for value in inside for name in _named(value)]


def _model(name: str, schema: Mapping[str, Any]) -> str:
    required = set(schema.get("required", ()))
    fields = {key: _field(each, key in required) for key, each in schema["properties"].items()}
    if any(keyword.iskeyword(key) or not key.isidentifier() for key in fields):
        said = ", ".join(f'"{key}": "{kind}"' for key, kind in fields.items())
        return f'{name} = TypedDict("{name}", {{{said}}})'
    lines = [f"    {key}: {kind}" for key, kind in fields.items()]
    about = " ".join(str(schema.get("description", "")).split()).replace("\\", "\\\\")
    text = [f"class {name}(TypedDict):", *_docstring(about), *lines]
    return "\n".join(text if len(text) > 1 else [*text, "    pass"])


def _docstring(about: str) -> list[str]:
    if not about:
        return []
    lines, line = [], '    """'
    for word in about.split(" "):
        if len(line) + len(word) + 1 > 116:
            lines.append(line)
            line = "    " + word
        else:
            line += word if line.endswith('"""') else " " + word
    return [*lines, line + '"""', ""]


def _field(schema: Mapping[str, Any], required: bool) -> str:
    return kind(schema) if required else f"NotRequired[{kind(schema)}]"


def _union(name: str, schema: Mapping[str, Any]) -> str:
    return f"{name} = Union[{', '.join(kind(each) for each in schema['anyOf'])}]"


def kind(schema: Mapping[str, Any], prefix: str = "") -> str:
    """The type that a schema means; ``prefix`` stands before the names of models."""
    if "$ref" in schema:
        return prefix + str(schema["$ref"].rpartition("/")[2])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(kind(each, prefix) for each in schema["anyOf"]))
    if "const" in schema:
        return f"Literal[{schema['const']!r}]"
    if "enum" in schema:
        return f"Literal[{', '.join(repr(each) for each in schema['enum'])}]"
    if schema.get("type") == "array":
        return f"Sequence[{kind(schema.get('items', {}), prefix)}]"
    if schema.get("type") == "object":
        more = schema.get("additionalProperties")
        return f"Mapping[str, {kind(more, prefix) if isinstance(more, dict) else 'Any'}]"
    return _PLAIN.get(str(schema.get("type")), "Any")
