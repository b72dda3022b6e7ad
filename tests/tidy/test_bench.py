"""The benches: each is documented, answers in one form, and counts and judges rightly."""

from __future__ import annotations

import http.client
import json
from collections import Counter

import pytest

from bench import arrivals, calls, firing, rate, report, units
from bench.__main__ import BENCHES, SCRIPTS, load
from bench.arrivals import Receiver
from bench.counting_proxy import Ledger, operation_of
from bench.report import Report, Target
from bench.root import ROOT
from infra.state import Index, KeyPart, Table

PAGE = (ROOT / "docs" / "performance.md").read_text()
KEYS = {"bench", "machine", "settings", "results", "targets", "notes", "faults"}
TABLE = Table(
    logical="things",
    name="things",
    hash_key=KeyPart("pk"),
    range_key=KeyPart("sk"),
    indexes=(
        Index("due", KeyPart("shard"), KeyPart("at", "N")),
        Index("named", KeyPart("pk"), KeyPart("name"), include=("tag",)),
    ),
)


@pytest.mark.parametrize("name", [*BENCHES, *SCRIPTS])
def test_every_bench_is_explained(name: str) -> None:
    assert f"\n## `{name}`\n" in PAGE


@pytest.mark.parametrize("name", BENCHES)
def test_every_bench_can_be_run(name: str) -> None:
    assert callable(load(name))


@pytest.mark.parametrize("path", SCRIPTS.values())
def test_every_script_exists(path: str) -> None:
    assert (ROOT / path).is_file()


def test_a_report_is_one_json_object_on_one_line_that_says_what_was_met() -> None:
    made = Report("herd", {"count": 3})
    made.targets = [Target("a", 1.0, 1.0), Target("b", 1.0, 1.1), Target("c", 1.0, None)]
    text = report.line(made.as_json(report.machine()))
    assert "\n" not in text
    read = json.loads(text)
    assert read.keys() == KEYS
    assert [t["met"] for t in read["targets"]] == [True, False, False]
    assert {"cpus", "python", "load_1m"} <= read["machine"].keys()


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(v) for v in range(1, 101)]
    assert [report.percentile(values, p) for p in (50, 95, 99, 100)] == [50.0, 95.0, 99.0, 100.0]
    assert report.percentile([7.0], 99) == 7.0
    assert report.spread([])["p99"] is None


def test_the_receiver_notes_each_arrival_once_and_forgets_what_was_taken() -> None:
    with Receiver() as receiver:
        connection = http.client.HTTPConnection("127.0.0.1", receiver.port, timeout=10)
        for name in ("a-1000", "b-2000", "a-1000"):
            connection.request("POST", "/", json.dumps({"id": name}))
            connection.getresponse().read()
        connection.close()
        noted = receiver.take()
        assert {name: len(times) for name, times in noted.items()} == {"a-1000": 2, "b-2000": 1}
        assert arrivals.doubled(noted) == ["a-1000"]
        assert receiver.take() == {}
    assert arrivals.lateness_ms({"a-1000": [1_003_500_000, 1_001_500_000]}) == {"a-1000": 1.5}


def _execution(at_ms: int, state: str = "completed", attempts: int = 1) -> dict[str, object]:
    return {"firing_time_unix_ms": at_ms, "delivery_state": state, "attempts": [{}] * attempts}


def test_a_firing_that_is_missing_doubled_or_retried_is_a_fault() -> None:
    good = {"s": [_execution(5)]}
    assert firing.judge(good, {"s": 5}, {"s-5": [1]}) == []
    assert firing.judge({}, {"s": 5}, None)
    assert firing.judge({"s": [_execution(5)] * 2}, {"s": 5}, None)
    assert firing.judge({"s": [_execution(6)]}, {"s": 5}, None)
    assert firing.judge({"s": [_execution(5, "failed")]}, {"s": 5}, None)
    assert firing.judge({"s": [_execution(5, attempts=2)]}, {"s": 5}, None)
    assert firing.judge(good, {"s": 5}, {})
    assert firing.judge(good, {"s": 5}, {"s-5": [1, 2]})


def test_a_rate_is_judged_by_its_grid() -> None:
    owed = [0, 1000, 2000]
    assert rate.judge([_execution(at_ms) for at_ms in owed], owed) == []
    assert rate.judge([_execution(0), _execution(1000)], owed) == ["missing: 2000"]
    assert rate.judge([_execution(at_ms) for at_ms in (0, 1000, 1000, 2000)], owed) == ["twice: 1000"]
    assert rate.judge([_execution(at_ms) for at_ms in (0, 1000, 1001, 2000)], owed) == ["not owed: 1001"]


def test_write_units_follow_item_sizes_and_the_rules_of_indexes() -> None:
    def item(**attributes: str | int) -> units.Item:
        kinds = {name: {"N": str(v)} if isinstance(v, int) else {"S": v} for name, v in attributes.items()}
        return {"pk": {"S": "p"}, "sk": {"S": "s"}, **kinds}

    def charged(old: units.Item | None, new: units.Item | None) -> dict[str, int]:
        at = ("p", "s")
        before, after = ({} if i is None else {at: i} for i in (old, new))
        return dict(units.write_units(TABLE, before, after)[0])

    assert charged(None, item(doc="x")) == {"things": 1}
    assert charged(item(doc="x"), item(doc="x")) == {}
    assert charged(item(doc="x"), item(doc="x" * 1100)) == {"things": 2}
    assert charged(item(doc="x" * 1100), None) == {"things": 2}
    assert charged(None, item(shard="1", at=5)) == {"things": 1, "things/due": 1}
    assert charged(item(shard="1", at=5), item(shard="1", at=6)) == {"things": 1, "things/due": 2}
    assert charged(item(shard="1", at=5), item(shard="1", at=5, doc="x")) == {"things": 1}
    assert charged(item(shard="1", at=5), item()) == {"things": 1, "things/due": 1}
    assert charged(item(name="n", tag="a"), item(name="n", tag="b")) == {"things": 1, "things/named": 1}


def test_a_size_is_names_and_values() -> None:
    assert units.size_bytes({"pk": {"S": "abc"}, "n": {"N": "1795252800000"}, "b": {"BOOL": True}}) == 5 + 6 + 2
    assert units.size_bytes({"é": {"S": "é"}, "s": {"SS": ["ab", "c"]}}) == 4 + 4


@pytest.mark.parametrize(
    ("sizes", "consistent", "together", "halves"),
    [([0], True, False, 2), ([4097, 10], True, False, 6), ([100] * 50, False, True, 2), ([], False, True, 1)],
)
def test_read_units_follow_sizes(sizes: list[int], consistent: bool, together: bool, halves: int) -> None:
    assert units.read_halves(sizes, consistent, together) == halves


def test_what_an_idle_deployment_spends_is_kept_apart_from_what_a_firing_costs() -> None:
    idle = Ledger(calls=Counter({("sweep", "Query", "schedules"): 20}))
    sends = ("sweep", "SendMessageBatch", "-")
    spent = Ledger(
        calls=Counter({("sweep", "Query", "schedules"): 20, sends: 30}),
        writes=Counter({("deliver", "BatchExecuteStatement", "executions"): 60}),
    )
    measured = calls.Measured("rate:1s → eventbridge", 30, 10, spent, Ledger(), 1)
    made = Report("calls", {})
    calls._fill(made, idle, 10, [measured])
    fixed = 2 + calls.IDLE_RECEIVES_PER_MINUTE
    assert made.results["each_minute_without_schedules"]["calls"] == fixed
    result = made.results["rate:1s → eventbridge"]
    assert result["each"] == {"calls": 1.0, "write_units": 2.0, "read_units": 0.0}
    assert result["amortised"]["calls"] == round(1 + fixed / calls.SHARED_BY, 3)
    assert result["alone_in_its_deployment"]["calls"] == round(1 + fixed / 3, 3)
    assert list(result["from"]) == ["sweep SendMessageBatch -", "deliver BatchExecuteStatement executions"]
    assert [t.met for t in made.targets] == [True, True, True]


@pytest.mark.parametrize("name", ["X-Amz-Target", "x-amz-target"])
def test_a_call_is_counted_whoever_wrote_its_headers(name: str) -> None:
    assert operation_of("/", {"Host": "there", name: "DynamoDB_20120810.PutItem"}) == "PutItem"
