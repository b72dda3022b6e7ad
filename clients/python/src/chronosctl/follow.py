"""Streams: ticks and changes as they come, until the reader stops."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any, Final

import click

from chronosctl import output
from chronosctl.commands import Shared, argument, session_of
from chronosctl.session import PAGE_ITEMS, Session

_POLL_S: Final = 0.5


@click.command("follow", cls=Shared, params=[argument("frequency", required=False)])
@click.option("--after-sequence", type=click.IntRange(0), help="Begin after this one; without it, with the next.")
@click.option("--count", type=click.IntRange(1), help="End after so many.")
@click.pass_context
def ticks(
    context: click.Context, /, after_sequence: int | None, count: int | None, path__frequency: str | None
) -> None:
    """Ticks as they come, each once and in order. FREQUENCY: second (default), minute, hour, day."""
    from chronowatch.ticks import stream

    session, frequency = session_of(context), path__frequency or "second"
    if after_sequence is None:
        streams = session.call("GET", "/api/v1/ticks")["items"]
        after_sequence = next((each["sequence"] for each in streams if each["frequency"] == frequency), 0)
    transport: Any = session.transport
    found = stream(transport, frequency, after_sequence, follow=True, limit=PAGE_ITEMS, stop=None)  # type: ignore[arg-type]
    for n, tick in enumerate(found, 1):
        row = {name: getattr(tick, name) for name in tick.__slots__}
        _say(session, row, f"{tick.sequence}  {output.instant(tick.timestamp // 1_000_000)}  {tick.id}")
        if n == count:
            return


@click.command("follow", cls=Shared)
@click.option("--after", help="Begin after this position; without it, with what changes from now on.")
@click.option("--types", help="Some of execution, schedule, lease, workflow_run, by commas.")
@click.option("--count", type=click.IntRange(1), help="End after so many.")
@click.pass_context
def changes(context: click.Context, /, after: str | None, types: str | None, count: int | None) -> None:
    """The change feed as it grows, each change once and in order."""
    session = session_of(context)
    for n, each in enumerate(feed(session, after, types), 1):
        state = each["data"].get("delivery_state") or each["data"].get("state") or ""
        line = f"{each['position']}  {output.instant(each['at_unix_ms'])}  {each['type']}  {each['id']}  {state}"
        _say(session, each, line.rstrip())
        if n == count:
            return


def feed(session: Session, after: str | None, types: str | None) -> Iterator[Any]:
    """Every change after a position, for ever. Raises ApiError, Unreachable."""
    while True:
        query = {"after": after, "types": types, "limit": PAGE_ITEMS}
        page = session.call("GET", "/api/v1/changes", query=query)
        yield from page["items"]
        after = page["next_after"]
        if not page["items"]:
            time.sleep(_POLL_S)


def _say(session: Session, found: Any, line: str) -> None:
    if session.output == "table":
        click.echo(line)
    else:
        output.one(found, "jsonl" if session.output == "json" else session.output)
    sys.stdout.flush()
