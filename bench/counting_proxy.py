"""A proxy before the emulator that counts the AWS calls passing through and what DynamoDB would charge for them.

Counting on the wire leaves nothing out, whatever the product uses to make its calls.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Any

from bench import forwarding, units
from bench.forwarding import Answer
from bench.units import Items
from infra.state import State, Table

WRITES = frozenset(
    {"PutItem", "UpdateItem", "DeleteItem", "BatchExecuteStatement", "ExecuteStatement", "TransactWriteItems"}
)


@dataclass(slots=True)
class Ledger:
    """Calls by (phase, operation, tables), write units and half read units by (phase, operation, place).

    ``events`` that PutEvents took, and ``waited_ms`` of virtual time that invocations lasted, have no place.
    """

    calls: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    writes: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    read_halves: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    events: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    waited_ms: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def copy(self) -> Ledger:
        return Ledger(*(Counter(each) for each in self.counters()))

    def counters(self) -> tuple[Counter[tuple[str, str, str]], ...]:
        """All of them, in the order of the fields."""
        return self.calls, self.writes, self.read_halves, self.events, self.waited_ms

    def plus(self, other: Ledger) -> Ledger:
        """Both together."""
        pairs = zip(self.counters(), other.counters(), strict=True)
        return Ledger(*(Counter({key: a[key] + b[key] for key in a.keys() | b.keys()}) for a, b in pairs))

    def since(self, before: Ledger) -> Ledger:
        """What was added after ``before``."""
        pairs = zip(self.counters(), before.counters(), strict=True)
        return Ledger(*(mine - theirs for mine, theirs in pairs))


class CountingProxy:
    """Listens on loopback, forwards to the emulator, one call at a time; use it as a context."""

    def __init__(self, emulator_port: int, state: State, scan: Callable[[Table], Items]) -> None:
        """``scan`` reads a whole table past the proxy."""
        self.ledger = Ledger()
        self.phase = "start"
        self._emulator_port = emulator_port
        self._tables = {table.name: table for table in state.tables}
        self._scan = scan
        self._mirror: dict[str, Items] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), forwarding.handler(self.forward))
        self._server.daemon_threads = True

    def __enter__(self) -> CountingProxy:
        self._mirror = {name: self._scan(table) for name, table in self._tables.items()}
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def count(self, operation: str, place: str, calls: int = 1) -> None:
        """Enter calls that others make on the product's behalf."""
        self.ledger.calls[self.phase, operation, place] += calls

    def waited(self, ms: int) -> None:
        """Enter how long an invocation lasted in virtual time."""
        self.ledger.waited_ms[self.phase, "invocation", ""] += ms

    def stored_bytes(self) -> Counter[str]:
        """What each table and its indexes hold now, as DynamoDB bills storage: each item and each entry with 100 bytes
        more than its own."""
        found: Counter[str] = Counter()
        for name, table in self._tables.items():
            found[table.logical] += units.stored_bytes(table, self._mirror[name])
        return found

    def forget(self, table: Table, delete: Callable[[dict[str, Any]], object]) -> None:
        """Empty a table past the proxy, uncounted."""
        with self._lock:
            for pk, sk in self._mirror[table.name]:
                delete({"pk": {"S": pk}, "sk": {"S": sk}})
            self._mirror[table.name] = self._scan(table)

    def forward(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Pass one call on, and count it."""
        operation = operation_of(path, headers)
        if not operation:
            raise RuntimeError(f"a call that cannot be counted: {path} names no operation")
        with self._lock:
            status, answered, answer = forwarding.pass_on(f"127.0.0.1:{self._emulator_port}", path, headers, body)
            self._enter(operation, body, answer)
        return status, answered, answer

    def _enter(self, operation: str, body: bytes, answer: bytes) -> None:
        text = body.decode()
        named = [table for name, table in self._tables.items() if f'"{name}"' in text or f'\\"{name}\\"' in text]
        places = "+".join(table.logical for table in named) or "-"
        self.ledger.calls[self.phase, operation, places] += 1
        if operation == "PutEvents":
            self.ledger.events[self.phase, operation, ""] += len(json.loads(text)["Entries"])
        if operation in WRITES:
            self._enter_writes(operation, json.loads(text), named)
        elif named:
            self._enter_reads(operation, json.loads(text), json.loads(answer), named[0])

    def _enter_writes(self, operation: str, request: Mapping[str, Any], named: list[Table]) -> None:
        factor = 2 if operation == "TransactWriteItems" else 1
        asked = len(request.get("Statements") or request.get("TransactItems") or [None])
        changed = 0
        for table in named:
            after = self._scan(table)
            charged, count = units.write_units(table, self._mirror[table.name], after)
            self._mirror[table.name] = after
            changed += count
            for place, amount in charged.items():
                self.ledger.writes[self.phase, operation, place] += amount * factor
        if changed < asked:  # a condition that fails is charged like the write it refused
            self.ledger.writes[self.phase, f"{operation} refused", "-"] += (asked - changed) * factor

    def _enter_reads(self, operation: str, request: Mapping[str, Any], answer: Mapping[str, Any], table: Table) -> None:
        stored = self._mirror[table.name]
        place, charged = table.logical, 0
        if operation == "GetItem":
            charged = units.read_halves(
                [_stored_size(stored, request["Key"])], bool(request.get("ConsistentRead")), False
            )
        elif operation == "BatchGetItem":
            wanted = request["RequestItems"][table.name]
            sizes = [_stored_size(stored, key) for key in wanted["Keys"]]
            charged = units.read_halves(sizes, bool(wanted.get("ConsistentRead")), False)
        elif operation == "Query":
            # The product's queries that read an index ask for keys only: what comes back is what the index holds.
            place += f"/{request['IndexName']}" if "IndexName" in request else ""
            sizes = [units.size_bytes(item) for item in answer.get("Items", [])]
            charged = units.read_halves(sizes, bool(request.get("ConsistentRead")), True)
        self.ledger.read_halves[self.phase, operation, place] += charged


def operation_of(path: str, headers: Mapping[str, str]) -> str:
    """What a call asks for. Clients write the name of the header as they like: botocore one way, we another."""
    target = next((value for name, value in headers.items() if name.lower() == "x-amz-target"), path)
    return target.rpartition(".")[2]


def _stored_size(stored: Items, key: Mapping[str, Mapping[str, Any]]) -> int:
    item = stored.get((key["pk"]["S"], key["sk"]["S"]))
    return 0 if item is None else units.size_bytes(item)
