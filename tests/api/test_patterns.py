"""Forms of texts: what the document says in ECMA-262 is what is taken, to the end of the text.

Python's `$` matches before a last newline too. A pattern that is judged by it takes one text more than the document
says.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from re import _constants as codes  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec
import pytest

from chalicelib.api.http.openapi import PATH_PARAMETERS
from chalicelib.api.http.routes import table
from chalicelib.core.json_schema import formed, shown
from chalicelib.core.targets import registry
from chalicelib.core.triggers import sources
from tests.kit.house import RATE, House

OPERATIONS = table().operations
CHANNEL = {"type": "webhook", "url": "https://h.example/"}


def patterns_in(node: Any) -> Iterator[str]:
    """The patterns that a part of the document states."""
    if isinstance(node, dict):
        if isinstance(node.get("pattern"), str):
            yield node["pattern"]
        for each in node.values():
            yield from patterns_in(each)
    elif isinstance(node, list):
        for each in node:
            yield from patterns_in(each)


def judged_by(shape: Any, seen: set[int]) -> Iterator[str]:
    """The patterns by which msgspec judges what it reads as ``shape``."""
    if id(shape) in seen:
        return
    seen.add(id(shape))
    if get_origin(shape) is Annotated:
        inner, *metas = get_args(shape)
        yield from (meta.pattern for meta in metas if isinstance(meta, msgspec.Meta) and meta.pattern is not None)
        yield from judged_by(inner, seen)
    elif isinstance(shape, type) and issubclass(shape, msgspec.Struct):
        for hint in get_type_hints(shape, include_extras=True).values():
            yield from judged_by(hint, seen)
    elif not isinstance(shape, types.GenericAlias) or get_args(shape):
        for each in get_args(shape):
            yield from judged_by(each, seen)


def a_text_of(pattern: str) -> str:
    """A text that a pattern describes, as short as it goes."""
    return "".join(_parts(parser.parse(pattern)))


def _parts(tree: Any) -> Iterator[str]:
    for code, value in tree:
        if code is codes.LITERAL:
            yield chr(value)
        elif code in (codes.MAX_REPEAT, codes.MIN_REPEAT):
            least, _, inner = value
            yield "".join(_parts(inner)) * least
        elif code is codes.SUBPATTERN:
            yield from _parts(value[-1])
        elif code is codes.BRANCH:
            yield from _parts(value[1][0])
        elif code is codes.IN:
            yield _one_of(value)
        elif code not in (codes.AT, codes.ASSERT, codes.ASSERT_NOT):
            raise AssertionError(f"{code} is not known here")


def _one_of(kinds: Any) -> str:
    allowed = re.compile(f"[{''.join(_written(kind) for kind in kinds)}]")
    return next(sign for sign in map(chr, range(0x7E, 0x20, -1)) if allowed.match(sign))


def _written(kind: Any) -> str:
    code, value = kind
    if code is codes.NEGATE:
        return "^"
    if code is codes.LITERAL:
        return re.escape(chr(value))
    if code is codes.RANGE:
        return f"{re.escape(chr(value[0]))}-{re.escape(chr(value[1]))}"
    return {codes.CATEGORY_SPACE: r"\s", codes.CATEGORY_DIGIT: r"\d", codes.CATEGORY_WORD: r"\w"}[value]


def ends_of(tree: Any) -> Iterator[Any]:
    """What a pattern says of ends, wherever it does."""
    for code, value in tree:
        if code is codes.AT:
            yield value
        elif code in (codes.MAX_REPEAT, codes.MIN_REPEAT, codes.SUBPATTERN):
            yield from ends_of(value[-1])
        elif code is codes.BRANCH:
            for each in value[1]:
                yield from ends_of(each)


def all_judged() -> set[str]:
    shapes = [shape for o in OPERATIONS for shape in (o.body, o.query, *o.answers.values()) if isinstance(shape, type)]
    shapes += [*PATH_PARAMETERS.values(), *(kind.fields for kind in registry.every_kind()), *sources.KINDS]
    seen: set[int] = set()
    return {pattern for shape in shapes for pattern in judged_by(shape, seen)}


def test_no_pattern_is_judged_by_pythons_dollar() -> None:
    found = all_judged()
    assert len(found) > 20
    assert [pattern for pattern in found if codes.AT_END in list(ends_of(parser.parse(pattern)))] == []


def test_each_pattern_of_the_document_is_one_of_the_whole_text_and_takes_no_newline_after_it(shared: House) -> None:
    document = shared.call("GET", "/api/v1/openapi.json").json
    judged = {shown(pattern): pattern for pattern in all_judged()}
    found = set(patterns_in(document))
    assert len(found) > 40
    assert judged.keys() <= found | {"^[a-z]$"}
    for pattern in found:
        assert "\\Z" not in pattern, "ECMA-262 does not know it"
        text = a_text_of(pattern)
        judge = judged.get(pattern)
        for taken, value in ((True, text), (False, f"{text}\n")):
            if judge is not None:
                assert (re.search(judge, value) is not None) is taken, (pattern, value)
            else:  # judged elsewhere, by the whole text
                assert (re.fullmatch(pattern, value) is not None) is taken, (pattern, value)


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("PUT", "/api/v1/workflows/w%0A", {"nodes": [{"id": "t", "type": "trigger", "on": "manual"}]}, "name"),
        ("POST", "/api/v1/workflows", {"name": "w\n"}, "name"),
        ("POST", "/api/v1/policies", {"name": "p\n", "rules": []}, "name"),
        ("PUT", "/api/v1/roles/r%0A", {"permissions": ["schedules:read"]}, ""),
        ("POST", "/api/v1/leases:acquire", {"name": "a\n", "holder_id": "h", "ttl_ms": 1000}, "name"),
        ("GET", "/api/v1/leases/a%0A", None, ""),
        ("POST", "/api/v1/notification-rules", {"name": "n\n", "when": ["failed"], "channels": [CHANNEL]}, "name"),
        ("GET", "/api/v1/schedules/01KB0000000000000000000000%0A", None, ""),
        ("GET", "/api/v1/runs/r%0A", None, ""),
        *[
            ("POST", "/api/v1/triggers", {"name": "t", "source": {**one, field: one[field] + "\n"}}, f"source.{field}")
            for one, field in (
                ({"type": "eventbridge", "bus": "b"}, "bus"),
                ({"type": "sqs", "queue_url": "https://q.example/1/q"}, "queue_url"),
                ({"type": "kafka", "brokers": ["k.example:1"], "topic": "t"}, "topic"),
                ({"type": "nats", "servers": ["nats://n.example"], "subject": "s"}, "subject"),
                ({"type": "nats", "servers": ["nats://n.example"], "subject": "s", "durable": "d"}, "durable"),
                ({"type": "webhook", "secret_ref": "ssm:a"}, "secret_ref"),
            )
        ],
        *[
            ("POST", "/api/v1/schedules", {**RATE, "target": {**one, field: one[field] + "\n"}}, f"target.{field}")
            for one, field in (
                ({"type": "webhook", "url": "https://h.example/"}, "url"),
                ({"type": "webhook", "url": "https://h.example/", "secret_ref": "ssm:a"}, "secret_ref"),
                ({"type": "kafka", "brokers": ["k.example:1"], "topic": "t"}, "topic"),
                ({"type": "nats", "servers": ["nats://n.example"], "subject": "s"}, "subject"),
                ({"type": "grpc", "address": "h.example:1", "method": "/a.B/C"}, "method"),
                ({"type": "sns", "topic_arn": "arn:aws:sns:eu-west-1:123456789012:t"}, "topic_arn"),
            )
        ],
    ],
)
def test_a_newline_after_a_text_is_part_of_it(
    shared: House, method: str, path: str, body: dict[str, Any] | None, field: str
) -> None:
    answer = shared.call(method, path, body)
    assert answer.status in ({422} if field else {404, 422}), answer.body
    assert not field or field in answer.fields, answer.body
    assert "\\Z" not in answer.body.decode(), "Python's word for the end"


def test_a_form_is_of_the_whole_text() -> None:
    for pattern in ("a$", "^a"):
        with pytest.raises(AssertionError):
            formed(pattern=pattern)
