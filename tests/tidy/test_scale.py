"""``scripts/simulate-load``: docs/scale.md shows what it prints, and a small slice played again agrees with it."""

from __future__ import annotations

import json

import pytest

from bench import aws_model, simulate_load
from bench.aws_model import Deployment, Need
from bench.load_slice import KINDS, Kind
from bench.simulate_load import LIMITS, PAGE, SLICES

LISTED = json.loads(LIMITS.read_text())
KEPT = json.loads(SLICES.read_text())
BOUNDS = aws_model.values(LISTED)
EASY = Need(deliver_s=1.0, messages=0.04, advances=1 / 60, sweep_ms=0.1, claim_units=0.1)
WIDE = Deployment(
    shards=64,
    sweepers=8,
    provisioned_pollers=200,
    account_concurrency=10_000,
    warm_write_units=40_000,
    put_events=20_000,
    rule_invocations=40_000,
)


def test_docs_show_what_the_script_prints() -> None:
    page = PAGE.read_text()
    assert simulate_load.written(page, simulate_load.text(LISTED, KEPT)) == page, "run scripts/simulate-load --write"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_small_slice_played_again_agrees_with_the_one_that_is_kept(kind: Kind) -> None:
    """When the way of a firing changes on purpose: scripts/simulate-load --play --write."""
    played, kept = simulate_load.play_small(kind).as_json(), KEPT["small"][kind.name]
    assert played["firings"] == kept["firings"] == simulate_load.SMALL_PER_S * 120
    for name in ("firings_a_message", "deliver_ms", "firings_an_advance", "sweep_ms_an_advance"):
        assert played[name] == pytest.approx(kept[name], rel=0.25), name
    assert sum(played["calls"].values()) == pytest.approx(sum(kept["calls"].values()), rel=0.25)


def test_every_limit_has_its_source_and_every_latency_its_reason() -> None:
    assert all(entry["value"] > 0 and entry["source"] for entry in LISTED["limits"].values())
    assert all(entry["value"] > 0 and entry["why"] for entry in LISTED["latencies_ms"].values())


def test_where_nothing_binds_nothing_is_late() -> None:
    found = aws_model.play(EASY, WIDE, BOUNDS, 5_000, 60)
    assert (found.binding, found.worst_ms, found.waiting, found.drained_s) == (None, 0.0, 0, 0)


def test_all_that_came_has_left_at_the_end() -> None:
    at = Deployment(warm_write_units=10_000, provisioned_pollers=200, sweepers=2)
    found = aws_model.play(EASY, at, BOUNDS, 10_000, 60)
    assert found.waiting == 60 * (10_000 - 10_000 // aws_model.RECORD_UNITS)
    assert found.drained_s == pytest.approx(60, abs=1)
    assert found.p50_ms < found.p99_ms <= found.worst_ms == pytest.approx(60_000, rel=0.05)


@pytest.mark.parametrize(
    ("need", "at", "binding"),
    [
        (EASY._replace(deliver_s=60.0), Deployment(warm_write_units=40_000), "pollers in standard mode"),
        (EASY._replace(deliver_s=60.0), Deployment(provisioned_pollers=2, sweepers=2), "pollers in provisioned mode"),
        (EASY, Deployment(provisioned_pollers=200), "warm write units of a table (executions)"),
        (EASY._replace(sweep_ms=10.0), WIDE, "time of a sweep"),
    ],
)
def test_the_limit_that_makes_firings_late_is_named(need: Need, at: Deployment, binding: str) -> None:
    assert aws_model.play(need, at, BOUNDS, 10_000, 300).binding == binding


def test_pollers_gain_by_the_minute_and_stop_at_their_bound() -> None:
    standard, provisioned = Deployment(account_concurrency=50_000), WIDE
    assert aws_model.concurrency(0, standard, BOUNDS) == (5, "pollers in standard mode")
    assert aws_model.concurrency(60, standard, BOUNDS)[0] == 305
    assert aws_model.concurrency(3_600, standard, BOUNDS)[0] == 1_250
    assert aws_model.concurrency(0, provisioned, BOUNDS) == (1_000, "concurrency a function gains")
    assert aws_model.concurrency(3_600, provisioned, BOUNDS) == (10_000, "concurrency of the account")


def test_every_limit_can_be_moved_and_each_change_is_kept() -> None:
    rungs = aws_model.ladder(simulate_load.needs(LISTED, KEPT)[KINDS[1].name], BOUNDS, 10_000, 60)
    assert rungs[0].change == "as packaged"
    assert rungs[-1].outcome.binding is None
    assert len({rung.change for rung in rungs}) == len(rungs)


def test_a_remedy_that_changes_nothing_is_none() -> None:
    assert aws_model.remedy("concurrency a function gains", WIDE, BOUNDS) is None
    full = Deployment(shards=aws_model.SHARDS_MAX)
    assert aws_model.remedy("key of schedules/due", full, BOUNDS) is None


def test_a_page_without_a_place_for_the_tables_is_refused() -> None:
    with pytest.raises(ValueError, match="no place"):
        simulate_load.written("# Page\n", "x")
