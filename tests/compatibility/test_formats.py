"""Every form that a message or document ever had on AWS is still read, and means what it meant.

``formats.json`` holds one of each, as a release wrote it. None is ever taken out: old items lie in tables for years,
and old messages arrive while a deployment is upgraded. A release that writes another form adds it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chalicelib.adapters.dynamodb import documents
from chalicelib.core import queue_messages
from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.leases import lease_document
from chalicelib.core.schedules.schedule import Key

KEY = Key("acme", "01M7YPFJG00000000000000001")
EXECUTION = ExecutionKey("acme", KEY.id, 4_102_444_805_000, False)
FORMATS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("formats.json").read_text())

READ: dict[str, Callable[[str], Any]] = {
    "message": queue_messages.decode,
    "state": lambda doc: documents.decode_state(KEY, doc),
    "definition": lambda doc: documents.decode_definition(KEY, doc, '{"n":1}'),
    "execution": lambda doc: documents.decode_execution(EXECUTION, doc),
    "monitor": lambda doc: documents.decode_monitor(KEY, doc),
    "lease": lease_document.read,
}
WRITE: dict[str, Callable[[Any], str]] = {
    "message": queue_messages.encode,
    "state": documents.encode_state,
    "definition": documents.encode_definition,
    "execution": documents.encode_execution,
    "monitor": documents.encode_monitor,
    "lease": lease_document.write,
}


def name_of(form: dict[str, Any]) -> str:
    return f"{form['kind']}-{form['since']}-{form['of']}"


def plain(record: Any) -> Any:
    return json.loads(msgspec.json.encode(record))


@pytest.mark.parametrize("form", FORMATS, ids=name_of)
def test_it_is_read_and_means_what_it_meant(form: dict[str, Any]) -> None:
    found = plain(READ[form["kind"]](form["text"]))
    found = found if isinstance(found, dict) else {"value": found}
    assert {name: found.get(name) for name in form["means"]} == form["means"]


@pytest.mark.parametrize("form", FORMATS, ids=name_of)
def test_what_is_read_is_written_and_read_as_the_same(form: dict[str, Any]) -> None:
    read, write = READ[form["kind"]], WRITE[form["kind"]]
    assert read(write(read(form["text"]))) == read(form["text"])


@pytest.mark.parametrize("form", [f for f in FORMATS if f["kind"] != "message"], ids=name_of)
def test_a_name_of_a_later_release_is_passed_over(form: dict[str, Any]) -> None:
    later = {**json.loads(form["text"]), "zz_later": {"a": [1]}}
    assert READ[form["kind"]](json.dumps(later)) == READ[form["kind"]](form["text"])


@pytest.mark.parametrize("form", FORMATS, ids=name_of)
def test_the_present_release_writes_a_form_that_is_listed(form: dict[str, Any]) -> None:
    """Of each kind, what is written today has the names of a form that is listed: else this file lacks one."""
    written = json.loads(WRITE[form["kind"]](READ[form["kind"]](form["text"])))
    same = [json.loads(f["text"]) for f in FORMATS if f["kind"] == form["kind"]]
    assert any(set(written) <= set(other) for other in same)


def test_a_message_of_a_later_kind_is_no_message_of_ours() -> None:
    with pytest.raises(ValueError, match=r"later|message|kind"):
        queue_messages.decode('{"later": [1]}')


def test_every_kind_is_there() -> None:
    assert {form["kind"] for form in FORMATS} == set(READ)
    assert {form["of"] for form in FORMATS if form["kind"] == "message"} >= {"firings", "run", "ticks"}
