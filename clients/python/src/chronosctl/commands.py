"""Commands from the table of operations: a noun for each group of calls, a verb for each call."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import click

from chronosctl import options, output
from chronosctl.faults import usage
from chronosctl.session import Session

Operation = Mapping[str, Any]
_OWN: Final = {"--output", "--context", "--trace", "--help", "--file", "--limit", "--if-match", "--idempotency-key"}


@cache
def operations() -> Sequence[Operation]:
    """The table, as scripts/generate-clients made it."""
    with open(os.path.join(os.path.dirname(__file__), "operations.json"), "rb") as table:
        found: Sequence[Operation] = json.load(table)
    return found


def verbs(noun: str) -> dict[str, Operation]:
    """The operations of a noun."""
    return {each["verb"]: each for each in operations() if each["noun"] == noun}


def session_of(context: click.Context) -> Session:
    """What the root made."""
    found: Session = context.find_root().obj
    return found


class Shared(click.Command):
    """A command that takes the options of all commands, wherever a person writes them."""

    def __init__(self, *arguments: Any, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        self.params = [*self.params, *_shared({flag for each in self.params for flag in each.opts})]


class SharedGroup(Shared, click.Group):
    """A group that takes them too."""

    command_class = Shared
    group_class = type


def _shared(taken: set[str]) -> list[click.Parameter]:
    names = ["-o", "--output"] if "--output" not in taken else ["-o"]
    return [
        click.Option(
            names, type=click.Choice(output.FORMATS), expose_value=False, callback=_set("output"),
            help="How to print: table (default), json, yaml, jsonl (a line each), name (the names only).",
        ),
        click.Option(
            ["--context"], expose_value=False, callback=_set("context"), metavar="NAME", shell_complete=_contexts,
            help="The context to use; CHRONO_URL and CHRONO_TOKEN win over it.",
        ),
        click.Option(
            ["--trace"], is_flag=True, default=None, expose_value=False, callback=_set("trace"),
            help="Print the traceparent of each call to the standard error.",
        ),
    ]  # fmt: skip


def _contexts(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    from chronosctl import contexts

    return contexts.begun_so(begun)


def _set(name: str) -> Any:
    def callback(context: click.Context, parameter: click.Parameter, given: Any) -> None:
        root = context.find_root()
        root.obj = root.obj or Session()
        root.obj.path = max(root.obj.path, context.command_path, key=len)
        if given is not None:
            setattr(root.obj, name, given)

    return callback


def command(
    operation: Operation,
    fill: Callable[[dict[str, Any], Mapping[str, Any]], None] | None = None,
    more: Sequence[click.Parameter] = (),
    filled: Sequence[str] = (),
) -> click.Command:
    """The command of an operation. ``fill`` completes the body from what was given: the fields that are ``filled`` need
    not be said. ``more`` are its parameters."""

    def callback(**given: Any) -> None:
        session = session_of(click.get_current_context())
        run(session, operation, given, fill)

    about = operation["summary"] + "."
    if operation.get("description"):
        about += "\n\n" + operation["description"]
    return Shared(operation["verb"], params=[*more, *parameters(operation, filled)], callback=callback, help=about)


def parameters(operation: Operation, filled: Sequence[str] = ()) -> list[click.Parameter]:
    """The arguments and options of an operation. Those that are ``filled`` are not required of a person."""
    found: list[click.Parameter] = [argument(name) for name in operation.get("arguments", ())]
    found += leading_name(operation)
    # ``--limit`` of a list that comes at once is the API's own.
    whole = operation.get("paged") or operation.get("by_position")
    taken = _OWN - {"--output"} - (set() if whole else {"--limit"})
    for place in ("body", "query"):
        for field in operation.get(place, ()):
            if field["name"] == "limit" and whole:
                continue
            found += options.option({**field, "required": False} if field["name"] in filled else field, place, taken)
    if whole:
        found.append(click.Option(["--limit"], type=click.IntRange(0), help="At most so many; without it, all."))
    if operation.get("has_body") and operation.get("body"):
        about = "The body, from a file of JSON or YAML (-: standard input). Options win over it."
        found.append(click.Option(["-f", "--file"], type=click.Path(), metavar="FILE", help=about))
    if operation.get("keyed"):
        about = "Say the same key again and a repeated call does nothing twice."
        found.append(click.Option(["--idempotency-key"], metavar="KEY", help=about))
    if operation.get("guarded"):
        found.append(click.Option(["--if-match"], metavar="VERSION", help="Only if it still has this version."))
    return found


def argument(name: str, **attributes: Any) -> click.Argument:
    """A thing, by id or name, completed from the service."""
    return click.Argument([f"path__{name}"], metavar=_said(name), shell_complete=options.completer(name), **attributes)


def _said(name: str) -> str:
    plain = name.removesuffix("_id")
    return {"schedule": "SCHEDULE", "name": "NAME"}.get(plain, plain.upper())


def leading_name(operation: Operation) -> list[click.Parameter]:
    """The name of a lease may stand first, as the name of everything else does."""
    fields = {field["name"] for field in operation.get("body", ())}
    by_name = operation["noun"] == "leases" and "name" in fields
    return [argument("name", required=False)] if by_name else []


def run(
    session: Session,
    operation: Operation,
    given: Mapping[str, Any],
    fill: Callable[[dict[str, Any], Mapping[str, Any]], None] | None = None,
) -> None:
    """Make the call and print its answer. Raises ApiError, Unreachable, Fault."""
    path = path_of(session, operation, given)
    query = resolved(session, options.values(operation.get("query", ()), "query", given))
    body = body_of(operation, given, fill)
    how: dict[str, Any] = {"query": query, "safe": not operation.get("unsafe")}
    if operation.get("paged") or operation.get("by_position"):
        if operation.get("paged"):
            items = session.pages(path, query, most=given.get("limit"), method=operation["method"], body=body)
        else:
            items = session.after(path, query, most=given.get("limit"))
        output.many(items, session.output, _columns(operation))
        return
    how["headers"] = headers_of(operation, given)
    answered = session.exchange(operation["method"], path, body, **how)
    if operation.get("text"):
        click.echo(answered.body.decode(), nl=False)
        return
    show(session, operation, answered.json())


def show(session: Session, operation: Operation, answer: Any) -> None:
    """Print an answer that is whole: a thing, or what came as a list at once."""
    if isinstance(answer, list):
        output.many(answer, session.output, _columns(operation))
    elif operation.get("listed") or (_is_report(answer) and session.output in ("table", "jsonl", "name")):
        output.many(answer["items"], session.output, _columns(operation))
        if answer.get("more"):
            click.echo("there were others before, which are no longer kept", err=True)
    elif answer is not None:
        output.one(answer, session.output)


def _columns(operation: Operation) -> Sequence[str]:
    from chronosctl.columns import COLUMNS

    return COLUMNS.get((operation["noun"], operation["verb"]), ())


def _is_report(answer: Any) -> bool:
    """Whether lines tell the most of it: it has items, and says something of them all besides."""
    items = answer.get("items") if isinstance(answer, dict) else None
    return isinstance(items, list) and bool(items) and isinstance(items[0], dict)


def path_of(session: Session, operation: Operation, given: Mapping[str, Any]) -> str:
    """The path, with names made ids."""
    from urllib.parse import quote

    from chronosctl import naming

    found = {}
    for name in operation.get("arguments", ()):
        said = given[f"path__{name}"]
        if not said:
            raise usage(f"{_said(name)} is empty")
        found[name] = naming.RESOLVERS[name](session, said) if name in naming.RESOLVERS else said
    return str(operation["path"]).format(**{name: quote(each, safe="") for name, each in found.items()})


def resolved(session: Session, said: dict[str, Any]) -> dict[str, Any]:
    """Parameters of a query, with names made ids."""
    from chronosctl import naming

    return {
        name: naming.RESOLVERS[name](session, each) if name in naming.RESOLVERS else each for name, each in said.items()
    }


def body_of(
    operation: Operation,
    given: Mapping[str, Any],
    fill: Callable[[dict[str, Any], Mapping[str, Any]], None] | None = None,
) -> Any:
    """The body: what a file says, and the options over it. Raises Fault for a required field that nobody said."""
    if not operation.get("has_body"):
        return None
    fields = operation.get("body", ())
    said = options.values(fields, "body", given)
    whole = options.document(given["file"]) if given.get("file") else {}
    if operation.get("body_list"):
        return whole if isinstance(whole, list) else said.get("items", [])
    if not isinstance(whole, dict):
        raise usage(f"{given['file']}: the body must be an object")
    if given.get("path__name") and "name" not in operation.get("arguments", ()):
        said.setdefault("name", given["path__name"])
    body = {**whole, **said}
    if fill is not None:
        fill(body, given)
    require(operation, body)
    return body


def require(operation: Operation, body: Mapping[str, Any]) -> None:
    """Raises Fault when a field is missing that the call cannot do without."""
    for field in operation.get("body", ()):
        if field.get("required") and field["name"] not in body:
            flag = options.flags(field["name"], field["kind"])[0]
            hint = f"`chronosctl {operation['noun']} {operation['verb']} --help` shows what it takes"
            raise usage(f"{flag} is missing", hint)


def headers_of(operation: Operation, given: Mapping[str, Any]) -> dict[str, str]:
    """What makes a call safe to repeat, or bound to a version."""
    import uuid

    found = {}
    if operation.get("keyed"):
        found["Idempotency-Key"] = given.get("idempotency_key") or uuid.uuid4().hex
    if given.get("if_match"):
        version = given["if_match"]
        found["If-Match"] = version if version == "*" or version.startswith('"') else f'"{version}"'
    return found
