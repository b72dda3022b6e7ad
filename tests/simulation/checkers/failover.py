"""What a dead worker held is dispatched within seconds of its death, in order and spaced.

Judged in worlds made for it: workers die, and nothing else goes wrong. The settings are those of the packaged stage.

Left out is what a worker was given a moment before its death, and had not hidden yet: a queue of AWS brings that again
when its own time-out is over. What came to more than PATIENT_RECEIVES workers that died comes ever later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from chalicelib.core import queue_messages
from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.executions.limits import ATTEMPT_LEASE_MS
from chalicelib.core.policies.limits import CATCH_UP_LATE_MS
from chalicelib.workers.message_keeper import BEYOND_LEASE_MS, PATIENT_RECEIVES
from tests.simulation import situations
from tests.simulation.checkers import history
from tests.simulation.checkers.progress import LATE_MOST_MS
from tests.simulation.world import Dispatch

WITHIN_MS = 5_000
HELD_AHEAD_MS = 15_000  # a message reaches so far beyond the moment in which a worker gets it
HIDDEN_WITHIN_MS = 200  # a worker's first call hides what it was given
BY_CALLS_MS = 400  # what calls before a dispatch may add to its slot, or take from the next one's


class Sent(NamedTuple):
    """An owed instant, when it was due, and its dispatches."""

    name: ExecutionKey
    due_ms: int
    calls: list[Dispatch]

    @property
    def first_ms(self) -> int:
        return self.calls[0].started_ms

    @property
    def late_ms(self) -> int:
        return self.first_ms - self.due_ms


def check(play: Any) -> Iterable[str]:
    """Every owed instant of a world in which workers die."""
    if play.scenario.theme != situations.FAILOVER:
        return
    up_again = _up_again(play.fleet.all)
    interval_ms = -(-60_000 // play.scenario.catch_up_per_minute)
    unhidden, receives = _unhidden(play), _receives(play)
    calls: dict[ExecutionKey, list[Dispatch]] = {}
    for d in play.world.record.dispatches:
        calls.setdefault(d.key, []).append(d)
    for key, writes in play.world.record.schedules.items():
        owed = history.owed(history.spans(writes), play.world.now - 2 * WITHIN_MS)
        names = [(ExecutionKey(key.tenant, key.id, at_ms), max(at_ms, span.committed_ms)) for at_ms, span in owed]
        yield from (f"{name.id} was never dispatched" for name, _ in names if name not in calls)
        every = [Sent(name, due_ms, calls[name]) for name, due_ms in names if name in calls]
        sent = [s for s in every if s.name not in unhidden]
        yield from _in_time(sent, every, up_again, interval_ms, receives)
        yield from _in_order_and_spaced(play, sent, up_again, interval_ms)


def _unhidden(play: Any) -> set[ExecutionKey]:
    """Firings of messages that came to a worker right before its death, which it had no time to hide."""
    found = set[ExecutionKey]()
    for receipt in play.world.record.receipts:
        died_ms = receipt.instance.died_ms
        if died_ms is None or died_ms > receipt.at_ms + HIDDEN_WITHIN_MS or receipt.hidden_ms is not None:
            continue
        found |= _firings_of(receipt)
    if found:
        play.world.hit("failover: given right before a death")
    return found


def _receives(play: Any) -> Counter[ExecutionKey]:
    """How often messages of a firing came to a worker."""
    return Counter(name for receipt in play.world.record.receipts for name in _firings_of(receipt))


def _firings_of(receipt: Any) -> set[ExecutionKey]:
    message = queue_messages.decode(receipt.body)
    if isinstance(message, queue_messages.Firings):
        return {ExecutionKey(*firing.schedule, firing.at_ms) for firing in message.firings}
    return {message.execution} if isinstance(message, queue_messages.Run) else set()


def _patience_ms(receives: int) -> int:
    """How much later than usual a message comes again whose workers died with it so often."""
    doubled = max(0, receives - PATIENT_RECEIVES)
    return (ATTEMPT_LEASE_MS + BEYOND_LEASE_MS) * ((1 << doubled) - 1)


def _up_again(instances: Sequence[Any]) -> list[int]:
    """For each death the moment from which on some worker lives, and takes messages."""
    found = []
    for dead in instances:
        end_ms = _left_ms(dead) if dead.stopped else dead.died_ms
        if end_ms is None:
            continue
        lives = [i for i in instances if _left_ms(i) is None or _left_ms(i) > max(end_ms, i.born_ms)]
        up_ms = min((max(i.born_ms, end_ms) for i in lives), default=end_ms)
        if not dead.stopped or up_ms > end_ms:  # who stopped has handed back all that it held, but nobody was there
            found.append(up_ms)
    return sorted(found)


def _left_ms(instance: Any) -> Any:
    """Since when a worker takes no messages: it was told to stop, or died. None: it still does."""
    return instance.died_ms if instance.leaves_ms is None else instance.leaves_ms


def _in_time(
    sent: Sequence[Sent],
    every: Sequence[Sent],
    up_again: Sequence[int],
    interval_ms: int,
    receives: Mapping[ExecutionKey, int],
) -> Iterable[str]:
    late = [d.started_ms for s in every for d in s.calls if d.started_ms - s.due_ms > CATCH_UP_LATE_MS]
    for s in sent:
        if s.late_ms <= LATE_MOST_MS:
            continue
        deaths = [at_ms for at_ms in up_again if at_ms <= s.first_ms and s.due_ms < at_ms + HELD_AHEAD_MS]
        if not deaths:
            yield f"{s.name.id} was dispatched {s.late_ms} ms late although nobody had died"
            continue
        waited_ms = s.first_ms - max(s.due_ms, deaths[-1])
        # Two workers may take a slot for one instant, of which one stays empty.
        since_ms = s.first_ms - 2 * interval_ms - BY_CALLS_MS
        within_ms = WITHIN_MS + (BY_CALLS_MS if len(deaths) > 1 else 0)  # an heir had read its message by then
        within_ms += _patience_ms(receives.get(s.name, 1) - 1)  # the last time is that of who dispatched it
        if waited_ms > within_ms and not any(since_ms <= at_ms < s.first_ms for at_ms in late):
            yield f"{s.name.id} was dispatched {waited_ms} ms after the death of its worker, not within {WITHIN_MS}"


def _in_order_and_spaced(play: Any, sent: Sequence[Sent], up_again: Sequence[int], interval_ms: int) -> Iterable[str]:
    late = [s for s in sent if s.late_ms > CATCH_UP_LATE_MS + BY_CALLS_MS]
    late.sort(key=lambda s: s.first_ms)
    for one, after in pairwise(late):
        apart_ms = after.first_ms - one.first_ms
        play.world.hit("failover: spaced")
        # One whose slot came while no worker had it is behind it; the next keeps its own.
        behind = any(0 <= one.first_ms - at_ms < interval_ms for at_ms in up_again) or any(
            slot_ms <= after.first_ms - interval_ms + BY_CALLS_MS for s in (one, after) for slot_ms in _slots(play, s)
        )
        if apart_ms < interval_ms - BY_CALLS_MS and not behind:
            yield f"{after.name.id} was dispatched {apart_ms} ms after {one.name.id}, not {interval_ms}"
        deaths = [at_ms for at_ms in up_again if one.due_ms - HELD_AHEAD_MS < at_ms <= after.first_ms]
        # Of several deaths each worker that took some has an order of its own. Two whose slots are over come in two
        # messages, and are begun side by side.
        side_by_side = behind and apart_ms < BY_CALLS_MS
        if after.due_ms < one.due_ms and len(deaths) == 1 and not side_by_side:
            yield f"{one.name.id} was dispatched before {after.name.id}, which was due before it"


def _slots(play: Any, sent: Sent) -> list[int]:
    """For when workers put it off, or handed it back, as its record says."""
    writes = play.world.record.executions.get(sent.name, ())
    return [w.record.retry_at_ms for w in writes if w.record.retry_at_ms is not None]
