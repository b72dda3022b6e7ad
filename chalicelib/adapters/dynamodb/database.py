"""The calls on DynamoDB that all stores share: batches of reads, and batches of writes that are conditional one by one.

``BatchWriteItem`` knows no conditions and a transaction costs double. A PartiQL batch has neither fault. It takes up to
25 statements in one call, each atomic and conditional by itself, each billed as the plain write that it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct, field

from chalicelib.adapters.aws import clients
from chalicelib.adapters.machine.system import pause, token
from chalicelib.core.batches import chunks
from chalicelib.core.errors import OutcomeUnknown, Unavailable
from chalicelib.ports.sealing import UNSEALED, Sealing

Item = Mapping[str, Mapping[str, Any]]
Value = Mapping[str, Any]

STATEMENTS_MAX: Final = 25  # writes in one batch call
BATCH_GET_MAX: Final = 100  # reads in one batch call

# A lost race, by what DynamoDB calls it in a batch of statements.
_LOST: Final = frozenset({"ConditionalCheckFailed", "DuplicateItem"})


class Statement(Struct, frozen=True):
    """A PartiQL statement and the values of its question marks."""

    text: str
    values: tuple[Value, ...]


class Names(Struct, frozen=True):
    """The tables of one stage."""

    schedules: str
    executions: str
    registry: str
    workflows: str = ""

    @classmethod
    def of_stage(cls, stage: str) -> Names:
        """As ``infra.state`` names them."""
        return cls(
            *(clients.resource_name(stage, part) for part in ("schedules", "executions", "registry", "workflows"))
        )


def text(value: str) -> Value:
    """A string as DynamoDB takes it."""
    return {"S": value}


def number(value: int) -> Value:
    """An integer as DynamoDB takes it."""
    return {"N": str(value)}


def key(pk: str, sk: str) -> dict[str, Value]:
    """A primary key."""
    return {"pk": {"S": pk}, "sk": {"S": sk}}


class _Tally(Struct):
    """What became of a batch of statements so far."""

    answers: list[bool | None]
    unknown: str = ""
    throttled: str = ""
    waiting: list[int] = field(default_factory=list)


class Database:
    """One client, and the names of the tables; safe to share between threads."""

    def __init__(self, client: clients.ClientFactory, names: Names, sealing: Sealing = UNSEALED) -> None:
        """``sealing``: how payloads are stored."""
        self.client = client
        self.names = names
        self.sealing = sealing

    def read(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call a reading operation (``get_item``, ``query``). Raises Unavailable."""
        method = getattr(self.client(), operation)
        answer: dict[str, Any] = clients.read(lambda: method(**arguments))
        return answer

    def write(self, operation: str, **arguments: Any) -> bool:
        """Call a conditional write; False when its condition failed. Raises Unavailable, OutcomeUnknown."""
        method = getattr(self.client(), operation)
        try:
            clients.write(lambda: method(**arguments))
        except Exception as error:
            if clients.code_of(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True

    def write_together(self, items: Sequence[Mapping[str, Any]]) -> bool:
        """Write all of ``items`` in one transaction, or none: False when a condition of one does not hold. Raises
        Unavailable, OutcomeUnknown."""
        client, request = self.client(), token()
        try:
            clients.write_idempotent(
                lambda: client.transact_write_items(TransactItems=items, ClientRequestToken=request)
            )
        except Exception as error:
            if "ConditionalCheckFailed" in clients.reasons_of(error):
                return False
            raise
        return True

    def get_many(self, table: str, keys: Sequence[Mapping[str, Value]], attributes: str = "") -> list[Item]:
        """Items by key, in no order, strongly consistent; ``attributes`` is a projection expression."""
        return [i for some in chunks(keys, BATCH_GET_MAX) for i in self._get_batch(table, some, attributes)]

    def _get_batch(self, table: str, keys: Sequence[Mapping[str, Value]], attributes: str) -> list[Item]:
        wanted = list(keys)
        how: dict[str, Any] = {"ConsistentRead": True}
        if attributes:
            how["ProjectionExpression"] = attributes
        if len(wanted) == 1:  # the check at a lone firing's instant: a plain read answers a fifth sooner than a batch
            item = self.read("get_item", TableName=table, Key=wanted[0], **how).get("Item")
            return [] if item is None else [item]
        found: list[Item] = []
        for attempt in range(clients.ATTEMPTS_MAX):
            if not wanted:
                return found
            answer = self.read("batch_get_item", RequestItems={table: {"Keys": wanted, **how}})
            found += answer.get("Responses", {}).get(table, [])
            left = answer.get("UnprocessedKeys", {}).get(table)
            if not left:
                return found
            # The answer was too large for one call (16 MB), or the table throttles: ask for the rest.
            progressed = len(left["Keys"]) < len(wanted)
            wanted = left["Keys"]
            if not progressed:
                pause(clients.PAUSE_FIRST_MS << attempt)
        raise Unavailable(f"{table}: {len(wanted)} of {len(keys)} items could not be read")

    def execute(self, statements: Sequence[Statement]) -> list[bool]:
        """Run conditional writes; False for each that lost its race.

        Raises Unavailable when nothing was written, OutcomeUnknown when any part may have been.
        """
        answers: list[bool] = []
        for some in chunks(statements, STATEMENTS_MAX):
            try:
                answers += self._execute_batch(some)
            except OutcomeUnknown:
                raise
            except Unavailable as error:
                if any(answers):
                    raise OutcomeUnknown(error.detail) from error
                raise
        return answers

    def _execute_batch(self, statements: Sequence[Statement]) -> list[bool]:
        tally = _Tally(answers=[None] * len(statements), waiting=list(range(len(statements))))
        for attempt in range(clients.ATTEMPTS_MAX):
            if not tally.waiting:
                break
            if attempt:
                pause(clients.PAUSE_FIRST_MS << attempt)
            self._execute_once(statements, tally)
        return _verdict(tally)

    def _execute_once(self, statements: Sequence[Statement], tally: _Tally) -> None:
        places, tally.waiting = tally.waiting, []
        batch = [{"Statement": statements[i].text, "Parameters": statements[i].values} for i in places]
        client = self.client()
        try:
            responses = clients.write(lambda: client.batch_execute_statement(Statements=batch))["Responses"]
        except OutcomeUnknown as error:
            tally.unknown = error.detail
            return
        except Unavailable as error:
            tally.throttled = error.detail
            return
        for place, response in zip(places, responses, strict=True):
            _note(tally, place, response.get("Error"))


def _note(tally: _Tally, place: int, error: Mapping[str, Any] | None) -> None:
    """Enter the answer to one statement."""
    code = error.get("Code", "") if error else ""
    if error is None or code in _LOST:
        tally.answers[place] = error is None
    elif code in clients.THROTTLES:
        tally.throttled = f"{code}: {error.get('Message', '')}"
        tally.waiting.append(place)
    elif code == "InternalServerError":
        tally.unknown = f"{code}: {error.get('Message', '')}"
    elif code in clients.REFUSALS:
        tally.throttled = f"{code}: {error.get('Message', '')}"
    else:
        # About the content of the statement: a fault of this code, not of the moment.
        raise ValueError(f"{code}: {error.get('Message', '')}")


def _verdict(tally: _Tally) -> list[bool]:
    answers = [answer for answer in tally.answers if answer is not None]
    if len(answers) == len(tally.answers):
        return answers
    if tally.unknown or any(answers):
        raise OutcomeUnknown(tally.unknown or tally.throttled)
    raise Unavailable(tally.throttled)
