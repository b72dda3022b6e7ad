"""The pause of a tenant's queue: while it lasts nothing begins, and what is due is held, not lost.

The read that a firing makes right before its instant brings the epoch of the pause along (``known_policies``). A firing
that finds its queue paused gives up its claim. Its record says since when it is held, and a message checks it later. A
resumption wakes what is held. Should that fail, reconcile does it, and each checks by itself after a while.

What is held keeps its catch-up window. When that has passed it ends as missed, and its reason names the pause. What a
caller asked for, AT, DELAY and retries have no window: they wait for as long as the pause lasts.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from chalicelib.core.executions import journal
from chalicelib.core.executions.execution import MISSED, Execution, ExecutionKey
from chalicelib.core.policies import catch_up
from chalicelib.core.queue_messages import Run
from chalicelib.core.queues import queue_state
from chalicelib.core.queues.queue_state import ACTIVE, HELD_CHECK_MS, HELD_SPREAD_MS, QueueState
from chalicelib.core.schedules.schedule import Definition, Key
from chalicelib.engine.follow_ups import follow
from chalicelib.engine.handoff import enqueue
from chalicelib.engine.outcomes import update_surely
from chalicelib.engine.prepare import Ready
from chalicelib.ports.services import Services
from chalicelib.ports.stores.policies import epoch_key

log = logging.getLogger(__name__)

WAKE_PAGE: Final = 100
WAKE_MAX_KEYS: Final = 10_000  # of one resumption's call; reconcile wakes the rest
WAKE_AHEAD_MS: Final = 60_000  # firings are claimed ahead of their instants, and held so too


def current(s: Services, tenant: str) -> QueueState:
    """The queue of a tenant as it is now: one read while it stays the same. Raises Unavailable."""
    key = epoch_key(tenant)
    return at_epoch(s, tenant, s.stores.schedules.epochs([key]).get(key, 0))


def at_epoch(s: Services, tenant: str, epoch: int) -> QueueState:
    """The state at an epoch that was just read, or a newer one. Raises Unavailable."""
    if not epoch:
        return ACTIVE
    known = s.process.queues.at_epoch(tenant, epoch)
    if known is None:
        found = s.stores.queues.load(tenant)
        known = ACTIVE if found is None else queue_state.read(found[0])
        s.process.queues.keep(tenant, epoch, known)
    return known


def without_held(s: Services, epochs: Mapping[Key, int], standing: list[Ready]) -> list[Ready]:
    """Those firings whose queues are active; the others are held. ``epochs`` are those of the queues. Raises
    Unavailable."""
    now_ms = s.clock.now_ms()
    tenants = {ready.claimed.execution.tenant for ready in standing}
    paused = {
        tenant: state
        for tenant in tenants
        if (state := at_epoch(s, tenant, epochs.get(epoch_key(tenant), 0))).holds(now_ms)
    }
    if not paused:
        return standing
    held = [ready for ready in standing if ready.claimed.execution.tenant in paused]
    _hold(s, [(r.claimed.execution, r.claimed.definition, paused[r.claimed.execution.tenant]) for r in held])
    return [ready for ready in standing if ready.claimed.execution.tenant not in paused]


def hold_on(s: Services, record: Execution, definition: Definition, state: QueueState) -> None:
    """Check a record that is held later. Raises Unavailable."""
    _hold(s, [(record, definition, state)])


def _hold(s: Services, wanted: Sequence[tuple[Execution, Definition, QueueState]]) -> None:
    """Queued first, written second, as all that waits. A resumption that came between may not have seen the records.
    So their queues are read once more, and what they hold no longer is woken."""
    now_ms = s.clock.now_ms()
    writes, follows = [], []
    for record, definition, state in wanted:
        held = journal.hold(record, now_ms, _check_ms(record, definition, state, now_ms))
        if catch_up.is_expired(definition, record, now_ms):
            held = journal.settle(record, MISSED, now_ms, catch_up.too_late(journal.hold(record, now_ms, now_ms)))
        writes.append((replace(held, hlc=s.ids.hlc()), record.rev))
        follows.append(definition)
    # A number above the claimed attempt's makes a worker that gets the message early wait for the write that follows.
    enqueue(s, [Run(held.key, held.attempt + 2, held.due_ms) for held, _ in writes if held.is_open])
    answers = update_surely(s, writes)
    for (held, _), definition, won in zip(writes, follows, answers, strict=True):
        if won:
            follow(s, held, definition)
    _free_again(s, [held for (held, _), won in zip(writes, answers, strict=True) if won and held.is_open])


def _free_again(s: Services, held: Sequence[Execution]) -> None:
    active = {t for t in {e.tenant for e in held} if not current(s, t).holds(s.clock.now_ms())}
    _wake(s, [e for e in held if e.tenant in active])


def _check_ms(record: Execution, definition: Definition, state: QueueState, now_ms: int) -> int:
    """When to check it: at the end of its window if it has one, so that it is recorded as missed then."""
    check_ms = state.check_ms(now_ms, record.firing_ms)
    window_ms = definition.late_limit_ms
    if record.is_bound or window_ms is None or catch_up.keeps_its_time(record):
        return check_ms
    return max(now_ms, min(check_ms, record.firing_ms + record.offset_ms + window_ms + 1))


def _wake(s: Services, held: Iterable[Execution]) -> None:
    now_ms = s.clock.now_ms()
    enqueue(s, [Run(e.key, e.attempt + 1, now_ms) for e in held])


def wake_held(s: Services, tenant: str, shard: int, until_ms: int) -> bool:
    """Wake what the pause of a tenant's queue holds in a shard, but not longer than ``until_ms``. False: there may be
    more. A record that is woken twice goes on once. Raises Unavailable."""
    last_ms = s.clock.now_ms() + HELD_CHECK_MS + HELD_SPREAD_MS + s.config.max_drift_ms
    after: str | None = None
    while s.clock.now_ms() < until_ms:
        page = s.stores.executions.open_until(shard, last_ms, WAKE_PAGE, after)
        _wake_of(s, [key for key in page.keys if key.tenant == tenant])
        after = page.after
        if after is None:
            return True
    return False


def wake_recent(s: Services, tenant: str, from_ms: int, until_ms: int) -> bool:
    """Wake what the pause of a tenant's queue holds of the instants since ``from_ms``, earliest first, but not longer
    than ``until_ms``. False: there may be more.

    It reads the tenant's own list. A caller's role may be bound to that, and the list of what is open is of a shard.
    Raises Unavailable.
    """
    shards, to_ms = range(s.config.shards), s.clock.now_ms() + WAKE_AHEAD_MS
    keys: list[ExecutionKey] = []
    after: str | None = None
    while True:
        page = s.stores.executions.recent(tenant, shards, from_ms, to_ms, WAKE_PAGE, after)
        keys += page.keys
        after = page.after
        if after is None or len(keys) >= WAKE_MAX_KEYS or s.clock.now_ms() >= until_ms:
            break
    keys.reverse()
    for start in range(0, len(keys), WAKE_PAGE):
        if s.clock.now_ms() >= until_ms:
            return False
        _wake_of(s, keys[start : start + WAKE_PAGE])
    return after is None


def _wake_of(s: Services, keys: Sequence[ExecutionKey]) -> None:
    _wake(s, [e for e in s.stores.executions.get(keys).values() if e.is_held] if keys else ())
