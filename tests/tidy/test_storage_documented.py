"""docs/storage.md says what ``infra.state`` and the models of the tables say: a row for all, and no other row."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable

from chalicelib.adapters.dynamodb.tables import ExecutionItem, RegistryItem, ScheduleItem, WorkflowItem
from infra.state import KeyPart, state
from tests.tidy.sources import ROOT

PAGE = (ROOT / "docs" / "storage.md").read_text()
STATE = state("x")
MODELS = {
    "schedules": ScheduleItem,
    "executions": ExecutionItem,
    "registry": RegistryItem,
    "workflows": WorkflowItem,
}
DAY_S = 86_400


def rows(first: str) -> list[dict[str, str]]:
    """The rows of the table whose first column has this heading, by heading."""
    (found,) = re.findall(rf"^\| {re.escape(first)} \|.*\n\|[ -|]*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    (head,) = re.findall(rf"^\| {re.escape(first)} \|.*", PAGE, re.MULTILINE)
    return [dict(zip(cells(head), cells(line), strict=True)) for line in found.splitlines()]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().removeprefix("|").removesuffix("|").split("|")]


def codes(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def keys(parts: Iterable[KeyPart]) -> str:
    return ", ".join(f"`{part.name}` {part.type}" for part in parts)


def listed(names: Iterable[str], otherwise: str) -> str:
    return " ".join(f"`{name}`" for name in names) or otherwise


def test_every_table_has_its_row() -> None:
    assert rows("table | keys") == [
        {
            "table": f"`{table.logical}`",
            "keys": keys((table.hash_key, table.range_key)),
            "indexes": listed((index.name for index in table.indexes), "none"),
            "expires by": f"`{table.ttl_attribute}`",
            "stream": (table.stream or "none").lower().replace("_", " "),
        }
        for table in STATE.tables
    ]


def test_every_index_has_its_row() -> None:
    described = [
        (row["index"], row["keys"], row["projection"], bool(row["holds"] and row["written"] and row["buys"]))
        for row in rows("index")
    ]
    assert described == [
        (
            f"`{table.logical}/{index.name}`",
            keys((index.hash_key, index.range_key)),
            listed(index.include, "keys"),
            True,
        )
        for table in STATE.tables
        for index in table.indexes
    ]


def test_every_attribute_is_one_of_an_item() -> None:
    named = defaultdict[str, set[str]](set)
    indexes = {table.logical: {index.name for index in table.indexes} for table in STATE.tables}
    for row in rows("table | item"):
        (table,) = codes(row["table"])
        attributes = {code for code in codes(row["further attributes"]) if code not in indexes[table]}
        named[table] |= attributes | {code for code in codes(row["expires"]) if code.islower()}
        expires = "ttl" in codes(row["further attributes"]) or "ttl" in codes(row["expires"])
        assert expires is (re.search("_RETENTION_S` after", row["expires"]) is not None), row
    assert named == {
        logical: {attribute.attr_name for attribute in model.get_attributes().values()} - {"pk", "sk"}
        for logical, model in MODELS.items()
    }


def test_every_queue_has_its_row() -> None:
    described = [
        (row["queue"], row["visibility"].split(",")[0], row["kept"], row["after ten receives"]) for row in rows("queue")
    ]
    assert sorted(described) == sorted(
        (
            f"`{queue.logical}`",
            f"{queue.visibility_s} s",
            f"{queue.retention_s // DAY_S} days",
            f"to `{queue.dead_letter}`" if queue.dead_letter else "",
        )
        for queue in STATE.queues
    )
    assert {queue.max_receive_count for queue in STATE.queues if queue.dead_letter} == {10}


def test_every_rule_has_its_row_and_the_bus_its_name() -> None:
    assert [(row["rule"], row["when"], row["calls"]) for row in rows("rule")] == [
        (f"`{rule.logical}`", f"`{rule.schedule}`", listed(rule.workers, "")) for rule in STATE.rules
    ]
    assert f"the templates make `{STATE.event_bus}`" in PAGE
