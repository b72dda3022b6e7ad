"""Commands without a verb: time, health, version."""

from __future__ import annotations

import click

from chronosctl import output
from chronosctl.commands import Shared, SharedGroup, command, run, session_of, verbs


@click.group("time", cls=SharedGroup, invoke_without_command=True)
@click.option("--consistency", metavar="cluster", help="A stamp greater than every earlier one of any instance.")
@click.pass_context
def time(context: click.Context, /, consistency: str | None) -> None:
    """The service's clock: wall time, its bound, and the hybrid logical clock."""
    if context.invoked_subcommand is None:
        run(session_of(context), verbs("time")["now"], {"query__consistency": consistency})


for _operation in verbs("time").values():
    time.add_command(command(_operation))


@click.command("health", cls=Shared)
@click.pass_context
def health(context: click.Context) -> None:
    """Whether the service schedules, and what of it does not work."""
    session = session_of(context)
    output.one(session.call("GET", "/health", attempts=1), session.output)


@click.command("version", cls=Shared)
@click.pass_context
def version(context: click.Context) -> None:
    """The release of chronosctl."""
    from chronowatch.version import VERSION

    output.one({"name": f"chronosctl {VERSION}", "version": VERSION}, session_of(context).output)
