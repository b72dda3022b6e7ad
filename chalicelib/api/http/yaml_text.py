"""YAML, for files that people keep in version control: read as JSON is, written as it is read best.

Of YAML 1.2 only what JSON can say is taken. There are no aliases: a few lines of them can stand for gigabytes. There
are no tags but those of JSON's own kinds, no duplicate keys, and keys are text. Plain scalars are read by the core
schema of YAML 1.2, where ``no`` and ``12:30`` are text, not by that of 1.1. Numbers keep their digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

from chalicelib.core.errors import BadRequest
from chalicelib.core.limits import JSON_MAX_DEPTH

YAML: Final = "text/yaml"
MEDIA_TYPES: Final = ("application/yaml", YAML, "application/x-yaml", "text/x-yaml")

_JSON_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?", re.ASCII)
_NUMBER: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_ENDLESS: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", re.ASCII)
_WORDS: Final = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), "null"),
    **dict.fromkeys(("true", "True", "TRUE"), "true"),
    **dict.fromkeys(("false", "False", "FALSE"), "false"),
}
_TAG: Final = "tag:yaml.org,2002:"
_KINDS: Final = {_TAG + kind for kind in ("null", "bool", "int", "float")}
_CONTAINERS: Final = {_TAG + "map", _TAG + "seq"}


def is_yaml(content_type: str | None) -> bool:
    """Whether a body of this content type is YAML."""
    return content_type is not None and content_type.partition(";")[0].strip().lower() in MEDIA_TYPES


def to_json(raw: bytes) -> bytes:
    """The JSON text that says the same; the caller bounds ``raw``. Raises BadRequest for what JSON cannot say."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        return _Writer().write(yaml.parse(raw.decode(), Loader=loader)).encode()
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8") from None
    except (yaml.YAMLError, RecursionError) as problem:
        where = getattr(problem, "problem_mark", None)
        said = getattr(problem, "problem", None) or "it cannot be read"
        raise BadRequest(f"the body is not YAML: {said}{_line(where)}") from None


def _line(mark: Any) -> str:
    return "" if mark is None else f", line {mark.line + 1}"


class _Writer:
    """Writes the events of one YAML document as JSON, without ever building what it says."""

    def __init__(self) -> None:
        self._out: list[str] = []
        self._open: list[_Container] = []
        self._documents = 0

    def write(self, events: Iterator[Any]) -> str:
        """The JSON text. Raises BadRequest."""
        for event in events:
            self._take(event)
        if not self._documents:
            raise BadRequest("the body is empty; a YAML document is needed")
        return "".join(self._out)

    def _take(self, event: Any) -> None:
        name = type(event).__name__
        if name == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                raise BadRequest(f"the body must be one YAML document{_line(event.start_mark)}")
        elif name == "AliasEvent":
            raise BadRequest(f"aliases are not accepted{_line(event.start_mark)}")
        elif name == "ScalarEvent":
            self._scalar(event)
        elif name in ("MappingStartEvent", "SequenceStartEvent"):
            self._begin(event, "}" if name == "MappingStartEvent" else "]")
        elif name in ("MappingEndEvent", "SequenceEndEvent"):
            self._out.append(self._open.pop().end)

    def _begin(self, event: Any, end: str) -> None:
        if event.tag is not None and event.tag not in _CONTAINERS:
            raise BadRequest(f"the tag {event.tag} is not accepted{_line(event.start_mark)}")
        if self._is_key():
            raise BadRequest(f"a key must be text{_line(event.start_mark)}")
        self._place()
        self._open.append(_Container(end))
        self._out.append("{" if end == "}" else "[")
        if len(self._open) > JSON_MAX_DEPTH:
            raise BadRequest(f"the YAML is nested deeper than {JSON_MAX_DEPTH}")

    def _scalar(self, event: Any) -> None:
        if self._is_key():
            self._key(event)
            return
        self._place()
        self._out.append(_json_of(event))

    def _key(self, event: Any) -> None:
        inside = self._open[-1]
        if event.value in inside.keys:
            raise BadRequest(f"the key {event.value[:80]!r} occurs twice{_line(event.start_mark)}")
        inside.keys.add(event.value)
        self._out += ["," if len(inside.keys) > 1 else "", json.dumps(event.value), ":"]
        inside.expects_value = True

    def _is_key(self) -> bool:
        return bool(self._open) and self._open[-1].end == "}" and not self._open[-1].expects_value

    def _place(self) -> None:
        """What stands before a value."""
        if not self._open:
            return
        inside = self._open[-1]
        if inside.end == "]" and inside.items:
            self._out.append(",")
        inside.items += 1
        inside.expects_value = False


class _Container:
    """A mapping or sequence that is being written."""

    __slots__ = ("end", "expects_value", "items", "keys")

    def __init__(self, end: str) -> None:
        self.end = end
        self.keys: set[str] = set()
        self.items = 0
        self.expects_value = False


def _json_of(event: Any) -> str:
    """A scalar as JSON. Raises BadRequest."""
    plain = event.implicit[0]  # neither quoted nor tagged
    if event.tag is not None and event.tag not in {*_KINDS, _TAG + "str", "!"}:
        raise BadRequest(f"the tag {event.tag} is not accepted{_line(event.start_mark)}")
    if not plain and event.tag not in _KINDS:
        return json.dumps(event.value)
    found = _resolved(event.value)
    if found is None:
        if _ENDLESS.fullmatch(event.value) or event.tag in _KINDS:
            raise BadRequest(f"{event.value[:40]!r} has no form in JSON{_line(event.start_mark)}")
        return json.dumps(event.value)
    return found


def _resolved(text: str) -> str | None:
    """What a plain scalar says if it is not text, as JSON."""
    if text in _WORDS:
        return _WORDS[text]
    if _JSON_NUMBER.fullmatch(text):
        return text
    if _NUMBER.fullmatch(text):
        return str(int(text)) if text.lstrip("+-").isdigit() else json.dumps(float(text))
    return None


class Digits(str):
    """A number as it was written."""

    __slots__ = ()


def dump(document: Any) -> str:
    """``document`` (of JSON's kinds, and Digits) as YAML that ``to_json`` reads back the same."""
    import yaml

    base = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(base):  # type: ignore[misc, valid-type]
        def ignore_aliases(self, data: object) -> bool:
            return True

    def text(dumper: Any, value: str) -> Any:
        ambiguous = _resolved(value) is not None or _ENDLESS.fullmatch(value)
        return dumper.represent_scalar(_TAG + "str", value, style='"' if ambiguous else None)

    def number(dumper: Any, value: Digits) -> Any:
        return dumper.represent_scalar(_TAG + "float", str(value))

    Dumper.add_representer(str, text)
    Dumper.add_representer(Digits, number)
    dumped: str = yaml.dump(document, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    return dumped
