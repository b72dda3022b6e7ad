"""Payloads sealed by a key of KMS: what lies in the tables and on the dead-letter queue, on the emulator."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from chalicelib.adapters.aws.clients import Clients
from chalicelib.adapters.dynamodb.stores import open_stores
from chalicelib.adapters.secrets.kms_sealing import OPEN_ONLY, KmsSealing
from chalicelib.core.errors import Unavailable
from chalicelib.core.executions.execution import Attempt
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.secrets import envelope
from chalicelib.core.targets import target_answer
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.idempotency import Remembered
from chalicelib.ports.stores.schedules import ScheduleChange, Versioned
from infra.state import State
from tests.kit.records import START_MS, edited, execution, schedule

pytestmark = pytest.mark.emulator

MARKER = "planted-marker"
PAYLOAD = json.dumps({"card": MARKER})


def sealing(clients: Clients, key_id: str) -> KmsSealing:
    return KmsSealing(clients.factory("kms"), key_id, monotonic_s=time.monotonic)


@pytest.fixture(scope="module")
def key_ids(clients: Clients) -> list[str]:
    kms = clients.get("kms")
    return [str(kms.create_key()["KeyMetadata"]["KeyId"]) for _ in range(2)]


@pytest.fixture
def open_with(clients: Clients, resources: tuple[State, dict[str, str]]) -> Callable[[str | None], Stores]:
    mine, _ = resources

    def open_with(key_id: str | None) -> Stores:
        if key_id is None:
            return open_stores(clients.factory("dynamodb"), mine.stage)
        return open_stores(clients.factory("dynamodb"), mine.stage, sealing=sealing(clients, key_id))

    return open_with


def test_no_table_holds_a_payload_and_reading_survives_another_key(
    clients: Clients,
    resources: tuple[State, dict[str, str]],
    open_with: Callable[[str | None], Stores],
    key_ids: list[str],
    key: Key,
) -> None:
    mine, _ = resources
    stores = open_with(key_ids[0])
    made = schedule(key, payload=PAYLOAD)
    stores.schedules.create(made)
    after = edited(made, "v2", START_MS + 1, payload=PAYLOAD)
    snapshot = replace(made.definition, until_ms=START_MS + 1)
    state = replace(after.state, rev=made.state.rev + 1)
    stores.schedules.change(ScheduleChange(state, made.state, after.definition, snapshot, None, None))
    attempt = Attempt(1, 1, START_MS, START_MS, "failed", answer=target_answer.keep({}, PAYLOAD.encode()))
    record = execution(key, START_MS, payload=PAYLOAD, result=PAYLOAD, attempts=(attempt,))
    assert stores.executions.insert([record]) == [True]
    assert stores.executions.update([(replace(record, rev=record.rev + 1), record.rev)]) == [True]
    first = Remembered("hash", "seed", START_MS)
    stores.idempotency.begin(key.tenant, "k", first)
    stores.idempotency.finish(key.tenant, "k", replace(first, answer=PAYLOAD))

    dynamodb = clients.get("dynamodb")
    for table in mine.tables:
        stored = dynamodb.scan(TableName=table.name, ConsistentRead=True)["Items"]
        assert MARKER not in repr(stored), table.logical
        if table.logical == "workflows":
            continue  # runs keep inputs and outputs under the key of the table alone: docs/security.md
        assert stored, "there is something in it to be found"

    for other in (open_with(key_ids[1]), open_with(OPEN_ONLY)):
        assert other.schedules.get([key])[key].definition.payload == PAYLOAD
        assert other.schedules.definitions([key])[key].payload == PAYLOAD
        assert other.schedules.snapshots([Versioned(key, "v1")])[Versioned(key, "v1")].payload == PAYLOAD
        assert [each.payload for each in other.schedules.history(key)] == [PAYLOAD]
        found = other.executions.get([record.key])[record.key]
        assert (found.payload, found.result, found.attempts) == (PAYLOAD, PAYLOAD, (attempt,))
        listed, _ = other.executions.of_schedule(key, 0, START_MS * 2, 10, None)
        assert [(each.payload, each.result) for each in listed] == [(PAYLOAD, PAYLOAD)]
        standing = other.idempotency.begin(key.tenant, "k", replace(first, started_ms=START_MS + 1))
        assert standing is not None
        assert standing.answer == PAYLOAD

    with pytest.raises(Unavailable, match="CHRONO_KMS_KEY_ID"):
        open_with(None).schedules.get([key])


def test_what_was_stored_before_stays_readable(
    open_with: Callable[[str | None], Stores], key_ids: list[str], key: Key
) -> None:
    made = schedule(key, payload=PAYLOAD)
    open_with(None).schedules.create(made)
    assert open_with(key_ids[0]).schedules.get([key])[key] == made


def test_a_key_that_is_not_there_is_unavailable(open_with: Callable[[str | None], Stores], key: Key) -> None:
    with pytest.raises(Unavailable, match="KMS gives no key"):
        open_with("00000000-0000-0000-0000-000000000000").schedules.create(schedule(key, payload=PAYLOAD))


def test_an_envelope_names_its_key(clients: Clients, key_ids: list[str]) -> None:
    sealed = sealing(clients, key_ids[0]).seal("a", "p", PAYLOAD)
    assert key_ids[0] in envelope.parse(sealed).key_id
