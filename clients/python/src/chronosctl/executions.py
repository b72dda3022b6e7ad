"""Executions, where a person waits: for the lines of a log, and for a bulk job."""

from __future__ import annotations

import sys
import time
from typing import Any, Final
from urllib.parse import quote

import click

from chronosctl import commands, naming, output
from chronosctl.columns import COLUMNS
from chronosctl.commands import Shared, argument, session_of, verbs
from chronosctl.faults import FAILED
from chronosctl.progress import Progress
from chronosctl.session import PAGE_ITEMS, Session

_POLL_S: Final = 0.5
_ALIVE: Final = ("pending", "in_progress")
_BULK: Final = verbs("executions")["bulk"]


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


@click.command("bulk", cls=Shared, params=commands.parameters(_BULK))
@click.option("--wait", is_flag=True, help="Wait until the job is over. Exit code 1: not all could be done.")
@click.pass_context
def bulk(context: click.Context, /, wait: bool, **given: Any) -> None:
    """Retry or cancel all executions that a filter finds.

    A job of the service does it, to at most 10,000 executions. --dry-run only counts them.
    """
    session = session_of(context)
    body = commands.body_of(_BULK, given)
    if isinstance(body["filter"], dict) and isinstance(body["filter"].get("schedule_id"), str):
        body["filter"]["schedule_id"] = naming.schedule(session, body["filter"]["schedule_id"])
    started = session.call("POST", _BULK["path"], body, headers=commands.headers_of(_BULK, given))
    if not wait or "job_id" not in started:
        output.one(started, session.output)
        return
    job = _over(session, started["job_id"], started["matched"])
    output.one(job, session.output)
    if job["state"] != "completed" or job["failed"]:
        context.exit(FAILED)


def _over(session: Session, job_id: str, matched: int) -> Any:
    """A bulk job when it is over. Raises ApiError, Unreachable."""
    with Progress("working", matched) as progress:
        try:
            while True:
                job = session.call("GET", f"/api/v1/bulk-jobs/{job_id}")
                progress.at(job["done"] + job["failed"])
                if job["state"] != "running":
                    return job
                time.sleep(_POLL_S)
        except BaseException:
            progress.clear()
            print(f"the job goes on: `chronosctl bulk-jobs get {job_id}` shows how far it is", file=sys.stderr)
            raise
