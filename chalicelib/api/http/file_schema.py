"""JSON Schema of the file that schedules are kept in, for editors. It is made of the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

_PREFIX: Final = "#/components/schemas/"
_ENTRY: Final = "FileEntry"
_FORMS: Final[Mapping[str, str]] = {
    "AT": r"^at:",
    "CRON": r"^\s*(@\S.*|\S+(\s+\S+){4,6})\s*$",
    "DELAY": r"^delay:",
    "RATE": r"^rate:",
}


def schema(document: Mapping[str, Any]) -> dict[str, Any]:
    """The schema. Draft 7 is what all editors understand."""
    found: dict[str, Any] = {}
    _collect(document["components"]["schemas"], _ENTRY, found)
    entry = found[_ENTRY]
    entry["properties"]["expr"]["markdownDescription"] = (
        "By type: `0 2 * * 1-5` (CRON), `rate:5m`, `delay:30s`, `PT5M`, `at:2026-12-25T10:00:00Z`, an RRULE."
    )
    entry["anyOf"] = [{"required": ["name"]}, {"required": ["id"]}]
    entry["allOf"] = [_form(kind, pattern) for kind, pattern in _FORMS.items()]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Schedules of ChronoWatch",
        "description": "What `chronosctl apply -f FILE` takes, and `chronosctl export` writes.",
        "type": "object",
        "properties": {
            "version": {"const": 1},
            "schedules": {"type": "array", "items": {"$ref": f"#/definitions/{_ENTRY}"}},
        },
        "required": ["schedules"],
        "additionalProperties": False,
        "definitions": found,
    }


def _form(kind: str, pattern: str) -> dict[str, Any]:
    then = {"properties": {"expr": {"pattern": pattern}}}
    return {"if": {"properties": {"type": {"const": kind}}, "required": ["type"]}, "then": then}


def _collect(schemas: Mapping[str, Any], name: str, found: dict[str, Any]) -> None:
    if name in found:
        return
    text = json.dumps(schemas[name])
    found[name] = json.loads(text.replace(_PREFIX, "#/definitions/"))
    for other in {part.partition('"')[0] for part in text.split(_PREFIX)[1:]}:
        _collect(schemas, other, found)
