"""Schedules, where a person thinks otherwise than the API: types that expressions show, fields to clear, reasons."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import click

from chronosctl import expressions, naming, options, output
from chronosctl.commands import Shared, argument, command, session_of, verbs
from chronosctl.faults import usage

_CLEARABLE: Final = ("name", "start_at_unix_ms", "end_at_unix_ms", "max_runs", "pause_after_failures", "monitor")


def _type_it(body: dict[str, Any], given: Mapping[str, Any]) -> None:
    if given.get("expression"):
        body["expr"] = given["expression"]
    if "expr" not in body:
        raise usage("--expr is missing", 'as in --expr "0 2 * * *", --expr rate:5m or --expr at:2026-12-25T10:00:00Z')
    expressions.complete(body)


def _clear(body: dict[str, Any], given: Mapping[str, Any]) -> None:
    if "expr" in body:
        expressions.complete(body)
    for said in given.get("clear", ()):
        field = said.replace("-", "_")
        if field not in _CLEARABLE:
            raise usage(f"--clear: {said} cannot be empty", f"what can: {', '.join(_CLEARABLE)}")
        body[field] = None
    if not body:
        raise usage("nothing to change was said", "`chronosctl schedules edit --help` shows the fields")


_operations = verbs("schedules")
create = command(
    _operations["create"],
    _type_it,
    [click.Argument(["expression"], required=False, metavar="[EXPR]")],
    ("type", "expr"),  # an expression shows its type, and may be the argument
)
edit = command(
    _operations["edit"],
    _clear,
    [click.Option(["--clear"], multiple=True, metavar="FIELD", help="Empty a field that may be empty. Repeatable.")],
)


@click.command("explain", cls=Shared, params=[argument("schedule_id")])
@click.argument("instant", required=False)
@click.option("--at-unix-ms", metavar="INSTANT", help="The instant, as the argument.")
@click.pass_context
def explain(context: click.Context, /, instant: str | None, at_unix_ms: str | None, path__schedule_id: str) -> None:
    """Why an instant did or did not fire, will or will not.

    INSTANT is unix milliseconds or RFC 3339. Without it: the next run.
    """
    session = session_of(context)
    said = instant or at_unix_ms
    at = None if said is None else options.instant("INSTANT", said)
    found = naming.schedule(session, path__schedule_id)
    answer = session.call("GET", f"/api/v1/schedules/{found}:explain", query={"at_unix_ms": at})
    if session.output != "table":
        output.one(answer, session.output)
        return
    owed = "owed" if answer["owed"] else "not owed"
    click.echo(f"{output.instant(answer['at_unix_ms'])} is {owed}; outcome: {answer.get('outcome', 'none yet')}")
    for reason in answer["reasons"]:
        click.echo(f"  {reason['code']}: {reason['detail']}")
    if answer["next_run_unix_ms"] is not None:
        click.echo(f"next run: {output.instant(answer['next_run_unix_ms'])}")
