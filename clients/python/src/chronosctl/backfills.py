"""``schedules backfill``: also of a span that holds more than a call may fire, part by part."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final

import click

from chronosctl import commands, output
from chronosctl.commands import Shared, session_of, verbs
from chronosctl.faults import FAILED, Fault
from chronosctl.progress import Progress
from chronosctl.session import Session

_OPERATION: Final = verbs("schedules")["backfill"]
_FEW: Final = 250  # fired by a call: the next part may be wider


@click.command("backfill", cls=Shared, params=commands.parameters(_OPERATION))
@click.option("--yes", is_flag=True, help="Fire more than 1,000 instants, in calls of at most so many.")
@click.pass_context
def backfill(context: click.Context, /, yes: bool, **given: Any) -> None:
    """Fire the instants of a span that have no execution.

    Up to now; also such as lie before the schedule's creation. Repeating it repeats nothing, so after an interruption
    call it again.
    """
    session = session_of(context)
    path = commands.path_of(session, _OPERATION, given)
    span = commands.body_of(_OPERATION, given)
    headers = commands.headers_of(_OPERATION, given)
    count = _fired(session, path, span, headers)
    if count is None and not yes:
        hint = "--yes fires them all; `chronosctl schedules ledger` shows what has no execution"
        raise Fault("the span holds more than 1,000 instants", FAILED, hint)
    if count is None:
        count = _in_parts(session, path, span, headers)
    output.one({"count": count}, session.output)


def _fired(session: Session, path: str, span: Any, headers: Mapping[str, str]) -> int | None:
    """How many instants a call fired; None: there are too many for one call. Raises ApiError, Unreachable."""
    from chronowatch.errors import InvalidRequest

    try:
        count: int = session.call("POST", path, span, headers=headers)["count"]
    except InvalidRequest as refused:
        wrong = refused.errors[0] if refused.errors else {}
        if wrong.get("field") == "to_unix_ms" and "more than" in wrong.get("message", ""):
            return None
        raise
    return count


def _in_parts(session: Session, path: str, span: Mapping[str, int], headers: Mapping[str, str]) -> int:
    import uuid

    first, last = span["from_unix_ms"], span["to_unix_ms"]
    key, at, width, fired = headers["Idempotency-Key"], first, (last - first) // 2, 0
    # Its total is time, since how many instants there are is known when they are fired.
    with Progress("backfilling, seconds", max(1, (last - first) // 1000)) as progress:
        try:
            while at <= last:
                part = {"from_unix_ms": at, "to_unix_ms": min(last, at + width)}
                part_key = uuid.uuid5(uuid.NAMESPACE_OID, f"{key} {at} {width}").hex
                count = _fired(session, path, part, {**headers, "Idempotency-Key": part_key})
                if count is None:
                    width //= 2
                    continue
                fired, at = fired + count, part["to_unix_ms"] + 1
                width = width * 2 if count < _FEW else width
                progress.at((at - 1 - first) // 1000)
        except BaseException:
            progress.clear()
            print(
                f"fired {fired}, all up to {output.instant(max(first, at - 1))}; call it again to go on",
                file=sys.stderr,
            )
            raise
    return fired
