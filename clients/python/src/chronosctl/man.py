"""The manual pages, made from the commands' own help."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from chronosctl.commands import Shared
from chronosctl.faults import Fault


@click.command("man", cls=Shared)
@click.argument("words", nargs=-1, metavar="[NOUN [VERB]]")
@click.option(
    "--all",
    "folder",
    type=click.Path(file_okay=False),
    metavar="FOLDER",
    help="Write a page for every command into FOLDER.",
)
@click.pass_context
def man(context: click.Context, /, words: tuple[str, ...], folder: str | None) -> None:
    """A manual page, as man reads it: chronosctl man schedules plan | man -l -"""
    root = context.find_root().command
    if folder is None:
        click.echo(page(_found(root, words), ("chronosctl", *words)), nl=False)
        return
    made = Path(folder)
    try:
        made.mkdir(parents=True, exist_ok=True)
        for path, command in _all(root, ("chronosctl",)):
            (made / f"{'-'.join(path)}.1").write_text(page(command, path))
    except OSError as problem:
        raise Fault(f"{folder}: {problem.strerror}", hint="name a folder that can be written") from None


def _found(command: Any, words: tuple[str, ...]) -> click.Command:
    from chronosctl.faults import usage

    for word in words:
        at = click.Context(command, info_name=command.name)
        command = command.get_command(at, word) if isinstance(command, click.Group) else None
        if command is None:
            raise usage(f"there is no command {' '.join(words)}", "`chronosctl --help` shows the commands")
    assert isinstance(command, click.Command), "only commands are looked up"
    return command


def _all(command: click.Command, path: tuple[str, ...]) -> list[tuple[tuple[str, ...], click.Command]]:
    found = [(path, command)]
    if isinstance(command, click.Group):
        at = click.Context(command, info_name=path[-1])
        for name in command.list_commands(at):
            inner = command.get_command(at, name)
            if inner is not None:
                found += _all(inner, (*path, name))
    return found


def page(command: click.Command, path: tuple[str, ...]) -> str:
    """One page in the man macros of roff."""
    at = click.Context(command, info_name=path[-1])
    about = _roff(command.get_short_help_str(200))
    lines = [f'.TH "{"-".join(path).upper()}" 1', ".SH NAME", f"{'-'.join(path)} \\- {about}", ".SH SYNOPSIS"]
    lines += [f"\\fB{' '.join(path)}\\fR {_roff(' '.join(command.collect_usage_pieces(at)))}", ".SH DESCRIPTION"]
    lines += [part for text in (command.help or "").split("\n\n") for part in (_roff(" ".join(text.split())), ".PP")]
    records = [record for each in command.get_params(at) if (record := each.get_help_record(at))]
    lines += [".SH OPTIONS"] if records else []
    lines += [text for flag, said in records for text in (".TP", f"\\fB{_roff(flag)}\\fR", _roff(said) or "\\&")]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        for name in command.list_commands(at):
            inner = command.get_command(at, name)
            said = "" if inner is None else inner.get_short_help_str(200)
            lines += [".TP", f"\\fB{_roff(name)}\\fR", _roff(said) or "\\&"]
    lines += [".SH EXIT STATUS", "0 ok, 1 failed, 2 usage (plan: there are changes), 3 not found, 4 not allowed,"]
    lines += ["5 conflict, 6 unavailable.", ".SH ENVIRONMENT", "CHRONO_URL, CHRONO_TOKEN, CHRONO_CONTEXT,"]
    lines += ["CHRONOSCTL_CONFIG."]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    plain = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain
