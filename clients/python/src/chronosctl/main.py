"""``chronosctl``: the root of the commands, and where everything that goes wrong becomes an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from importlib import import_module
from typing import Any, Final

# Written by hand, by noun and verb (no verb: the noun itself): the module and what it calls the command.
BY_HAND: Final = {
    ("schedules", "create"): "schedules:create",
    ("schedules", "edit"): "schedules:edit",
    ("schedules", "preview"): "previews:preview",
    ("schedules", "explain"): "schedules:explain",
    ("schedules", "apply"): "gitops:apply",
    ("schedules", "plan"): "gitops:plan",
    ("schedules", "export"): "exports:export",
    ("schedules", "import"): "imports:import_",
    ("schedules", "backfill"): "backfills:backfill",
    ("executions", "logs"): "executions:logs",
    ("executions", "bulk"): "executions:bulk",
    ("leases", "acquire"): "leases:acquire",
    ("leases", "renew"): "leases:renew",
    ("leases", "release"): "leases:release",
    ("leases", "run"): "leases:run",
    ("ticks", "follow"): "follow:ticks",
    ("changes", "follow"): "follow:changes",
    ("time", ""): "top:time",
    ("health", ""): "top:health",
    ("context", ""): "context:context",
    ("plan", ""): "gitops:plan",
    ("apply", ""): "gitops:apply",
    ("export", ""): "exports:export",
    ("import", ""): "imports:import_",
    ("sync", ""): "sync:sync",
    ("listen", ""): "listen:listen",
    ("doctor", ""): "doctor:doctor",
    ("completion", ""): "completion:completion",
    ("man", ""): "man:man",
    ("mcp", ""): "mcp:mcp",
    ("version", ""): "top:version",
}
ABOUT: Final = {
    "schedules": "Schedules: create, list, edit, pause, plan, apply, explain.",
    "executions": "Executions: what became of firings; retry, cancel, logs.",
    "bulk-jobs": "Bulk jobs: the progress of executions bulk.",
    "jobs": "Jobs, in the words of Scheduled-DB.",
    "leases": "Leases: acquire, renew, release; run a command under one.",
    "keys": "API keys.",
    "ticks": "Streams of ticks; follow one.",
    "changes": "The change feed; follow it.",
    "tasks": "Executions as people see them.",
    "time": "The service's clock.",
    "health": "Whether the service schedules.",
    "service": "Cluster, metrics, the OpenAPI document.",
    "roles": "Roles and their permissions.",
    "queue": "Pause and resume all deliveries.",
    "policies": "Policies as code: rules, dry runs, verdicts.",
    "audit": "Who did what; verify and export.",
    "subjects": "A person's data: export, erase.",
    "workflows": "Workflows: definitions, start.",
    "runs": "Runs of workflows: follow, approve, redrive.",
    "sessions": "Time travel through runs.",
    "triggers": "Schedules by events: create, list, edit.",
    "monitors": "Jobs that others run: pings, states, badges.",
    "notification-rules": "Who hears of failures, and how.",
    "notifications": "What was sent, to whom.",
    "context": "Services by name: list, use, set.",
    "plan": "What applying a file would change, with its firings.",
    "apply": "Make schedules as a file says.",
    "export": "Schedules as a file for `apply`.",
    "import": "A crontab, EventBridge or Kubernetes file as a file for `apply`.",
    "sync": "Make schedules as a program declares them.",
    "listen": "Forward firings to a program on this machine.",
    "doctor": "Try the connection, the token, the clock.",
    "completion": "Completion for bash, zsh or fish.",
    "man": "The manual pages.",
    "mcp": "A bridge for agents: stdio to the service's /mcp.",
    "version": "The release of chronosctl.",
}


def run() -> None:
    """The program."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: Sequence[str]) -> int:
    """The exit code of a call of chronosctl."""
    try:
        import click  # noqa: F401 (the only thing that may be missing)
    except ModuleNotFoundError:
        print("error: chronosctl needs click\nhint: pip install 'chronowatch[cli]'", file=sys.stderr)
        return 1
    from chronosctl.session import Session

    session = Session()
    with closing(session):
        return _outcome(session, arguments)


def _outcome(session: Any, arguments: Sequence[str]) -> int:
    import click

    from chronosctl import faults

    try:
        done = root().main(list(arguments), "chronosctl", standalone_mode=False, obj=session)
        sys.stdout.flush()
        return done if isinstance(done, int) else 0
    except BrokenPipeError:
        return _quietly(session.outcome)
    except SystemExit as end:  # click's own: the reader has gone, or a shell was given its completions
        return _quietly(session.outcome) if end.code == 1 else int(end.code or 0)
    except click.exceptions.Exit as end:
        return int(end.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.format_message())
        return faults.USAGE
    except click.ClickException as wrong:
        fault = _of_click(wrong)
    except Exception as failure:
        fault = _of_failure(failure)
    fault.hint = _named(fault.hint, session.path)
    try:
        sys.stdout.flush()
        faults.show(fault, session.output == "json" or _asks_for_json(arguments))
    except BrokenPipeError:
        _quietly()
    return int(fault.exit_code)


def _named(hint: str, path: str) -> str:
    """A hint with the command that was called in the place of NOUN and VERB."""
    from chronosctl.commands import verbs

    noun = path.split()[1] if " " in path else "NOUN"
    if noun != "NOUN" and "list" not in verbs(noun):
        hint = hint.replace(
            "`chronosctl NOUN list` shows what there is; names are told apart by case",
            f"`chronosctl {noun} --help` shows its calls; names are told apart by case",
        )
    return hint.replace("chronosctl NOUN VERB", path or "chronosctl").replace("chronosctl NOUN", f"chronosctl {noun}")


def _quietly(outcome: int = 0) -> int:
    """The reader has gone, as ``head`` does. Python would complain once more when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return outcome


def _asks_for_json(arguments: Sequence[str]) -> bool:
    """Whether the call asks for JSON though it was too wrong to be understood."""
    said = list(arguments[: arguments.index("--")]) if "--" in arguments else list(arguments)
    pairs = zip(said, [*said[1:], ""], strict=False)
    return any((a in ("-o", "--output") and b == "json") or a in ("-ojson", "--output=json") for a, b in pairs)


def _of_click(wrong: Any) -> Any:
    import difflib
    import re

    from chronosctl import faults

    context = getattr(wrong, "ctx", None)
    path = context.command_path if context is not None else "chronosctl"
    asked = re.fullmatch(r"No such command '(.*)'\.?", wrong.format_message())
    if asked and context is not None:
        near = difflib.get_close_matches(asked[1], context.command.list_commands(context), 1, 0.7)
        if near:
            return faults.Fault(wrong.format_message(), faults.USAGE, f"did you mean `{path} {near[0]}`?")
    return faults.Fault(wrong.format_message(), faults.USAGE, f"`{path} --help` shows how it is called")


def _of_failure(failure: Exception) -> Any:
    from chronosctl import faults
    from chronowatch.errors import ApiError, Unreachable

    if isinstance(failure, faults.Fault):
        return failure
    if isinstance(failure, ApiError | Unreachable):
        return faults.of_service(failure)
    if isinstance(failure, ModuleNotFoundError) and failure.name == "yaml":
        return faults.Fault("YAML needs PyYAML", hint="pip install 'chronowatch[cli]'")
    if os.environ.get("CHRONOSCTL_DEBUG"):
        raise failure
    hint = "this is our fault: CHRONOSCTL_DEBUG=1 shows where it happened; please report it"
    return faults.Fault(f"{type(failure).__name__}: {failure}", hint=hint)


def root() -> Any:
    """The command ``chronosctl``. Nouns and verbs are made when they are asked for."""
    import click

    from chronosctl.commands import SharedGroup, command, operations, verbs

    class Noun(SharedGroup):
        def list_commands(self, context: click.Context) -> list[str]:
            noun = str(self.name)
            return sorted({*verbs(noun), *(verb for name, verb in BY_HAND if name == noun and verb)})

        def get_command(self, context: click.Context, name: str) -> click.Command | None:
            found = BY_HAND.get((str(self.name), name))
            if found is not None:
                by_hand: click.Command = _by_hand(found)
                return by_hand
            operation = verbs(str(self.name)).get(name)
            return None if operation is None else command(operation)

        def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
            with formatter.section("Commands"):
                formatter.write_dl([(name, self._about(context, name)) for name in self.list_commands(context)])

        def _about(self, context: click.Context, name: str) -> str:
            """In a line. The table and ABOUT know it without loading the modules of all commands."""
            known = verbs(str(self.name)).get(name)
            if name in ABOUT and (self.name, name) in BY_HAND:
                return ABOUT[name]
            if known is not None:
                return f"{known['summary']}."
            found = self.get_command(context, name)
            return "" if found is None else found.get_short_help_str(80)

    class Root(SharedGroup):
        def list_commands(self, context: click.Context) -> list[str]:
            return list(dict.fromkeys([*ABOUT, *sorted({each["noun"] for each in operations()})]))

        def get_command(self, context: click.Context, name: str) -> click.Command | None:
            if (name, "") in BY_HAND:
                by_hand: click.Command = _by_hand(BY_HAND[name, ""])
                return by_hand
            if name not in self.list_commands(context):
                return None
            return Noun(name, help=ABOUT.get(name, f"The calls of {name}."), no_args_is_help=True)

        def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
            with formatter.section("Commands"):
                formatter.write_dl([(name, ABOUT.get(name, "")) for name in self.list_commands(context)])

    about = (
        "Schedules, executions, leases and more of a ChronoWatch service.\n\n"
        "CHRONO_URL and CHRONO_TOKEN say where it is and who calls; else the context does. Exit codes: 0 ok, 1 failed, "
        "2 usage (plan: there are changes), 3 not found, 4 not allowed, 5 conflict, 6 unavailable."
    )
    return Root("chronosctl", help=about, no_args_is_help=True)


def _by_hand(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"chronosctl.{module}"), name)
