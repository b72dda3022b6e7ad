"""``scripts/cost``: dollars are counted units times listed prices, and docs/performance.md shows them."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from bench import cost, units
from bench.cost import COUNTED, PAGE, PRICES, Tariff
from infra.state import Index, KeyPart, Table

LISTED = json.loads(PRICES.read_text())
KEPT = json.loads(COUNTED.read_text())
NOTHING = {
    "write_units": 0.0,
    "read_units": 0.0,
    "sqs_requests": 0.0,
    "aws_calls": 0.0,
    "events": 0.0,
    "invocations": 0.0,
    "waited_ms": 0.0,
}


def tariff(**prices: float) -> Tariff:
    """Everything is free but this."""
    free = {name: {"usd": prices.get(name, 0.0)} for name in LISTED["prices"]}
    return Tariff({**LISTED, "prices": free}, {"api": 1024, "deliver": 1024, "feed": 256, "sweep": 1024})


def test_docs_show_what_the_script_prints() -> None:
    page = PAGE.read_text()
    assert cost.written(page, cost.text(cost.tariff(), KEPT)) == page, "run scripts/cost --write"


def test_the_count_has_every_kind_that_calls_counts_and_the_price_list_names_its_sources() -> None:
    assert {kind.split()[0] for kind in KEPT["kinds"]} == {"rate:1s", "hourly", "AT", "DELAY"}
    assert all(entry["usd"] > 0 and entry["source"] for entry in LISTED["prices"].values())
    assert all(entry["why"] for entry in LISTED["assumed"].values())
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", LISTED["dated"])


@pytest.mark.parametrize(
    ("price", "billed", "dollars"),
    [
        ("dynamodb_write_units_million", {"write_units": 3.0}, 3.0),
        ("dynamodb_read_units_million", {"read_units": 4.0}, 4.0),
        ("sqs_requests_million", {"sqs_requests": 2.0}, 2.0),
        ("eventbridge_events_million", {"events": 1.0}, 1.0),
        ("lambda_gb_s", {"waited_ms": 1_000.0}, 1e6 * (1.0 + 0.002 + 0.25 * 0.0004)),
    ],
)
def test_each_unit_costs_its_price(price: str, billed: dict[str, float], dollars: float) -> None:
    assert tariff(**{price: 1.0}).firing(NOTHING | billed, 0, 1.0).total == pytest.approx(dollars)


def test_a_fleet_shares_what_an_invocation_costs_and_nothing_else() -> None:
    billed = NOTHING | {"invocations": 1.0, "sqs_requests": 3.0, "write_units": 2.0, "waited_ms": 1_000.0}
    prices = cost.tariff()
    alone, fleet = (prices.firing(billed, 0, shared_by) for shared_by in (1.0, 10.0))
    assert fleet.dynamodb == alone.dynamodb
    assert alone.sqs == pytest.approx(3 * 0.4)
    assert fleet.sqs == pytest.approx(1.2 * 0.4)
    assert alone.function - fleet.function == pytest.approx(0.9 * (0.2 + 13.3334))


def test_storage_is_billed_by_the_gigabyte_and_month() -> None:
    assert tariff(dynamodb_gb_month=0.25).month(1_073.741824) == pytest.approx(0.25)
    table = Table("t", "t", KeyPart("pk"), KeyPart("sk"), (Index("i", KeyPart("a"), KeyPart("b")),))
    plain: units.Item = {"pk": {"S": "p"}, "sk": {"S": "s"}}
    listed: units.Item = {**plain, "a": {"S": "1"}, "b": {"S": "2"}, "doc": {"S": "xxxx"}}
    assert units.stored_bytes(table, {("p", "s"): plain}) == 6 + 100
    assert units.stored_bytes(table, {("p", "s"): listed}) == (6 + 4 + 7 + 100) + (6 + 4 + 100)


def test_a_fresh_count_that_differs_is_named() -> None:
    def counted(units_: float) -> dict[str, Any]:
        return {"kinds": {"k": {"billed": {"write_units": units_}}}}

    assert cost.moved(counted(3.0), counted(3.1)) == []
    assert cost.moved(counted(3.0), counted(2.0)) == ["k: billed write_units: 3.0 before, 2.0 now"]
    assert cost.moved({"kinds": {}}, counted(1.0)) == ["k: was not counted before"]


def test_a_page_without_a_place_for_the_tables_is_refused() -> None:
    with pytest.raises(ValueError, match="no place"):
        cost.written("# Page\n", "x")


def test_consoles_that_are_held_cost_what_their_memory_and_their_reads_cost() -> None:
    held, fast, slow = cost.tariff().subscriber_day().values()
    assert 0.12 < held < 0.25, "128 MB through a day are 0.14, and a read each half second 0.02"
    assert fast > slow > 0
