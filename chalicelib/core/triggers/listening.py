"""Whether a worker reads the source of a trigger, and why not: what the workers have written down of it.

Every worker reads every source. So a source is heard while any of them reads it, and each says what it met. What they
say is written when it is news, and once a minute else.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.triggers.trigger import Trigger

ListeningState = Literal["listening", "failing", "unattended", "paused"]
LISTENING: Final = "listening"
FAILING: Final = "failing"
UNATTENDED: Final = "unattended"
PAUSED: Final = "paused"
RENEW_MS: Final = 60_000  # a worker says again what is no news
CHANGED_MS: Final = 5_000  # an error whose words change with each try is written no more often
STALE_MS: Final = 3 * RENEW_MS  # of a worker that has said nothing for so long nothing is known
LISTENING_RETENTION_S: Final = 7 * 86_400  # after the last that was said: the trigger may be gone
ERROR_MAX_CHARS: Final = 1_000


class Listening(Struct, frozen=True, kw_only=True):
    """What is known of one source. ``source_since_ms`` is the ``since_ms`` of the trigger that it is about. ``by`` is
    the worker that said the state last, at ``seen_ms``."""

    tenant: str
    trigger_id: str
    source_since_ms: int
    state: Literal["listening", "failing"] = "listening"
    since_ms: int = 0
    seen_ms: int = 0
    by: str = ""
    last_error: str | None = None
    last_error_ms: int | None = None
    rev: int = 0


class ShownListening(Struct, frozen=True, kw_only=True):
    """What a caller sees of it. ``since_ms``: since when the state holds, where that is known."""

    state: ListeningState
    since_ms: int | None = None
    seen_ms: int | None = None
    last_error: str | None = None
    last_error_ms: int | None = None


def reported(before: Listening | None, trigger: Trigger, by: str, problem: str | None, now_ms: int) -> Listening | None:
    """What is known after a worker said that it reads the source (``problem`` is None) or why it cannot. None: that is
    no news."""
    if before is not None and before.source_since_ms > trigger.since_ms:
        return None  # the worker has not seen yet that the trigger has another source
    if before is None or before.source_since_ms < trigger.since_ms:
        rev = 0 if before is None else before.rev
        blank = Listening(tenant=trigger.tenant, trigger_id=trigger.id, source_since_ms=trigger.since_ms, rev=rev)
        return _failing(blank, by, problem, now_ms) if problem else _listening(blank, by, now_ms)
    return _heard(before, by, now_ms) if problem is None else _failed(before, by, problem, now_ms)


def shown(known: Listening | None, trigger: Trigger, active: bool, now_ms: int) -> ShownListening:
    """What a caller sees of the source of a trigger that workers listen to."""
    if known is None or known.source_since_ms != trigger.since_ms:
        return ShownListening(state=UNATTENDED if active else PAUSED)
    said = ShownListening(
        state=known.state,
        since_ms=known.since_ms,
        seen_ms=known.seen_ms,
        last_error=known.last_error,
        last_error_ms=known.last_error_ms,
    )
    if not active:
        return replace(said, state=PAUSED, since_ms=None)
    if _is_stale(known, now_ms):
        return replace(said, state=UNATTENDED, since_ms=known.seen_ms)
    return said


def _heard(before: Listening, by: str, now_ms: int) -> Listening | None:
    if before.state != LISTENING or _is_stale(before, now_ms):
        return _listening(before, by, now_ms)
    if abs(now_ms - before.seen_ms) < RENEW_MS:
        return None  # whichever worker said so
    return replace(before, seen_ms=now_ms, by=by, rev=before.rev + 1)


def _failed(before: Listening, by: str, problem: str, now_ms: int) -> Listening | None:
    is_same = before.last_error == _cut(problem)
    if before.state == LISTENING and before.by != by and not _is_stale(before, now_ms):
        # Another worker reads it: its events come. That this one does not is worth a word.
        said_ms = before.last_error_ms or 0
        if abs(now_ms - said_ms) < (RENEW_MS if is_same else CHANGED_MS):
            return None
        return replace(before, last_error=_cut(problem), last_error_ms=now_ms, rev=before.rev + 1)
    if before.state == FAILING and abs(now_ms - before.seen_ms) < (RENEW_MS if is_same else CHANGED_MS):
        return None
    return _failing(before, by, problem, now_ms)


def _listening(before: Listening, by: str, now_ms: int) -> Listening:
    return replace(before, state="listening", since_ms=now_ms, seen_ms=now_ms, by=by, rev=before.rev + 1)


def _failing(before: Listening, by: str, problem: str, now_ms: int) -> Listening:
    goes_on = before.state == FAILING and not _is_stale(before, now_ms)
    return replace(
        before,
        state="failing",
        since_ms=before.since_ms if goes_on else now_ms,
        seen_ms=now_ms,
        by=by,
        last_error=_cut(problem),
        last_error_ms=now_ms,
        rev=before.rev + 1,
    )


def _is_stale(known: Listening, now_ms: int) -> bool:
    return now_ms - known.seen_ms >= STALE_MS


def _cut(problem: str) -> str:
    """An error as it is kept: one line, and no more than is read."""
    line = " ".join("".join(c if c.isprintable() else " " for c in problem).split())
    return line if len(line) <= ERROR_MAX_CHARS else line[: ERROR_MAX_CHARS - 1] + "…"


assert CHANGED_MS < RENEW_MS < STALE_MS
