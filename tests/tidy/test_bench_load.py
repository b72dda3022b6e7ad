"""``scripts/bench load`` and the copies that ``cpu`` and ``jobs`` make: what they decide."""

from __future__ import annotations

import http.client
import json
from argparse import Namespace

import pytest

from bench import copies, crowd, load
from bench.__main__ import PARTS, SYSTEMS, _parser, main
from bench.arrivals import Receiver
from bench.copies import Original
from bench.cpu import PARTS as CPU_PARTS
from bench.crowd import Crowd
from bench.postgres import PARTS as POSTGRES_PARTS
from bench.postgres import SYSTEMS as POSTGRES_SYSTEMS
from bench.report import Report
from bench.workflows import PARTS as WORKFLOW_PARTS
from chalicelib.core.ulid import derived


def held(count: int, late_ms: float = 1.0, missing: int = 0) -> Crowd:
    return Crowd("x", count, 100, [late_ms] * 100, missing, [], {"worker": 0.3, "machine": 0.5})


def climb(broken_from: int, rates: tuple[int, ...], hold_broken_from: int) -> tuple[Report, list[tuple[int, int]]]:
    """A climb of a system that breaks at these rates; and the steps it took."""
    report, asked = Report("load", {}), list[tuple[int, int]]()

    def fire(count: int, seconds: int) -> Crowd:
        asked.append((count, seconds))
        limit = hold_broken_from if seconds == 60 else broken_from
        return held(count, 2_000.0 if count >= limit else 1.0)

    load._climb(report, "someone", fire, rates, 60)
    return report, asked


def test_it_climbs_until_a_step_breaks_and_holds_the_one_before() -> None:
    report, asked = climb(300, (100, 200, 300, 400), 1_000)
    assert asked == [(100, 10), (200, 10), (300, 10), (200, 60)]
    assert report.results["someone"]["held_per_s"] == 200


def test_what_a_probe_passed_and_cannot_be_held_is_tried_lower() -> None:
    report, asked = climb(300, (200, 300), 150)
    assert asked[2:] == [(200, 60), (160, 60), (128, 60)]
    assert report.results["someone"]["held_per_s"] == 128


def test_where_the_first_step_breaks_nothing_is_held() -> None:
    report, asked = climb(50, (50, 100), 50)
    assert asked == [(50, 10)]
    assert report.results["someone"]["held_per_s"] == 0


def test_where_nothing_breaks_the_report_says_so() -> None:
    report, _ = climb(1_000, (100,), 1_000)
    assert any("nothing broke" in note for note in report.notes)
    for broken_from, hold_broken_from in ((100, 1_000), (1_000, 100)):
        report, _ = climb(broken_from, (100,), hold_broken_from)
        assert not any("nothing broke" in note for note in report.notes)


@pytest.mark.parametrize(("late_ms", "missing", "expected"), [(999, 0, True), (1_001, 0, False), (1, 1, False)])
def test_late_or_missing_breaks_a_step(late_ms: float, missing: int, expected: bool) -> None:
    assert load.is_held(held(10, late_ms, missing)) is expected
    assert not load.is_held(Crowd("x", 1, 1, [], 1, [], {}))


def test_the_bottleneck_is_named_by_processor_time() -> None:
    assert load.bottleneck({"worker": 0.97, "emulator": 0.4}).startswith("service (worker), 97 %")
    assert load.bottleneck({"worker": 0.5, "emulator": 0.9}).startswith("emulator, 90 %")
    assert load.bottleneck({"worker": 0.3, "emulator": 0.2, "machine": 0.6}).startswith("none: service (worker)")
    full = {"worker": 0.7, "emulator": 0.6, "machine": float(load.CORES)}
    assert load.bottleneck(full).startswith("the machine")


def test_the_sample_has_the_first_and_the_last() -> None:
    assert load.sample(1) == [0]
    assert load.sample(3) == [0, 1, 2]
    assert (load.sample(400)[0], load.sample(400)[-1], len(load.sample(400))) == (0, 399, load.SAMPLE)


def test_a_ledger_answers_each_owed_instant_and_agrees_with_what_arrived() -> None:
    lines = [{"firing_unix_ms": 1, "outcome": "completed"}, {"firing_unix_ms": 2, "outcome": "lost"}]
    assert crowd.judge_lines(lines[:1], [1], {1}) == []
    assert crowd.judge_lines(lines, [1], {1}) == ["not owed: 2"]
    assert crowd.judge_lines(lines, [1, 2, 3], {1}) == ["2: lost", "3: missing"]
    assert crowd.judge_lines(lines[:1], [1], set()) == ["1: completed, and it did not arrive"]


def test_what_an_overload_sheds_is_right_when_the_ledger_says_so() -> None:
    shed = [{"firing_unix_ms": 1, "outcome": "skipped"}]
    assert crowd.judge_lines(shed, [1], set()) == []
    assert crowd.judge_lines(shed, [1], {1}) == ["1: skipped, and it arrived"]


def test_what_came_again_must_bear_a_higher_token() -> None:
    assert crowd.judge_tokens({"a": [7, 9], "b": [1, 2, 3]}) == []
    for tokens in ([9, 9], [9, 7], [1, 3, 2], [1, 3, 1]):
        assert crowd.judge_tokens({"a": [7, 9], "b": tokens}) == [f"arrived under the tokens {tokens}: b"]


def test_the_receiver_says_under_which_tokens_something_came_again() -> None:
    with Receiver() as receiver:
        for name, token in (("s-1", 1), ("s-2", 2), ("s-1", 3)):
            connection = http.client.HTTPConnection("127.0.0.1", receiver.port)
            connection.request("POST", "/", json.dumps({"id": name, "fencingtoken": token}))
            assert connection.getresponse().status == 200
            connection.close()
        assert {name: len(times) for name, times in receiver.take().items()} == {"s-1": 2, "s-2": 1}
        assert receiver.tokens() == {"s-1": [1, 3]}


def test_copies_differ_from_their_original_in_the_id_alone() -> None:
    old = "01M000000000000000000000AA"
    original = Original(old, {"t": [{"pk": {"S": f"default#{old}"}, "doc": {"S": "x"}}]})
    [batch] = copies.batches(lambda _: original, [1, 2])
    items = [put["PutRequest"]["Item"] for put in batch["t"]]
    assert [item["pk"]["S"] for item in items] == [f"default#{derived(old, n)}" for n in (1, 2)]
    assert {item["doc"]["S"] for item in items} == {"x"}
    assert [len(b["t"]) for b in copies.batches(lambda _: original, range(60))] == [25, 25, 10]


def test_parts_rates_and_the_hold_can_be_chosen() -> None:
    options: Namespace = _parser().parse_args(["load", "--rates", "5,9", "--hold", "3"])
    assert (options.rates, options.hold) == ((5, 9), 3)
    assert _parser().parse_args(["cpu", "--part", "idle", "--part", "reads"]).part == ["idle", "reads"]
    assert _parser().parse_args(["load", "--only", "celery"]).only == ["celery"]
    assert PARTS == {"cpu": CPU_PARTS, "workflows": WORKFLOW_PARTS, "postgres": POSTGRES_PARTS}
    assert SYSTEMS == {"load": load.SYSTEMS, "postgres": POSTGRES_SYSTEMS}
    assert main(["load", "--part", "idle"]) == 2, "it has no parts"
    assert main(["postgres", "--only", "celery"]) == 2, "it is no peer of that bench"
