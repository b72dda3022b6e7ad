"""Listeners: each message that fires does so once, each that cannot be judged is set aside, and none is forgotten.

What a message is was decided when it was sent. What became of it stands in the journal and among the dead letters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from tests.simulation.actors.event_brokers import DIES, FIRES


def check(play: Any) -> Iterable[str]:
    """What broke."""
    fired = Counter((one.schedule_id, one.event) for one in play.journal.inserted)
    known, dying = set(), set()
    for broker in play.brokers.values():
        yield from broker.lost
        for one in broker.messages:
            at, named = (broker.trigger_id, one.digest), f"{one.sort} {one.place}"
            if one.sort in FIRES:
                known.add(at)
            if one.sort in FIRES and one.settled and fired[at] != 1:
                yield f"{named} fired {fired[at]} times"
            if one.sort in DIES:
                dying.add(f"{broker.trigger_id}-{one.digest}")
                reason = play.dead.reasons.get(f"{broker.trigger_id}-{one.digest}")
                if one.settled and (reason is None or DIES[one.sort] not in reason):
                    yield f"{named} is among the dead letters for: {reason}"
        if play.world.over:
            continue
        left = sum(not one.settled for one in broker.messages)
        yield f"{left} messages of {broker.kind} are not settled, and a caller sees: {play.state_of(broker.trigger_id)}"
    for at in fired.keys() - known:
        yield f"{at} fired, and nobody sent what would"
    for execution_id in play.dead.reasons.keys() - dying:
        yield f"{execution_id} is a dead letter: {play.dead.reasons[execution_id]}"
