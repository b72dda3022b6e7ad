"""Printing: tables for people, json, yaml and jsonl for programs, names for shells. Lists are printed as they come."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

FORMATS: Final = ("table", "json", "yaml", "jsonl", "name")
_WIDTHS_OF: Final = 100  # rows of a table that decide how wide its columns are; later ones only may be wider
_CELL_MAX: Final = 60
_NAMES: Final = ("name", "id", "execution_id", "run_id", "firing_unix_ms", "position", "at_unix_ms")


def one(found: Any, output: str) -> None:
    """Print one thing."""
    if output == "json":
        _say(json.dumps(found, ensure_ascii=False, indent=2))
    elif output == "jsonl":
        _say(json.dumps(found, ensure_ascii=False))
    elif output == "yaml":
        _say(yaml_text(found).rstrip("\n"))
    elif output == "name":
        _say(name_of(found))
    elif isinstance(found, Mapping):
        _fields(found)
    else:
        _say(_cell("", found))


def many(items: Iterable[Any], output: str, columns: Sequence[str] = ()) -> None:
    """Print a list, each item when it is there."""
    if output == "json":
        _json_list(items)
    elif output == "yaml":
        _yaml_list(items)
    elif output == "table":
        _table(items, columns)
    else:
        for item in items:
            one(item, output)
            sys.stdout.flush()  # a reader has each line though the next page is long in coming


def name_of(found: Any) -> str:
    """What a thing is called: its name, else its id."""
    if not isinstance(found, Mapping):
        return str(found)
    return next((str(found[key]) for key in _NAMES if found.get(key) not in (None, "")), json.dumps(found))


def yaml_text(found: Any) -> str:
    """As YAML that readers of 1.1 and of 1.2 understand alike."""
    import yaml

    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(dumper):  # type: ignore[misc, valid-type]
        def ignore_aliases(self, data: object) -> bool:
            return True

    text: str = yaml.dump(found, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    return text.removesuffix("...\n")


def instant(unix_ms: int) -> str:
    """An instant in UTC, without milliseconds where there are none."""
    from datetime import datetime, timedelta, timezone

    at = datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=unix_ms)
    return at.strftime("%Y-%m-%dT%H:%M:%S") + (f".{unix_ms % 1000:03d}" if unix_ms % 1000 else "") + "Z"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _json_list(items: Iterable[Any]) -> None:
    first = True
    for item in items:
        text = json.dumps(item, ensure_ascii=False, indent=2).replace("\n", "\n  ")
        sys.stdout.write(("[\n  " if first else ",\n  ") + text)
        sys.stdout.flush()
        first = False
    _say("[]" if first else "\n]")


def _yaml_list(items: Iterable[Any]) -> None:
    some = False
    for item in items:
        sys.stdout.write(yaml_text([item]))
        sys.stdout.flush()
        some = True
    if not some:
        _say("[]")


def _cell(key: str, value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and key.endswith("unix_ms"):
        return instant(value)
    if isinstance(value, list) and value and key.endswith("unix_ms") and all(isinstance(each, int) for each in value):
        return ", ".join(map(instant, value))
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return visible(",".join(value))
    if isinstance(value, Mapping):
        for name in ("type", "state"):
            if isinstance(value.get(name), str):
                return visible(value[name])
    return "-" if value in ([], {}) else visible(json.dumps(value, ensure_ascii=False))


def visible(text: str) -> str:
    """Without what moves a terminal's cursor or rings its bell: what others wrote is shown, not obeyed."""
    return "".join(c if c.isprintable() else " " if c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _shown(key: str, value: Any, most: int = _CELL_MAX) -> str:
    text = _cell(key, value)
    return text if len(text) <= most else text[: most - 1] + "…"


def _fields(found: Mapping[str, Any]) -> None:
    width = max((len(key) for key in found), default=0)
    for key, value in found.items():
        nested = isinstance(value, dict | list) and value and not key.endswith("unix_ms")
        whole = json.dumps(value, ensure_ascii=False) if nested else _cell(key, value)
        _say(f"{key.ljust(width)}  {visible(whole)}")


def _table(items: Iterable[Any], columns: Sequence[str]) -> None:
    ahead = iter(items)
    first = list(itertools.islice(ahead, _WIDTHS_OF))
    if not first:
        return
    names = list(columns) or [key for key, value in first[0].items() if not isinstance(value, dict | list)][:7]
    rows = [[_shown(name, _dig(item, name)) for name in names] for item in first]
    heads = [name.removesuffix("_unix_ms").upper() for name in names]
    widths = [max(len(row[n]) for row in (heads, *rows)) for n in range(len(names))]
    edge = _edge()
    for row in itertools.chain([heads], rows, ([_shown(n, _dig(item, n)) for n in names] for item in ahead)):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        _say(line if edge is None or len(line) <= edge else line[: edge - 1] + "…")
        sys.stdout.flush()


def _edge() -> int | None:
    """How wide a terminal is; None where nothing is cut."""
    if not sys.stdout.isatty() or os.environ.get("CHRONO_WIDE"):
        return None
    import shutil

    return shutil.get_terminal_size().columns


def _dig(item: Any, name: str) -> Any:
    for part in name.split("."):
        item = item.get(part) if isinstance(item, Mapping) else None
    return item
