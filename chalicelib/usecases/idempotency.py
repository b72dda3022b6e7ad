"""Creating calls that may be repeated: the first answer is kept under the caller's key and given again.

A call whose process died before it answered is run again under the same seed. The seed names what the call creates, so
that the second run finds or makes the very same thing. Only answers of calls that succeeded are kept: what was refused
changed nothing and may be tried again under its key.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.errors import ChronoError, Conflict, InvalidField
from chalicelib.core.executions.limits import (
    IDEMPOTENCY_KEY_MAX_BYTES,
    IDEMPOTENCY_RUNNING_MAX_MS,
)
from chalicelib.core.security.caller import Caller
from chalicelib.ports.services import Services
from chalicelib.ports.stores.idempotency import Remembered

HEADER = "Idempotency-Key"


class RepeatableCall(Struct, frozen=True):
    """What a call gets: the seed of what it creates, and whether an earlier run may have created it already."""

    seed: str
    again: bool


class FirstAnswer(Struct, frozen=True):
    """What the call answered, and whether that is the answer of an earlier one."""

    text: str
    replayed: bool


def once(
    s: Services, caller: Caller, key: str, body_hash: str, seed: str, call: Callable[[RepeatableCall], str]
) -> FirstAnswer:
    """Run ``call`` unless a call with this key was answered before; then give that answer.

    ``body_hash`` stands for everything that was asked, the route included. Raises InvalidField for a key that is empty
    or too long, or was used for something else (``idempotency_key_reused``). Raises Conflict
    (``idempotency_in_progress``) while the first call runs, and whatever ``call`` raises.
    """
    if not 1 <= _bytes_of(key) <= IDEMPOTENCY_KEY_MAX_BYTES:
        raise InvalidField.of(HEADER, f"must have 1 to {IDEMPOTENCY_KEY_MAX_BYTES} bytes")
    name = f"{quote(caller.subject, safe='')}/{key}"  # quoted: else a/b with c would be a with b/c
    mine = Remembered(body_hash, seed, s.clock.now_ms())
    standing = s.stores.idempotency.begin(caller.tenant, name, mine)
    if standing is None:
        return _run(s, caller.tenant, name, mine, RepeatableCall(seed, again=False), call)
    if standing.body_hash != body_hash:
        raise InvalidField.of(HEADER, "was used for another request", code="idempotency_key_reused")
    if standing.answer is not None:
        return FirstAnswer(standing.answer, replayed=True)
    return _run_again(s, caller.tenant, name, standing, mine, call)


def _bytes_of(key: str) -> int:
    """How long a key was on the wire: servers decode headers as Latin-1, a byte a character, or else as UTF-8."""
    try:
        return len(key.encode("latin-1"))
    except UnicodeEncodeError:
        return len(key.encode("utf-8", "surrogatepass"))


def _run_again(
    s: Services, tenant: str, name: str, standing: Remembered, mine: Remembered, call: Callable[[RepeatableCall], str]
) -> FirstAnswer:
    """Take over from a call that died; its seed stays."""
    taken = replace(mine, seed=standing.seed)
    running = mine.started_ms - standing.started_ms < IDEMPOTENCY_RUNNING_MAX_MS
    if running or not s.stores.idempotency.take_over(tenant, name, standing, taken):
        raise Conflict("the first call with this key is still running", code="idempotency_in_progress")
    return _run(s, tenant, name, taken, RepeatableCall(taken.seed, again=True), call)


def _run(
    s: Services, tenant: str, name: str, record: Remembered, run: RepeatableCall, call: Callable[[RepeatableCall], str]
) -> FirstAnswer:
    try:
        text = call(run)
    except Exception as problem:
        _let_go(s, tenant, name, record, run, problem)
        raise
    # Not being able to keep the answer is no reason to withhold it: a repeat runs again and finds what this run made.
    with contextlib.suppress(ChronoError):
        s.stores.idempotency.finish(tenant, name, replace(record, answer=text))
    return FirstAnswer(text, replayed=False)


def _let_go(s: Services, tenant: str, name: str, record: Remembered, run: RepeatableCall, problem: Exception) -> None:
    """Free the key of a call that was refused; let one that may have written be run again at once, under its seed.

    Failing at either is harmless: the key then waits until the call counts as dead.
    """
    refused = isinstance(problem, ChronoError) and problem.status < 500 and not run.again
    with contextlib.suppress(ChronoError):
        if refused:
            s.stores.idempotency.forget(tenant, name)
        else:
            s.stores.idempotency.take_over(tenant, name, record, replace(record, started_ms=0))
