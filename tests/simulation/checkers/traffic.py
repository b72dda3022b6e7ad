"""Backpressure: each instance keeps to its limits, of each owner and of each destination, as targets see it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from chalicelib.core.schedules.schedule import Key
from chalicelib.process.admission import burst_of
from chalicelib.process.limits import HOLD_RECHECK_MS
from tests.simulation.world import Dispatch

# What a long run must have met.
POINTS = ("limit:flights", "limit:rate", "limit:handed back")
# Between its turn and its dispatch a delivery may look at its schedule again, or its process stand still.
WINDOW_MS = 1_000
# What the calls between a look at a schedule and the place in the line may take.
LOOK_SLACK_MS = 2_000


def check(play: Any) -> Iterable[str]:
    """Every instance's dispatches, by owner and by destination; and what was told to wait in the queue."""
    caps = play.scenario.caps
    if not caps.limited:
        return
    by_owner: dict[tuple[str, str], list[Dispatch]] = defaultdict(list)
    by_target: dict[tuple[str, str], list[Dispatch]] = defaultdict(list)
    for d in play.world.record.dispatches:
        by_owner[d.instance.name, _owner(play, d)].append(d)
        by_target[d.instance.name, d.target].append(d)
    kinds = ((by_owner, caps.owner_in_flight, caps.owner_rate), (by_target, caps.target_in_flight, caps.target_rate))
    for groups, flights, rate in kinds:
        for (instance, name), sent in groups.items():
            yield from _at_once(play, instance, name, sent, flights)
            yield from _in_a_second(play, instance, name, sent, rate)
    yield from _looked_again(play)
    _count_handed_back(play)


def _owner(play: Any, d: Dispatch) -> str:
    writes = play.world.record.schedules.get(Key(d.key.tenant, d.key.schedule_id), ())
    return next((w.definition.owner for w in writes if w.definition is not None), "")


def _at_once(play: Any, instance: str, name: str, sent: Sequence[Dispatch], most: int | None) -> Iterable[str]:
    if most is None:
        return
    for number, d in enumerate(sent):
        at_once = 1 + sum(o.ended_ms is not None and o.ended_ms > d.started_ms for o in sent[:number])
        if at_once > most:
            yield f"{instance} had {at_once} under way for {name} at {d.started_ms}, of {most} allowed"
            return
        if at_once == most:
            play.world.hit("limit:flights")


def _in_a_second(play: Any, instance: str, name: str, sent: Sequence[Dispatch], rate: int | None) -> Iterable[str]:
    if rate is None or _stood_still(play):
        return
    for d in sent:
        began = sum(d.started_ms <= o.started_ms < d.started_ms + WINDOW_MS for o in sent)
        if began > rate + burst_of(rate):
            yield f"{instance} began {began} for {name} in the second from {d.started_ms}, of {rate} allowed"
            return
        if began >= rate:
            play.world.hit("limit:rate")


def _stood_still(play: Any) -> bool:
    """Whether a process stopped for a while: what it began before and after may then reach the target together."""
    return any(point.startswith("fault:stall") for point in play.world.hits)


def _looked_again(play: Any) -> Iterable[str]:
    """What has waited long is looked at once more: no dispatch rests on a look that is older than the hold allows."""
    if _stood_still(play):
        return
    for d in play.world.record.dispatches:
        age_ms = d.started_ms - d.look_ms
        if age_ms > HOLD_RECHECK_MS + LOOK_SLACK_MS:
            yield f"{d.key.id} was sent at {d.started_ms} by {d.instance.name}, whose last look was {age_ms} ms old"


def _count_handed_back(play: Any) -> None:
    for writes in play.world.record.executions.values():
        for before, after in pairwise(w.record for w in writes):
            if after.attempt < before.attempt and not after.waits:
                play.world.hit("limit:handed back")
