"""Documents keep every field of their records: one that is left out would be lost without a word."""

from __future__ import annotations

import msgspec
import pytest

from chalicelib.adapters.dynamodb import documents
from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.schedule import Definition, Key, State
from tests.kit.records import START_MS, execution

KEY = {"tenant", "id"}


@pytest.mark.parametrize(
    ("codec", "record", "elsewhere"),
    [
        (documents.STATE_CODEC, State, KEY),
        (documents.MONITOR_CODEC, MonitorState, KEY),
        (documents.DEFINITION_CODEC, Definition, KEY | {"payload"}),
        (documents.EXECUTION_CODEC, Execution, set(ExecutionKey._fields)),
    ],
    ids=["state", "monitor", "definition", "execution"],
)
def test_every_field_is_in_the_document_or_in_the_key(codec: object, record: type, elsewhere: set[str]) -> None:
    in_place_of_the_key = {"event_ms"}  # the instant of a firing whose key names an event
    assert set(codec.fields) - in_place_of_the_key | elsewhere == {
        field.name for field in msgspec.structs.fields(record)
    }


def test_how_long_a_pause_held_an_execution_is_kept() -> None:
    record = execution(Key("t", "0" * 26), START_MS, held_ms=START_MS, held_until_ms=START_MS + 1)
    assert documents.decode_execution(record.key, documents.encode_execution(record)) == record
