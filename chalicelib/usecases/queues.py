"""The queue of a tenant: administrators pause and resume it, and all callers see whether it is paused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from chalicelib.core.errors import TooMany
from chalicelib.core.executions.limits import RECHECK_KEPT_MS
from chalicelib.core.pause_end import check_pause_end
from chalicelib.core.queues import queue_state
from chalicelib.core.queues.queue_state import ACTIVE, QueueState
from chalicelib.core.security.authorize import authorize
from chalicelib.core.security.caller import Caller
from chalicelib.engine import queue_pause
from chalicelib.engine.tenants import known_tenants
from chalicelib.ports.services import Services
from chalicelib.process.limits import HOLD_RECHECK_MS

CHANGE_ATTEMPTS: Final = 16
WAKE_MAX_MS: Final = 8_000  # of a call's time; reconcile wakes the rest
HELD_BEFORE_MS: Final = 900_000  # retries of so long before a pause are woken by the call, older ones by reconcile
# What was read for before a pause has begun when so much time has passed: its recheck, then its turn in the line.
PAUSE_SEEN_MS: Final = RECHECK_KEPT_MS + HOLD_RECHECK_MS


def get(s: Services, caller: Caller) -> QueueState:
    """The queue of the caller's tenant: ``ACTIVE`` unless it is paused now. Raises Forbidden, Unavailable."""
    authorize(caller, "executions:read")
    return shown(s, caller.tenant)


def shown(s: Services, tenant: str) -> QueueState:
    """A tenant's queue as it is shown. Raises Unavailable."""
    state = queue_pause.current(s, tenant)
    return state if state.holds(s.clock.now_ms()) else ACTIVE


def pause(s: Services, caller: Caller, note: str = "", until_ms: int | None = None) -> QueueState:
    """Let nothing of the tenant begin until ``resume``, or until an instant. A pause of what is paused keeps its
    beginning. Returned is when all that could not see it has begun.

    Raises Forbidden, InvalidField, Unavailable.
    """
    authorize(caller, "queue:pause")
    now_ms = s.clock.now_ms()
    check_pause_end(until_ms, now_ms)

    def paused(before: QueueState) -> QueueState:
        since_ms = before.paused_ms if before.holds(now_ms) else now_ms
        return QueueState(since_ms, until_ms, caller.subject, note, before.resumed_ms)

    state = _change(s, caller.tenant, paused)
    s.clock.sleep_until(s.clock.now_ms() + PAUSE_SEEN_MS + 1)
    return state


def resume(s: Services, caller: Caller) -> QueueState:
    """Let the tenant's firings begin again, and wake those that were held. Called again it wakes again.

    Raises Forbidden, Unavailable.
    """
    authorize(caller, "queue:pause")

    def resumed(before: QueueState) -> QueueState:
        held_from_ms = before.held_from_ms if before.paused_ms is None else before.paused_ms
        return QueueState(resumed_ms=s.clock.now_ms(), held_from_ms=held_from_ms)

    state = _change(s, caller.tenant, resumed)
    now_ms = s.clock.now_ms()
    from_ms = max(0, (now_ms if state.held_from_ms is None else state.held_from_ms) - HELD_BEFORE_MS)
    queue_pause.wake_recent(s, caller.tenant, from_ms, now_ms + WAKE_MAX_MS)
    return state


def wake_shards(s: Services, shards: Sequence[int], until_ms: int) -> None:
    """Wake what is still held in shards though their tenant's queue was resumed lately: a resumption died, or lists
    lagged. Raises Unavailable."""
    for tenant in known_tenants(s) if shards else ():
        state = queue_pause.current(s, tenant)
        now_ms = s.clock.now_ms()
        if not state.holds(now_ms) and now_ms < state.was_resumed_lately_ms:
            for shard in shards:
                queue_pause.wake_held(s, tenant, shard, until_ms)


def _change(s: Services, tenant: str, changed: Callable[[QueueState], QueueState]) -> QueueState:
    for _ in range(CHANGE_ATTEMPTS):
        found = s.stores.queues.load(tenant)
        before = ACTIVE if found is None else queue_state.read(found[0])
        rev = 0 if found is None else found[1]
        after = changed(before)
        if s.stores.queues.save(tenant, queue_state.write(after), rev + 1, rev):
            return after
    raise TooMany("the queue is being paused and resumed by many callers at once", code="contended")
