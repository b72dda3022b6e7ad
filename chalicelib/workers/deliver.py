"""Deliver: takes messages shortly before their instants, claims, waits, fires.

A message is answered only when each of its firings is over or in somebody else's care; otherwise the queue brings it
again. So a worker may die anywhere in here: the message comes back, finds the record, and goes on from it.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from chalicelib.core import queue_messages
from chalicelib.core.errors import Unavailable
from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.executions.limits import PREPARE_MAX_MS, UNKNOWN_VERSION_GRACE_MS
from chalicelib.core.queue_messages import Firing, Firings, Run, Ticks
from chalicelib.engine.cancel_notices import tell
from chalicelib.engine.claim import Claimed, Claims, claim_firings, claim_runs
from chalicelib.engine.pipeline import Ready, fire, make_ready
from chalicelib.ports.services import Services
from chalicelib.ports.tasks import Handle
from chalicelib.ports.work_queue import Incoming
from chalicelib.workers.publish import Publication

log = logging.getLogger(__name__)

Item = TypeVar("Item", Firing, Run)

# A message may arrive before the write that makes it true (queue first, write second): how long to look for that write
# before the message goes back to the queue, in growing steps.
UNKNOWN_WAITS_MS = (10, 20, 40, 80, 150, 300, 600, 800)


def run(s: Services, batch: Sequence[Incoming]) -> list[str]:
    """Handle a batch of messages; returns the receipts of those that the queue must deliver again."""
    items: dict[Firing | Run, list[str]] = defaultdict(list)
    ticks: dict[str, Ticks] = {}
    again: set[str] = set()
    for incoming in batch:
        try:
            decoded = queue_messages.decode(incoming.body)
        except ValueError as problem:
            log.error("poisoned message: %s", problem)
            again.add(incoming.receipt)  # the queue's own dead-letter queue takes it after some deliveries
            continue
        if isinstance(decoded, Ticks):
            ticks[incoming.receipt] = decoded
            continue
        for item in _items(decoded):
            items[item].append(incoming.receipt)
    publication = _publish(s, list(ticks.values()))  # timers first: no firing may make a tick late
    for item in _handle(s, list(items)):
        again.update(items[item])
    if publication is None or not publication.finish():
        again.update(ticks)
    return [incoming.receipt for incoming in batch if incoming.receipt in again]


def _publish(s: Services, ticks: Sequence[Ticks]) -> Publication | None:
    """Set the timers of ticks; None when the tables or the queue are away."""
    publication = Publication(s)
    try:
        publication.start(ticks)
    except Unavailable as problem:
        log.warning("could not publish: %s", problem)
        return None
    return publication


def _items(decoded: Firings | Run) -> Sequence[Firing | Run]:
    return decoded.firings if isinstance(decoded, Firings) else (decoded,)


def _handle(s: Services, items: Sequence[Firing | Run]) -> set[Firing | Run]:
    """Claim and fire; returns the items to be delivered again."""
    again: set[Firing | Run] = set()
    started: list[Handle] = []
    unknown = _claim_and_start(s, items, again, started)
    for wait_ms in UNKNOWN_WAITS_MS:
        if not unknown:
            break
        s.clock.sleep_until(s.clock.now_ms() + wait_ms)
        unknown = _claim_and_start(s, unknown, again, started)
    again.update(item for item in unknown if _may_still_come(s, item))
    for handle in started:
        handle.wait()
    return again


def _may_still_come(s: Services, item: Firing | Run) -> bool:
    """Whether the write that a message hints at may yet happen; after the grace it was an orphan, and is dropped."""
    due_ms = item.at_ms if isinstance(item, Firing) else item.due_ms
    return s.clock.now_ms() < due_ms + UNKNOWN_VERSION_GRACE_MS


def _claim_and_start(
    s: Services, items: Sequence[Firing | Run], again: set[Firing | Run], started: list[Handle]
) -> list[Firing | Run]:
    """Claim what can be claimed and set its timers; returns the items whose version or record is unknown."""
    claims = _claim(s, items, again)
    again.update(claims.redeliver)
    groups: dict[int, list[Ready]] = defaultdict(list)
    for ready in _prepared(s, claims.claimed):
        groups[ready.claimed.due_ms].append(ready)
    for due_ms, group in sorted(groups.items()):
        started.append(s.tasks.at(due_ms, partial(_fire_safely, s, group, items, again)))
    for item, cancelled in claims.notices:
        started.append(s.tasks.start(partial(_tell_safely, s, item, cancelled, again)))
    return claims.unknown


def _execution(item: Firing | Run) -> ExecutionKey:
    return item.execution if isinstance(item, Run) else ExecutionKey(*item.schedule, item.at_ms)


def _prepared(s: Services, claims: Sequence[Claimed]) -> Iterator[Ready]:
    """Claims with all prepared that can be. A name that does not resolve or a host that does not answer costs half a
    second each: an owner who has taken PREPARE_MAX_MS of the batch meets the others at the instant."""
    spent_ms: dict[str, int] = defaultdict(int)
    for claimed in claims:
        owner, began_ms = claimed.definition.owner, s.clock.now_ms()
        yield make_ready(s, claimed, ahead=spent_ms[owner] < PREPARE_MAX_MS)
        spent_ms[owner] += s.clock.now_ms() - began_ms


def _claim(s: Services, items: Sequence[Firing | Run], again: set[Firing | Run]) -> Claims:
    """Claims of both kinds of item."""
    firings = [item for item in items if isinstance(item, Firing)]
    runs = [item for item in items if isinstance(item, Run)]
    both = _claim_kind(s, claim_firings, firings, again)
    others = _claim_kind(s, claim_runs, runs, again)
    return Claims(
        both.claimed + others.claimed,
        both.redeliver | others.redeliver,
        [*both.unknown, *others.unknown],
        both.notices + others.notices,
    )


def _claim_kind(
    s: Services, claim: Callable[[Services, list[Item]], Claims], items: list[Item], again: set[Firing | Run]
) -> Claims:
    """Claims of one kind of item; when the tables are away, all of them come again later."""
    if not items:
        return Claims()
    try:
        return claim(s, items)
    except Unavailable as problem:
        log.warning("could not claim: %s", problem)
        again.update(items)
        return Claims()


def _fire_safely(s: Services, group: Sequence[Ready], items: Sequence[Firing | Run], again: set[Firing | Run]) -> None:
    """Fire a group. What could not be ended stays leased, and what could not be set off by an end is not: their
    messages come again for both."""
    try:
        fire(s, group)
    except Unavailable as problem:
        log.warning("firings are left to those who get their messages again: %s", problem)
        claimed = {ready.claimed.execution.key for ready in group}
        again.update(item for item in items if _execution(item) in claimed)


def _tell_safely(s: Services, item: Firing | Run, cancelled: Execution, again: set[Firing | Run]) -> None:
    """Send a cancel event; when it could not be written down that it was sent, the message comes again."""
    try:
        tell(s, cancelled)
    except Unavailable as problem:
        log.warning("a cancel event will be sent again: %s", problem)
        again.add(item)
