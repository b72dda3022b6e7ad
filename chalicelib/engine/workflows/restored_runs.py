"""Runs of workflows that a backup holds: those that had ended stay as they are, and the others are cancelled.

Nothing is sent: messages to a run's parent, children or handler may have gone out before. So each run ends by itself,
and is checked again only to be deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from msgspec.structs import replace

from chalicelib.core.errors import NotFound, OutcomeUnknown, TooMany
from chalicelib.core.workflows.decide import decide
from chalicelib.core.workflows.happenings import GivesUp
from chalicelib.core.workflows.run_state import RUN_ENDED
from chalicelib.engine.workflows.run_access import LoadedRun, load, purge_ms_of, seen_run, summary_of
from chalicelib.ports.services import Services
from chalicelib.ports.stores.runs import RunSummary

BY: Final = "restore"
_WRITE_TRIES: Final = 12


class RestoredRun(NamedTuple):
    """A run of the backup, and when it was to be checked then (None: never, or not known)."""

    tenant: str
    id: str
    wake_ms: int | None = None


def settle(s: Services, runs: Iterable[RestoredRun], reason: str) -> int:
    """End those that had not ended; how many. May be repeated. Raises TooMany, where workers write."""
    return sum(_settle(s, each, reason) for each in runs)


def _settle(s: Services, restored: RestoredRun, reason: str) -> bool:
    """Whether it was under way."""
    known = s.stores.runs.load(restored.tenant, restored.id)
    if known is None:
        return False
    if _was_at_rest(s, known, restored.wake_ms):
        if known.wake_ms != restored.wake_ms:
            _write(s, replace(known, wake_ms=restored.wake_ms, rev=known.rev + 1), known)
        return False
    try:
        run, ended = _ended(s, restored, reason)
    except NotFound:
        return False  # it was entered and never began: its caller may begin it with the same id
    wanted = summary_of(run.state, known.rev + 1, purge_ms_of(s, run.state))
    if wanted.listed and wanted.status != known.status:
        wanted = replace(wanted, change=seen_run(run))
    _write(s, wanted, known)
    return ended


def _was_at_rest(s: Services, known: RunSummary, wake_ms: int | None) -> bool:
    """Whether the summary says all: the run had ended, and was to be checked for its deletion alone. A redrive promises
    a check before the log has it, so any other check means that the log is to be read."""
    kept_ms = s.config.run_retention_ms
    if known.status not in RUN_ENDED or known.finished_ms is None:
        return False
    return wake_ms is None if kept_ms is None else wake_ms is not None and wake_ms >= known.finished_ms + kept_ms


def _ended(s: Services, restored: RestoredRun, reason: str) -> tuple[LoadedRun, bool]:
    ended = False
    for _ in range(_WRITE_TRIES):
        run = load(s, restored.tenant, restored.id)
        decision = decide(run.graph, run.state, GivesUp(BY, reason), s.clock.now_ms())
        if not decision.events:
            return run, ended
        try:
            ended = s.stores.runs.append(restored.tenant, restored.id, decision.events) or ended
        except OutcomeUnknown:
            ended = True  # the log says whether, and else it is done again
    raise _contended()


def _write(s: Services, wanted: RunSummary, known: RunSummary) -> None:
    if not s.stores.runs.summarize(wanted, known.rev):
        raise _contended()


def _contended() -> TooMany:
    return TooMany("workers write to the runs while they are settled: stop them first", code="contended")
