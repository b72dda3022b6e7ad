"""Deliver: takes messages from the queue shortly before their instants, and answers which ones must come again.

Ticks go out through ``publish``, firings and runs through ``engine.pipeline``.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from chalicelib.core import queue_messages
from chalicelib.core.errors import Unavailable
from chalicelib.core.queue_messages import Firings, Run, Ticks
from chalicelib.engine import pipeline
from chalicelib.engine.claimed import Item
from chalicelib.ports.services import Services
from chalicelib.ports.work_queue import Incoming
from chalicelib.workers.message_keeper import MessageKeeper

if TYPE_CHECKING:
    from chalicelib.workers.publish import Publication

log = logging.getLogger(__name__)


def run(s: Services, batch: Sequence[Incoming]) -> list[str]:
    """Handle a batch of messages; returns the receipts of those that the queue must deliver again."""
    items: dict[Item, list[str]] = defaultdict(list)
    ticks: dict[str, Ticks] = {}
    kept: dict[Incoming, list[int]] = {}
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
            kept[incoming] = [tick.due_ms for tick in decoded.ticks]
            continue
        kept[incoming] = []
        for item in _items(decoded):
            items[item].append(incoming.receipt)
            kept[incoming].append(item.due_ms)
    keeper = MessageKeeper(s, kept)
    keeper.begin()
    try:
        again |= _work(s, items, ticks)
        return [incoming.receipt for incoming in batch if incoming.receipt in again]
    finally:
        keeper.finish(again)


def _work(s: Services, items: Mapping[Item, Sequence[str]], ticks: Mapping[str, Ticks]) -> set[str]:
    """Publish and deliver; the receipts of messages that must come again."""
    again: set[str] = set()
    publication = _publish(s, list(ticks.values())) if ticks else None  # first: no firing may make a tick late
    for item in pipeline.deliver(s, list(items)):
        again.update(items[item])
    if publication is None or not publication.finish():
        again.update(ticks)
    return again


def _items(decoded: Firings | Run) -> Sequence[Item]:
    return decoded.firings if isinstance(decoded, Firings) else (decoded,)


def _publish(s: Services, ticks: Sequence[Ticks]) -> Publication | None:
    """Set the timers of ticks; None when the tables or the queue are away."""
    from chalicelib.workers.publish import Publication  # loaded with the first ticks

    publication = Publication(s)
    try:
        publication.start(ticks)
    except Unavailable as problem:
        log.warning("could not publish: %s", problem)
        return None
    return publication
