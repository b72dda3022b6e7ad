"""Planted bugs, each of which the simulator must catch: a condition removed, an order swapped, a tempting shortcut.

A mutant is a few edits of source text, made in memory while the product is imported (``instrument``). When the product
changes so that an edit no longer finds its text, ``test_simulation`` says which: move the mutant along.
``python -m tests.simulation.mutants`` (scripts/mutants) prints how many seeds each one took.
"""
# ruff: noqa: E501 - edits quote the product's lines, and are easiest compared on one line

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from tests.simulation import alert_mutants, random_mutants, workflow_mutants
from tests.simulation.instrument import Edit
from tests.simulation.planted_bug import Mutant

SCHEDULES = "chalicelib.usecases.schedules"
CHANGE = "chalicelib.engine.schedule_change"
CHAIN = "chalicelib.engine.delay_runs"
OWED = "chalicelib.engine.handoff"
OUTCOMES = "chalicelib.engine.outcomes"
SWEEP = "chalicelib.workers.sweep"
CLAIM, RESUME, BINDING = "chalicelib.engine.claim", "chalicelib.engine.resume", "chalicelib.engine.binding"
SPANS = "chalicelib.engine.claim_spans"
HANDED = "chalicelib.process.handed_memory"
PIPELINE, RECHECK = "chalicelib.engine.pipeline", "chalicelib.engine.recheck"
SHARED = "chalicelib.process.shared_instants"
SEND, IN_FLIGHT = "chalicelib.engine.dispatch.send", "chalicelib.engine.dispatch.in_flight"
CATCH_UP = "chalicelib.core.policies.catch_up"
RECONCILE = "chalicelib.workers.reconcile"
FOLLOW, SLOT, OVERLAP = (
    "chalicelib.engine.follow_ups",
    "chalicelib.engine.overlap_slot",
    "chalicelib.core.policies.overlap",
)
NOTICES, ENDING = "chalicelib.engine.cancel_notices", "chalicelib.engine.execution_change"
ADMISSION = "chalicelib.engine.dispatch.admission"
SHARDS = "chalicelib.engine.shards"
MEMORY_SCHEDULES = "chalicelib.adapters.memory.schedules"
MEMORY_EXECUTIONS = "chalicelib.adapters.memory.executions"
MEMORY_LEASES = "chalicelib.adapters.memory.leases"
CORE, VERDICT = "chalicelib.core.schedules.schedule", "chalicelib.core.schedules.verdict"
RECORD = "chalicelib.core.executions.execution"
JOURNAL = "chalicelib.core.executions.journal"
HLC = "chalicelib.core.clock.hlc"
FAILURES = "chalicelib.core.policies.failures"
JUDGE = "chalicelib.engine.failures"
STREAM = "chalicelib.workers.feed"
SLA = "chalicelib.core.policies.sla"
WATCH = "chalicelib.core.policies.monitor"
MONITORS = "chalicelib.engine.monitors"
LEASE, LEASES = "chalicelib.core.leases.lease", "chalicelib.usecases.leases"
OWNERSHIP = "chalicelib.workers.cluster.ownership"
CHANGE_LOG, CHANGES = "chalicelib.core.changes.change_log", "chalicelib.workers.changes"
TRIGGERS, EVENTS = "chalicelib.usecases.triggers", "chalicelib.engine.triggers.event_firings"
WATCHES, WATCHING = "chalicelib.engine.triggers.watches", "chalicelib.core.triggers.watch"
THROTTLE = "chalicelib.core.triggers.throttle"
LISTEN, MESSAGES = "chalicelib.workers.listen", "chalicelib.core.triggers.messages"
LISTENING, HEARD = "chalicelib.engine.triggers.listening", "chalicelib.core.triggers.listening"
MEMORY_CHANGES, CHANGE_FEED = "chalicelib.adapters.memory.changes", "chalicelib.usecases.changes"
TICKS, BOOK, PRODUCER = (
    "chalicelib.core.ticks.numbering",
    "chalicelib.core.ticks.tick_book",
    "chalicelib.usecases.ticks",
)
FEED, PUBLISH, GATE, MEMORY_TICKS = (
    "chalicelib.usecases.tick_feed",
    "chalicelib.workers.publish",
    "chalicelib.workers.tick_gate",
    "chalicelib.adapters.memory.ticks",
)
BACKPRESSURE = "chalicelib.process.admission"
LIMITS, KEEPER = "chalicelib.core.executions.limits", "chalicelib.workers.message_keeper"
RULINGS = "chalicelib.engine.rulings"
POLICY_MEMORY, MEMORY_POLICIES = "chalicelib.process.policy_memory", "chalicelib.adapters.memory.policies"
JUDGED_RULES, DENIALS = "chalicelib.core.rules.ruling", "chalicelib.engine.firing_denials"

QUEUE_PAUSE, QUEUES = "chalicelib.engine.queue_pause", "chalicelib.usecases.queues"

WITHIN_SEEDS = 2_000
FIRST_SEEDS = (0, 100_000, 200_000)


MUTANTS: dict[str, Mutant] = {
    **workflow_mutants.MUTANTS,
    **alert_mutants.MUTANTS,
    # -- conditional writes
    "state-rev-ignored": Mutant(
        "a state is written over whatever is stored",
        (Edit(MEMORY_SCHEDULES, "stored is None or stored.rev != expected_rev:\n                return False\n            self._put",
              "stored is None:\n                return False\n            self._put"),),
    ),
    "change-rev-ignored": Mutant(
        "an edit is written over whatever is stored",
        (Edit(MEMORY_SCHEDULES, "if stored is None or stored.rev != change.before.rev:", "if stored is None:"),),
    ),
    "record-rev-ignored": Mutant(
        "an execution's record is written over whatever is stored",
        (Edit(MEMORY_EXECUTIONS, "stored.rev != expected_rev:\n                return False\n            self._records[exec",
              "False:\n                return False\n            self._records[exec"),),
    ),
    "insert-overwrites": Mutant(
        "claiming blindly: the record of a firing replaces an existing one",
        (Edit(MEMORY_EXECUTIONS, "if at in self._records:\n                return False\n            self._records",
              "if at in self._records and self._records[at].rev > 1:\n                return False\n            self._records"),),
    ),
    # -- the pause of the queue
    "pause-unseen": Mutant(
        "what is due is sent although its queue is paused",
        (Edit(QUEUE_PAUSE, "    if not paused:\n        return standing\n", "    return standing\n"),),
    ),
    "pause-answered-early": Mutant(
        "a pause is answered before all that could not see it has begun",
        (Edit(QUEUES, "    s.clock.sleep_until(s.clock.now_ms() + PAUSE_SEEN_MS + 1)\n", ""),),
    ),
    "held-unmarked": Mutant(
        "a missed firing does not say that a pause held it",
        (Edit(CATCH_UP, "    return TOO_LATE if record.held_note is None else", "    return TOO_LATE if True else"),),
    ),
    "held-keeps-no-window": Mutant(
        "what a pause holds gets a time of its own, and is sent however late",
        (Edit(JOURNAL, "    return replace(execution, retry_at_ms=None, held_until_ms=now_ms)\n",
              "    return replace(execution, retry_at_ms=None, held_until_ms=now_ms, put_off_ms=now_ms)\n"),
         Edit(RESUME, "    if catch_up.is_expired(bound.definition, found, now_ms):\n        missed = replace(", "    if False:\n        missed = replace(")),
    ),
    "held-unpaced": Mutant(
        "what a pause held is sent all at once",
        (Edit(RESUME, "record if was_held else dead)", "dead)"),),
    ),
    "resumed-unwoken": Mutant(
        "a resumption leaves what is held to look by itself",
        (Edit(QUEUES, "    queue_pause.wake_recent(s, caller.tenant, from_ms, now_ms + WAKE_MAX_MS)\n", ""),),
    ),
    # -- claims without records
    "claimed-behind-others": Mutant(
        "an instant that may have been claimed or recorded is claimed without a look at records",
        (Edit(SPANS, "room and instants[0] > state.reached_ms):", "room):"),),
    ),
    "span-not-met": Mutant(
        "a message that comes again does not look for the claim that its firings belong to",
        (Edit(RESUME, "    known = [f for f in firings if verdicts[f] is not Verdict.UNKNOWN and states[f.schedule].span_at(f.at_ms)]\n",
              "    known = []\n"),),
    ),
    "first-record-overwrites": Mutant(
        "the first record of a claimed firing replaces what others have written of it",
        (Edit(MEMORY_EXECUTIONS, "self._update(execution, rev) if rev else self._insert(execution) for",
              "self._update(execution, rev) if rev else self._insert(execution) or self._update(execution, self._records[execution.key].rev) for"),),
    ),
    "span-forgotten": Mutant(
        "a claim is forgotten with the next one, although its firings have no records",
        (Edit(CORE, "            spans=(*(s for s in self.spans if s not in settled), span),", "            spans=(span,),"),),
    ),
    "recorded-unreached": Mutant(
        "records are made of instants that can still be claimed without a look at records",
        (Edit(SPANS, "    moves = [(state, state.reached(at_ms)) for", "    moves = [(state, state) for"),),
    ),
    "claimed-by-guess": Mutant(
        "a claim that got no answer counts as made",
        (Edit(CLAIM, "        return [share.span in stored[share.state.key].spans for share in shares]\n", "        return [True for share in shares]\n"),),
    ),
    # -- queue first, write second
    "advance-before-queueing": Mutant(
        "sweep advances a schedule before its firings are queued",
        (Edit(SWEEP, "    hand_off(s, [*owed, *(Owed(f.definition, f.state, w.instants) for f, w in planned)], now_ms)\n", "    hand_off(s, owed, now_ms)\n"),
         Edit(SWEEP, "    s.stores.schedules.write_states(writes)  # False",
              "    s.stores.schedules.write_states(writes)\n    hand_off(s, [Owed(f.definition, f.state, w.instants) for f, w in planned], now_ms)  # False"),),
    ),
    "moved-on-by-nobody": Mutant(
        "sweep leaves a schedule to the claim of its only instant, which does not move it on, also when that has passed",
        (Edit(SWEEP, "if is_next and at_ms > now_ms else None", "if is_next else None"),
         Edit(CLAIM, "    if len(group) > 1 or claimed.next_run_ms != firing.at_ms or ", "    if "),
         Edit(CLAIM, "claimed.current.id != firing.version:", "claimed.current.id:"),),
    ),
    "moved-on-from-wherever": Mutant(
        "a claim moves its schedule on, whichever instant that names as its next run",
        (Edit(CLAIM, "    if len(group) > 1 or claimed.next_run_ms != firing.at_ms or ", "    if len(group) > 1 or claimed.next_run_ms is None or "),
         Edit(CLAIM, "    return replace(claimed.advanced(window), rev=claimed.rev) if", "    return replace(claimed, next_run_ms=window.next_run_ms, run_count=claimed.run_count + 1, queued_ms=firing.at_ms) if"),),
    ),
    "moved-on-too-far": Mutant(
        "a claim moves its schedule on by two runs",
        (Edit(CLAIM, "    return replace(claimed.advanced(window), rev=claimed.rev) if", "    window = replace(window, next_run_ms=window.next_run_ms and definition.compiled().next_after(window.next_run_ms))\n    return replace(claimed.advanced(window), rev=claimed.rev) if"),),
    ),
    "create-before-queueing": Mutant(
        "create, edit and resume write first and queue later",
        (Edit(CHANGE, "    hand_off(s, [Owed(definition, state, window.instants)], s.clock.now_ms())\n    fresh",
              "    _later[definition.version] = Owed(definition, state, window.instants)\n    fresh"),
         Edit(SCHEDULES, "            s.stores.schedules.create(made, limits(s), monitor.to_begin(None, made))\n",
              "            s.stores.schedules.create(made, limits(s), monitor.to_begin(None, made))\n            schedule_change._now(s, definition)\n"),
         Edit(CHANGE, "    try:\n        s.stores.schedules.change(change)\n    except NameTaken:",
              "    try:\n        s.stores.schedules.change(change)\n        _now(s, new)\n    except NameTaken:"),
         Edit(CHANGE, "CHANGE_ATTEMPTS = 12\n",
              "CHANGE_ATTEMPTS = 12\n_later = {}\ndef _now(s, d):\n    owed_ = _later.pop(d.version, None)\n"
              "    if owed_ is not None:\n        hand_off(s, [owed_], s.clock.now_ms())\n"),),
    ),
    "edit-without-settling": Mutant(
        "an edit, pause or resume forgets what is overdue",
        (Edit(CHANGE, "        settled = settle(s, found, since_ms)\n        if settled is None:", "        settled = found\n        if settled is None:"),),
    ),
    # -- versions
    "no-look-at-the-instant": Mutant(
        "the version is not checked again at the instant",
        (Edit(RECHECK, "    standing = [r for r in group if epochs.get(r.claimed.key) == r.claimed.epoch]\n", "    standing = list(group)\n"),),
    ),
    "newest-version-judges": Mutant(
        "a message is judged by the newest version, not by the one in force at its instant",
        (Edit(CORE, "            if ref.since_ms <= instant_ms:\n", "            if ref.since_ms <= instant_ms or True:\n"),),
    ),
    "numbered-versions": Mutant(
        "versions are numbered: an edit that lost its race blesses the orphans of another",
        (Edit(CHANGE, "        changed,\n        version=s.ids.ulid(now_ms),", "        changed,\n        version=f'{state.id}v{state.epoch + 1}',"),),
    ),
    "epoch-stays": Mutant(
        "a change does not move the epoch that claims look at",
        (Edit(CORE, "rev=self.rev + 1, epoch=self.epoch + 1, versions=versions", "rev=self.rev + 1, versions=versions"),),
    ),
    "unknown-versions-dropped": Mutant(
        "a message of an unknown version is dropped at once",
        (Edit(PIPELINE, "    again = {item for item in claims.unknown if _may_still_come(s, item)}\n", "    again: set[Item] = set()\n"),
         Edit(PIPELINE, "    for wait_ms in UNKNOWN_WAITS_MS:\n", "    for wait_ms in ():\n"),),
    ),
    "pause-not-obeyed": Mutant(
        "a claimed firing is sent although its schedule was paused before its instant",
        (Edit(BINDING, "        if ref is not None and not ref.active:\n", "        if False and ref is not None:\n"),),
    ),
    "deleted-fires": Mutant(
        "what a deleted schedule had queued before it was deleted is still delivered",
        (Edit(VERDICT, "            return Verdict.DROP\n        return Verdict.DELETED if state.status == \"deleted\" else Verdict.FIRE",
              "            return Verdict.DROP\n        return Verdict.FIRE"),),
    ),
    "edit-in-the-past": Mutant(
        "a version begins when a clock that was set back says so, before the one it replaces",
        (Edit(CHANGE, "    return max(s.clock.now_ms() + ahead_ms, found.state.current.since_ms + 1)\n", "    return s.clock.now_ms() + ahead_ms\n"),),
    ),
    # -- tokens and attempts
    "token-reused": Mutant(
        "a further attempt keeps the token of the one before",
        (Edit(RESUME, "        token, moved = state.fence + 1, state", "        token, moved = max(record.fencing_token, 1), state"),),
    ),
    "tokens-not-kept": Mutant(
        "a claim of several firings moves the fence by one",
        (Edit(CORE, "            fence=self.fence + count,", "            fence=self.fence + 1,"),),
    ),
    "lease-without-margin": Mutant(
        "the local clock is trusted: a lease is over when this clock says so",
        (Edit(RESUME, "    if found.leased(now_ms - s.config.max_drift_ms):", "    if found.leased(now_ms):"),),
    ),
    "lease-ignored": Mutant(
        "a redelivered message takes over an attempt that lives",
        (Edit(RESUME, "    if found.leased(now_ms - s.config.max_drift_ms):", "    if False:"),),
    ),
    "cancelled-resurrected": Mutant(
        "a message that comes again starts a cancelled run anew",
        (Edit(RESUME, "        elif handoff.is_taken_out(found, firing.version):\n            parts.append(_put_back",
              "        elif found.state in ('skipped', 'cancelled'):\n            parts.append(_put_back"),
         Edit(RESUME, "        elif handoff.is_taken_out(found, firing.version):\n            continue",
              "        elif found.state in ('skipped', 'cancelled'):\n            continue"),),
    ),
    "late-result-overwrites": Mutant(
        "a stalled worker writes its late result over what others have done since",
        (Edit(IN_FLIGHT, "    return Ended(replace(after, hlc=s.ids.hlc()), execution.rev, definition)",
              "    stored = s.stores.executions.get([execution.key]).get(execution.key)\n"
              "    rev = execution.rev if stored is None else stored.rev\n"
              "    return Ended(replace(after, rev=rev + 1, hlc=s.ids.hlc()), rev, definition)"),),
    ),
    "one-attempt-too-many": Mutant(
        "attempts beyond the retry policy",
        (Edit(JOURNAL, "    return len(execution.attempts) - lost < policy.max_attempts and", "    return"),),
    ),
    # -- right before the instant
    "change-acknowledged-at-once": Mutant(
        "a change is answered while what was rechecked before it is still to be sent",
        (Edit(CHANGE, "        s.clock.sleep_until(until_ms)\n", "        pass\n"),),
    ),
    "sent-when-rechecked": Mutant(
        "what was rechecked before its instant is sent at once",
        (Edit(PIPELINE, "    s.clock.sleep_until(due_ms)  # wait: nothing is sent before its instant\n", ""),),
    ),
    "recheck-kept-too-long": Mutant(
        "a worker that stood still after its recheck sends all the same",
        (Edit(PIPELINE, "    sendable = recheck(s, standing) if is_old else", "    sendable ="),),
    ),
    "rechecked-too-early": Mutant(
        "the recheck begins earlier than changes allow for",
        (Edit(PIPELINE, "    ahead_ms = s.process.recheck_latency.ahead_ms\n", "    ahead_ms = 4 * s.process.recheck_latency.ahead_ms\n"),),
    ),
    # -- crowds
    "crowd-sent-at-its-first": Mutant(
        "instants that share a job are sent at the first of them",
        (Edit(SHARED, "                return at_ms - at_ms % span_ms + span_ms - 1\n", "                return at_ms - at_ms % span_ms\n"),),
    ),
    # -- policies
    "policies-read-once": Mutant(
        "a worker goes on with the policies that it read first",
        (Edit(POLICY_MEMORY, "return known if known is not None and known.epoch == epoch else None", "return known"),),
    ),
    "policy-leaves-no-trace": Mutant(
        "a change of policies does not raise their epoch",
        (Edit(MEMORY_POLICIES, "            self._versions[tenant, policy.name].append(policy)\n            self._raise_epoch(tenant)\n",
              "            self._versions[tenant, policy.name].append(policy)\n"),),
    ),
    "denied-and-sent": Mutant(
        "what a policy denies is ended, and sent all the same",
        (Edit(RULINGS, "    return [ready for ready in standing if ready.claimed.execution.key not in away]\n", "    return standing\n"),),
    ),
    "denied-is-tried-again": Mutant(
        "a denied firing has further attempts",
        (Edit(JOURNAL, 'AttemptResult("failed", error_type="rejected", error=error, permanent=True)', 'AttemptResult("failed", error_type="rejected", error=error)'),
         Edit(JOURNAL, "    ended = finish(execution, result, RetryPolicy(), at_ms, at_ms)\n    step", "    ended = finish(execution, result, RetryPolicy(max_attempts=3), at_ms, at_ms)\n    step"),),
    ),
    "policy-denies-all": Mutant(
        "a policy denies what it does not match",
        (Edit(JUDGED_RULES, "        if not rules or (policy.fits is not None and not policy.fits(about)):\n", "        if not rules:\n"),),
    ),
    "denial-off-the-record": Mutant(
        "the feed enters one denied firing of a batch in the audit",
        (Edit(DENIALS, "        by_tenant.setdefault(execution.tenant, {})[draft.id] = draft\n", "        by_tenant[execution.tenant] = {draft.id: draft}\n"),),
    ),
    # -- claims that run out
    "expired-claim-sent": Mutant(
        "a worker that stood still sends what others have taken over",
        (Edit(RECHECK, "    return in_time(s, _permitted(s, epochs, _still_ours(s, standing)))\n", "    return in_time(s, _permitted(s, epochs, standing))\n"),),
    ),
    "late-takeover-not-paced": Mutant(
        "what a dead worker held goes out all at once, however late it is",
        (Edit(RESUME, "    return catch_up.slots(1, state.paced_ms, now_ms, s.config.catch_up_per_minute)[0]\n", "    return None\n"),),
    ),
    "second-death-not-paced": Mutant(
        "found by the simulator: what two workers died over goes out all at once",
        (Edit(RESUME, "    return judged.first_started_ms is None and not asked\n", "    return not judged.is_bound and not asked\n"),),
    ),
    "heir-left-to-the-minute": Mutant(
        "found by the simulator: what the heir of a dead worker claimed and died over waits for the minute's reconcile",
        (Edit(RESUME, "    if is_listed_open(found) and (until_ms is None or until_ms > s.clock.now_ms() + ATTEMPT_LEASE_MS):\n",
              "    if is_listed_open(found):\n"),),
    ),
    "claimed-for-a-minute": Mutant(
        "what a dead worker had claimed is its own for a minute",
        (Edit(LIMITS, "ATTEMPT_LEASE_MS = 2_500 ", "ATTEMPT_LEASE_MS = 60_000 "),),
    ),
    "hidden-for-the-dead": Mutant(
        "a message in work is hidden for as long as its function may run, also when its worker has died",
        (Edit(KEEPER, "    return min(ahead_ms + patience_ms, QUEUE_HIDES_S * SECOND_MS)\n", "    return QUEUE_HIDES_S * SECOND_MS\n"),),
    ),
    "stopped-with-all-it-held": Mutant(
        "a process that is told to stop gives nothing away: others wait for the leases of what it had claimed",
        (Edit(PIPELINE, "    away = s.process.waiting_room.take_away(s.clock.now_ms() + AT_HAND_MS)\n", "    away: list[WaitingGroup[Sequence[Ready]]] = []\n"),),
    ),
    "given-away-and-sent": Mutant(
        "what is given away when its process stops is sent by it all the same",
        (Edit(PIPELINE, "        if room.begin(waiting):\n", "        if room.begin(waiting) or waiting.is_given:\n"),),
    ),
    "renewal-forgotten": Mutant(
        "a claim is renewed in the tables alone, so that its outcome is written over an old record",
        (Edit(IN_FLIGHT, "            delivery.execution = after\n            delivery.ready = replace(delivery.ready, claimed=replace(delivery.ready.claimed, execution=after))\n",
              "            pass\n"),),
    ),
    # -- what died
    "acknowledged-before-claimed": Mutant(
        "a message is answered although the tables could not be reached to claim it",
        (Edit(CLAIM, "        return Claims(redeliver=tuple(items))\n", "        return NOTHING\n"),),
    ),
    "held-elsewhere-acknowledged": Mutant(
        "a message is answered although nobody has its firing in his care",
        (Edit(PIPELINE, "set(claims.redeliver), list(claims.leased)\n", "set(claims.redeliver), []\n"),
         Edit(PIPELINE, "        leased += claims.leased\n", ""),
         Edit(RECONCILE, "        _abandoned(s, tenant, held, scans)", "        pass"),),
    ),
    "nobody-looks-for-the-abandoned": Mutant(
        "reconcile does not look for claims whose worker died",
        (Edit(RECONCILE, "        _abandoned(s, tenant, held, scans)", "        pass"),),
    ),
    "overdue-not-requeued": Mutant(
        "reconcile does not look at the open index",
        (Edit(RECONCILE, "    _overdue(s, held.shard)\n    for", "    for"),),
    ),
    "shard-skipped": Mutant(
        "the last shard is nobody's",
        (Edit(SHARDS, "    for shard in range(s.config.shards):", "    for shard in range(max(1, s.config.shards - 1)):"),),
    ),
    "handed-and-forgotten": Mutant(
        "the sweep never looks again at an instant that it has left to its claim, which does not move the schedule on",
        (Edit(SWEEP, "if e.next_run_ms <= now_ms or not handed.is_all(", "if not handed.is_all("),
         Edit(CLAIM, "    if len(group) > 1 or claimed.next_run_ms != firing.at_ms or ", "    if "),
         Edit(CLAIM, "claimed.current.id != firing.version:", "claimed.current.id:"),),
    ),
    "planned-from-now": Mutant(
        "sweep plans from its own clock instead of from next_run",
        (Edit(SWEEP, "schedule.window(definition, state.next_run_ms, until_ms,", "schedule.window(definition, max(state.next_run_ms, until_ms - 110_000), until_ms,"),),
    ),
    "missed-not-recorded": Mutant(
        "instants beyond the catch-up window leave no trace",
        (Edit(OWED, "            for at_ms in sorted(gone)\n", "            for at_ms in ()\n"),),
    ),
    "dead-letter-forgotten": Mutant(
        "an execution that is out of attempts leaves no dead letter",
        (Edit(OUTCOMES, "        if e.execution.state in (FAILED, TIMEOUT):", "        if e.execution.state == TIMEOUT:"),),
    ),
    "retry-not-queued": Mutant(
        "a failed attempt's successor is not queued, and reconcile does not look for it",
        (Edit(OUTCOMES, "ended if e.execution.retry_at_ms is not None or e.execution.asynchronous])", "ended if e.execution.asynchronous])"),
         Edit(RECONCILE, "    return execution.is_open and (", "    return execution.is_open and execution.retry_at_ms is None and ("),),
    ),
    "runs-not-counted": Mutant(
        "instants that are queued are not counted against max_runs",
        (Edit(CORE, "            run_count=self.run_count + len(window.instants),", "            run_count=self.run_count,"),),
    ),
    "runs-not-taken-back": Mutant(
        "an edit does not give back the runs whose messages it makes void",
        (Edit(CHANGE, "        run_count=state.run_count - taken_back,\n        outcome=", "        run_count=state.run_count,\n        outcome="),),
    ),
    "stamp-follows-the-wall": Mutant(
        "a stamp goes back with the wall clock",
        (Edit(HLC, "    if wall_nanos > last.physical_nanos:", "    if wall_nanos != last.physical_nanos:"),),
    ),
    "phase-skipped": Mutant(
        "a delivery that takes long is said to be recorded before its target has answered",
        (Edit(IN_FLIGHT, "        delivery.move(DeliveryPhase.RUNNING)\n", "        delivery.move(DeliveryPhase.RECORDED)\n"),),
    ),
    # -- backpressure
    "limit-ignored": Mutant(
        "a destination gets as many at once as are due",
        (Edit(BACKPRESSURE, "            and _fits(self._targets.get(ticket.target), ticket.count, caps.target_in_flight)\n", ""),),
    ),
    "rate-ignored": Mutant(
        "a rate is never charged",
        (Edit(BACKPRESSURE, "        if rate is None:\n            return\n", "        return\n"),),
    ),
    "held-and-forgotten": Mutant(
        "what waited too long is taken out of the line and nobody's any more",
        (Edit(IN_FLIGHT, "        delivery.move(DeliveryPhase.HELD_BACK)\n    hand_back(s, held)\n", "        delivery.move(DeliveryPhase.HELD_BACK)\n"),
         Edit(RECONCILE, "        _abandoned(s, tenant, held, scans)", "        pass"),),
    ),
    "sent-without-a-second-look": Mutant(
        "what has waited is sent although it was changed meanwhile",
        (Edit(SEND, "        if waited_long(deliveries, ticket):\n", "        if False:\n"),),
    ),
    # -- who goes first
    "newcomer-first": Mutant(
        "whoever comes when the slot is free takes it, although another waits",
        (Edit(OVERLAP, "    if running is None and waiting is None:\n        return _run(me, state)\n", "    if running is None:\n        return _run(me, state)\n"),),
    ),
    "last-taken-wins": Mutant(
        "under `replace` the instant that a worker took last wins, though it is the earlier one",
        (Edit(OVERLAP, "    if running.firing_ms > newcomer.firing_ms and not asked_for:\n", "    if False:\n"),),
    ),
    "slot-ignored": Mutant(
        "whoever is due is sent, whatever runs already",
        (Edit(PIPELINE, "    if take_slot(s, ready.claimed):  #", "    if take_slot(s, ready.claimed) or True:  #"),),
    ),
    # -- catch-up
    "delay-has-a-limit": Mutant(
        "a DELAY run is given up when it is later than the catch-up window",
        (Edit(CORE, '        if self.type in ("AT", "DELAY"):\n            return None\n        return max(', '        if self.type == "AT":\n            return None\n        return max('),),
    ),
    "each-worker-its-own-pace": Mutant(
        "what was given out by one worker is not known to the next: each begins its slots anew",
        (Edit(CLAIM, "    return _Share(state, now, held, replace(moved, paced_ms=slots[-1], reached_ms=reached_ms))\n", "    return _Share(state, now, held, replace(moved, reached_ms=reached_ms))\n"),),
    ),
    "caught-up-at-once": Mutant(
        "what is late is not spaced",
        (Edit(CATCH_UP, "    return [first_ms + number * interval_ms for number in range(count)]\n", "    return [first_ms for number in range(count)]\n"),),
    ),
    "caught-up-backwards": Mutant(
        "the newest of what is late goes out first",
        (Edit(CLAIM, "zip(late, slots, strict=True) if slot_ms", "zip(late[::-1], slots, strict=True) if slot_ms"),),
    ),
    # -- wake-ups that only a safety net replaces
    "waiter-not-woken": Mutant(
        "the end of a run does not wake the one that waits: it looks by itself after 30 s",
        (Edit(FOLLOW, '    if definition is None or definition.overlap == "queue":\n', "    if False:\n"),),
    ),
    "waiter-on-its-own": Mutant(
        "the end of a run does not wake the one that waits, and that one does not look by itself",
        (Edit(FOLLOW, '    if definition is None or definition.overlap == "queue":\n', "    if False:\n"),
         Edit(SLOT, "s.clock.now_ms() + WAITER_CHECK_MS)", "s.clock.now_ms() + 100 * WAITER_CHECK_MS)"),),
    ),
    "left-slot-asleep": Mutant(
        "found by the simulator: a run that was left the slot by a newcomer is not woken",
        (Edit(FOLLOW, "    if running is not None and running.waits:\n", "    if False:\n"),),
    ),
    "retry-faster-than-its-write": Mutant(
        "found by the simulator: a retry whose message comes before its write is answered, and waits for reconcile",
        (Edit(RESUME, "        if isinstance(item, Run) and item.attempt > found.attempt + 1:\n", "        if False:\n"),),
    ),
    "retry-left-to-reconcile": Mutant(
        "a failed attempt's successor is not queued: reconcile finds it at its next look",
        (Edit(OUTCOMES, "ended if e.execution.retry_at_ms is not None or e.execution.asynchronous])", "ended if e.execution.asynchronous])"),),
    ),
    "time-out-left-to-reconcile": Mutant(
        "what a target accepted and forgot ends at reconcile's next look, not when its time is over",
        (Edit(OUTCOMES, "ended if e.execution.retry_at_ms is not None or e.execution.asynchronous])", "ended if e.execution.retry_at_ms is not None])"),),
    ),
    "chain-left-to-reconcile": Mutant(
        "the end of a DELAY run does not set the next: reconcile does at its next look",
        (Edit(FOLLOW, '    if definition is None or definition.type == "DELAY":\n', "    if definition is None:\n"),),
    ),
    "pause-left-to-the-feed": Mutant(
        "the worker that records the last failure does not judge: the feed does, seconds later",
        (Edit(FOLLOW, "    if definition is not None and just_now:\n", "    if False:\n"),),
    ),
    "cancelled-call-goes-on": Mutant(
        "the connection of a cancelled delivery stays open until its target answers",
        (Edit(IN_FLIGHT, "        if delivery.phase is DeliveryPhase.FENCED:\n            s.targets", "        if False:\n            s.targets"),
         Edit(ENDING, "    if done.attempts and done.target_type in s.targets:\n", "    if False:\n"),),
    ),
    "freed-place-not-passed-on": Mutant(
        "a place within a limit that has become free is not given to the one that waits",
        (Edit(ADMISSION, "    s.process.admission.finish(ticket)\n    admit(s)\n", "    s.process.admission.finish(ticket)\n"),),
    ),
    # -- what was cancelled
    "failure-not-doubted": Mutant(
        "a failure of what was cancelled meanwhile leaves a dead letter",
        (Edit(IN_FLIGHT, "    if doubtful:\n", "    if False:\n"),),
    ),
    "accepted-and-not-told": Mutant(
        "a target that has accepted a firing is not told of its cancel",
        (Edit(JOURNAL, "    return replace(settled, notice=1) if execution.asynchronous else settled\n", "    return settled\n"),),
    ),
    "notice-left-to-luck": Mutant(
        "the notice of a cancel is not queued before the write that owes it",
        (Edit(ENDING, "        if execution.asynchronous:  #", "        if False:  #"),),
    ),
    # -- indexes that lag
    "scan-trusts-the-index": Mutant(
        "the scan of recent instants goes on where the last one ended, though the index showed it the past",
        (Edit(RECONCILE, "INDEX_LAG_MS = 120_000\n", "INDEX_LAG_MS = 0\n"),),
    ),
    "horizon-of-a-minute": Mutant(
        "a change queues what fires until the next sweep, though an index may hide the schedule from that",
        (Edit(CHANGE, "    until_ms = s.clock.now_ms() + s.config.horizon_ms\n", "    until_ms = s.clock.now_ms() + 61_000\n"),),
    ),
    # -- DELAY chains
    "chain-dropped": Mutant(
        "nobody takes up a DELAY chain whose worker died between the end of a run and the next",
        (Edit(RESUME, "        follow(s, found, s.process.versions.find(found.version), just_now=False)\n", ""),
         Edit(RECONCILE, " and (not _is_delay(s, e) or chain(s, e))]", "]"),),
    ),
    "chain-runs-two": Mutant(
        "an edit of a DELAY schedule begins a run beside the one in progress",
        (Edit(CHANGE, "    return state.queued_ms if record is None or record.is_open else None", "    return None"),),
    ),
    "chain-before-its-version": Mutant(
        "a DELAY run ended under a clock set back is followed by one before its own version",
        (Edit(CHAIN, "max(execution.finished_ms, execution.firing_ms, found.state.current.since_ms)", "execution.finished_ms"),),
    ),
    "superseded-delay-fires": Mutant(
        "a claimed DELAY run survives the edit that replaced it",
        (Edit(BINDING, "        return state.queued_ms == at_ms\n", "        return True\n"),),
    ),
    # -- found by the simulator, planted again
    "two-readings-of-the-clock": Mutant(
        "an instant is in time for one test and too late for the next",
        (Edit(CLAIM, "    fire = [each for each in owed", "    now_ms = s.clock.now_ms()\n    fire = [each for each in owed"),),
    ),
    "paused-version-forgotten": Mutant(
        "the definition of a paused version is not kept",
        (Edit(CHANGE, "        snapshot=_superseded(before, new.since_ms),", "        snapshot=_superseded(before, new.since_ms) if old.active else None,"),),
    ),
    "put-back-by-a-stale-look": Mutant(
        "a worker that stood still puts back an instant that was taken out since",
        (Edit(RESUME, "    if binding.verdicts(s, [firing], states)[firing] not in (Verdict.FIRE, Verdict.DELETED):\n", "    if False:\n"),),
    ),
    "put-back-for-good": Mutant(
        "what was put back once runs, whatever edits come before its instant",
        (Edit(RECORD, "return self.requested or any(s.target == IN_PROGRESS or s.reason == RETRY_REQUESTED for s in self.history)", "return self.requested or bool(self.history)"),),
    ),
    "put-back-too-late": Mutant(
        "an instant that is put back after it was due stays skipped",
        (Edit(CLAIM, "if not handoff.is_taken_out(record, late[key].firing.version)}", "}"),),
    ),
    "swept-too-late": Mutant(
        "an instant that is put back after its catch-up window stays skipped",
        (Edit(OWED, "    enqueue(s, queue_messages.pack(again))\n", ""),),
    ),
    "never-late-forgotten": Mutant(
        "a stalled worker sends late what promised never to be",
        (Edit(RECHECK, "    return in_time(s, _permitted(s, epochs, _still_ours(s, standing)))\n", "    return _permitted(s, epochs, _still_ours(s, standing))\n"),
         Edit(PIPELINE, "    sendable = recheck(s, standing) if is_old else in_time(s, standing)\n", "    sendable = recheck(s, standing) if is_old else standing\n"),),
    ),
    "window-judged-at-the-claim-alone": Mutant(
        "a stalled worker sends what has become older than its catch-up window since the claim",
        (Edit(CATCH_UP, "    return definition.catch_up_window_ms == 0 or not keeps_its_time(record)\n",
              "    return definition.catch_up_window_ms == 0\n"),),
    ),
    "taken-over-however-late": Mutant(
        "what a dead worker had claimed is begun anew after its catch-up window",
        (Edit(RESUME, "        if dead is not None and catch_up.is_expired(bound.definition, dead, now_ms := s.clock.now_ms()):\n", "        if False:\n"),),
    ),
    "slot-taken-back": Mutant(
        "a late instant that was given a catch-up slot within its window is given up when the slot comes",
        (Edit(CATCH_UP,
              "    return record.put_off_ms is not None and record.put_off_ms > due_ms and not record.history\n",
              "    return False\n"),),
    ),
    # -- what is told
    "lost-is-on-time": Mutant(
        "a firing counts as begun with an attempt that nobody knows was sent",
        (Edit(JOURNAL, "        return replace(ended, first_started_ms=execution.first_started_ms)\n", "        return ended\n"),),
    ),
    "given-up-not-told": Mutant(
        "an instant that was given up is no miss of its SLA",
        (Edit(SLA, "return execution.late or any(", "return execution.late or False and any("),),
    ),
    "told-at-the-end-alone": Mutant(
        "what a batch of the stream shows of an execution is passed over while the execution is open",
        (Edit(STREAM, "if sla.is_missed(w.after) and", "if not w.after.is_open and sla.is_missed(w.after) and"),),
    ),
    # -- pause_after_failures
    "one-failure-too-few": Mutant(
        "a schedule is paused one failure before it has failed as often as its policy allows",
        (Edit(JUDGE, "count(s, definition, most) >= most", "count(s, definition, most) >= most - 1"),),
    ),
    "one-failure-too-many": Mutant(
        "a schedule is paused one failure too late",
        (Edit(JUDGE, "count(s, definition, most) >= most", "count(s, definition, most + 1) > most"),),
    ),
    "success-does-not-reset": Mutant(
        "failures are counted across a success between them",
        (Edit(FAILURES, "if failures >= most or execution.state == COMPLETED:", "if failures >= most:"),),
    ),
    "resume-does-not-reset": Mutant(
        "a schedule that was resumed is paused again for its old failures",
        (Edit(CHANGE, "new = replace(new, failures_from_ms=new.owes_from(since_ms))", "new = replace(new)"),),
    ),
    "only-the-worker-judges": Mutant(
        "whether a schedule keeps failing is judged by the worker alone, which may die before it has",
        (Edit(STREAM, "        judged = failures.judge(s, failed[key][-1])\n", "        judged = getattr(s.stores.schedules.get([key]).get(key), 'definition', None)\n"),),
    ),
    # -- pauses that end by themselves
    "pause-fires-before-its-end": Mutant(
        "a schedule that is paused until an instant fires before it",
        (Edit(CORE, "    from_ms = definition.owes_from(from_ms)\n    compiled", "    compiled"),),
    ),
    "pause-does-not-end": Mutant(
        "a schedule that is paused until an instant waits there to be resumed",
        (Edit(CHANGE, "    if not definition.active:\n        return replace(state,", "    if definition.is_paused_at(definition.since_ms):\n        return replace(state,"),),
    ),
    "claimed-goes-on-in-a-pause": Mutant(
        "what was claimed before a pause that ends by itself is sent in it",
        (Edit(BINDING, "    if not record.is_bound and definition.rests_at(record.firing_ms):\n", "    if False:\n"),),
    ),
    # -- monitor
    "paused-is-silent": Mutant(
        "a paused schedule counts as one that is silent",
        (Edit(MONITORS, " or not watched.definition.active:\n", ":\n"),
         Edit(MONITORS, '.state != "active":', '.state == "completed":'),),
    ),
    "resumed-and-not-watched": Mutant(
        "a schedule that is resumed is watched as if it had never been paused, or no more",
        (Edit(WATCH, "before.definition.monitor == definition.monitor and _is_active(before, after):", "before.definition.monitor == definition.monitor:"),),
    ),
    "not-armed-again": Mutant(
        "after a silence the next one is not seen",
        (Edit(WATCH, "        fresh = replace(watch, rev=watch.rev + 1, success_ms=success_ms, silent_ms=0, told=False)\n",
              "        fresh = replace(watch, rev=watch.rev + 1, success_ms=success_ms, silent_ms=1, told=True)\n"),
         Edit(WATCH, "        return MonitorFinding.SPOKE, replace(known, silent_ms=0, told=False, look_ms=known.due_ms)", "        return MonitorFinding.SPOKE, replace(known, silent_ms=1, told=True, look_ms=known.due_ms)"),),
    ),
    # -- leases
    "no-margin": Mutant(
        "a lease is over when this clock says so, however wrong it may be",
        (Edit(LEASE, "now_ms < item.expires_at_unix_ms + margin_ms", "now_ms < item.expires_at_unix_ms"),),
        "leases",
    ),
    "shorten": Mutant(
        "a renewal takes back what the holder was promised before",
        (Edit(LEASE, "max(item.expires_at_unix_ms, now_ms + ttl_ms)", "now_ms + ttl_ms"),),
        "leases",
    ),
    "barge": Mutant(
        "whoever asks just when a lease is free is served before those who wait",
        (Edit(LEASE, "    if waiters and waiters[0].party != me:\n", "    if False:\n"),),
        "leases",
    ),
    "place-lost": Mutant(
        "asking again is asking anew, at the end of the queue",
        (Edit(LEASE, "        kept = replace(waiters[place], asks_until_ms=until_ms, wake_at=wake_at)\n        changed = replace(item, rev=item.rev + 1, waiters=(*waiters[:place], kept, *waiters[place + 1 :]))\n",
              "        changed = _with_new_waiter(item, (*waiters[:place], *waiters[place + 1 :]), request, until_ms, wake_at)\n"),),
        "leases",
    ),
    "resurrect": Mutant(
        "a heartbeat that comes after the release holds the lease again",
        (Edit(LEASE, "    return item.holder == party and item.fencing_token == fencing_token\n",
              "    return item.fencing_token == fencing_token and item.holder_id in (None, party.holder_id)\n"),),
        "leases",
    ),
    "token-stays": Mutant(
        "the next holder gets the token of the one before",
        (Edit(LEASE, "        fencing_token=item.fencing_token + 1,\n", ""),),
        "leases",
    ),
    "break-starts-anew": Mutant(
        "a broken lease forgets its token",
        (Edit(LEASE, "LeaseDecision(None if item.holder_id is None else _freed(item), Broken())",
              "LeaseDecision(None if item.holder_id is None else replace(_freed(item), fencing_token=0), Broken())"),),
        "leases",
    ),
    "write-over": Mutant(
        "a lease is written over whatever is stored",
        (Edit(MEMORY_LEASES, '            if self._leases.get((tenant, name), ("", 0))[1] != expected_rev:\n                return False\n', ""),),
        "leases",
    ),
    "believe-memory": Mutant(
        "an answer is given from memory although nothing was written that proves it",
        (Edit(LEASES, "    if decision.item_to_write is None:\n        return None\n    return _written(s, remembered",
              "    if decision.item_to_write is None:\n        return _Decided(decision.answer, remembered)\n"
              "    return _written(s, remembered"),),
        "leases",
    ),
    "merge-nothing": Mutant(
        "a stamp takes no notice of the stamps that its caller has seen",
        (Edit(HLC, "    return tick(max(last, remote), wall_nanos)\n", "    return tick(last, wall_nanos)\n"),),
        "leases",
    ),
    "stamp-goes-back": Mutant(
        "an instance's stamps go back with its wall clock",
        (Edit(HLC, "    if wall_nanos > last.physical_nanos:", "    if wall_nanos != last.physical_nanos:"),),
        "leases",
    ),
    # -- nodes
    "believe-for-ever": Mutant(
        "a node takes its shards for its own however long it was not heard of",
        (Edit(OWNERSHIP, "return dict(self._owned[work]) if _monotonic_ms(s) < self._believed_until_ms else {}",
              "return dict(self._owned[work])"),),
        "leases",
    ),
    "believe-from-answer": Mutant(
        "a node counts its life from the answer to its heartbeat, not from its sending",
        (Edit(OWNERSHIP, "self._believed_until_ms = asked_ms + NODE_TTL_MS",
              "self._believed_until_ms = _monotonic_ms(s) + NODE_TTL_MS"),),
        "leases",
    ),
    "unfenced-cursor": Mutant(
        "a former owner writes a shard's cursor after its successor",
        (Edit(SHARDS, 'for held in swept if cursor.values.get(f"token#{held.shard}", 0) > held.fencing_token]', "for held in swept if False]"),),
        "leases",
    ),
    "nodes-before-shards": Mutant(
        "the nodes are read before the shards: one that came in between looks dead",
        (Edit(OWNERSHIP, "        nodes = {*shards.live_nodes(s), s.config.instance}\n", "        nodes = {*seen, s.config.instance}\n"),
         Edit(OWNERSHIP, "_divide(s, work, lapsed)", "_divide(s, work, lapsed, seen)"),
         Edit(OWNERSHIP, "work: _Work, lapsed: bool)", "work: _Work, lapsed: bool, seen: frozenset[str])")),
        "leases",
    ),
    "back-as-if-never-gone": Mutant(
        "a node that others may have seen dead keeps its shards under the old tokens",
        (Edit(OWNERSHIP, "    if lapsed:\n        return shards.take(s, work, shard, item, shards.NODE)\n", ""),),
        "leases",
    ),
    "released-while-owned": Mutant(
        "a node works on in a shard that it has given up",
        (Edit(OWNERSHIP, "                self._owned[work.name].pop(shard, None)  # before others can take it\n", "                pass\n"),),
        "leases",
    ),
    "dead-keep-shards": Mutant(
        "a dead node's shards are its own until their leases expire",
        (Edit(SHARDS, "    if _is_node(item) and item.holder_id not in live:\n        return None\n", ""),),
        "leases",
    ),
    "dead-noticed-late": Mutant(
        "nodes look at the shards now and then, not when one of them has died",
        (Edit(OWNERSHIP, "        changed = lapsed or seen != self._seen\n", "        changed = lapsed\n"),),
        "leases",
    ),
    "dead-by-a-later-clock": Mutant(
        "found by the simulator: a node that stood still after it had read the others' leases takes all of them for dead",
        (Edit(SHARDS, "    now_ms = s.clock.now_ms()\n    documents, _ = s.stores.leases.list(NODES, NODES_MAX, None)\n",
              "    documents, _ = s.stores.leases.list(NODES, NODES_MAX, None)\n    now_ms = s.clock.now_ms()\n"),),
        "leases",
    ),
    # -- ticks
    "cursor-not-conditional": Mutant(
        "the book is written over whatever is stored",
        (Edit(MEMORY_TICKS, "            if self._rev != expected_rev:\n", "            if False:\n"),),
        "ticks",
    ),
    "sequence-from-memory": Mutant(
        "a process goes on from the number that it gave last itself",
        (Edit(PRODUCER, "        step = tick_book.advance(kept.book,", "        step = tick_book.advance(_remembered(s, kept.book),"),
         Edit(PRODUCER, "        if step.new:\n            _enqueue",
              "        _numbers(s).update({t.frequency: t.sequence for t in step.new})\n"
              "        if step.new:\n            _enqueue"),
         Edit(PRODUCER, "HISTORY_PAGES = 4\n",
              "HISTORY_PAGES = 4\n_numbers = lambda s: s.tasks.__dict__.setdefault('numbers', {})\ndef _remembered(s, book):\n"
              "    for name, last in _numbers(s).items():\n"
              "        stream = book.stream(name)\n"
              "        book = book.with_stream(name, replace(stream, cursor=replace(stream.cursor, sequence=last)))\n"
              "    return book\n")),
        "ticks",
    ),
    "numbered-from-the-clock": Mutant(
        "boundaries are numbered from what the clock says, not from the cursor",
        (Edit(TICKS, "boundaries(max(cursor.boundary_nanos, overdue_nanos), now", "boundaries(overdue_nanos, now"),),
        "ticks",
    ),
    "resumed-from-the-clock": Mutant(
        "a stream that is started again begins where the clock is, also when that was set back",
        (Edit(TICKS, "    return TickCursor(max(cursor.boundary_nanos, now_nanos), cursor.sequence)\n",
              "    return TickCursor(now_nanos, cursor.sequence)\n"),),
        "ticks",
    ),
    "gap-not-declared": Mutant(
        "what an outage swallowed is not written down",
        (Edit(BOOK, "        gaps=stream.gaps if got.gap is None else _skipping(stream, got.gap),\n", ""),),
        "ticks",
    ),
    "late-in-silence": Mutant(
        "ticks that are caught up do not say so",
        (Edit(TICKS, "    slots = [(b, True) for b in missed[:limit]]", "    slots = [(b, False) for b in missed[:limit]]"),),
        "ticks",
    ),
    "marked-before-queued": Mutant(
        "ticks are marked as queued before they are",
        (Edit(PRODUCER, "            _enqueue(s, step.book, step.new)\n            _mark(s, step.book, step.new)\n",
              "            _mark(s, step.book, step.new)\n            _enqueue(s, step.book, step.new)\n"),),
        "ticks",
    ),
    "left-behind": Mutant(
        "what another producer had numbered and not queued is taken for queued",
        (Edit(PRODUCER, "        _enqueue(s, kept.book, step.left)  # before the write that says so\n", ""),),
        "ticks",
    ),
    "refused-forgotten": Mutant(
        "a tick that the bus did not take is not sent again",
        (Edit(PUBLISH, "        if not self._failed and not self._unjudged:\n            return True\n", "        return True\n"),),
        "ticks",
    ),
    "goes-on-when-stopped": Mutant(
        "a stream that is stopped takes no number back, and goes on for minutes",
        (Edit(BOOK, "    halted = replace(stream, enabled=False)\n", "    return replace(stream, enabled=False)\n"),),
        "ticks",
    ),
    "taken-back-though-open": Mutant(
        "a stream that is stopped takes back all that is ahead of its clock, also what was opened for publication",
        (Edit(BOOK, "    last = max(stream.opened_sequence, passed.sequence if passed else 0)\n",
              "    last = passed.sequence if passed else 0\n"),),
        "ticks",
    ),
    "published-unjudged": Mutant(
        "publication does not ask the book whether a number still stands",
        (Edit(GATE, "            return frozenset([*held, *ahead])\n", "            return frozenset([*due, *ahead])\n"),),
        "ticks",
    ),
    "judged-by-number-alone": Mutant(
        "a number that was taken back and given out anew is published as what it was before",
        (Edit(BOOK, "    return next(ticks_of(tick.frequency, runs, tick.sequence - 1), None) == tick\n",
              "    return any(r.first_sequence <= tick.sequence <= r.last_sequence for r in runs)\n"),),
        "ticks",
    ),
    "sent-before-opened": Mutant(
        "a tick is published although the write that was to open it lost its race",
        (Edit(GATE, "        if book == kept.book or s.stores.ticks.save(book, (), kept.rev):\n",
              "        if book == kept.book or s.stores.ticks.save(book, (), kept.rev) or True:\n"),),
        "ticks",
    ),
    "own-book-for-the-truth": Mutant(
        "a worker drops what the book that it wrote last does not hold, though it was numbered since",
        (Edit(GATE, "    return KeptBook(*own) if own is not None and all(_is_held(s, own[0], tick) for tick in due) else None\n",
              "    return None if own is None else KeptBook(*own)\n"),),
        "ticks",
    ),
    "shown-before-opened": Mutant(
        "readers are shown what has passed by their clock, although it may still be taken back",
        (Edit(BOOK, "    until = stream.opened_sequence\n", "    until = stream.cursor.sequence\n"),),
        "ticks",
    ),
    "sent-as-it-comes": Mutant(
        "ticks are sent when their message comes, not at their instants",
        (Edit(PUBLISH, "self._s.tasks.at(at_ms, partial(self._send, group))", "self._s.tasks.start(partial(self._send, group))"),),
        "ticks",
    ),
    "publisher-signs": Mutant(
        "a tick that is taken over names whoever took it, not who numbered it",
        (Edit(BOOK, "        left += unqueued(frequency, stream)\n",
              "        left += [build(frequency, t.timestamp, t.sequence, *maker, t.caught_up) for t in unqueued(frequency, stream)]\n"),),
        "ticks",
    ),
    "insane-clock": Mutant(
        "an instance whose clock is proven wrong numbers ticks",
        (Edit(PRODUCER, "        if not is_sane(s):\n            return\n", ""),),
        "ticks",
    ),
    "page-forgotten": Mutant(
        "older ticks leave the book and are kept nowhere",
        (Edit(PRODUCER, "s.stores.ticks.save(step.book, step.pages, kept.rev)", "s.stores.ticks.save(step.book, (), kept.rev)"),),
        "ticks",
    ),
    "page-and-tail": Mutant(
        "a page that was made while somebody read shows its ticks twice",
        (Edit(PRODUCER, "    old = [p for p in pages if p.last_sequence < first]\n", "    old = list(pages)\n"),),
        "ticks",
    ),
    "dropped-in-silence": Mutant(
        "a slow follower is not told what it lost",
        (Edit(FEED, "            lost.append(Dropped(position, newest.sequence - TICK_STREAM_LAG_MAX_COUNT))\n", ""),),
        "ticks",
    ),
    # -- the change feed
    "mark-forgotten": Mutant(
        "the log does not keep up to where it covers a shard",
        (Edit(CHANGE_LOG, "    marks[shard] = Mark(fresh[-1].sequence, now_ms)\n", ""),),
        "changes",
    ),
    "mark-of-all-shards": Mutant(
        "all shards share one mark",
        (Edit(CHANGE_LOG, "covered = head.marks[shard].sequence if shard in head.marks else -1",
              "covered = max((m.sequence for m in head.marks.values()), default=-1)"),),
        "changes",
    ),
    "batch-or-nothing": Mutant(
        "a batch of which the log has a part is taken for one that it has",
        (Edit(CHANGE_LOG, "    if not fresh:", "    if len(fresh) < len(arrived):"),),
        "changes",
    ),
    "head-rev-ignored": Mutant(
        "a segment is appended to whatever the head says",
        (Edit(MEMORY_CHANGES, "if (0 if stored is None else stored.rev) != expected_rev:", "if stored is None and expected_rev:"),),
        "changes",
    ),
    "first-race-decides": Mutant(
        "a batch whose append lost a race counts as appended",
        (Edit(CHANGES, "if appended is None or s.stores.changes.append(appended.head, appended.segment, head.rev):\n            return",
              "if appended is None or s.stores.changes.append(appended.head, appended.segment, head.rev) or True:\n            return"),),
        "changes",
    ),
    "segment-at-once": Mutant(
        "the segment is kept although the head was not written",
        (Edit(MEMORY_CHANGES, "                return False\n", "                self._segments[head.tenant].append(segment)\n                return False\n"),),
        "changes",
    ),
    "cursor-jumps": Mutant(
        "a page that is full goes on after what was read",
        (Edit(CHANGE_FEED, "            if len(found) == limit:\n                return ChangePage(found, after)",
              "            if len(found) == limit:\n                return ChangePage(found, segments[-1].last)"),),
        "changes",
    ),
    "owner-unasked": Mutant(
        "a caller sees every owner's changes",
        (Edit(CHANGE_FEED, "self.owners[change.type] in (None, change.owner)", "bool(self.owners)"),),
        "changes",
    ),
    "hole-unseen": Mutant(
        "a cursor older than the log goes on behind the hole",
        (Edit(CHANGE_FEED, "        if after != s.stores.changes.head(tenant).last and", "        if False and"),
         Edit(CHANGE_FEED, "if segments[0].first > after + 1 or change_log", "if change_log"),
         Edit(MEMORY_CHANGES, "            self._segments[head.tenant].append(segment)\n            return True",
              "            self._segments[head.tenant].append(segment)\n            del self._segments[head.tenant][:-9]\n            return True")),
        "changes",
    ),
    "event-twice": Mutant(
        "what an event fires is not named by the event",
        (Edit(EVENTS, "    named = replace(record, event=event.digest)\n",
              "    named = replace(record, event=f'{event.digest[:12]}{at_ms:014d}')\n"),),
        "triggers",
    ),
    "watch-rev-ignored": Mutant(
        "a watch is written whatever another worker has made of it",
        (Edit("chalicelib.adapters.memory.triggers",
              "            stored = self._watches.get(at)\n            if (0 if stored is None else stored.rev) != expected_rev:\n                return False\n", ""),),
        "triggers",
    ),
    "ended-before-fired": Mutant(
        "a watch ends before its execution is written, so that a worker's death loses it",
        (Edit(WATCHES, "    key = Key(firing.tenant, firing.trigger_id)\n",
              "    s.stores.triggers.save_watch(settled(firing), firing.rev)\n    key = Key(firing.tenant, firing.trigger_id)\n"),),
        "triggers",
    ),
    "late-event-takes-back": Mutant(
        "an event that comes after the end of a wait, and before its hint, takes the firing back",
        (Edit(WATCHES, "        over = due(before, s.clock.now_ms())\n", "        over = before\n"),),
        "triggers",
    ),
    "minute-watches-nothing": Mutant(
        "what waits for a hint that was lost waits for ever",
        (Edit(WATCHES, "                look(s, one.tenant, one.trigger_id, one.kind, one.key)\n", "                pass\n"),),
        "triggers",
    ),
    "watch-forgets": Mutant(
        "an event that comes again prolongs a burst, or begins a wait that was over",
        (Edit(WATCHING, "(*watch.recent, digest)[-RECENT_KEPT:]", "()"),),
        "triggers",
    ),
    "wait-prolonged": Mutant(
        "a further event while a wait goes on prolongs it",
        (Edit(WATCHING, "    if arrival.after and watch.state == IDLE:\n", "    if arrival.after:\n"),),
        "triggers",
    ),
    "burst-not-prolonged": Mutant(
        "a burst fires so long after its first event, and not after its last",
        (Edit(WATCHING, "    return _armed(watch, arrival, now_ms + debounce_ms)", "    return _armed(watch, arrival, watch.due_ms or now_ms + debounce_ms)"),),
        "triggers",
    ),
    "throttle-by-the-clock": Mutant(
        "a throttle counts by spans of the clock, so that twice as many pass around an edge",
        (Edit(THROTTLE, "if one.at_ms > at_ms - per_ms)", "if one.at_ms // per_ms == at_ms // per_ms)"),),
        "triggers",
    ),
    "throttle-counts-twice": Mutant(
        "an event whose worker died counts twice, and may be dropped",
        (Edit(THROTTLE, "    if any(one.digest == digest for one in state.passed):\n        return state, True\n", ""),),
        "triggers",
    ),
    "holder-not-helped": Mutant(
        "an event whose worker died after it took its key takes the others of its key along",
        (Edit(TRIGGERS, "        let = _let_through(s, trigger, found, holder)\n        if let.outcome == \"throttled\":", "        let = Received(\"deduplicated\")\n        if let.outcome == \"throttled\":"),),
        "triggers",
    ),
    # -- processes that listen
    "acknowledged-unread": Mutant(
        "messages are acknowledged before their executions are stored",
        (Edit(LISTEN, "        done = [False] * len(messages)\n", "        done = [True] * len(messages)\n        consumer.settle(messages, done)\n"),),
        "listeners",
    ),
    "acknowledged-together": Mutant(
        "a message is acknowledged because another that came with it is done",
        (Edit(LISTEN, "        consumer.settle(messages, done)\n", "        consumer.settle(messages, [any(done)] * len(done))\n"),),
        "listeners",
    ),
    "unstored-acknowledged": Mutant(
        "a message is acknowledged though the tables were away",
        (Edit(LISTEN, "        except ChronoError as problem:\n            log.warning(\"an event",
              "        except ChronoError as problem:\n            done[place] = True\n            log.warning(\"an event"),),
        "listeners",
    ),
    "paused-acknowledged": Mutant(
        "a message that comes just as its trigger is paused is acknowledged",
        (Edit(LISTEN, "            self._stopping.set()\n            return False\n", "            self._stopping.set()\n"),),
        "listeners",
    ),
    "poison-dropped": Mutant(
        "a message that is no event is acknowledged, and nothing says so",
        (Edit(LISTEN, "            triggers.dead_letter(s, trigger, poison.event, poison.reason)\n", ""),),
        "listeners",
    ),
    "fault-for-ever": Mutant(
        "a message that this service fails on comes again for ever",
        (Edit(LISTEN, "        times = self._faults.pop(name, 0) + 1\n", "        times = self._faults.pop(name, 0)\n"),),
        "listeners",
    ),
    "fault-forgets-its-name": Mutant(
        "what this service fails on has another name each time, so that one message has many dead letters",
        (Edit(MESSAGES, "    source, event_id = f\"/chronowatch/triggers/{trigger_id}\", (message.place or new_id)[:ATTRIBUTE_MAX_CHARS]\n",
              "    source, event_id = f\"/chronowatch/triggers/{trigger_id}\", new_id\n"),),
        "listeners",
    ),
    "place-unheeded": Mutant(
        "a message that is no CloudEvent is another event each time that it comes",
        (Edit(MESSAGES, "event_id = f\"/chronowatch/triggers/{trigger_id}\", message.place or new_id\n",
              "event_id = f\"/chronowatch/triggers/{trigger_id}\", new_id\n"),),
        "listeners",
    ),
    "lane-ends-with-its-source": Mutant(
        "a source that was away once is not read again",
        (Edit(LISTEN, "                self._complain(str(problem))\n", "                self._complain(str(problem))\n                return\n"),),
        "listeners",
    ),
    "resumed-unread": Mutant(
        "a trigger that was paused while a message was under way is not read when it is resumed",
        (Edit(LISTEN, "now == lane.trigger and not lane.is_over():", "now == lane.trigger:"),
         Edit("chalicelib.engine.triggers.listening", "if k in schedules and schedules[k].definition.active}", "if k in schedules}")),
        "listeners",
    ),
    "recovery-unsaid": Mutant(
        "a source that is read again is shown as failing",
        (Edit(LISTENING, "        is_turn = (problem is None) != (self._said is None)\n", "        is_turn = problem is not None and self._said is None\n"),
         Edit(HEARD, "    if before.state != LISTENING or _is_stale(before, now_ms):\n", "    if _is_stale(before, now_ms):\n")),
        "listeners",
    ),
}  # fmt: skip


def world_of(name: str | None) -> str:
    """The kind of world that must catch a mutant; all kinds for None."""
    return MUTANTS[name].world if name in MUTANTS else "all"


def edits(name: str | None) -> Sequence[Edit]:
    """The edits of a mutant; none for None. Raises SystemExit for an unknown name."""
    if name is None:
        return ()
    if name.startswith(random_mutants.PREFIX):
        return random_mutants.edits(name)
    if name not in MUTANTS:
        raise SystemExit(f"no mutant {name}; there are: {', '.join(MUTANTS)}")
    return MUTANTS[name].edits


class Hunt(NamedTuple):
    """How many seeds a mutant took in each range (None: not caught), and what caught it first."""

    name: str
    seeds: list[int | None]
    caught_by: str

    @property
    def is_caught(self) -> bool:
        return None not in self.seeds


def hunt(name: str, first_seeds: Sequence[int] = FIRST_SEEDS, within: int = WITHIN_SEEDS) -> Hunt:
    """Play seeds against a mutant until one breaks, from each of ``first_seeds``; each in a process of its own."""
    seeds: list[int | None] = []
    caught_by = ""
    for first in first_seeds:
        command = [
            sys.executable, "-m", "tests.simulation.run", "--mutant", name, "--until-caught", "--jobs", "1",
            "--first-seed", str(first), "--seeds", str(within),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        count, _, problem = done.stdout.strip().partition(" ")
        seeds.append(int(count) if done.returncode == 0 and count.isdigit() else None)
        caught_by = caught_by or problem.partition(":")[0] or done.stderr.strip()[-200:]
    return Hunt(name, seeds, caught_by)


def main() -> int:
    """Hunt all mutants (or those named) and print the table; 1 when one escaped."""
    parser = argparse.ArgumentParser(prog="scripts/mutants", description="Planted bugs against the simulator.")
    parser.add_argument("names", nargs="*", help="mutants (default: all)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--random", type=int, metavar="N", help="break N lines of chalicelib/engine, drawn by --seed")
    parser.add_argument("--seed", type=int, default=1, help="which lines --random draws")
    options = parser.parse_args()
    if options.random is not None:
        return random_mutants.report(options.random, options.seed, options.jobs)
    if unknown := [name for name in options.names if name not in MUTANTS]:
        parser.error(f"there is no mutant {unknown[0]}; there are {', '.join(MUTANTS)}")
    names = options.names or list(MUTANTS)
    width = max(len(name) for name in names)
    print(f"{'mutant':<{width}}  world    caught  {'seeds':>18}  {'median':>6}  by          what is planted")
    escaped = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for found in pool.map(hunt, names):
            shown = " ".join("-" if n is None else str(n) for n in found.seeds)
            median = statistics.median(n if n is not None else WITHIN_SEEDS for n in found.seeds)
            says, world = MUTANTS[found.name].says, MUTANTS[found.name].world
            caught = "yes" if found.is_caught else "no"
            print(
                f"{found.name:<{width}}  {world:<7}  {caught:<6}  {shown:>18}  {median:>6.0f}  "
                f"{found.caught_by:<10}  {says}",
                flush=True,
            )
            escaped += not found.is_caught
    print(
        f"{len(names) - escaped} of {len(names)} caught within {WITHIN_SEEDS} seeds from each of {len(FIRST_SEEDS)} places"
    )
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
