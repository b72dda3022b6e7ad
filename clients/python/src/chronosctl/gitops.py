"""``plan`` and ``apply``: schedules as files in version control say."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote

import click

from chronosctl import files, output, planning
from chronosctl.commands import Shared, session_of
from chronosctl.faults import FAILED, USAGE, Fault, of_service, usage
from chronosctl.planning import Plan, Step
from chronosctl.progress import Progress
from chronosctl.session import Session

_SIGNS: Final = {"create": "+", "update": "~", "delete": "-", "refused": "!"}
_SHOWN: Final = 10


def _common(command: Any) -> Any:
    for option in (
        click.option("--prune", is_flag=True, help="Delete what this source made and no longer names."),
        click.option("--source", metavar="NAME", help="Who manages what is applied; by default the file's path."),
        click.option(
            "-f", "--file", "paths", multiple=True, type=click.Path(), metavar="FILE",
            help="A file or folder; - is standard input.",
        ),
        click.argument("more", nargs=-1, type=click.Path(), metavar="[FILE]..."),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command("plan", cls=Shared)
@_common
@click.option(
    "--days", type=click.IntRange(1, 366), default=30, show_default=True, help="How far firings are compared."
)
@click.pass_context
def plan(context: click.Context, /, days: int, **said: Any) -> None:
    """What applying a file would change: fields, and the firings of the days ahead. Nothing is written.

    Exit code 0: nothing; 2: there are changes; 1: something is refused.
    """
    session = session_of(context)
    made = _made(session, days, said)
    session.outcome = FAILED if made.of("refused") else USAGE if made.changes else 0
    show(session, made)
    context.exit(session.outcome)


@click.command("apply", cls=Shared)
@_common
@click.option("--yes-prune", is_flag=True, help="Prune also when that is more than 20 % of what the source manages.")
@click.option("--keep-going", is_flag=True, help="Apply the rest though the service refuses some.")
@click.pass_context
def apply(context: click.Context, /, yes_prune: bool, keep_going: bool, **said: Any) -> None:
    """Make schedules as a file says. Applying it again changes nothing.

    After an interruption apply it again: only what is left is written. With --prune, what this source made and no
    longer names is deleted.
    """
    session = session_of(context)
    made = _made(session, 0, said)
    run(session, made, yes_prune=yes_prune, keep_going=keep_going)
    if made.of("refused"):
        context.exit(FAILED)


def _made(session: Session, days: int, said: Any) -> Plan:
    paths = [*said["paths"], *said["more"]]
    if not paths:
        raise usage("-f FILE is missing", "as in: chronosctl plan -f schedules.yaml")
    if said["source"] is None and said["prune"] and "-" in paths:
        raise usage("--prune of standard input needs --source", "say who manages these schedules: --source NAME")
    if said["source"] is None and len(paths) > 1:
        raise usage("several files need --source", "or name the folder that they are in")
    source = planning.source_of(said["source"], paths[0])
    return planning.make(session, files.schedules(paths), source, days, said["prune"])


def run(session: Session, made: Plan, *, yes_prune: bool, keep_going: bool) -> None:
    """Write what the plan says. Raises Fault before anything is written, when something speaks against it."""
    if made.of("delete") and made.prunes_much and not yes_prune:
        text = f"this would prune {len(made.of('delete'))} of {made.managed} schedules that {made.source} manages"
        raise Fault(text, FAILED, "that is over 20 %: is the file whole? --yes-prune does it")
    session.outcome = FAILED if made.of("refused") else 0
    if made.of("refused") and not keep_going:
        show(session, made)
        hint = "nothing was written; --keep-going applies the rest"
        raise Fault(f"{len(made.of('refused'))} schedules are refused", FAILED, hint)
    with Progress("applying", sum(len(made.of(verb)) for verb in ("create", "update", "delete"))) as progress:
        try:
            _write(session, made, progress)
        except BaseException as failure:
            if isinstance(failure, KeyboardInterrupt) or hasattr(failure, "unsent") or hasattr(failure, "status"):
                _interrupted(progress)
            raise
    session.outcome = FAILED if made.of("refused") else 0
    show(session, made, applied=True)


def _write(session: Session, made: Plan, progress: Progress) -> None:
    todo = [*made.of("create"), *made.of("update")]
    for start, chunk in planning.chunks([each.entry for each in todo]):
        _import(session, todo[start : start + len(chunk)], chunk)
        progress.at(progress.done + len(chunk))
    for step in made.of("delete"):
        _delete(session, step)
        progress.at(progress.done + 1)


def _interrupted(progress: Progress) -> None:
    progress.clear()
    print(f"applied {progress.done} of {progress.total}; apply again to go on", file=sys.stderr)


def _import(session: Session, steps: Sequence[Step], chunk: Sequence[dict[str, Any]]) -> None:
    import uuid

    headers = {"Idempotency-Key": uuid.uuid4().hex}
    answer = session.call("POST", "/api/v1/schedules:import", {"schedules": list(chunk)}, headers=headers)
    for item in answer["items"]:
        step = steps[item["index"]]
        step.id = item.get("id", step.id)
        if item["action"] == "refused":  # it changed since the plan was made
            step.action, step.error = "refused", item.get("error")


def _delete(session: Session, step: Step) -> None:
    from chronowatch.errors import ApiError, NotFound

    path = f"/api/v1/schedules/{quote(str(step.id), safe='')}"
    try:
        session.call("DELETE", path, headers={"If-Match": f'"{step.version}"'})
    except NotFound:
        return  # it is gone, as it shall be
    except ApiError as error:
        fault = of_service(error)
        raise Fault(f"{step.called}: {fault.message}", fault.exit_code, "plan again", fault.problem) from None


def show(session: Session, made: Plan, applied: bool = False) -> None:
    said = planning.shown(made)
    if session.output in ("json", "yaml"):
        output.one({**said, "applied": applied}, session.output)
    elif session.output == "jsonl":
        output.many(said["items"], "jsonl")
    elif session.output == "name":
        output.many([each for each in said["items"] if each["action"] != "unchanged"], "name")
    else:
        _table(made, applied)


def _table(made: Plan, applied: bool) -> None:
    for step in made.steps:
        if step.action == "unchanged":
            continue
        click.echo(f"{_SIGNS[step.action]} {step.called}{_counts(step)}")
        for name, change in step.change.items():
            click.echo(f"    {name}: {_short(change['from'])} -> {_short(change['to'])}")
        if step.error:
            fields = "; ".join(f"{e['field']}: {e['message']}" for e in step.error.get("errors", ()))
            click.echo(f"    {step.where}: {step.error['code']}: {output.visible(fields or step.error['detail'])}")
    if not applied and made.changes:
        _firings(made)
    counts = {verb: len(made.of(verb)) for verb in ("create", "update", "delete", "unchanged", "refused")}
    words = ("created", "updated", "deleted", "unchanged", "refused") if applied else counts
    click.echo(", ".join(f"{n} {word}" for word, n in zip(words, counts.values(), strict=True)))
    if made.left_over and not made.prune:
        click.echo(f"{made.left_over} more that {made.source} made are not in the file; --prune deletes them")


def _counts(step: Step) -> str:
    said = [f"{n} firings {word}" for word, n in step.firings.items() if n]
    return f"  ({', '.join(said)})" if said else ""


def _short(value: Any) -> str:
    import json

    text = json.dumps(value, ensure_ascii=False)
    return output.visible(text if len(text) <= 80 else text[:79] + "…")


def _firings(made: Plan) -> None:
    f = made.firings
    days = "day" if made.days == 1 else f"{made.days} days"
    click.echo(f"firings of the next {days}: {len(f.added)} added, {len(f.removed)} removed, {len(f.moved)} moved")
    for sign, each in [("+", a) for a in f.added[:_SHOWN]] + [("-", r) for r in f.removed[:_SHOWN]]:
        click.echo(f"  {sign} {output.instant(each['at_unix_ms'])}  {each['schedule']}")
    for each in f.moved[:_SHOWN]:
        at, to = output.instant(each["from_unix_ms"]), output.instant(each["to_unix_ms"])
        click.echo(f"  > {at} -> {to}  {each['schedule']}")
    if max(len(f.added), len(f.removed), len(f.moved)) > _SHOWN:
        click.echo("  … -o json lists all of them")
    if not f.complete:
        click.echo("  dense schedules were compared for their next 5,000 firings only")
    for each in f.dst:
        click.echo(f"  DST {each['kind']}: {output.instant(each['run_unix_ms'])}  {each['schedule']}")
    for hot in made.hot:
        click.echo(
            f"  hot minute: {output.instant(hot['at_unix_ms'])} has {hot['count']} firings, {hot['added']} of them new"
        )
