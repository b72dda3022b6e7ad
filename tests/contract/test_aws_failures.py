"""What the AWS adapters make of throttles, refusals and lost answers: with clients that fail as botocore's do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from chalicelib.adapters.aws import clients
from chalicelib.adapters.aws.work_queue import SqsQueue
from chalicelib.adapters.dynamodb.database import Database, Statement, key, text
from chalicelib.adapters.dynamodb.stores import open_stores
from chalicelib.core.errors import OutcomeUnknown, Unavailable
from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.queue_messages import Run
from chalicelib.core.schedules.schedule import Key
from chalicelib.ports.stores.schedules import ScheduleFilter
from chalicelib.ports.work_queue import Outgoing
from tests.contract.scripted import NAMES, URL, Scripted, refused, responses


def execute(client: Scripted, count: int) -> list[bool]:
    statements = [Statement(f"UPDATE {n}", (text("x"),)) for n in range(count)]
    return Database(lambda: client, NAMES).execute(statements)


class TestReads:
    @pytest.mark.parametrize(
        "passing",
        [
            refused("ThrottlingException"),
            refused("ProvisionedThroughputExceededException"),
            refused("InternalServerError", 500),
            ConnectionClosedError(endpoint_url=URL),
            EndpointConnectionError(endpoint_url=URL),
        ],
    )
    def test_are_repeated_while_they_fail_in_passing(self, passing: Exception) -> None:
        client = Scripted(passing, passing, {"Item": {}})
        assert Database(lambda: client, NAMES).read("get_item") == {"Item": {}}

    def test_end_as_unavailable(self) -> None:
        client = Scripted(*[ConnectionClosedError(endpoint_url=URL)] * clients.ATTEMPTS_MAX, "never")
        with pytest.raises(Unavailable) as raised:
            Database(lambda: client, NAMES).read("get_item")
        assert not isinstance(raised.value, OutcomeUnknown), "a read has no outcome to be unknown"
        assert client.left == 1

    def test_are_repeated_after_one_time_out_but_not_after_two(self) -> None:
        """Each takes five seconds of whoever waits for the answer."""
        timeout = ReadTimeoutError(endpoint_url=URL)
        client = Scripted(timeout, refused("ThrottlingException"), {"Item": {}})
        assert Database(lambda: client, NAMES).read("get_item") == {"Item": {}}
        client = Scripted(timeout, refused("ThrottlingException"), timeout, "never")
        with pytest.raises(Unavailable, match="ReadTimeoutError"):
            Database(lambda: client, NAMES).read("get_item")
        assert client.left == 1

    def test_through_pynamodb_end_as_unavailable_too(self) -> None:
        """A real socket that is refused: pynamodb wraps what botocore raises, which itself stands on the socket's."""
        schedules = open_stores(clients.Clients("eu-central-1", URL).factory("dynamodb"), "test").schedules
        with pytest.raises(Unavailable, match="EndpointConnectionError"):
            schedules.list("default", ScheduleFilter(), 10, None)

    def test_of_what_is_missing_are_not_repeated(self) -> None:
        client = Scripted(refused("ResourceNotFoundException"), "never")
        with pytest.raises(Unavailable):
            Database(lambda: client, NAMES).read("get_item")
        assert client.left == 1

    def test_that_are_wrong_come_out_as_they_are(self) -> None:
        client = Scripted(refused("ValidationException"), "never")
        with pytest.raises(ClientError):
            Database(lambda: client, NAMES).read("query")
        assert client.left == 1

    def test_ask_again_for_keys_that_were_left_out(self) -> None:
        keys = [key("p", str(n)) for n in range(3)]
        client = Scripted(
            {"Responses": {"s": [{"n": 0}]}, "UnprocessedKeys": {"s": {"Keys": keys[1:]}}},
            {"Responses": {}, "UnprocessedKeys": {"s": {"Keys": keys[1:]}}},
            {"Responses": {"s": [{"n": 1}, {"n": 2}]}, "UnprocessedKeys": {}},
        )
        assert Database(lambda: client, NAMES).get_many("s", keys) == [{"n": 0}, {"n": 1}, {"n": 2}]
        assert [len(a["RequestItems"]["s"]["Keys"]) for _, a in client.asked] == [3, 2, 2]

    def test_of_keys_that_are_never_read_end_as_unavailable(self) -> None:
        keys = [key("p", "1"), key("p", "2")]
        client = Scripted(*[{"Responses": {}, "UnprocessedKeys": {"s": {"Keys": keys}}}] * clients.ATTEMPTS_MAX)
        with pytest.raises(Unavailable, match="2 of 2"):
            Database(lambda: client, NAMES).get_many("s", keys)

    def test_of_one_key_are_plain(self) -> None:
        client = Scripted({"Item": {"n": 0}}, {})
        database = Database(lambda: client, NAMES)
        assert [database.get_many("s", [key("p", "1")], "n") for _ in range(2)] == [[{"n": 0}], []]
        wanted = {"TableName": "s", "Key": key("p", "1"), "ConsistentRead": True, "ProjectionExpression": "n"}
        assert client.asked == [("get_item", wanted)] * 2


class TestConsistency:
    """An emulator is consistent whatever it is asked; DynamoDB is only when it is asked to be."""

    def asked(self, call: Callable[[Any], object], answer: dict[str, Any]) -> dict[str, Any]:
        client = Scripted(answer)
        call(open_stores(lambda: client, "x"))
        return client.asked[0][1]

    @pytest.mark.parametrize(
        "read",
        [
            lambda s: s.schedules.states([Key("t", "i"), Key("t", "j")]),
            lambda s: s.schedules.epochs([Key("t", "i"), Key("t", "j")]),
            lambda s: s.schedules.definitions([Key("t", "i"), Key("t", "j")]),
            lambda s: s.schedules.get([Key("t", "i")]),
            lambda s: s.executions.get([ExecutionKey("t", "i", 1), ExecutionKey("t", "i", 2)]),
        ],
    )
    def test_batches_ask_for_it(self, read: Callable[[Any], object]) -> None:
        (wanted,) = self.asked(read, {"Responses": {}})["RequestItems"].values()
        assert wanted["ConsistentRead"] is True

    @pytest.mark.parametrize(
        "read",
        [
            lambda s: s.schedules.states([Key("t", "i")]),
            lambda s: s.schedules.epochs([Key("t", "i")]),
            lambda s: s.schedules.definitions([Key("t", "i")]),
            lambda s: s.executions.get([ExecutionKey("t", "i", 1)]),
            lambda s: s.schedules.history(Key("t", "i")),
            lambda s: s.executions.of_schedule(Key("t", "i"), 0, 1, 1, None),
            lambda s: s.cursors.load("c"),
            lambda s: s.leases.load("t", "l"),
            lambda s: s.leases.list("t", 1, None),
        ],
    )
    def test_single_reads_ask_for_it(self, read: Callable[[Any], object]) -> None:
        assert self.asked(read, {"Items": []})["ConsistentRead"] is True

    @pytest.mark.parametrize(
        "read",
        [
            lambda s: s.schedules.due(1, 1, 1),
            lambda s: s.executions.recent("t", [1], 0, 1, 1, None),
            lambda s: s.executions.open_until(1, 1, 1),
        ],
    )
    def test_indexes_cannot(self, read: Callable[[Any], object]) -> None:
        assert "ConsistentRead" not in self.asked(read, {"Items": []})


class TestWrites:
    @pytest.mark.parametrize(
        "passing",
        [
            refused("ThrottlingException"),
            refused("RequestLimitExceeded"),
            ConnectTimeoutError(endpoint_url=URL),
            EndpointConnectionError(endpoint_url=URL),
        ],
    )
    def test_are_repeated_when_nothing_can_have_happened(self, passing: Exception) -> None:
        client = Scripted(passing, passing, {})
        assert Database(lambda: client, NAMES).write("put_item") is True

    @pytest.mark.parametrize(
        "lost",
        [
            ReadTimeoutError(endpoint_url=URL),
            ConnectionClosedError(endpoint_url=URL),
            refused("InternalServerError", 500),
            refused("ServiceUnavailable", 503),
        ],
    )
    def test_without_an_answer_are_never_repeated(self, lost: Exception) -> None:
        """A repeat would meet its own first try and call a race lost that was won."""
        client = Scripted(lost, "never")
        with pytest.raises(OutcomeUnknown):
            Database(lambda: client, NAMES).write("put_item")
        assert client.left == 1

    def test_that_stay_throttled_are_unavailable(self) -> None:
        client = Scripted(*[refused("ThrottlingException")] * clients.ATTEMPTS_MAX)
        with pytest.raises(Unavailable) as raised:
            Database(lambda: client, NAMES).write("put_item")
        assert not isinstance(raised.value, OutcomeUnknown)

    def test_whose_condition_fails_are_false(self) -> None:
        client = Scripted(refused("ConditionalCheckFailedException"))
        assert Database(lambda: client, NAMES).write("put_item") is False

    def test_with_a_token_are_repeated_also_without_an_answer(self) -> None:
        answers: list[Any] = [ReadTimeoutError(endpoint_url=URL), refused("TransactionInProgressException"), "done"]
        client = Scripted(*answers)
        assert clients.write_idempotent(lambda: client.transact_write_items()) == "done"

    def test_with_a_token_that_at_last_are_throttled_stay_unknown(self) -> None:
        client = Scripted(ReadTimeoutError(endpoint_url=URL), *[refused("ThrottlingException")] * clients.ATTEMPTS_MAX)
        with pytest.raises(OutcomeUnknown):
            clients.write_idempotent(lambda: client.transact_write_items())

    def test_a_transaction_that_met_another_is_repeated(self) -> None:
        busy = refused(
            "TransactionCanceledException", CancellationReasons=[{"Code": "None"}, {"Code": "TransactionConflict"}]
        )
        client = Scripted(busy, busy, "done")
        assert clients.write_idempotent(lambda: client.transact_write_items()) == "done"

    def test_a_transaction_whose_condition_failed_is_not_repeated(self) -> None:
        reasons = [{"Code": "ConditionalCheckFailed"}, {"Code": "TransactionConflict"}]
        client = Scripted(refused("TransactionCanceledException", CancellationReasons=reasons), "never")
        with pytest.raises(ClientError) as raised:
            clients.write_idempotent(lambda: client.transact_write_items())
        assert clients.reasons_of(raised.value) == ["ConditionalCheckFailed", "TransactionConflict"]
        assert client.left == 1


class TestBatchesOfStatements:
    def test_lost_races_are_false(self) -> None:
        client = Scripted(responses(None, "ConditionalCheckFailed", "DuplicateItem", None))
        assert execute(client, 4) == [True, False, False, True]

    @pytest.mark.parametrize(
        "code",
        ["ThrottlingError", "ProvisionedThroughputExceeded", "RequestLimitExceeded", "TransactionConflict"],
    )
    def test_only_throttled_statements_are_repeated(self, code: str) -> None:
        client = Scripted(responses(None, code, "ConditionalCheckFailed", code), responses(code, None), responses(None))
        assert execute(client, 4) == [True, True, False, True]
        sent = [[s["Statement"] for s in arguments["Statements"]] for _, arguments in client.asked]
        assert sent == [[f"UPDATE {n}" for n in range(4)], ["UPDATE 1", "UPDATE 3"], ["UPDATE 1"]]

    def test_all_throttled_is_unavailable(self) -> None:
        client = Scripted(*[responses("ThrottlingError", "ThrottlingError")] * clients.ATTEMPTS_MAX)
        with pytest.raises(Unavailable) as raised:
            execute(client, 2)
        assert not isinstance(raised.value, OutcomeUnknown), "nothing was written"

    def test_lost_and_throttled_is_unavailable(self) -> None:
        client = Scripted(responses("DuplicateItem", "ThrottlingError"), *[responses("ThrottlingError")] * 9)
        with pytest.raises(Unavailable) as raised:
            execute(client, 2)
        assert not isinstance(raised.value, OutcomeUnknown), "nothing was written"

    def test_written_and_throttled_is_unknown(self) -> None:
        client = Scripted(responses(None, "ThrottlingError"), *[responses("ThrottlingError")] * 9)
        with pytest.raises(OutcomeUnknown):
            execute(client, 2)

    def test_a_statement_without_an_outcome_is_unknown_and_not_repeated(self) -> None:
        client = Scripted(responses("DuplicateItem", "InternalServerError"), "never")
        with pytest.raises(OutcomeUnknown):
            execute(client, 2)
        assert client.left == 1

    def test_a_call_without_an_answer_is_unknown(self) -> None:
        client = Scripted(ReadTimeoutError(endpoint_url=URL), "never")
        with pytest.raises(OutcomeUnknown):
            execute(client, 2)
        assert client.left == 1

    def test_a_call_that_is_throttled_whole_is_unavailable(self) -> None:
        client = Scripted(*[refused("ThrottlingException")] * clients.ATTEMPTS_MAX)
        with pytest.raises(Unavailable) as raised:
            execute(client, 2)
        assert not isinstance(raised.value, OutcomeUnknown)

    def test_a_second_call_that_fails_after_a_part_was_written_is_unknown(self) -> None:
        client = Scripted(responses(None, "ThrottlingError"), *[EndpointConnectionError(endpoint_url=URL)] * 9)
        with pytest.raises(OutcomeUnknown):
            execute(client, 2)

    def test_a_fault_of_the_statement_is_no_race(self) -> None:
        with pytest.raises(ValueError, match="ValidationError"):
            execute(Scripted(responses("ValidationError")), 1)


class TestSending:
    def send(self, client: Scripted, count: int) -> None:
        messages = [Outgoing(Run(ExecutionKey("t", "i", n), 1, n), 0) for n in range(count)]
        SqsQueue(lambda: client, "work", "dead").send(messages)

    def failed(self, *ids: int, sender: bool = True, code: str = "Throttled") -> dict[str, Any]:
        return {"Failed": [{"Id": str(n), "SenderFault": sender, "Code": code} for n in ids]}

    def sent(self, client: Scripted) -> Sequence[list[str]]:
        return [[e["Id"] for e in arguments["Entries"]] for _, arguments in client.asked]

    def test_refused_entries_are_sent_once_more(self) -> None:
        client = Scripted(self.failed(1, 2), {})
        self.send(client, 3)
        assert self.sent(client) == [["0", "1", "2"], ["1", "2"]]

    def test_none_taken_is_unavailable(self) -> None:
        client = Scripted(self.failed(0, 1), self.failed(0, 1))
        with pytest.raises(Unavailable) as raised:
            self.send(client, 2)
        assert not isinstance(raised.value, OutcomeUnknown)

    @pytest.mark.parametrize("second", [(0,), (1,), (0, 1)])
    def test_some_taken_is_unknown(self, second: tuple[int, ...]) -> None:
        client = Scripted(self.failed(0, 1), self.failed(*second))
        with pytest.raises(OutcomeUnknown):
            self.send(client, 3)

    def test_none_taken_at_first_and_some_later_is_unknown(self) -> None:
        client = Scripted(self.failed(0, 1), self.failed(1))
        with pytest.raises(OutcomeUnknown):
            self.send(client, 2)

    def test_a_fault_of_the_service_may_have_been_taken(self) -> None:
        fault = self.failed(0, sender=False, code="InternalError")
        with pytest.raises(OutcomeUnknown):
            self.send(Scripted(fault, fault), 1)

    def test_a_second_call_that_cannot_be_made_after_some_were_taken_is_unknown(self) -> None:
        client = Scripted(self.failed(1), *[EndpointConnectionError(endpoint_url=URL)] * clients.ATTEMPTS_MAX)
        with pytest.raises(OutcomeUnknown):
            self.send(client, 2)

    def test_a_second_call_that_cannot_be_made_after_none_were_taken_is_unavailable(self) -> None:
        client = Scripted(self.failed(0, 1), *[EndpointConnectionError(endpoint_url=URL)] * clients.ATTEMPTS_MAX)
        with pytest.raises(Unavailable) as raised:
            self.send(client, 2)
        assert not isinstance(raised.value, OutcomeUnknown)

    def test_no_answer_is_unknown(self) -> None:
        with pytest.raises(OutcomeUnknown):
            self.send(Scripted(ReadTimeoutError(endpoint_url=URL)), 1)


class TestARealClient:
    """The same with sockets: nothing listens, or something listens and never answers."""

    def clients(self, endpoint_url: str) -> clients.Clients:
        return clients.Clients("us-east-1", endpoint_url)

    def test_nothing_listens(self) -> None:
        database = Database(self.clients(URL).factory("dynamodb"), NAMES)
        with pytest.raises(Unavailable) as raised:
            database.execute([Statement("UPDATE", ())])
        assert not isinstance(raised.value, OutcomeUnknown)
        with pytest.raises(Unavailable) as raised:
            database.write("put_item", TableName="s", Item=key("p", "s"))
        assert not isinstance(raised.value, OutcomeUnknown)

    def test_something_listens_and_never_answers(self) -> None:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as server:
            clients = self.clients(f"http://127.0.0.1:{server.getsockname()[1]}")
            client = clients.get("dynamodb", read_timeout_s=0.2)
            database = Database(lambda: client, NAMES)
            with pytest.raises(OutcomeUnknown):
                database.execute([Statement("UPDATE", ())])
            client_read = clients.get("dynamodb", read_timeout_s=0.05)
            with pytest.raises(Unavailable) as raised:
                Database(lambda: client_read, NAMES).read("get_item", TableName="s", Key=key("p", "s"))
            assert not isinstance(raised.value, OutcomeUnknown)
            client.close()
            client_read.close()
