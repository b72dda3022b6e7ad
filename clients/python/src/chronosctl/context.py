"""``chronosctl context``: services by name."""

from __future__ import annotations

import sys

import click

from chronosctl import contexts, output
from chronosctl.commands import SharedGroup, session_of
from chronosctl.faults import NOT_FOUND, Fault, usage


def _names(context: click.Context, parameter: click.Parameter, begun: str) -> list[str]:
    return contexts.begun_so(begun)


@click.group("context", cls=SharedGroup, no_args_is_help=True)
def context() -> None:
    """Services by name: list, use, set, delete. The file is readable by its owner only."""


@context.command("list")
@click.pass_context
def list_(at: click.Context) -> None:
    """The contexts; tokens are not shown."""
    book = contexts.read()
    rows = [
        {"name": name, "url": each["url"], "token": bool(each.get("token")), "current": name == book.current}
        for name, each in sorted(book.contexts.items())
    ]
    output.many(rows, session_of(at).output, ("name", "url", "token", "current"))


@context.command("use")
@click.argument("name", shell_complete=_names)
@click.pass_context
def use(at: click.Context, name: str) -> None:
    """Make a context the current one."""
    book = contexts.read()
    if name not in book.contexts:
        raise Fault(f"there is no context {name}", NOT_FOUND, "`chronosctl context list` shows them")
    contexts.write(contexts.Book(name, book.contexts))
    _show(at, name)


@context.command("set")
@click.argument("name", shell_complete=_names)
@click.option("--url", help="The address: http://HOST:PORT or https://HOST.")
@click.option("--token", help="The token. Other users may see arguments: --token-stdin is safer.")
@click.option("--token-stdin", is_flag=True, help="Read the token from standard input.")
@click.option("--no-token", is_flag=True, help="Forget the token.")
@click.pass_context
def set_(at: click.Context, name: str, url: str | None, token: str | None, token_stdin: bool, no_token: bool) -> None:
    """Make or change a context. The first becomes the current one.

    Another address forgets the token that was kept for the one before.
    """
    book = contexts.read()
    known = dict(book.contexts.get(name, {}))
    if url is None and not known:
        raise usage("--url is missing", "as in: chronosctl context set prod --url https://chrono.example.com")
    if url is not None and not contexts.is_address(url):
        raise usage(f"--url: {url} is no address", "http://HOST:PORT or https://HOST")
    if url is not None and url != known.get("url"):
        known = {"url": url}
    if token_stdin:
        token = contexts.usable("--token-stdin", sys.stdin.readline())
        if not token:
            raise usage("--token-stdin: standard input holds no token", "as in: … --token-stdin < FILE")
    if token and (given := contexts.usable("--token", token)):
        known["token"] = given
    if no_token:
        known.pop("token", None)
    contexts.write(contexts.Book(book.current or name, {**book.contexts, name: known}))
    _show(at, name)


@context.command("delete")
@click.argument("name", shell_complete=_names)
@click.pass_context
def delete(at: click.Context, name: str) -> None:
    """Forget a context and its token."""
    book = contexts.read()
    if name not in book.contexts:
        raise Fault(f"there is no context {name}", NOT_FOUND, "`chronosctl context list` shows them")
    left = {each: value for each, value in book.contexts.items() if each != name}
    contexts.write(contexts.Book(None if book.current == name else book.current, left))
    output.one({"name": name, "deleted": True}, session_of(at).output)


def _show(at: click.Context, name: str) -> None:
    book = contexts.read()
    found = book.contexts[name]
    shown = {"name": name, "url": found["url"], "token": bool(found.get("token")), "current": name == book.current}
    output.one(shown, session_of(at).output)
