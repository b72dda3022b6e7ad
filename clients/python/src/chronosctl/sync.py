"""``sync``: schedules as a program declares them with ``@schedule``."""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import click

from chronosctl import files, gitops, planning
from chronosctl.commands import Shared, session_of
from chronosctl.faults import FAILED, USAGE, Fault, usage


@click.command("sync", cls=Shared)
@click.argument("what", metavar="MODULE:APP")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option("--source", metavar="NAME", help="Who manages them; by default MODULE:APP.")
@click.option("--prune", is_flag=True, help="Delete what was declared before and is no more.")
@click.option("--yes-prune", is_flag=True, help="Also when that is more than 20 %.")
@click.option("--print", "only_print", is_flag=True, help="Print the file for `apply`, and call nothing.")
@click.pass_context
def sync(
    context: click.Context,
    /,
    what: str,
    yes: bool,
    source: str | None,
    prune: bool,
    yes_prune: bool,
    only_print: bool,
) -> None:
    """Make schedules as MODULE declares them. APP is its `DeclaredSchedules`,
    a function, or whatever its framework calls app.

    Without --yes the plan is shown, and on a terminal asked about; elsewhere it exits 2 when there are changes.
    """
    entries = declared(what)
    text = files.written(entries, (f"From {what}",))
    if only_print:
        sys.stdout.write(text)
        return
    session = session_of(context)
    parsed = files.parse(text, what)
    wanted = [files.Wanted(entry, what, parsed, n) for n, entry in enumerate(entries)]
    made = planning.make(session, wanted, source or what, 0 if yes else 30, prune)
    if not yes:
        gitops.show(session, made)
        if made.of("refused"):
            context.exit(FAILED)
        if not made.changes:
            return
        if not sys.stdin.isatty() or not click.confirm("apply?", err=True):
            context.exit(USAGE)
    gitops.run(session, made, yes_prune=yes_prune, keep_going=False)


def declared(what: str) -> list[dict[str, Any]]:
    """The entries that a module declares. Raises Fault."""
    from chronowatch.declaring import entries_of

    module, colon, name = what.partition(":")
    if not (module and colon and name):
        raise usage(f"{what} is not MODULE:APP", "as in: chronosctl sync shop.jobs:app")
    sys.path.insert(0, os.getcwd())
    try:
        loaded = importlib.import_module(module)
    except Exception as failure:
        hint = "it is imported from the present folder; try: python -c 'import MODULE'"
        raise Fault(f"{module} cannot be imported: {type(failure).__name__}: {failure}", hint=hint) from None
    found: Any = loaded
    for part in name.split("."):
        if not hasattr(found, part):
            raise usage(
                f"{module} has no {name}", "say the name of a `DeclaredSchedules`, or of the app that is decorated"
            )
        found = getattr(found, part)
    entries = entries_of(found)
    if not entries:
        raise usage(f"{what} declares no schedule", '@schedule("0 2 * * *") declares one; is its module imported?')
    return entries
