"""``scripts/bench postgres``: the instants it asks for, and what it makes of a peer's answer."""

from __future__ import annotations

from bench import postgres, postgres_peers
from bench.postgres_peers import PeerFirings


def test_a_load_is_schedules_whose_instants_are_those_of_the_peers() -> None:
    ((name, offsets),) = postgres.cases(["load"], count=1, rate=4, hold_s=3, seed=1)
    assert name == "4/s for 3 s"
    assert sorted(offsets) == [0, 250, 500, 750, 1000, 1250, 1500, 1750, 2000, 2250, 2500, 2750]
    bodies = postgres.rates(offsets)
    assert [(body["offset"], body["last"]) for body in bodies] == [(0, 2000), (250, 2250), (500, 2500), (750, 2750)]


def test_random_instants_are_repeated_by_their_seed() -> None:
    again = [postgres.cases(["lateness"], count=5, rate=1, hold_s=1, seed=7) for _ in range(2)]
    assert again[0] == again[1]
    assert len(set(again[0][0][1])) == 5


def test_what_a_peer_left_out_and_did_twice_is_counted() -> None:
    started = [[1000, 1_001_000_000], [1000, 1_002_000_000], [2000, 2_005_000_000]]
    judged = postgres_peers.judged([1000, 2000, 2000, 3000], started)
    assert judged == ([1.0, 2.0, 5.0], 2, 1)


def test_the_settings_of_every_peer_are_said() -> None:
    assert set(postgres_peers.SETTINGS) == set(postgres_peers.PEERS)
    assert PeerFirings([1.0], 0, 0, 0, 0.1, 0.2).as_json()["late_ms"]["max"] == 1.0
