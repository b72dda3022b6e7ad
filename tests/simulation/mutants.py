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

from tests.simulation.instrument import Edit

SCHEDULES = "chalicelib.usecases.schedules"
CHAIN = "chalicelib.usecases.chain"
OWED = "chalicelib.usecases.owed"
OUTCOMES = "chalicelib.usecases.outcomes"
SWEEP = "chalicelib.workers.sweep"
CLAIM = "chalicelib.workers.claim"
FIRE = "chalicelib.workers.fire"
FLIGHTS = "chalicelib.workers.flights"
DELIVER = "chalicelib.workers.deliver"
RECONCILE = "chalicelib.workers.reconcile"
SHARDS = "chalicelib.workers.shards"
MEMORY = "chalicelib.adapters.memory"
CORE = "chalicelib.core.schedule"
JOURNAL = "chalicelib.core.execution"
HLC = "chalicelib.core.hlc"

WITHIN_SEEDS = 2_000
FIRST_SEEDS = (0, 100_000, 200_000)


class Mutant(NamedTuple):
    """One planted bug and what it stands for."""

    says: str
    edits: tuple[Edit, ...]


MUTANTS: dict[str, Mutant] = {
    # -- conditional writes
    "state-rev-ignored": Mutant(
        "a state is written over whatever is stored",
        (Edit(MEMORY, "stored is None or stored.rev != expected_rev:\n                return False\n            self._put",
              "stored is None:\n                return False\n            self._put"),),
    ),
    "change-rev-ignored": Mutant(
        "an edit is written over whatever is stored",
        (Edit(MEMORY, "if stored is None or stored.rev != change.expected_rev:", "if stored is None:"),),
    ),
    "record-rev-ignored": Mutant(
        "an execution's record is written over whatever is stored",
        (Edit(MEMORY, "stored.rev != expected_rev:\n                return False\n            self._records[exec",
              "False:\n                return False\n            self._records[exec"),),
    ),
    "insert-overwrites": Mutant(
        "claiming blindly: the record of a firing replaces an existing one",
        (Edit(MEMORY, "if at in self._records:\n                return False\n            self._records",
              "if at in self._records and self._records[at].rev > 1:\n                return False\n            self._records"),),
    ),
    # -- queue first, write second
    "advance-before-queueing": Mutant(
        "sweep advances a schedule before its firings are queued",
        (Edit(SWEEP, "    hand_over(s, [Owed(f.definition, f.state.shard, w.instants) for f, w in planned], s.clock.now_ms())\n", ""),
         Edit(SWEEP, "limits.STATEMENTS_MAX)  # False",
              "limits.STATEMENTS_MAX)\n    hand_over(s, [Owed(f.definition, f.state.shard, w.instants) for f, w in planned], s.clock.now_ms())  # False"),),
    ),
    "create-before-queueing": Mutant(
        "create, edit and resume write first and queue later",
        (Edit(SCHEDULES, "    hand_over(s, [Owed(definition, state.shard, window.instants)], s.clock.now_ms())\n    fresh",
              "    _later[definition.version] = Owed(definition, state.shard, window.instants)\n    fresh"),
         Edit(SCHEDULES, "        s.schedules.create(made, capacity.moves(None, made, room))\n",
              "        s.schedules.create(made, capacity.moves(None, made, room))\n        _now(s, definition)\n"),
         Edit(SCHEDULES, "    try:\n        s.schedules.change(change)\n    except NameTaken:",
              "    try:\n        s.schedules.change(change)\n        _now(s, new)\n    except NameTaken:"),
         Edit(SCHEDULES, "CHANGE_ATTEMPTS = 12\n",
              "CHANGE_ATTEMPTS = 12\n_later = {}\ndef _now(s, d):\n    owed_ = _later.pop(d.version, None)\n"
              "    if owed_ is not None:\n        hand_over(s, [owed_], s.clock.now_ms())\n"),),
    ),
    "edit-without-settling": Mutant(
        "an edit, pause or resume forgets what is overdue",
        (Edit(SCHEDULES, "        settled = settle(s, found)\n        if settled is None:", "        settled = found\n        if settled is None:"),),
    ),
    # -- versions
    "no-look-at-the-instant": Mutant(
        "the version is not checked again at the instant",
        (Edit(FIRE, "    if len(standing) == len(group):", "    return list(group)\n    if len(standing) == len(group):"),),
    ),
    "newest-version-judges": Mutant(
        "a message is judged by the newest version, not by the one in force at its instant",
        (Edit(CORE, "            if ref.since_ms <= instant_ms:\n", "            if ref.since_ms <= instant_ms or True:\n"),),
    ),
    "numbered-versions": Mutant(
        "versions are numbered: an edit that lost its race blesses the orphans of another",
        (Edit(SCHEDULES, "        changed,\n        version=s.ids.ulid(now_ms),", "        changed,\n        version=f'{state.id}v{state.epoch + 1}',"),),
    ),
    "epoch-stays": Mutant(
        "a change does not move the epoch that claims look at",
        (Edit(CORE, "rev=self.rev + 1, epoch=self.epoch + 1, versions=versions", "rev=self.rev + 1, versions=versions"),),
    ),
    "unknown-versions-dropped": Mutant(
        "a message of an unknown version is dropped at once",
        (Edit(DELIVER, "    again.update(item for item in unknown if _may_still_come(s, item))\n", ""),
         Edit(DELIVER, "    for wait_ms in UNKNOWN_WAITS_MS:\n", "    for wait_ms in ():\n"),),
    ),
    "pause-not-obeyed": Mutant(
        "a claimed firing is sent although its schedule was paused before its instant",
        (Edit(CLAIM, "        if ref is not None and not ref.active:\n", "        if False and ref is not None:\n"),),
    ),
    "deleted-fires": Mutant(
        "what a deleted schedule had queued before it was deleted is still delivered",
        (Edit(CORE, "            return Verdict.DROP\n        return Verdict.DELETED if state.status == \"deleted\" else Verdict.FIRE",
              "            return Verdict.DROP\n        return Verdict.FIRE"),),
    ),
    "edit-in-the-past": Mutant(
        "a version begins when a clock that was set back says so, before the one it replaces",
        (Edit(SCHEDULES, "    definition, state = found.definition, found.state\n    now_ms = s.clock.now_ms()\n    since_ms = max(now_ms, state.current.since_ms + 1)\n    new",
              "    definition, state = found.definition, found.state\n    now_ms = s.clock.now_ms()\n    since_ms = now_ms\n    new"),),
    ),
    # -- tokens and attempts
    "token-reused": Mutant(
        "a further attempt keeps the token of the one before",
        (Edit(CLAIM, "            token = state.fence + 1\n", "            token = max(record.fencing_token, 1)\n"),),
    ),
    "tokens-not-kept": Mutant(
        "a claim of several firings moves the fence by one",
        (Edit(CORE, "            fence=self.fence + count,", "            fence=self.fence + 1,"),),
    ),
    "lease-without-margin": Mutant(
        "the local clock is trusted: a lease is over when this clock says so",
        (Edit(CLAIM, "    elif found.leased(now_ms - s.config.max_drift_ms):", "    elif found.leased(now_ms):"),),
    ),
    "lease-ignored": Mutant(
        "a redelivered message takes over an attempt that lives",
        (Edit(CLAIM, "    elif found.leased(now_ms - s.config.max_drift_ms):", "    elif False:"),),
    ),
    "cancelled-resurrected": Mutant(
        "a message that comes again starts a cancelled run anew",
        (Edit(CLAIM, "        elif found.state == journal.SKIPPED and found.version != f.version:",
              "        elif found.state in (journal.SKIPPED, journal.CANCELLED):"),),
    ),
    "late-result-overwrites": Mutant(
        "a stalled worker writes its late result over what others have done since",
        (Edit(FLIGHTS, "    return Ended(replace(after, hlc=s.ids.hlc()), execution.rev, definition)",
              "    stored = s.executions.get([execution.key])[execution.key]\n"
              "    return Ended(replace(after, rev=stored.rev + 1, hlc=s.ids.hlc()), stored.rev, definition)"),),
    ),
    "one-attempt-too-many": Mutant(
        "attempts beyond the retry policy",
        (Edit(JOURNAL, "    return len(execution.attempts) - lost < policy.max_attempts and", "    return"),),
    ),
    # -- what died
    "acknowledged-before-claimed": Mutant(
        "a message is answered although the tables could not be reached to claim it",
        (Edit(DELIVER, "        again.update(items)\n        return Claims()", "        return Claims()"),),
    ),
    "held-elsewhere-acknowledged": Mutant(
        "a message is answered although nobody has its firing in his care",
        (Edit(DELIVER, "    again.update(claims.redeliver)\n", ""),
         Edit(RECONCILE, "        _abandoned(s, tenant, held)", "        pass"),),
    ),
    "nobody-looks-for-the-abandoned": Mutant(
        "reconcile does not look for claims whose worker died",
        (Edit(RECONCILE, "        _abandoned(s, tenant, held)", "        pass"),),
    ),
    "overdue-not-requeued": Mutant(
        "reconcile does not look at the open index",
        (Edit(RECONCILE, "    _overdue(s, held.shard)\n    for", "    for"),),
    ),
    "shard-skipped": Mutant(
        "the last shard is nobody's",
        (Edit(SHARDS, "    for shard in range(s.config.shards):", "    for shard in range(max(1, s.config.shards - 1)):"),),
    ),
    "planned-from-now": Mutant(
        "sweep plans from its own clock instead of from next_run",
        (Edit(SWEEP, "schedule.window(definition, state.next_run_ms, until_ms,", "schedule.window(definition, max(state.next_run_ms, until_ms - 110_000), until_ms,"),),
    ),
    "missed-not-recorded": Mutant(
        "instants beyond the catch-up window leave no trace",
        (Edit(OWED, "                missed.append(missed_record(s, item.definition, item.shard, at_ms, now_ms))", "                pass"),),
    ),
    "dead-letter-forgotten": Mutant(
        "an execution that is out of attempts leaves no dead letter",
        (Edit(OUTCOMES, "        if e.execution.state in (journal.FAILED, journal.TIMEOUT):", "        if e.execution.state == journal.TIMEOUT:"),),
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
        (Edit(SCHEDULES, "        run_count=state.run_count - taken_back,\n        outcome=", "        run_count=state.run_count,\n        outcome="),),
    ),
    "stamp-follows-the-wall": Mutant(
        "a stamp goes back with the wall clock",
        (Edit(HLC, "    if wall_nanos > last.physical_nanos:", "    if wall_nanos != last.physical_nanos:"),),
    ),
    # -- DELAY chains
    "chain-dropped": Mutant(
        "nobody takes up a DELAY chain whose worker died between the end of a run and the next",
        (Edit(CLAIM, "        follow(s, found, s.versions.find(found.version))", "        pass"),
         Edit(RECONCILE, "            chain(s, execution)", "            pass"),),
    ),
    "chain-runs-two": Mutant(
        "an edit of a DELAY schedule begins a run beside the one in progress",
        (Edit(SCHEDULES, "    return state.queued_ms if record is None or record.is_open else None", "    return None"),),
    ),
    "chain-before-its-version": Mutant(
        "a DELAY run ended under a clock set back is followed by one before its own version",
        (Edit(CHAIN, "max(execution.finished_ms, execution.firing_ms, found.state.current.since_ms)", "execution.finished_ms"),),
    ),
    "superseded-delay-fires": Mutant(
        "a claimed DELAY run survives the edit that replaced it",
        (Edit(CLAIM, "        return state.queued_ms == at_ms\n", "        return True\n"),),
    ),
    # -- found by the simulator, planted again
    "two-readings-of-the-clock": Mutant(
        "an instant is in time for one test and too late for the next",
        (Edit(CLAIM, "    fire = [(f, d) for f, d in known", "    now_ms = s.clock.now_ms()\n    fire = [(f, d) for f, d in known"),),
    ),
    "paused-version-forgotten": Mutant(
        "the definition of a paused version is not kept",
        (Edit(SCHEDULES, "        snapshot=_superseded(before, new.since_ms),", "        snapshot=_superseded(before, new.since_ms) if old.active else None,"),),
    ),
    "never-late-forgotten": Mutant(
        "a stalled worker sends late what promised never to be",
        (Edit(FIRE, "    group = _in_time(s, group)\n", ""),),
    ),
}  # fmt: skip


def edits(name: str | None) -> Sequence[Edit]:
    """The edits of a mutant; none for None. Raises SystemExit for an unknown name."""
    if name is None:
        return ()
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
    options = parser.parse_args()
    names = options.names or list(MUTANTS)
    width = max(len(name) for name in names)
    print(f"{'mutant':<{width}}  {'seeds':>18}  {'median':>6}  caught by   what is planted")
    escaped = 0
    with ThreadPoolExecutor(options.jobs) as pool:
        for found in pool.map(hunt, names):
            shown = " ".join("-" if n is None else str(n) for n in found.seeds)
            median = statistics.median(n if n is not None else WITHIN_SEEDS for n in found.seeds)
            says = MUTANTS[found.name].says
            print(f"{found.name:<{width}}  {shown:>18}  {median:>6.0f}  {found.caught_by:<10}  {says}", flush=True)
            escaped += not found.is_caught
    print(
        f"{len(names) - escaped} of {len(names)} caught within {WITHIN_SEEDS} seeds from each of {len(FIRST_SEEDS)} places"
    )
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
