"""The log of an execution, also while it grows."""

from __future__ import annotations

import sys
import time
from typing import Any, Final
from urllib.parse import quote

import click

from chronosctl import output
from chronosctl.columns import COLUMNS
from chronosctl.commands import Shared, argument, session_of
from chronosctl.session import PAGE_ITEMS, Session

_POLL_S: Final = 0.5
_ALIVE: Final = ("pending", "in_progress")


@click.command("logs", cls=Shared, params=[argument("execution_id")])
@click.option("-f", "--follow", is_flag=True, help="Wait for further lines until the execution ends.")
@click.option("--limit", type=click.IntRange(0), help="At most so many lines.")
@click.pass_context
def logs(context: click.Context, /, follow: bool, limit: int | None, path__execution_id: str) -> None:
    """The lines that an execution logged. -f ends with the execution."""
    session = session_of(context)
    path = f"/api/v1/executions/{quote(path__execution_id, safe='')}"
    if not follow:
        lines = session.pages(path + "/logs", {}, most=limit)
        output.many(lines, session.output, COLUMNS["executions", "logs"])
        return
    shown = 0
    while True:
        # The state is read before the lines: what was logged before the end is among them.
        alive = session.call("GET", path)["delivery_state"] in _ALIVE
        for n, line in enumerate(_lines(session, path)):
            if n >= shown and (limit is None or n < limit):
                _say(session, line)
                shown = n + 1
        if not alive or (limit is not None and shown >= limit):
            return
        time.sleep(_POLL_S)


def _lines(session: Session, path: str) -> list[Any]:
    return list(session.pages(path + "/logs", {"limit": PAGE_ITEMS}))


def _say(session: Session, line: Any) -> None:
    if session.output == "table":
        click.echo(f"{output.instant(line['at_unix_ms'])}  {line['level']:<5}  {output.visible(line['message'])}")
    else:
        output.one(line, "jsonl" if session.output == "json" else session.output)
    sys.stdout.flush()
