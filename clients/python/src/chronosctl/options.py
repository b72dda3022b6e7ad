"""Options from fields of the API: dashes for underscores, JSON for objects, once more for each of a list."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from chronosctl.faults import usage


def flags(name: str, kind: str) -> list[str]:
    """What a field is called on the command line; a list also by the name of one of its things."""
    dashed = name.replace("_", "-")
    plural = kind in ("strings", "list") and dashed.endswith("s")
    return [f"--{dashed[:-1]}", f"--{dashed}"] if plural else [f"--{dashed}"]


def option(field: Mapping[str, Any], place: str, taken: set[str]) -> list[click.Parameter]:
    """The options of a field; what it is called by the commands' own options stays theirs."""
    names = [flag for flag in flags(field["name"], field["kind"]) if flag not in taken]
    key = f"{place}__{field['name']}"
    about = _help(field)
    if field["kind"] == "boolean":
        yes = click.Option([*names, key], is_flag=False, flag_value="true", metavar="[true|false]", help=about)
        no = click.Option([f"--no-{names[0][2:]}", f"{key}__no"], is_flag=True, hidden=True)
        return [yes, no]
    many = field["kind"] in ("strings", "list")
    made = click.Option(
        [*names, key], multiple=many, metavar=_metavar(field), help=about, shell_complete=_words(field, place)
    )
    return [made]


def _help(field: Mapping[str, Any]) -> str:
    said = " ".join(str(field.get("help", "")).split())
    notes = [said] if said else []
    if field["kind"] in ("strings", "list"):
        notes.append("Repeatable.")
    if field.get("required"):
        notes.append("[required]")
    return " ".join(notes)


def _metavar(field: Mapping[str, Any]) -> str:
    if field.get("choices"):
        return "|".join(field["choices"])
    if field["name"].endswith("unix_ms"):
        return "INSTANT"
    return {"integer": "N", "number": "N", "json": "JSON", "list": "JSON"}.get(field["kind"], "TEXT")


def completer(name: str) -> Any:
    """Completes the names of things from the service."""

    def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
        from chronosctl import naming
        from chronosctl.session import Session

        return naming.complete(name, begun, context.find_root().obj or Session())

    return complete


def _words(field: Mapping[str, Any], place: str) -> Any:
    choices: Sequence[str] = field.get("choices", ())
    if place == "query" and not choices:
        return completer(field["name"])

    def complete(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
        return [each for each in choices if each.startswith(begun)]

    return complete if choices else None


def values(fields: Sequence[Mapping[str, Any]], place: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What was said of the fields, as the API takes it. Raises Fault for what is no number or no JSON."""
    found = {}
    for field in fields:
        key = f"{place}__{field['name']}"
        raw = given.get(key)
        if given.get(f"{key}__no"):
            raw = "false"
        if raw not in (None, ()):
            found[field["name"]] = value(field, raw)
    return found


def value(field: Mapping[str, Any], raw: Any) -> Any:
    """One value. Raises Fault."""
    flag = flags(field["name"], field["kind"])[0]
    kind = field["kind"]
    if raw == "null" and field.get("nullable") and kind != "string":
        return None
    if kind in ("integer", "number"):
        return instant(flag, raw) if field["name"].endswith("unix_ms") else _number(flag, kind, raw)
    if kind == "boolean":
        if str(raw).lower() not in ("true", "false"):
            raise usage(f"{flag}: {raw} is neither true nor false")
        return str(raw).lower() == "true"
    if kind in ("strings", "list"):
        return [each for text in raw for each in _several(flag, kind, text)]
    return json_of(flag, raw) if kind == "json" else raw


def _number(flag: str, kind: str, raw: str) -> Any:
    try:
        return int(raw) if kind == "integer" else float(raw)
    except ValueError:
        raise usage(f"{flag}: {raw} is no {'whole number' if kind == 'integer' else 'number'}") from None


def instant(flag: str, raw: str) -> int:
    """An instant in unix milliseconds, also from RFC 3339. Raises Fault."""
    from datetime import datetime, timezone

    if raw.isascii() and raw.isdigit():
        return int(raw)
    try:
        at = datetime.fromisoformat(raw[:-1] + "+00:00" if raw[-1:] in ("Z", "z") else raw)
    except ValueError:
        hint = "as in 1795252800000 or 2026-11-27T02:00:00Z"
        raise usage(f"{flag}: {raw} is no instant in unix milliseconds or RFC 3339", hint) from None
    if at.tzinfo is None:
        raise usage(f"{flag}: {raw} says no offset from UTC", "end it in Z, or in an offset such as +01:00")
    since = at - datetime(1970, 1, 1, tzinfo=timezone.utc)
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000


def _several(flag: str, kind: str, text: str) -> list[Any]:
    if text.startswith("["):
        try:
            found = json.loads(text)
        except ValueError:
            return [text]  # a text that begins so
        return found if isinstance(found, list) else [text]
    return [json_of(flag, text)] if kind == "list" and text.startswith("{") else [text]


def json_of(flag: str, text: str) -> Any:
    """JSON as an argument, or from the file that follows an ``@`` (``@-``: from standard input). Raises Fault."""
    try:
        return json.loads(read(text[1:]) if text.startswith("@") else text)
    except ValueError as problem:
        hint = f"""texts need quotes of their own, as in {flag} '"text"'; @FILE reads a file"""
        raise usage(f"{flag}: this is no JSON: {problem}", hint) from None


def read(path: str) -> str:
    """A file, or standard input for ``-``. Raises Fault."""
    try:
        if path == "-":
            return sys.stdin.read()
        with open(path, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is no text in UTF-8"
        raise usage(f"{path} cannot be read: {reason}", "name a file that is there, or - for standard input") from None


def document(path: str) -> Any:
    """A file of JSON or YAML. Raises Fault."""
    from chronosctl.files import parse

    return parse(read(path), path).value
