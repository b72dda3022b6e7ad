"""``infra.state`` is the one description of the tables: the models, the stores and what exists must agree with it."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.aws.clients import Clients, Meter
from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Names
from chalicelib.adapters.dynamodb.schedule_items import state_update
from chalicelib.adapters.dynamodb.stores import open_stores
from chalicelib.adapters.dynamodb.tables import ExecutionItem, RegistryItem, ScheduleItem, WorkflowItem
from chalicelib.core.executions.execution import Execution
from chalicelib.core.executions.journal import AttemptResult, finish
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.claim_span import ClaimSpan
from chalicelib.core.schedules.limits import PAYLOAD_MAX_BYTES, SPANS_MAX, VERSIONS_INLINE_MAX
from chalicelib.core.schedules.schedule import Definition, Key, RetryPolicy, RunRef, State, VersionRef
from chalicelib.functions.feed import _streamed
from chalicelib.ports.stores.schedules import ScheduleChange
from chalicelib.workers.feed import Written
from infra.create import create_all, delete_tables
from infra.state import state as resources_of
from tests.kit.emulator import REGION
from tests.kit.records import START_MS, execution, schedule, state

MODELS: dict[str, Any] = {
    "schedules": ScheduleItem,
    "executions": ExecutionItem,
    "registry": RegistryItem,
    "workflows": WorkflowItem,
}
KEY = Key("default", "01KB00000000000000000000ZZ")


class TestDescriptions:
    @pytest.mark.parametrize("logical", MODELS)
    def test_models_have_the_keys_and_indexes_of_the_state(self, logical: str) -> None:
        table = resources_of("x").table(logical)
        schema = MODELS[logical]._get_schema()
        assert schema["key_schema"] == _key_schema(table)
        assert {
            index["index_name"]: (index["key_schema"], index["projection"])
            for index in schema["global_secondary_indexes"]
        } == {index.name: (_key_schema(index), _projection(index)) for index in table.indexes}
        types = {a["AttributeName"]: a["AttributeType"] for a in schema["attribute_definitions"]}
        assert types == {part.name: part.type for part in table.key_parts}

    def test_stores_and_state_name_the_same_tables(self) -> None:
        names = Names.of_stage("x")
        wanted = [names.schedules, names.executions, names.registry, names.workflows]
        assert [t.name for t in resources_of("x").tables] == wanted

    def test_stages_share_nothing_but_the_bus(self) -> None:
        a, b = resources_of("a"), resources_of("b")
        names = [{r.name for group in (s.tables, s.queues, s.rules) for r in group} for s in (a, b)]
        assert names[0].isdisjoint(names[1])

    def test_a_message_is_hidden_for_as_long_as_its_function_runs(self) -> None:
        from infra.state import DELIVER_TIMEOUT_S

        assert resources_of("x").queue("work").visibility_s >= DELIVER_TIMEOUT_S

    def test_every_queue_that_can_fail_has_a_dead_letter_queue_that_outlasts_it(self) -> None:
        mine = resources_of("x")
        work = mine.queue("work")
        assert work.dead_letter is not None
        assert mine.queue(work.dead_letter).retention_s > work.retention_s

    @pytest.mark.parametrize(
        ("codec", "record", "elsewhere"),
        [
            (documents.STATE_CODEC, State, {"tenant", "id"}),
            (documents.MONITOR_CODEC, MonitorState, {"tenant", "id"}),
            (documents.DEFINITION_CODEC, Definition, {"tenant", "id", "payload"}),
            (documents.EXECUTION_CODEC, Execution, {"tenant", "schedule_id", "firing_ms", "manual", "event"}),
        ],
    )
    def test_no_field_of_a_record_is_left_out_of_its_document(
        self, codec: Any, record: Any, elsewhere: set[str]
    ) -> None:
        derived = {"event_ms"}  # the instant, where the key does not say it
        assert (set(codec.fields) - derived) | elsewhere == set(record.__struct_fields__)

    def test_documents_of_another_release_are_read(self) -> None:
        doc = json.loads(documents.encode_state(state(KEY)))
        newer = json.dumps({**doc, "later": [1]})
        assert documents.decode_state(KEY, newer) == state(KEY)
        older = json.dumps({name: doc[name] for name in ("s", "r", "e", "v")})
        assert documents.decode_state(KEY, older).run_count == 0


class TestSizes:
    """A write is billed for every KB of the item that it began, index and attribute names included."""

    def test_an_ordinary_execution_stays_under_1_kb(self) -> None:
        record = execution(
            KEY,
            START_MS,
            shard=15,
            version="01KB00000000000000000000YY",
            owner="somebody@example.com",
            target_type="stepfunctions",
            claimed_by="01KB00000000000000000000XX",
            hlc="1795252800000000000.65535",
            origin="production",
        )
        done = finish(record, AttemptResult("completed", http_status=200), RetryPolicy(), START_MS, START_MS + 5)
        pk = documents.partition(KEY.tenant, KEY.id)
        sk, recent = documents.execution_sk(record.key), documents.recent_sk(record.key)
        others = len("pkskdocrevrecent_pkrecent_skttl") + len(pk) + len(sk) + len("default#15") + len(recent) + 3 * 21
        assert others + len(documents.encode_execution(done)) < 800

    def test_a_state_stays_under_1_kb(self) -> None:
        version = "01KB00000000000000000000YY"
        full = state(
            KEY,
            shard=255,
            rev=10**9,
            epoch=10**6,
            versions=tuple(VersionRef(version, START_MS, False) for _ in range(VERSIONS_INLINE_MAX)),
            run_count=10**9,
            fence=10**9,
            claims=((START_MS, START_MS),) * 2,
            spans=(ClaimSpan(START_MS, 1_000, 10, 10**9, version),) * SPANS_MAX,
            reached_ms=START_MS,
            queued_ms=START_MS,
            running=RunRef(START_MS),
            outcome="cancelled",
            outcome_ms=START_MS,
            counted=255,
            weight_bytes=2 * PAYLOAD_MAX_BYTES,
            hlc="1795252800000000000.65535",
            origin="production",
        )
        names = len("pkskdocrevepochdue_shardnext_runjob_pkjob_skstate")
        others = names + len(documents.partition(*KEY)) + 3 + 3 * 21 + len("default#cancelled") + len(KEY.id)
        assert others + len(documents.encode_state(full)) < 1024


@pytest.mark.emulator
class TestCreation:
    def test_can_be_repeated_and_costs_little(self, endpoint: str) -> None:
        meter = Meter()
        clients = Clients(REGION, endpoint, meter)
        mine = resources_of(f"test-{uuid.uuid4().hex[:8]}", event_bus=f"bus-{uuid.uuid4().hex[:8]}")
        three = [clients.get(service) for service in ("dynamodb", "sqs", "events")]
        urls = create_all(*three, mine)
        meter.reset()
        assert create_all(*three, mine) == urls
        assert sum(meter.calls.values()) <= 6 + len(mine.tables) + len(mine.queues), meter.calls
        assert "CreateTable" not in meter.calls
        delete_tables(three[0], mine)

    def test_makes_what_the_state_says(self, clients: Clients, resources: Any) -> None:
        mine, urls = resources
        dynamodb, sqs = clients.get("dynamodb"), clients.get("sqs")
        for table in mine.tables:
            made = dynamodb.describe_table(TableName=table.name)["Table"]
            assert [k["AttributeName"] for k in made["KeySchema"]] == [table.hash_key.name, table.range_key.name]
            assert made["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
            indexes = {i["IndexName"]: i["Projection"] for i in made.get("GlobalSecondaryIndexes", [])}
            assert {n: p["ProjectionType"] for n, p in indexes.items()} == {i.name: i.projection for i in table.indexes}
            assert made.get("StreamSpecification", {}).get("StreamViewType") == table.stream
            ttl = dynamodb.describe_time_to_live(TableName=table.name)["TimeToLiveDescription"]
            assert ttl["AttributeName"] == table.ttl_attribute
        for queue in mine.queues:
            made = sqs.get_queue_attributes(QueueUrl=urls[queue.logical], AttributeNames=["All"])["Attributes"]
            assert int(made["VisibilityTimeout"]) == queue.visibility_s
            assert int(made["MessageRetentionPeriod"]) == queue.retention_s
            if queue.dead_letter is not None:
                policy = json.loads(made["RedrivePolicy"])
                assert policy["deadLetterTargetArn"].endswith(mine.queue(queue.dead_letter).name)
                assert int(policy["maxReceiveCount"]) == queue.max_receive_count

    def test_two_makers_at_once(self, clients: Clients) -> None:
        from tests.kit.threads import run_together

        mine = resources_of(f"test-{uuid.uuid4().hex[:8]}", event_bus="default")
        three = [clients.get(service) for service in ("dynamodb", "sqs", "events")]
        run_together([lambda: create_all(*three, mine) and None] * 4)
        assert {t.name for t in mine.tables} <= set(three[0].list_tables(Limit=100)["TableNames"])
        delete_tables(three[0], mine)


@pytest.mark.emulator
class TestItems:
    """What lies in the tables beside what the ports can read."""

    def item(self, clients: Clients, table: str, pk: str, sk: str) -> dict[str, Any]:
        answer = clients.get("dynamodb").get_item(TableName=table, Key={"pk": {"S": pk}, "sk": {"S": sk}})
        found: dict[str, Any] = answer.get("Item", {})
        return found

    def test_finished_records_expire_and_open_ones_do_not(self, clients: Clients, resources: Any, key: Key) -> None:
        mine, _ = resources
        store = open_stores(clients.factory("dynamodb"), mine.stage, retention_s=1000).executions
        record = execution(key, START_MS)

        def ttl() -> int | None:
            found = self.item(
                clients,
                mine.table("executions").name,
                documents.partition(*key),
                documents.execution_sk(record.key),
            )
            return int(found["ttl"]["N"]) if "ttl" in found else None

        store.insert([record])
        assert ttl() is None
        failed = replace(record, rev=2, state="failed", finished_ms=START_MS + 7000)
        store.update([(failed, 1)])
        assert ttl() == START_MS // 1000 + 7 + 1000
        store.update([(replace(failed, rev=3, state="pending", finished_ms=None, retry_at_ms=START_MS), 2)])
        assert ttl() is None
        settled = execution(key, START_MS + 1, state="missed", finished_ms=START_MS - 1, created_ms=START_MS)
        record = settled
        store.insert([settled])
        assert ttl() == START_MS // 1000 + 1000

    def test_tombstones_and_snapshots_expire_and_the_rest_does_not(
        self, clients: Clients, resources: Any, key: Key
    ) -> None:
        mine, _ = resources
        store = open_stores(clients.factory("dynamodb"), mine.stage, retention_s=1000).schedules
        made = schedule(key, name="n")
        pk, table = documents.partition(*key), mine.table("schedules").name
        store.create(made)
        assert all("ttl" not in self.item(clients, table, pk, sk) for sk in ("state", "def"))
        gone = made.state.with_version(VersionRef("gone", START_MS + 5000, False), status="deleted")
        snapshot = replace(made.definition, until_ms=START_MS + 5000)
        store.change(ScheduleChange(gone, made.state, None, snapshot, ("anonymous", "n"), None))
        expiry = START_MS // 1000 + 5 + 1000
        assert int(self.item(clients, table, pk, "state")["ttl"]["N"]) == expiry
        assert int(self.item(clients, table, pk, documents.snapshot_sk("v1"))["ttl"]["N"]) == expiry
        assert self.item(clients, table, pk, "def") == {}
        assert self.item(clients, table, documents.name_partition(key.tenant, "anonymous", "n"), "name") == {}

    def test_what_is_written_to_executions_comes_out_of_their_stream(
        self, clients: Clients, resources: Any, key: Key
    ) -> None:
        mine, _ = resources
        store = open_stores(clients.factory("dynamodb"), mine.stage).executions
        record = execution(key, START_MS)
        failed = replace(record, rev=2, state="failed", finished_ms=START_MS + 5)
        assert store.insert([record]) == [True]
        assert store.insert([record]) == [False]
        assert store.update([(failed, 1)]) == [True]
        assert store.update([(failed, 1)]) == [False]
        table = mine.table("executions").name
        arn = clients.get("dynamodb").describe_table(TableName=table)["Table"]["LatestStreamArn"]
        streams = clients.get("dynamodbstreams")
        (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        where = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        position, found = streams.get_shard_iterator(**where)["ShardIterator"], []
        while records := (answer := streams.get_records(ShardIterator=position))["Records"]:
            named = [{**record, "eventSourceARN": arn} for record in records]
            found += [each.placed.written for each in _streamed(named)]
            position = answer["NextShardIterator"]
        assert [w for w in found if w.after.key_of_schedule == key] == [Written(None, record), Written(record, failed)]

    def test_calls_of_an_ordinary_bundle_of_firings(self, endpoint: str, resources: Any, key: Key) -> None:
        """Claim, look, finish: 25 firings in three calls."""
        meter = Meter()
        mine, _ = resources
        stores = open_stores(Clients(REGION, endpoint, meter).factory("dynamodb"), mine.stage)
        stores.schedules.create(schedule(key))
        meter.reset()
        claimed = state(key).claimed_as(ClaimSpan(START_MS, 1_000, 25, 1, "me"), ())
        assert stores.schedules.write_states([(claimed, 1)]) == [True]
        records = [execution(key, START_MS + 1000 * n, rev=0) for n in range(25)]
        assert stores.schedules.epochs([key]) == {key: 1}
        done = [finish(r, AttemptResult("completed"), RetryPolicy(), r.firing_ms, r.firing_ms + 3) for r in records]
        assert all(stores.executions.update([(r, 0) for r in done]))
        assert meter.calls == {"BatchExecuteStatement": 2, "GetItem": 1}

    def test_an_update_of_a_state_leaves_the_lists_index_alone(self) -> None:
        listed = set(resources_of("x").table("schedules").indexes[1].include) | {"list_pk", "list_sk"}
        written = state_update("x", state(KEY), 1).text
        assert not any(f"SET {name}=" in written or f"REMOVE {name}" in written for name in listed)

    def test_an_update_of_an_execution_leaves_the_recent_index_alone(self) -> None:
        store = open_stores(lambda: None, "x").executions
        written = store._replacement(replace(execution(KEY, START_MS), rev=2, state="completed", finished_ms=1), 1).text
        assert "recent" not in written


def _key_schema(keys: Any) -> list[dict[str, str]]:
    return [
        {"KeyType": "HASH", "AttributeName": keys.hash_key.name},
        {"KeyType": "RANGE", "AttributeName": keys.range_key.name},
    ]


def _projection(index: Any) -> dict[str, Any]:
    include = {"NonKeyAttributes": list(index.include)} if index.include else {}
    return {"ProjectionType": index.projection, **include}
