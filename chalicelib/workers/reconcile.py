"""Reconcile: once a minute, go on with what died.

It has two sources. One is the list of open executions: retries that are due, running and accepted attempts past their
lease. The other is a scan of the recent instants for attempts that were claimed and whose worker died. What it finds is
queued as a ``Run``, which deliver takes over under the usual conditions: reconcile itself ends nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from chalicelib.core.errors import ChronoError
from chalicelib.core.executions.execution import COMPLETED, Execution, ExecutionKey
from chalicelib.core.executions.limits import ATTEMPT_LEASE_MS
from chalicelib.core.queue_messages import Run
from chalicelib.engine import capacity, monitors
from chalicelib.engine.delay_runs import chain
from chalicelib.engine.handoff import enqueue
from chalicelib.engine.scans import Scans
from chalicelib.engine.shards import HeldShard, each_shard
from chalicelib.engine.tenants import known_tenants
from chalicelib.ports.services import Services
from chalicelib.usecases import bulk_jobs, queues

log = logging.getLogger(__name__)

WORK = "reconcile"
PAGE_ITEMS = 100
SHARD_MAX_PAGES = 200
WAKE_MAX_MS = 8_000  # of a minute, for what a pause of its queue held

# The scan of recent instants ends this far in the past, when every claim made ahead of its instant has either been
# written off or has expired; and it begins again this much earlier than it ended, since the list may lag.
SETTLED_AFTER_MS = ATTEMPT_LEASE_MS
INDEX_LAG_MS = 120_000
CREATION_MAX_MS = 180_000  # a creation that was begun longer ago has died: an API call is ended after half a minute


def run(s: Services) -> None:
    """Reconcile every shard whose lease is free. One shard's trouble does not stop the others."""
    run_shards(s, each_shard(s, WORK))


def run_shards(s: Services, held: Iterable[HeldShard]) -> None:
    """Reconcile shards that are held, as they are given."""
    done: list[int] = []
    scans = Scans(s)
    for each in held:
        try:
            reconcile_shard(s, each, scans)
            done.append(each.shard)
        except ChronoError as problem:
            log.warning("shard %d was not reconciled to its end: %s", each.shard, problem)
    try:
        scans.note()
    except ChronoError as problem:
        log.warning("how far was scanned is not noted, so the next scan begins where this one did: %s", problem)
    try:
        queues.wake_shards(s, done, s.clock.now_ms() + WAKE_MAX_MS)
    except ChronoError as problem:
        log.warning("what a pause held is woken a minute later: %s", problem)


def reconcile_shard(s: Services, held: HeldShard, scans: Scans) -> None:
    """Queue the next step of everything open in a shard that no worker owns, and count completed schedules no more."""
    _overdue(s, held.shard)
    for tenant in known_tenants(s):
        _abandoned(s, tenant, held, scans)
    capacity.release_spent(s, held.shard)
    if held.shard == 0:  # they are of no shard, so one worker is enough
        s.stores.schedules.collect(s.clock.now_ms() - CREATION_MAX_MS, known_tenants(s))
    monitors.check_shard(s, held.shard)
    if held.shard == 0:
        bulk_jobs.continue_all(s)


def _overdue(s: Services, shard: int) -> None:
    # One page after the other: what was queued just now stands in the list until a worker goes on with it.
    until_ms = s.clock.now_ms() - s.config.max_drift_ms
    after: str | None = None
    for _ in range(SHARD_MAX_PAGES):
        page = s.stores.executions.open_until(shard, until_ms, PAGE_ITEMS, after)
        _requeue(s, page.keys, s.clock.now_ms())
        after = page.after
        if after is None:
            return
    log.warning("shard %d has more overdue executions than one pass reads; the next one goes on", shard)


def _abandoned(s: Services, tenant: str, held: HeldShard, scans: Scans) -> None:
    """Scan the instants since the last scan, less the lag of the list, for records that should be over and are not."""
    shard, now_ms = held.shard, s.clock.now_ms()
    until_ms = now_ms - SETTLED_AFTER_MS - s.config.max_drift_ms
    noted_ms = scans.scanned_ms(tenant, shard)
    # An instance whose clock is ahead scans up to a moment that has not come: the next one must not trust that.
    from_ms = min(until_ms - INDEX_LAG_MS if noted_ms is None else noted_ms, until_ms) - INDEX_LAG_MS
    after: str | None = None
    seen: list[int] = []  # instants that no scan before this one has counted
    for _ in range(SHARD_MAX_PAGES):
        page = s.stores.executions.recent(tenant, [shard], from_ms, until_ms, PAGE_ITEMS, after)
        _requeue(s, s.process.done.without(page.keys), now_ms)
        seen += [key.firing_ms for key in page.keys if noted_ms is None or key.firing_ms > min(noted_ms, until_ms)]
        after = page.after
        if after is None:
            scans.done(tenant, held, until_ms, seen)
            return
    log.warning("shard %d has more recent executions than one scan reads; the next one goes on", shard)


def _requeue(s: Services, keys: Sequence[ExecutionKey], now_ms: int) -> None:
    records = s.stores.executions.get(keys) if keys else {}
    stuck = [e for e in records.values() if _is_stuck(s, e, now_ms)]
    enqueue(s, [Run(e.key, e.attempt + 1, max(now_ms, e.due_ms)) for e in stuck])
    over = [e for e in records.values() if not e.is_open and (not _is_delay(s, e) or chain(s, e))]
    # Only what is completed stays so. An end that an edit or a caller may take back is read again.
    s.process.done.keep(e.key for e in over if e.state == COMPLETED)


def _is_stuck(s: Services, execution: Execution, now_ms: int) -> bool:
    """Open, and the time at which a worker should have gone on with it has passed."""
    until_ms = execution.open_until_ms
    return execution.is_open and (until_ms is None or until_ms + s.config.max_drift_ms <= now_ms)


def _is_delay(s: Services, execution: Execution) -> bool:
    known = s.process.versions.find(execution.version)
    return known is None or known.type == "DELAY"
