"""Whether the one who asked is still on the line: known where the server tells it, as waitress does.

Kept beside the call, in the context of its thread, since Chalice's gateway hands on nothing but the request.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar


def _always_here() -> bool:
    return False


_gone: ContextVar[Callable[[], bool]] = ContextVar("gone", default=_always_here)


def caller_is_gone() -> Callable[[], bool]:
    """Asks whether the caller of the present request has hung up; always no where nobody can know."""
    return _gone.get()


def watch(gone: Callable[[], bool] | None) -> None:
    """From here on, requests on this thread belong to a connection of which ``gone`` tells the end."""
    _gone.set(gone or _always_here)
