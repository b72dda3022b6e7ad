"""Every sentence of ``LogStore``, on every adapter."""

from __future__ import annotations

from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.schedules.schedule import Key
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.logs import LogLine
from tests.kit.records import START_MS


class TestLogs:
    def line(self, number: int, message: str = "x") -> LogLine:
        return LogLine(number, START_MS + number, "info", message)

    def test_lines_come_back_in_order_and_in_pages(self, stores: Stores, key: Key) -> None:
        at = ExecutionKey(key.tenant, key.id, START_MS)
        assert stores.logs.last(at) == 0
        assert stores.logs.page(at, 10, 0) == ([], None)
        lines = [self.line(n, f'"{n}" \u00e4\n') for n in (3, 1, 12, 2)]
        assert [stores.logs.append(at, line) for line in lines] == [True] * 4
        ordered = sorted(lines, key=lambda line: line.number)
        assert stores.logs.last(at) == 12
        assert stores.logs.page(at, 10, 0) == (ordered, None)
        assert stores.logs.page(at, 3, 0) == (ordered[:3], 3)
        assert stores.logs.page(at, 3, 3) == (ordered[3:], None)
        assert stores.logs.page(at, 4, 0) == (ordered, None)

    def test_a_number_is_given_once(self, stores: Stores, key: Key) -> None:
        at = ExecutionKey(key.tenant, key.id, START_MS)
        assert stores.logs.append(at, self.line(1, "first"))
        assert not stores.logs.append(at, self.line(1, "second"))
        assert stores.logs.page(at, 10, 0)[0] == [self.line(1, "first")]

    def test_executions_are_apart(self, stores: Stores, key: Key) -> None:
        at = ExecutionKey(key.tenant, key.id, START_MS)
        stores.logs.append(at, self.line(1))
        for other in (at._replace(manual=True), at._replace(firing_ms=START_MS + 1), at._replace(tenant="t")):
            assert stores.logs.last(other) == 0

    def test_lines_are_no_executions(self, stores: Stores, key: Key) -> None:
        stores.logs.append(ExecutionKey(key.tenant, key.id, START_MS), self.line(1))
        assert stores.executions.of_schedule(key, 0, START_MS * 2, 10, None) == ([], None)
