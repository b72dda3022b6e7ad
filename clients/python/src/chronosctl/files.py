"""Files that people keep, JSON or YAML, with the line of everything in them.

YAML is read by its core schema of 1.2, as the service reads it: ``on`` and ``12:30`` are text. There are no aliases and
no doubled keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chronosctl.faults import Fault, usage

_INT: Final = re.compile(r"[-+]?[0-9]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_SUFFIXES: Final = (".yaml", ".yml", ".json")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document. ``lines`` has the line of each thing in it, by its path."""

    value: Any
    lines: Mapping[tuple[Any, ...], int]
    path: str

    def line(self, *place: Any) -> int:
        """The line of a place, or of what it is in."""
        while place not in self.lines and place:
            place = place[:-1]
        return self.lines.get(place, 1)


def _called(path: str) -> str:
    return "standard input" if path == "-" else path


def parse(text: str, path: str) -> Parsed:
    """The one document of a file. Raises Fault."""
    found = parse_all(text, path)
    if len(found) != 1:
        raise usage(f"{path}: one document is needed, not {len(found)}", "keep each in a file of its own")
    return found[0]


def parse_all(text: str, path: str) -> list[Parsed]:
    """Every document of a file. Raises Fault, with the line and column of what is wrong."""
    import yaml

    path = _called(path)
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        nodes = list(yaml.compose_all(text, Loader=loader))
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        where = "" if mark is None else f":{mark.line + 1}:{mark.column + 1}"
        said = getattr(problem, "problem", None) or str(problem)
        raise usage(f"{path}{where}: {said}", "it is neither YAML nor JSON there") from None
    except RecursionError:
        raise usage(f"{path}: it is nested too deep") from None
    return [_document(node, path) for node in nodes if node is not None]


def _document(root: Any, path: str) -> Parsed:
    lines: dict[tuple[Any, ...], int] = {}
    seen: set[int] = set()

    def wrong(node: Any, said: str) -> Fault:
        return usage(
            f"{path}:{node.start_mark.line + 1}:{node.start_mark.column + 1}: {said}", "see docs/chronosctl.md"
        )

    def read(node: Any, place: tuple[Any, ...]) -> Any:
        if id(node) in seen:
            raise wrong(node, "aliases are not accepted")
        seen.add(id(node))
        lines.setdefault(place, node.start_mark.line + 1)
        if node.id == "sequence":
            return [read(each, (*place, n)) for n, each in enumerate(node.value)]
        if node.id != "mapping":
            return _scalar(node)
        found: dict[str, Any] = {}
        for key, value in node.value:
            if key.id != "scalar":
                raise wrong(key, "a key must be text")
            if key.value in found:
                raise wrong(key, f"the key {key.value} occurs twice")
            inside = (*place, key.value)
            lines[inside] = key.start_mark.line + 1
            found[key.value] = read(value, inside)
        return found

    return Parsed(read(root, ()), lines, path)


def _scalar(node: Any) -> Any:
    text = node.value
    if node.style:  # quoted, or a block
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


@dataclass(frozen=True, slots=True)
class Wanted:
    """A schedule as a file says it shall be, and where it says so."""

    entry: Mapping[str, Any]
    where: str
    parsed: Parsed
    index: int

    def at(self, field: str) -> str:
        """File and line of a field of it."""
        places: list[Any] = [int(part) if part.isdigit() else part for part in field.split(".")]
        return f"{self.parsed.path}:{self.parsed.line('schedules', self.index, *places)}"


def schedules(paths: Sequence[str]) -> list[Wanted]:
    """What files say, those of folders in the order of their names. Raises Fault, also for a schedule that two entries
    name: the service sees them part by part, and the later one would win each time."""
    found = [wanted for path in paths for each in _expanded(path) for wanted in _of_file(each)]
    seen: dict[tuple[str, str, str], str] = {}
    for wanted in found:
        for key in _keys(wanted.entry):
            if key in seen:
                raise usage(f"{wanted.where}: {key[0]} {key[2]} is used by another schedule, at {seen[key]}")
            seen[key] = wanted.where
    return found


def _keys(entry: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """What an entry is known by: its id, and its owner and name."""
    owner = str(entry.get("owner") or "")
    return [(each, owner if each == "name" else "", str(entry[each])) for each in ("id", "name") if entry.get(each)]


def _expanded(path: str) -> list[str]:
    folder = Path(path)
    if path == "-" or not folder.is_dir():
        return [path]
    found = sorted(str(each) for each in folder.rglob("*") if each.suffix in _SUFFIXES and each.is_file())
    if not found:
        raise usage(f"{path}: the folder has no file that ends in {', '.join(_SUFFIXES)}")
    return found


def _of_file(path: str) -> list[Wanted]:
    from chronosctl import options

    parsed = parse(options.read(path), path)
    path = parsed.path
    hint = "a file is `version: 1` and `schedules:`, a list; `chronosctl export` writes one"
    if not isinstance(parsed.value, dict) or not isinstance(parsed.value.get("schedules"), list):
        raise usage(f"{path}: `schedules` must be a list", hint)
    for key in parsed.value:
        if key not in ("version", "schedules"):
            raise usage(f"{path}:{parsed.line(key)}: {key} is unknown", hint)
    if parsed.value.get("version", 1) != 1:
        raise usage(f"{path}:{parsed.line('version')}: version must be 1", hint)
    found = []
    for n, entry in enumerate(parsed.value["schedules"]):
        where = f"{path}:{parsed.line('schedules', n)}"
        if not isinstance(entry, dict):
            raise usage(f"{where}: a schedule must be an object", hint)
        if not entry.get("name") and not entry.get("id"):
            raise usage(f"{where}: the schedule has no name", "a file knows its schedules by owner and name, or by id")
        found.append(Wanted(entry, where, parsed, n))
    return found


def written(entries: Sequence[Mapping[str, Any]], head: Sequence[str] = ()) -> str:
    """A file of schedules that ``apply`` takes."""
    from chronosctl.output import yaml_text

    lines = "".join(f"# {line}\n" for line in head)
    if not entries:
        return f"{lines}version: 1\nschedules: []\n"
    return f"{lines}version: 1\nschedules:\n{yaml_text([dict(each) for each in entries])}"
