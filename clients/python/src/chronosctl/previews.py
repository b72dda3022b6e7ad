"""The coming runs of a recurrence or a schedule, as a list or as a calendar."""

from __future__ import annotations

import calendar
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import click

from chronosctl import expressions, naming, options, output
from chronosctl.commands import Shared, session_of, verbs
from chronosctl.faults import usage
from chronosctl.session import Session

_OPERATION: Final = verbs("schedules")["preview"]
_FIELDS: Final = [field["name"] for field in _OPERATION["body"]]


def _options() -> list[click.Parameter]:
    found: list[click.Parameter] = []
    for field in _OPERATION["body"]:
        found += options.option({**field, "required": False}, "body", set())  # the argument may say all of it
    return found


@click.command("preview", cls=Shared, params=_options())
@click.argument("what", required=False, metavar="[EXPR|SCHEDULE]", shell_complete=options.completer("schedule_id"))
@click.option("--tz", help="As --timezone.")
@click.option("--calendar", "as_calendar", is_flag=True, help="Months with their days of runs; clock changes marked.")
@click.pass_context
def preview(context: click.Context, /, what: str | None, tz: str | None, as_calendar: bool, **given: Any) -> None:
    """The coming runs of an expression, or of a schedule by id or name. Nothing is written.

    As in `preview "0 2 * * *" --tz Europe/Paris --calendar`.
    """
    session = session_of(context)
    body = options.values(_OPERATION["body"], "body", given)
    if tz:
        body["timezone"] = tz
    if what and expressions.looks_like_one(what):
        body.setdefault("expr", what)
    elif what:
        body = {**of_schedule(session, naming.schedule(session, what)), **body}
    expressions.complete(body)
    if "expr" not in body:
        raise usage("--expr is missing", 'as in: chronosctl schedules preview "0 2 * * *"')
    if as_calendar:
        body.setdefault("count", 100)
    answer = session.call("POST", "/api/v1/schedules:preview", body)
    if session.output in ("json", "yaml", "jsonl"):
        output.one(answer, session.output)
    elif session.output == "name":
        for run in answer["runs_iso8601"]:
            click.echo(run)
    elif as_calendar:
        _calendar(answer)
    else:
        _list(answer)


def of_schedule(session: Session, schedule_id: str) -> dict[str, Any]:
    """What of a schedule decides its runs. Raises ApiError."""
    found = session.call("GET", f"/api/v1/schedules/{schedule_id}")
    return recurrence(found)


def recurrence(schedule: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a schedule that decide its runs. The grid of a RATE begins where the schedule did."""
    body = {name: schedule[name] for name in _FIELDS if schedule.get(name) not in (None, [])}
    if (
        schedule["type"] in ("RATE", "ISO8601")
        and "start_at_unix_ms" not in body
        and schedule.get("created_at_unix_ms")
    ):
        body["start_at_unix_ms"] = schedule["created_at_unix_ms"]
    return body


def _list(answer: Mapping[str, Any]) -> None:
    kinds = {each["run_unix_ms"]: each["kind"] for each in answer["dst"]}
    for unix_ms, text in zip(answer["runs_unix_ms"], answer["runs_iso8601"], strict=True):
        note = f"  DST {kinds[unix_ms]}" if unix_ms in kinds else ""
        click.echo(text + note)


def _calendar(answer: Mapping[str, Any]) -> None:
    days = Counter(text[:10] for text in answer["runs_iso8601"])
    marked = {answer["runs_unix_ms"].index(each["run_unix_ms"]): each["kind"] for each in answer["dst"]}
    changes = {answer["runs_iso8601"][n][:10]: kind for n, kind in marked.items()}
    for month in dict.fromkeys(day[:7] for day in days):
        year, number = int(month[:4]), int(month[5:])
        click.echo(f"{month}\n  Mo    Tu    We    Th    Fr    Sa    Su")
        for week in calendar.monthcalendar(year, number):
            cells = []
            for day in week:
                name = f"{month}-{day:02d}"
                runs = days.get(name, 0)
                mark = "!" if name in changes else " "
                cells.append(
                    "      " if not day else f"{day:>4}{'·' if not runs else runs if runs < 10 else '+'}{mark}"
                )
            click.echo("".join(cells).rstrip())
    click.echo("\nA digit after a day is how many runs it has, + is ten or more.")
    for day, kind in changes.items():
        click.echo(f"! {day}: a clock change touches a run ({kind})")
