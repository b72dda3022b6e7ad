"""Benches of many schedules at once: their instants, and how what came is held against what was owed."""

from __future__ import annotations

import argparse

import pytest

from bench import crowd, lateness
from bench.__main__ import numbers
from bench.crowd import Crowd
from bench.report import Report

MS = 1_000_000  # nanoseconds


def test_phases_are_spread_evenly_over_the_second() -> None:
    assert crowd.phases(4, 7_000) == [7_000, 7_250, 7_500, 7_750]
    assert len(set(crowd.phases(200, 0))) == 200


def test_groups_of_instants_stand_three_milliseconds_apart() -> None:
    assert lateness.apart(100, 2, 2) == [100, 103, 1106, 1109]


def test_the_kth_arrival_of_a_peers_job_is_held_against_its_kth_instant() -> None:
    arrived = {"peer0-1": [1_002 * MS], "peer0-2": [2_003 * MS], "peer1-9": [1_504 * MS]}
    late, missing = crowd.by_turn(arrived, [1_000, 1_500], 2, in_time_ns=9_000 * MS)
    assert sorted(late) == [2.0, 3.0, 4.0]
    assert missing == 1


def test_what_comes_after_the_time_is_late_and_missing() -> None:
    late, missing = crowd.by_turn({"peer0-1": [1_000 * MS], "peer0-2": [8_000 * MS]}, [1_000], 2, in_time_ns=5_000 * MS)
    assert (late, missing) == ([0.0, 6_000.0], 1)


def test_arrivals_of_two_looks_are_one_record() -> None:
    assert crowd.merged({"a-1": [5], "b-1": [6]}, {"a-1": [7]}) == {"a-1": [5, 7], "b-1": [6]}


def test_goals_are_met_or_missed_by_what_was_measured() -> None:
    report = Report("lateness", {})
    crowds = [
        Crowd("chronowatch → webhook", 100, 4, [1.0, 1.0, 1.0, 9.0], 0, [], {}),
        Crowd("apscheduler", 100, 4, [1.0] * 4, 0, [], {}),
    ]
    lateness._enter(report, "a case", crowds, lateness.SPREAD[100])
    assert [(t.most, t.measured, t.met) for t in report.targets] == [(2.0, 1.0, True), (6.0, 9.0, False)]
    assert report.results["a case: chronowatch → webhook"]["not_delivered_in_time"] == 0


def test_beside_a_peer_the_same_run_decides() -> None:
    report = Report("lateness", {})
    lateness.beside(report, "us", [1.0, 2.0], [1.5, 1.5])
    assert [t.met for t in report.targets] == [True, False]
    lateness.beside(report, "us", [1.0], [])
    assert len(report.targets) == 2


@pytest.mark.parametrize("text", ["", "25,", "0", "-1", "a"])
def test_a_list_of_numbers_is_refused_with_what_would_be_right(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="not a list of numbers such as 25,100"):
        numbers(text)


def test_a_list_of_numbers_is_read() -> None:
    assert numbers("25,100") == (25, 100)
