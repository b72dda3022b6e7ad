"""Starts the emulator with what it leaves out.

- Stream records of PartiQL writes, which is how executions are written.
- Queries that cost what their page costs, as DynamoDB's do: it sorts a whole partition for each.
- Another server of HTTP: ``ministack_server``. The calls that we make most are short: ``ministack_calls``.
- Functions run by the Python that they are for, and APIs made of definitions: ``ministack_lambdas``, ``_gateway``.
- What ``ministack_statements`` spares it: parsing texts anew, and copying by a way that serves any object.
- Queues that find messages without a walk through all of them, and wait for them: ``ministack_queues``.
- Reads of streams that wait for records: ``ministack_streams``. Items expire without a walk: ``ministack_expiry``.

Runs in the emulator's own environment, by path: it imports nothing else of ours. Should another release of the
emulator have other insides, it starts as it is, and says so in its log.

When its standard input is a pipe, the pipe's end stops it as SIGTERM does: its parent is gone.
"""

from __future__ import annotations

import copy
import importlib.util
import logging
import os
import re
import signal
import stat
import threading
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

SAVE_MOST_S = 60  # as localdev/emulator.py waits
RETENTION_S = 120  # the emulator keeps records in memory; the reader comes every two seconds
COUNTED_MOST = 1000  # members of an index of keys that lie on one page for certain: it has a megabyte
SORTED_FROM = 16  # members of a partition that is worth an order of its own

log = logging.getLogger("ministack_extended")


# -- streams


def add_streams(dynamodb: Any) -> None:
    """Let INSERT and UPDATE statements write stream records. Raises AttributeError when the emulator is another."""
    insert, update, emit = dynamodb._partiql_insert, dynamodb._partiql_update, dynamodb._emit_stream_event
    dynamodb._partiql_insert = _streaming(dynamodb, insert, emit)
    dynamodb._partiql_update = _streaming(dynamodb, update, emit)
    dynamodb._STREAM_RETENTION_SECONDS = RETENTION_S


def _streaming(dynamodb: Any, write: Callable[..., Any], emit: Callable[..., None]) -> Callable[..., Any]:
    def streaming(table: dict[str, Any], parsed: dict[str, Any], *more: Any) -> Any:
        if not (table.get("StreamSpecification") or {}).get("StreamEnabled"):
            return write(table, parsed, *more)
        before = _stored(dynamodb, table, parsed)
        answer = write(table, parsed, *more)
        if answer[0] == 200:
            after = _stored(dynamodb, table, parsed)
            emit(table["TableName"], "INSERT" if before is None else "MODIFY", before, after)
        return answer

    return streaming


def _stored(dynamodb: Any, table: dict[str, Any], parsed: dict[str, Any]) -> Any:
    """The item that a statement names, as it lies in the table."""
    if parsed["op"] == "INSERT":
        item = parsed.get("item", {})
        item = item["M"] if set(item) == {"M"} else item
        pk, sk = (dynamodb._extract_key_val(item.get(table[name])) for name in ("pk_name", "sk_name"))
    else:
        pk, sk, _, wrong = dynamodb._partiql_key_target(table, parsed)
        if wrong:
            return None
    found = table["items"].get(pk, {}).get(sk)
    return None if found is None else dict(found)  # a stored item's values are replaced and never changed


# -- sorted partitions

Place = tuple[Any, ...]  # where a member lies: its sort key, and in an index the table's keys

# What our stores and pynamodb write; any other condition is answered as the emulator would.
_CONDITION = re.compile(
    r"\(?\s*(?P<hash>[#\w]+)\s*=\s*(?P<of>:\w+)"
    r"(?:\s+AND\s+(?:"
    r"(?P<sort>[#\w]+)\s*(?P<op><=|<|>=|>|=)\s*(?P<bound>:\w+)"
    r"|(?P<between>[#\w]+)\s+BETWEEN\s+(?P<low>:\w+)\s+AND\s+(?P<high>:\w+)"
    r"|begins_with\s*\(\s*(?P<begins>[#\w]+)\s*,\s*(?P<prefix>:\w+)\s*\)"
    r"))?\s*\)?",
    re.IGNORECASE,
)
_COUNTING = frozenset(
    {"TableName", "IndexName", "KeyConditionExpression", "ExpressionAttributeValues", "Select", "Limit"}
)
_LISTING = frozenset(
    {"TableName", "IndexName", "KeyConditionExpression", "ExpressionAttributeValues", "ScanIndexForward", "Limit"}
)
_writing = threading.RLock()  # the emulator expires items in a thread of its own


class _Sorted(dict[Any, Any]):
    """The members of a partition, in order. While it has a ``window``, readers are shown those members only."""

    def __init__(self, members: dict[Any, Any], place: Callable[[Any, Any], Place]) -> None:
        super().__init__(members)
        self.window: list[Any] | None = None
        self._place = place
        self._places = {key: place(key, value) for key, value in members.items()}
        self.order = sorted((place, key) for key, place in self._places.items())

    def __setitem__(self, key: Any, value: Any) -> None:
        with _writing:
            super().__setitem__(key, value)
            self._leave(key)
            place = self._places[key] = self._place(key, value)
            insort(self.order, (place, key))

    def __delitem__(self, key: Any) -> None:
        with _writing:
            super().__delitem__(key)
            self._leave(key)

    def pop(self, key: Any, *default: Any) -> Any:
        """As of any dict."""
        with _writing:
            self._leave(key)
            return super().pop(key, *default)

    def _leave(self, key: Any) -> None:
        place = self._places.pop(key, None)
        if place is not None:
            del self.order[bisect_left(self.order, (place, key))]

    def __iter__(self) -> Iterator[Any]:
        return super().__iter__() if self.window is None else iter(self.window)

    def values(self) -> Any:
        """Of all members, or of those in the window."""
        return super().values() if self.window is None else [self[key] for key in self.window if key in self]

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        return copy.deepcopy(dict(self.items()), memo)


def add_sorted_partitions(dynamodb: Any) -> None:
    """Let queries read their page and not the partition. Raises AttributeError when the emulator is another."""
    query, evaluate = dynamodb._query, dynamodb._evaluate_condition
    trusted: list[str] = []  # while a page is read: the condition that all of its members meet, once one was judged
    taken: set[tuple[Any, ...]] = set()  # shapes of queries that the emulator found nothing wrong with
    for name in (
        "_tables",
        "_index_members",
        "_index_def",
        "_index_key_lists",
        "_index_order_keys",
        "_sort_key_value",
        "json_response",
    ):
        getattr(dynamodb, name)

    def query_in_order(data: dict[str, Any]) -> Any:
        with _writing:
            shape = _shape(data)
            if shape not in taken:
                answer = query(data)
                if answer[0] == 200:
                    taken.add(shape)
                return answer
            found = _page(dynamodb, data)
            if found is None:
                return query(data)
            partition, shown = found
            if _only_counts(dynamodb, data, len(shown)):
                return dynamodb.json_response({"Count": len(shown), "ScannedCount": len(shown)})
            if (keys := _page_of_keys(dynamodb, data, shown)) is not None:
                return dynamodb.json_response(keys)
            if partition is None:
                return query(data)
            partition.window = shown
            condition = data["KeyConditionExpression"]

            def evaluate_once(expression: Any, *more: Any, **named: Any) -> Any:
                if expression != condition or named.get("slot") != "KeyConditionExpression":
                    return evaluate(expression, *more, **named)
                if not trusted:
                    trusted.append(condition)
                    return evaluate(expression, *more, **named)
                return True

            dynamodb._evaluate_condition = evaluate_once
            try:
                return query(data)
            finally:
                partition.window = None
                dynamodb._evaluate_condition = evaluate
                trusted.clear()

    dynamodb._query = query_in_order


def _shape(data: dict[str, Any]) -> tuple[Any, ...]:
    """What of a query can be wrong: all but the values, of which it has the types."""
    types = [(name, *value) for name, value in (data.get("ExpressionAttributeValues") or {}).items()]
    names = (data.get("ExpressionAttributeNames") or {}).items()
    return data.get("TableName"), data.get("IndexName"), data.get("KeyConditionExpression"), *names, *types


def _page(dynamodb: Any, data: dict[str, Any]) -> tuple[_Sorted | None, list[Any]] | None:
    """The partition that a query asks for, None while it is small, and those of its members that its page can be made
    of. None: the query is not one of ours, or the emulator is as quick."""
    table = dynamodb._tables.get(data.get("TableName"))
    condition = _CONDITION.fullmatch(data.get("KeyConditionExpression") or "")
    if not table or not condition:
        return None
    index = dynamodb._index_def(table, data["IndexName"]) if data.get("IndexName") else None
    hashes, sorts = dynamodb._index_key_lists(index) if index else ([table["pk_name"]], [table["sk_name"]])
    if len(hashes) != 1 or len(sorts) != 1 or sorts[0] is None or _name(data, condition["hash"]) != hashes[0]:
        return None
    order_keys = dynamodb._index_order_keys(table, sorts if index else sorts[0])

    def place_of(item: Any) -> Place:
        return tuple(dynamodb._index_order_value(item, name, kind) for name, kind in order_keys)

    partition, order = _partition(dynamodb, data, table, condition, place_of)
    if order is None:
        return None
    bounds = _bounds(dynamodb, data, condition, order, order_keys[0])
    start, limit = data.get("ExclusiveStartKey"), data.get("Limit")
    if bounds is None or not isinstance(start, dict | None) or not isinstance(limit, int | None):
        return None
    low, high = bounds
    if data.get("ScanIndexForward", True):
        if start is not None:
            low = max(low, bisect_right(order, place_of(start), key=_place_in))
        if limit is not None:
            high = min(high, low + limit)
    else:
        if start is not None:
            high = min(high, bisect_left(order, place_of(start), key=_place_in))
        if limit is not None:
            low = max(low, high - limit)
    return partition, [key for _, key in order[low:high]]


def _only_counts(dynamodb: Any, data: dict[str, Any], count: int) -> bool:
    """Whether a query asks for nothing but how many members there are, of an index of keys whose page is not full."""
    index = dynamodb._index_def(dynamodb._tables[data["TableName"]], data.get("IndexName"))
    return (
        data.get("Select") == "COUNT"
        and data.keys() <= _COUNTING
        and index is not None
        and index["Projection"].get("ProjectionType") == "KEYS_ONLY"
        and count < min(data.get("Limit") or COUNTED_MOST, COUNTED_MOST)
    )


def _page_of_keys(dynamodb: Any, data: dict[str, Any], shown: list[Any]) -> dict[str, Any] | None:
    """The answer to a query that asks for the first page of an index of keys, and for nothing else."""
    table, limit = dynamodb._tables[data["TableName"]], data.get("Limit")
    index = dynamodb._index_def(table, data.get("IndexName"))
    if (
        not data.keys() <= _LISTING
        or index is None
        or index["Projection"].get("ProjectionType") != "KEYS_ONLY"
        or len(shown) >= COUNTED_MOST
        or (limit is not None and limit < 1)
    ):
        return None
    hashes, sorts = dynamodb._index_key_lists(index)
    names = dict.fromkeys((table["pk_name"], table["sk_name"], *hashes, *sorts))
    items = [table["items"][pk][sk] for pk, sk in shown if sk in table["items"].get(pk, ())]
    if not data.get("ScanIndexForward", True):
        items.reverse()
    keys = [{name: item[name] for name in names} for item in items]
    answer = {"Items": keys, "Count": len(keys), "ScannedCount": len(keys)}
    return {**answer, "LastEvaluatedKey": keys[-1]} if keys and len(keys) == limit else answer


def _partition(
    dynamodb: Any,
    data: dict[str, Any],
    table: dict[str, Any],
    condition: re.Match[str],
    place_of: Callable[[Any], Place],
) -> tuple[_Sorted | None, list[Any] | None]:
    """The partition, sorted from now on if it is large, and its order. That of a small one is made for this query, if
    it may be all that it takes."""
    items, index_name = table["items"], data.get("IndexName")
    partitions = dynamodb._index_members(table).get(index_name) if index_name else items
    value = dynamodb._extract_key_val((data.get("ExpressionAttributeValues") or {}).get(condition["of"]))
    found = (partitions or {}).get(value) or {}
    if isinstance(found, _Sorted):
        return found, found.order
    if len(found) < SORTED_FROM:
        if not index_name or not (data.keys() <= _COUNTING or data.keys() <= _LISTING):
            return None, None
        return None, sorted((place_of(items[pk][sk]), (pk, sk)) for pk, sk in found)
    if index_name:
        partitions[value] = _Sorted(found, lambda key, _: place_of(items[key[0]][key[1]]))
    else:
        partitions[value] = _Sorted(found, lambda _, item: place_of(item))
    return partitions[value], partitions[value].order


def _bounds(
    dynamodb: Any, data: dict[str, Any], condition: re.Match[str], order: list[Any], sort_key: tuple[str, str]
) -> tuple[int, int] | None:
    """From where to where the members lie that meet the condition on the sort key."""
    named = condition["sort"] or condition["between"] or condition["begins"]
    if named is None:
        return 0, len(order)
    name, kind = sort_key
    if _name(data, named) != name:
        return None

    def at(placeholder: str, after: bool, more: str = "") -> int:
        value = dynamodb._sort_key_value(data["ExpressionAttributeValues"].get(placeholder), kind)
        return (bisect_right if after else bisect_left)(order, value + more if more else value, key=_sort_key_in)

    if condition["between"]:
        return at(condition["low"], False), at(condition["high"], True)
    if condition["begins"]:
        return (at(condition["prefix"], False), at(condition["prefix"], True, chr(0x10FFFF))) if kind == "S" else None
    op, bound = condition["op"], condition["bound"]
    low = at(bound, op == ">") if op in (">", ">=", "=") else 0
    return low, at(bound, op != "<") if op in ("<", "<=", "=") else len(order)


def _name(data: dict[str, Any], reference: str) -> Any:
    return (data.get("ExpressionAttributeNames") or {}).get(reference, reference)


def _place_in(entry: tuple[Place, Any]) -> Place:
    return entry[0]


def _sort_key_in(entry: tuple[Place, Any]) -> Any:
    return entry[0][0]


# -- the end


def _stop_at_eof() -> None:
    # Not through sys.stdin: a thread that holds its lock makes the interpreter abort at its end.
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Timer(SAVE_MOST_S, os._exit, (1,)).start()


def main() -> None:
    """Start it."""
    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=_stop_at_eof, daemon=True).start()
    import hypercorn.asyncio
    from ministack import app
    from ministack.core import lambda_runtime, responses
    from ministack.services import apigateway_v1, dynamodb, dynamodb_streams, lambda_svc, sqs

    leave: list[Callable[[], None]] = []
    hold = _beside("ministack_streams").hold_reads
    _add(lambda service: leave.append(hold(service, dynamodb_streams)), dynamodb)  # before what writes more records
    calls, served = _beside("ministack_calls"), dict[str, Any]()
    _add(lambda module: served.update(http=calls.protocol(calls.Services(module, responses))), app)
    serve = _beside("ministack_server").serve
    hypercorn.asyncio.serve = partial(serve, leave=lambda: [each() for each in leave], **served)
    spare = _beside("ministack_statements")
    for add in (spare.remember_statements, spare.remember_expressions, spare.copy_quickly):
        _add(add, dynamodb)
    for add in (add_streams, add_sorted_partitions, _beside("ministack_expiry").expire_by_hours):
        _add(add, dynamodb)
    queues = _beside("ministack_queues")
    for add in (queues.find_messages, queues.wake_when_sent):
        _add(add, sqs)
    find = _beside("interpreters").find
    _add(partial(_beside("ministack_lambdas").run_by_runtime, find=find), lambda_runtime)
    _add(_beside("ministack_lambdas").keep_no_log_of_deleted, lambda_svc)
    _add(_beside("ministack_gateway").take_definitions, apigateway_v1)
    app.main()


def _beside(name: str) -> Any:
    """A module that lies beside this one. The directory itself is on no path: it holds names of other packages."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _add(add: Callable[[Any], None], service: Any) -> None:
    try:
        add(service)
    except AttributeError:
        log.exception("this release of the emulator is not known: %s could not be done", add)


if __name__ == "__main__":
    main()
