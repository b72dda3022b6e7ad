"""Nodes and their shards: no two own one at once, a dead one's are owned again in time, and at rest all are shared out
evenly. Judged while clocks keep within the margin; that a cursor's token never goes back is judged always."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from tests.simulation.actors.nodes import Death

TAKEN_OVER_WITHIN_MS = 5_000
CRASHES = ("crash", "crash_before", "crash_after")


def check(play: Any) -> Iterable[str]:
    """What broke."""
    yield from _cursors(play.nodes)
    if play.within_margin:
        yield from _doubles(play.nodes)
        yield from _takeovers(play)
        yield from _rest(play)


def _cursors(record: Any) -> Iterator[str]:
    highest: dict[str, int] = defaultdict(int)
    for name, token in record.cursors:
        if token < highest[name]:
            yield f"{name}: written under token {token} after {highest[name]}"
        highest[name] = max(highest[name], token)


def _doubles(record: Any) -> Iterator[str]:
    for look in record.looks:
        for shard, names in look.owners.items():
            if len(names) > 1:
                yield f"shard {shard} at {look.at_ms}: owned by {' and '.join(names)}"


def _takeovers(play: Any) -> Iterator[str]:
    """Five seconds after a death all its shards have been owned again, when some node lived and had its way."""
    for death in play.nodes.deaths:
        until_ms = death.at_ms + TAKEN_OVER_WITHIN_MS
        if not death.shards or until_ms > play.world.now or not _is_fair(play, death, until_ms):
            continue
        play.world.hit("node: takeover judged")
        again = {s for look in play.nodes.looks if death.at_ms <= look.at_ms <= until_ms for s in look.owners}
        if left := [shard for shard in death.shards if shard not in again]:
            yield f"{death.name} died at {death.at_ms}: its shards {left} had no owner for {TAKEN_OVER_WITHIN_MS} ms"


def _is_fair(play: Any, death: Death, until_ms: int) -> bool:
    """Whether some node lived through it, nobody else died (who might have been about to take the shards), and no call
    failed or stood still."""
    others = [d for d in play.nodes.deaths if d is not death and death.at_ms <= d.at_ms <= until_ms]
    troubles = [
        fault
        for at_ms, fault in play.faults.happened
        if fault.kind not in CRASHES and at_ms <= until_ms and at_ms + fault.amount_ms >= death.at_ms
    ]
    return bool(death.survivors) and not others and not troubles


def _rest(play: Any) -> Iterator[str]:
    """At the end every shard is owned, and no node has two more than another."""
    owners = play.nodes.looks[-1].owners
    if set(owners) != set(range(play.shards)):
        yield f"at rest only {sorted(owners)} of {play.shards} shards are owned"
    shares = [len(node.owned) for node in play.nodes.alive if node.instance.alive]
    if max(shares) - min(shares) > 1:
        yield f"at rest the shares are {shares}"
