"""``scripts/cost``: what a million firings cost on AWS, from counted calls and units and a dated list of prices.

Counted is what ``scripts/bench calls`` counts on the wire: units, requests, events, invocations, and how long they wait
in virtual time. ``bench/data/counted.json`` keeps the last count, so that the table can be printed in a moment.
``--count`` counts anew. ``--write`` then keeps the count, and puts the table into docs/performance.md.

Prices and assumptions are in ``bench/data/prices.json``, each with its source or its reason.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from argparse import Namespace
from collections.abc import Mapping
from typing import Any, NamedTuple

from bench.calls import HERD
from bench.report import table
from bench.root import ROOT
from chalicelib.core.changes.limits import HOLD_POLL_MS

PRICES = ROOT / "bench" / "data" / "prices.json"
COUNTED = ROOT / "bench" / "data" / "counted.json"
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- scripts/cost -->\n", "<!-- end of scripts/cost -->\n"
MILLION = 1_000_000
DAY_S = 86_400
MONTH_MINUTES = 30 * 24 * 60
GB = 1 << 30
# Kinds of scripts/bench calls. A one-shot is created for each firing; the others once for very many.
ONE_SHOT = "AT"
COLUMNS = ("DynamoDB", "SQS", "Lambda", "events", "API", "storage", "sum")

Json = dict[str, Any]


class Dollars(NamedTuple):
    """Of a million of something, by service."""

    dynamodb: float
    sqs: float
    function: float
    events: float
    api: float = 0.0
    storage: float = 0.0

    @property
    def total(self) -> float:
        return sum(self)

    def plus(self, other: Dollars) -> Dollars:
        """Both together."""
        return Dollars(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Tariff:
    """Prices and assumptions by name."""

    def __init__(self, listed: Mapping[str, Any], memory_mb: Mapping[str, int]) -> None:
        self._prices = {name: float(entry["usd"]) for name, entry in listed["prices"].items()}
        self._assumed = {name: float(entry["value"]) for name, entry in listed["assumed"].items()}
        self._memory_mb = memory_mb
        self.dated = str(listed["dated"])
        self.region = str(listed["region"])

    def price(self, name: str) -> float:
        """Dollars. Raises KeyError."""
        return self._prices[name]

    def assumed(self, name: str) -> float:
        """A number that is not counted. Raises KeyError."""
        return self._assumed[name]

    def running(self, function: str, ms: float, memory_mb: float | None = None) -> float:
        """Dollars of a million times ``ms`` of a function."""
        mb = memory_mb or self._memory_mb[function]
        return mb / 1024 * ms / 1000 * self.price("lambda_gb_s") * MILLION

    def firing(self, billed: Mapping[str, float], stored_bytes: float, shared_by: float) -> Dollars:
        """A million firings. ``shared_by`` firings' messages share an invocation, its receive and its delete."""
        calls_ms = billed["aws_calls"] * self.assumed("aws_call_ms") + self.assumed("cpu_ms_a_firing")
        invocations = billed["invocations"] / shared_by
        by_lambda = 2 * (billed["invocations"] - invocations)  # a receive and a delete each
        feed = self.assumed("feed_records_a_firing") / self.assumed("feed_batch")
        return Dollars(
            dynamodb=self._units(billed),
            sqs=(billed["sqs_requests"] - by_lambda) * self.price("sqs_requests_million"),
            function=(invocations + feed) * self.price("lambda_requests_million")
            + self.running("deliver", billed["waited_ms"] / shared_by + calls_ms)
            + self.running("feed", feed * self.assumed("feed_ms_a_batch")),
            events=billed["events"] * self.price("eventbridge_events_million"),
            storage=self.month(stored_bytes),
        )

    def creating(self, billed: Mapping[str, float], stored_bytes: float) -> Dollars:
        """A million creations through the REST API; what they store is kept for a month."""
        return Dollars(
            dynamodb=self._units(billed),
            sqs=billed["sqs_requests"] * self.price("sqs_requests_million"),
            function=self.price("lambda_requests_million") + self.running("api", self.assumed("api_call_ms")),
            events=0.0,
            api=self.price("apigateway_rest_requests_million"),
            storage=self.month(stored_bytes),
        )

    def month(self, stored_bytes: float) -> float:
        """A million times so many bytes, kept for a month."""
        return stored_bytes * MILLION / GB * self.price("dynamodb_gb_month")

    def _units(self, billed: Mapping[str, float]) -> float:
        return billed["write_units"] * self.price("dynamodb_write_units_million") + billed["read_units"] * self.price(
            "dynamodb_read_units_million"
        )

    def idle_month(self, each_minute: Mapping[str, float]) -> Dollars:
        """A deployment that does nothing, a month: the minute rule, idle polls, leases of shards."""
        ms = each_minute["aws_calls"] * self.assumed("aws_call_ms")
        minutes = MONTH_MINUTES / MILLION
        return Dollars(
            dynamodb=self._units(each_minute) * minutes,
            sqs=each_minute["sqs_requests"] * self.price("sqs_requests_million") * minutes,
            function=(2 * self.price("lambda_requests_million") + self.running("sweep", ms)) * minutes,
            events=0.0,
        )

    def subscriber_day(self) -> dict[str, float]:
        """Dollars of one idle console for a day, by the way it hears of changes."""
        held_s = self.assumed("held_s")
        calls = DAY_S / held_s / MILLION
        requests = calls * (self.price("apigateway_rest_requests_million") + self.price("lambda_requests_million"))

        looks = held_s * 1000 / HOLD_POLL_MS * self.assumed("poll_read_units")
        reads = looks * self.price("dynamodb_read_units_million")

        def polled(every_s: float) -> float:
            polls = DAY_S / every_s / MILLION
            each = (
                self.price("apigateway_rest_requests_million")
                + self.price("lambda_requests_million")
                + self.running("api", self.assumed("poll_ms"))
                + self.assumed("poll_read_units") * self.price("dynamodb_read_units_million")
            )
            return polls * each

        return {
            f"calls held for {held_s:.0f} s by the function subscribe": requests
            + calls * (self.running("subscribe", held_s * 1000) + reads),
            f"a poll every {self.assumed('fast_poll_s'):.0f} s": polled(self.assumed("fast_poll_s")),
            f"a poll every {self.assumed('slow_poll_s'):.0f} s": polled(self.assumed("slow_poll_s")),
        }


def tariff() -> Tariff:
    """Today's list, and the memory of the functions as they are packaged."""
    packaged = json.loads((ROOT / ".chalice" / "config.json").read_text())
    memory = {"api": packaged["lambda_memory_size"]}
    memory |= {name: each["lambda_memory_size"] for name, each in packaged["lambda_functions"].items()}
    return Tariff(json.loads(PRICES.read_text()), memory)


def text(prices: Tariff, counted: Mapping[str, Any]) -> str:
    """The tables, as they stand in docs/performance.md."""
    batch = prices.assumed("messages_an_invocation")
    alone: list[list[object]] = []
    fleet: list[list[object]] = []
    for kind, found in counted["kinds"].items():
        once = kind.startswith(ONE_SHOT)
        making = prices.creating(found["billed_creating"], found["stored_bytes"]["schedule"])
        for rows, shared_by in ((alone, 1.0), (fleet, batch)):
            cost = prices.firing(found["billed"], found["stored_bytes"]["execution"], shared_by)
            rows.append(_row(f"{kind}, created and fired" if once else kind, cost.plus(making) if once else cost))
    scheduler = prices.price("eventbridge_scheduler_million")
    fleet.append(["EventBridge Scheduler, its target not counted", *[None] * 6, f"{scheduler:.2f}"])
    idle = prices.idle_month(counted["each_minute"])
    recurring = next(found for kind, found in counted["kinds"].items() if not kind.startswith(ONE_SHOT))
    stored = recurring["stored_bytes"]["schedule"]
    other: list[list[object]] = [
        ["a million idle schedules, a month", f"{prices.month(stored):.2f}"],
        [
            "a million creations of a recurring schedule",
            f"{prices.creating(recurring['billed_creating'], 0).total:.2f}",
        ],
        ["an idle deployment, a month", f"{idle.total:.2f}"],
    ]
    console: list[list[object]] = [[name, f"{usd:.4f}"] for name, usd in prices.subscriber_day().items()]
    counted_on = f"counted {counted['dated']}, prices of {prices.dated}, {prices.region}, without free tiers"
    return "\n".join(
        [
            table([f"$ a million firings, in a fleet ({batch:.0f} messages an invocation)", *COLUMNS], fleet),
            table(["$ a million firings, each kind alone in its deployment", *COLUMNS], alone),
            table(["$ other", "sum"], other),
            table(["$ an idle console subscriber, a day", "sum"], console),
            counted_on,
        ]
    )


def _row(what: str, cost: Dollars) -> list[object]:
    return [what, *(f"{usd:.2f}" for usd in cost), f"{cost.total:.2f}"]


def counted_from(results: Mapping[str, Any], dated: str) -> Json:
    """What is kept of a run of ``scripts/bench calls``."""
    kept = ("billed", "billed_creating", "stored_bytes")
    return {
        "dated": dated,
        "each_minute": results["each_minute_without_schedules"]["billed"],
        "kinds": {
            kind: {name: found[name] for name in kept}
            for kind, found in results.items()
            if "billed_creating" in found and not kind.endswith(HERD)  # a fleet's sharing is an assumption here
        },
    }


def moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Which counted numbers differ by more than a twentieth."""
    found: list[str] = []
    for kind, numbers in after["kinds"].items():
        known = before["kinds"].get(kind)
        if known is None:
            found.append(f"{kind}: was not counted before")
            continue
        for group, each in numbers.items():
            for name, value in each.items():
                was = known[group].get(name, 0)
                if abs(value - was) > max(abs(was), abs(value)) / 20:
                    found.append(f"{kind}: {group} {name}: {was} before, {value} now")
    return found


def written(page: str, fresh: str) -> str:
    """The page with the tables in their place. Raises ValueError when the page has no place for them."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/performance.md has no place between {BEGIN.strip()} and {END.strip()}")
    return f"{head}{BEGIN}\n```text\n{fresh}\n```\n\n{END}{tail}"


def main(arguments: list[str]) -> int:
    """Print the tables; 1 when a fresh count differs from the kept one and is not kept."""
    parser = argparse.ArgumentParser(prog="scripts/cost", description="What a million firings cost on AWS.")
    parser.add_argument("--count", action="store_true", help="count the calls anew: two minutes, with the emulator")
    parser.add_argument("--write", action="store_true", help="keep the count, and put the tables into the docs")
    options = parser.parse_args(arguments)
    counted = json.loads(COUNTED.read_text()) if COUNTED.exists() else None
    differs: list[str] = []
    if options.count or counted is None:
        fresh = _count()
        differs = moved(counted, fresh) if counted is not None else []
        counted = fresh
    found = text(tariff(), counted)
    print(found)
    for line in differs:
        print(f"moved: {line}")
    if options.write:
        COUNTED.write_text(json.dumps(counted, indent=1, ensure_ascii=False) + "\n")
        PAGE.write_text(written(PAGE.read_text(), found))
    return 1 if differs and not options.write else 0


def _count() -> Json:
    from bench import calls

    report = calls.run(Namespace(count=None))
    return counted_from(report.results, time.strftime("%Y-%m-%d", time.gmtime()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
