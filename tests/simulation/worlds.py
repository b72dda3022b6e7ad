"""The kinds of world that seeds are played in. To add one: a play, its checkers, its points in ``coverage``, a line
here. Plays import the product, so they are imported when they are first asked for, after ``instrument.install``."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.simulation.played import Played


class Kind(NamedTuple):
    """A kind of world: the module whose ``play(seed, left_out, tell)`` plays a seed of it. Among all kinds, every
    ``every``-th seed is played in it: a world of leases or ticks costs several times what a world of firings does."""

    module: str
    every: int
    says: str


KINDS = {
    "firings": Kind("tests.simulation.firing_play", 1, "schedules, their clients and targets"),
    "leases": Kind("tests.simulation.lease_play", 4, "clients that take leases, nodes that share shards"),
    "ticks": Kind("tests.simulation.tick_play", 4, "producers and readers of ticks"),
    "changes": Kind("tests.simulation.change_play", 4, "streams of tables, the log of changes and its readers"),
    "workflows": Kind("tests.simulation.workflow_play", 4, "runs of workflows, their callers and what they call"),
    "triggers": Kind("tests.simulation.trigger_play", 4, "events that come at least once, and what waits for them"),
    "alerts": Kind("tests.simulation.alert_play", 8, "monitors, notification rules, and the channels of these"),
    "listeners": Kind("tests.simulation.listener_play", 8, "sources of triggers, and the processes that read them"),
}


def chosen(world: str) -> tuple[str, ...]:
    """The names of the kinds that ``world`` stands for: one, or all."""
    return tuple(KINDS) if world == "all" else (world,)


def plays_of(seed: int, names: tuple[str, ...]) -> Iterator[str]:
    """The kinds that a seed is played in, when these were chosen."""
    for name in names:
        if len(names) == 1 or seed % KINDS[name].every == 0:
            yield name


def play(name: str, seed: int, left_out: frozenset[str] = frozenset(), tell: bool = False) -> Played:
    """Play a seed in a kind of world."""
    played: Played = _module(name).play(seed, left_out, tell)
    return played


def prepare(names: tuple[str, ...]) -> None:
    """Import all that plays of these kinds need."""
    for name in names:
        _module(name)


def _module(name: str) -> Any:
    return importlib.import_module(KINDS[name].module)
