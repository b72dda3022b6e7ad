"""What the schedules of DynamoDB make of torn reads, and of releases that fail on their way."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.adapters.aws import clients
from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.capacity_counters import CapacityCounters, CreationMark, MarkedMove
from chalicelib.adapters.dynamodb.database import Database, key, number, text
from chalicelib.adapters.dynamodb.schedules import RELEASED_TOGETHER, DynamoScheduleStore
from chalicelib.core.errors import OutcomeUnknown, Unavailable
from chalicelib.core.schedules.capacity import Limits
from chalicelib.core.schedules.schedule import Key, State, VersionRef
from chalicelib.ports.stores.schedules import CapacityFull
from tests.contract.scripted import NAMES, Scripted, refused
from tests.kit.records import definition, state


class TestTornReads:
    """State and definition of one schedule are read together but not isolated from a change that comes between."""

    KEY = Key("t", "I" * 26)

    def store(self, client: Scripted) -> DynamoScheduleStore:
        return DynamoScheduleStore(Database(lambda: client, NAMES))

    def items(self, state_version: str | None, definition_version: str | None) -> dict[str, Any]:
        found: list[Any] = []
        pk = documents.partition(*self.KEY)
        if state_version is not None:
            stored = state(self.KEY, versions=(VersionRef(state_version, 1, True),))
            found.append({**key(pk, "state"), "doc": text(documents.encode_state(stored))})
        if definition_version is not None:
            doc = documents.encode_definition(definition(self.KEY, version=definition_version))
            found.append({**key(pk, "def"), "doc": text(doc), "payload": text("null")})
        return {"Responses": {"s": found}}

    def test_are_repeated_until_both_belong_together(self) -> None:
        client = Scripted(self.items("v1", "v2"), self.items("v2", None), self.items("v2", "v2"))
        found = self.store(client).get([self.KEY])
        assert found[self.KEY].definition.version == found[self.KEY].state.current.id == "v2"

    def test_that_never_end_are_unavailable(self) -> None:
        client = Scripted(*[self.items("v1", "v2")] * 20)
        with pytest.raises(Unavailable, match="faster"):
            self.store(client).get([self.KEY])

    def test_a_definition_without_a_state_is_no_schedule_yet(self) -> None:
        client = Scripted(self.items(None, "v1"), "never")
        assert self.store(client).get([self.KEY]) == {}
        assert client.left == 1


FULL = refused("ConditionalCheckFailedException")


class TestCapacity:
    """A creation under a limit, of which other counters have a part."""

    MOVE = MarkedMove(0, CreationMark("t", "I" * 26, "v", 0, 10))

    def items(self, elsewhere: int) -> dict[str, Any]:
        return {"Items": [{**key("#capacity", "003"), "jobs": number(elsewhere), "weight": number(0)}]}

    def most(self, asked: dict[str, Any]) -> int:
        return int(asked["ExpressionAttributeValues"][":most_jobs"]["N"])

    def test_a_reading_made_before_does_for_the_write(self) -> None:
        client = Scripted(self.items(4), {})
        counters = CapacityCounters(Database(lambda: client, NAMES))
        counters.used()
        counters.begin(self.MOVE, Limits(10, None))
        assert [operation for operation, _ in client.asked] == ["query", "update_item"]
        assert self.most(client.asked[1][1]) == 5, "ten but for four elsewhere and itself"

    def test_a_refusal_by_it_reads_anew(self) -> None:
        client = Scripted(self.items(10), self.items(4), {})
        counters = CapacityCounters(Database(lambda: client, NAMES))
        counters.used()
        counters.begin(self.MOVE, Limits(10, None))
        assert self.most(client.asked[2][1]) == 5, "what counts elsewhere has become less"

    def test_a_refusal_of_the_write_reads_anew(self) -> None:
        no_marks: dict[str, Any] = {"Items": []}
        client = Scripted(self.items(4), FULL, no_marks, self.items(2), {})
        counters = CapacityCounters(Database(lambda: client, NAMES))
        counters.used()
        counters.begin(self.MOVE, Limits(10, None))
        assert self.most(client.asked[4][1]) == 7

    def test_is_full_by_a_new_reading(self) -> None:
        no_marks: dict[str, Any] = {"Items": []}
        client = Scripted(self.items(4), FULL, no_marks, self.items(4), FULL, no_marks)
        counters = CapacityCounters(Database(lambda: client, NAMES))
        counters.used()
        with pytest.raises(CapacityFull):
            counters.begin(self.MOVE, Limits(10, None))
        assert client.left == 0


LOST = refused("TransactionCanceledException", CancellationReasons=[{"Code": "ConditionalCheckFailed"}])
THROTTLED = [refused("ThrottlingException")] * clients.ATTEMPTS_MAX


class TestReleases:
    def spent(self, count: int) -> list[State]:
        return [state(Key("t", f"{n:026d}"), counted=1 + n % 2, weight_bytes=10) for n in range(count)]

    def release(self, client: Scripted, count: int) -> list[bool]:
        return list(DynamoScheduleStore(Database(lambda: client, NAMES)).release(self.spent(count)))

    def test_of_many_share_transactions_and_counters(self) -> None:
        client = Scripted({}, {})
        assert self.release(client, RELEASED_TOGETHER + 1) == [True] * (RELEASED_TOGETHER + 1)
        sizes = [len(arguments["TransactItems"]) for _, arguments in client.asked]
        assert sizes == [RELEASED_TOGETHER + 2, 2], "states, and one update a counter"

    def test_of_several_that_lose_are_tried_one_by_one(self) -> None:
        client = Scripted(LOST, {}, LOST, {})
        assert self.release(client, 3) == [True, False, True]
        assert client.left == 0

    def test_of_one_that_loses_is_not_tried_again(self) -> None:
        client = Scripted(LOST, "never")
        assert self.release(client, 1) == [False]
        assert client.left == 1

    def test_that_cannot_begin_are_unavailable(self) -> None:
        with pytest.raises(Unavailable) as raised:
            self.release(Scripted(*THROTTLED), 2)
        assert not isinstance(raised.value, OutcomeUnknown)

    def test_that_fail_on_their_way_are_unknown(self) -> None:
        with pytest.raises(OutcomeUnknown):
            self.release(Scripted(LOST, {}, *THROTTLED), 3)
