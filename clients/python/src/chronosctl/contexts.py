"""Contexts: services that have a name here, with their address and token. The environment wins over them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from chronosctl.faults import Fault, usage

LOCAL: Final = "http://127.0.0.1:8080"
_HINT: Final = "`chronosctl context list` shows them, `chronosctl context set NAME --url URL` makes one"


# No dataclasses and no pathlib: each call of the program would wait for them.
class Connection(NamedTuple):
    """Where calls go, with which token, and who says so."""

    url: str
    token: str | None
    origin: str


class Book(NamedTuple):
    """What the file holds."""

    current: str | None
    contexts: Mapping[str, Mapping[str, str]]


def path() -> str:
    """The file, which CHRONOSCTL_CONFIG may name."""
    if named := os.environ.get("CHRONOSCTL_CONFIG"):
        return named
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return os.path.join(home, "chronowatch", "contexts.json")


def read() -> Book:
    """The contexts; none where there is no file. Raises Fault."""
    file = path()
    try:
        with open(file) as stream:
            found: Any = json.load(stream)
        contexts = {str(name): dict(value) for name, value in found["contexts"].items()}
        return Book(found.get("current"), contexts)
    except FileNotFoundError:
        return Book(None, {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise Fault(
            f"{file} cannot be read: {problem}", hint="mend it, or remove it and set the contexts anew"
        ) from None


def begun_so(begun: str) -> list[str]:
    """The names that begin so, for a shell: it is never told of a fault."""
    try:
        return [name for name in read().contexts if name.startswith(begun)]
    except Fault:
        return []


def write(book: Book) -> None:
    """Replace the file, whole or not at all. Only its owner may read it: it holds tokens. Raises Fault."""
    import tempfile

    file = path()
    text = json.dumps({"current": book.current, "contexts": book.contexts}, indent=2) + "\n"
    try:
        directory = os.path.dirname(file) or "."
        os.makedirs(directory, exist_ok=True, mode=0o700)
        handle, made = tempfile.mkstemp(dir=directory, prefix=".contexts-")  # made with mode 0600
        try:
            with os.fdopen(handle, "w") as stream:
                stream.write(text)
            os.replace(made, file)
        except BaseException:
            os.unlink(made)
            raise
    except OSError as problem:
        raise Fault(f"{file} cannot be written: {problem}", hint="CHRONOSCTL_CONFIG names another place") from None


def is_address(url: str) -> bool:
    """Whether calls can go there: http://HOST:PORT or https://HOST, and what may follow."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(url)
        has_port = parts.port is None or parts.port > 0
    except ValueError:  # half an IPv6 address, a port that is none
        return False
    return (
        parts.scheme in ("http", "https") and bool(parts.hostname) and has_port and url.isprintable() and " " not in url
    )


def usable(origin: str, token: str) -> str | None:
    """A token without the line's end that files and secrets of pipelines have; None where nothing is left. Raises Fault
    for what no header can hold."""
    token = token.strip()
    if not (token.isascii() and token.isprintable()):
        raise usage(f"{origin}: holds characters that no token has", "is it the token alone, on one line?")
    return token or None


def connection(named: str | None) -> Connection:
    """Where to call. With CHRONO_URL nothing that is stored is used: its token belongs to another address. Raises
    Fault."""
    token = usable("CHRONO_TOKEN", os.environ.get("CHRONO_TOKEN", ""))
    if url := os.environ.get("CHRONO_URL"):
        return Connection(url, token, "CHRONO_URL")
    book = read()
    chosen = named or os.environ.get("CHRONO_CONTEXT") or book.current
    if not chosen:
        return Connection(LOCAL, token, "default")
    if chosen not in book.contexts:
        raise usage(f"there is no context {chosen}", _HINT)
    found = book.contexts[chosen]
    return Connection(found["url"], token or found.get("token"), f"context {chosen}")
