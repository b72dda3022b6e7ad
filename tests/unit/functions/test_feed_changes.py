"""What the streams of the tables bring becomes changes: through the very stores that write the tables."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib import bootstrap
from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.runs import head_item
from chalicelib.adapters.dynamodb.schedule_items import due_attributes
from chalicelib.core.changes.change_log import Change
from chalicelib.core.errors import SettingsError
from chalicelib.core.leases import lease_document
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.schedules.capacity import uncounted, unlimited
from chalicelib.core.schedules.schedule import Definition, Key, Schedule, State
from chalicelib.core.workflows.run_state import NodeState, RunState, SeenRun
from chalicelib.functions import feed
from chalicelib.ports.stores.runs import RunSummary
from chalicelib.settings import load
from tests.kit.plant import Plant
from tests.kit.records import START_MS, definition, execution, schedule, state

KEY = Key("default", "01HZZZZZZZZZZZZZZZZZZZZZZZ")
HLC_MS = 1_795_252_800_000
_sequences = itertools.count(1)


@pytest.fixture
def plant() -> Plant:
    return Plant(START_MS)


def record(table: str, pk: str, sk: str, new: dict[str, Any] | None, old: dict[str, Any] | None = None) -> Any:
    keys = {"pk": {"S": pk}, "sk": {"S": sk}}
    images = {"NewImage": new and {**keys, **new}, "OldImage": old and {**keys, **old}}
    return {
        "dynamodb": {
            "Keys": keys,
            "SequenceNumber": str(next(_sequences)),
            "ApproximateCreationDateTime": START_MS / 1000,
            **{name: image for name, image in images.items() if image},
        },
        "eventSourceARN": f"arn:aws:dynamodb:a:b:table/chronowatch-x-{table}/stream/1",
    }


def of_definition(found: Definition | None, before: Definition | None = None) -> Any:
    def image(d: Definition | None) -> dict[str, Any] | None:
        return d and {
            "doc": {"S": documents.encode_definition(d)}, "payload": {"S": d.payload}, "owner": {"S": d.owner},
        }  # fmt: skip

    return record("schedules", documents.partition(*KEY), "def", image(found), image(before))


def of_state(found: State, before: State | None) -> Any:
    def image(s: State | None) -> dict[str, Any] | None:
        if s is None:
            return None
        due = due_attributes(s)
        listed = {} if due is None else {"due_shard": {"S": due[0]}, "next_run": {"N": str(due[1])}}
        return {"doc": {"S": documents.encode_state(s)}, **listed}

    return record("schedules", documents.partition(*KEY), "state", image(found), image(before))


def logged(plant: Plant, *records: Any) -> list[Change]:
    """What the log gained."""
    store = plant.services.stores.changes
    before = store.head("default").last
    with bootstrap.override(plant.services):
        assert feed.handle({"Records": list(records), "shardId": "s"}, None) == {"state": {}}
    found = [(n, c) for s in store.segments("default", before, 10) for n, c in enumerate(s.changes, s.first)]
    return [change for place, change in found if place > before]


def test_an_execution_changes_with_every_write_and_not_when_it_expires(plant: Plant) -> None:
    made = execution(KEY, START_MS, payload='"p"', hlc=f"{HLC_MS}000000.0")
    pk, sk = documents.partition(*KEY), documents.execution_sk(made.key)
    image = {"doc": {"S": documents.encode_execution(made)}}
    written, expired = record("executions", pk, sk, image), record("executions", pk, sk, None, image)
    assert logged(plant, written, expired) == [Change("execution", made.id, HLC_MS, made.owner, made)]
    assert logged(plant, written) == [], "what comes again is known"


def test_a_schedule_changes_with_its_definition_and_not_with_a_claim(plant: Plant) -> None:
    made = schedule(KEY, owner="ann")
    plant.services.stores.schedules.create(made)
    claimed = made.state.claimed(1, START_MS, START_MS)
    found = logged(plant, of_definition(made.definition, made.definition), of_state(claimed, made.state))
    assert found == [Change("schedule", KEY.id, HLC_MS, "ann", made)]


def test_a_schedule_is_created_when_its_state_is_written(plant: Plant) -> None:
    """Its definition comes first, by a write of its own, maybe in an earlier batch: it is no schedule by that yet."""
    made = schedule(KEY, owner="ann")
    assert logged(plant, of_definition(made.definition)) == []
    plant.services.stores.schedules.create(made)
    assert logged(plant, of_state(made.state, None)) == [Change("schedule", KEY.id, HLC_MS, "ann", made)]


def test_a_creation_that_never_came_true_is_none(plant: Plant) -> None:
    made = schedule(KEY, owner="ann")
    plant.services.stores.schedules.create(made)
    assert logged(plant, of_state(replace(made.state, status="deleted", epoch=0), None)) == []


def test_a_one_shot_that_counts_nowhere_completes_when_that_is_noted(plant: Plant) -> None:
    made = schedule(KEY)
    plant.services.stores.schedules.create(made)
    claimed = unlimited(replace(made.state, rev=2, next_run_ms=None, queued_ms=START_MS))
    assert logged(plant, of_state(claimed, unlimited(made.state))) == [], "its instant is still ahead"
    done = uncounted(replace(claimed, rev=3))
    (found,) = logged(plant, of_state(done, claimed))
    assert found.now == Schedule(made.definition, done)


def test_a_deletion_says_whose_it_was(plant: Plant) -> None:
    (found,) = logged(plant, of_definition(None, definition(KEY, owner="ann")))
    assert (found.type, found.id, found.owner, found.now) == ("schedule", KEY.id, "ann", None)


def test_a_schedule_that_was_deleted_meanwhile_was_not_when_it_changed(plant: Plant) -> None:
    made = schedule(KEY)
    plant.services.stores.schedules.create(Schedule(made.definition, replace(made.state, status="deleted")))
    (found,) = logged(plant, of_definition(made.definition, made.definition))
    assert isinstance(found.now, Schedule)
    assert found.now.state.status == "active"


def test_a_schedule_changes_when_its_last_instant_has_passed(plant: Plant) -> None:
    made = schedule(KEY, next_run_ms=None)
    plant.services.stores.schedules.create(made)
    spent = state(KEY, next_run_ms=None, queued_ms=START_MS, counted=0)
    done = replace(spent, rev=2, counted=-1)
    (found,) = logged(plant, of_state(done, spent))
    assert found.now == Schedule(made.definition, done)
    assert logged(plant, of_state(replace(done, status="deleted"), spent)) == [], "its deletion says so"


def test_leases_change_and_those_of_the_service_do_not(plant: Plant) -> None:
    mine = LeaseItem("default", "a/b", 1, 1, "me", "ann", 1000, hlc=f"{HLC_MS}000000.0")
    own = replace(mine, tenant="#nodes")
    records = [
        record("registry", f"{item.tenant}#lease", item.name, {"doc": {"S": lease_document.write(item)}})
        for item in (mine, own)
    ]
    other = record("registry", "default#changes", "head", {"doc": {"S": "{}"}})
    assert logged(plant, *records, other) == [Change("lease", "a/b", HLC_MS, None, mine)]
    assert plant.services.stores.changes.head("#nodes").last == 0


def test_what_cannot_be_read_holds_up_nothing(plant: Plant) -> None:
    bad = record("schedules", documents.partition(*KEY), "def", {"doc": {"S": "{"}, "payload": {"S": "1"}})
    assert [c.id for c in logged(plant, bad, of_definition(None, definition(KEY)))] == [KEY.id]


def test_on_aws_a_batch_must_name_its_shard(plant: Plant) -> None:
    removed = of_definition(None, definition(KEY))
    with (
        bootstrap.override(plant.services, load({"AWS_LAMBDA_FUNCTION_NAME": "feed"})),
        pytest.raises(SettingsError, match="TumblingWindow"),
    ):
        feed.handle({"Records": [removed]}, None)
    with bootstrap.override(plant.services, load({"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"})):
        feed.handle({"Records": [removed]}, None)
    assert plant.services.stores.changes.head("default").last == 1


def test_a_run_changes_with_its_status_and_not_when_its_next_check_moves(plant: Plant) -> None:
    state = RunState("default", "r", "w", "v1", "ann", nodes={"t": NodeState("completed", output={"value": [1]})})
    summary = RunSummary("default", "r", "w", "v1", "running", "ann", START_MS, change=SeenRun(state, {"value": [1]}))
    head = head_item(summary)
    pk, sk = head.pop("pk")["S"], head.pop("sk")["S"]
    moved = {**head, "wake_ms": {"N": "5"}}
    quiet = head_item(replace(summary, change=None, rev=2))
    records = [
        record("workflows", pk, sk, head),
        record("workflows", pk, sk, moved, head),
        record("workflows", pk, sk, quiet, head),
        record("workflows", pk, "e#000001", {"doc": {"S": "[]"}}),
        record("workflows", pk, sk, None, head),
    ]
    assert logged(plant, *records) == [Change("workflow_run", "r", START_MS, "ann", summary.change)]
