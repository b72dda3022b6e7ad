"""Schedules declared beside the code that they run; ``chronosctl sync MODULE:APP`` makes them so."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

Handler = TypeVar("Handler", bound=Callable[..., Any])

_BY_START: Final = (("rate:", "RATE"), ("delay:", "DELAY"), ("at:", "AT"), ("RRULE:", "RRULE"), ("DTSTART", "RRULE"))
_ISO: Final = re.compile(r"(R\d*/.*|P[0-9T].*)")
_MARK: Final = "__chronowatch_schedules__"


def type_of(expr: str) -> str:
    """The type of an expression, by its form; what has none of its own is cron."""
    for start, kind in _BY_START:
        if expr.startswith(start):
            return kind
    return "ISO8601" if _ISO.fullmatch(expr) else "RRULE" if expr.startswith("FREQ=") else "CRON"


class DeclaredSchedules:
    """What an app declares. ``defaults`` are fields of all its schedules, such as ``target`` and ``tags``."""

    def __init__(self, **defaults: Any) -> None:
        self._defaults = defaults
        self._entries: dict[str, dict[str, Any]] = {}

    def schedule(self, expr: str, *, name: str | None = None, **fields: Any) -> Callable[[Handler], Handler]:
        """Declare that a function runs by ``expr``: cron, ``rate:5m``, ``PT5M`` and the like.

        ``name`` is the function's by default. ``fields`` are those of the API, such as ``timezone`` and ``payload``.
        Raises ValueError when a name is declared twice.
        """

        def decorate(handler: Handler) -> Handler:
            known = name or str(getattr(handler, "__name__", "job")).replace("_", "-")
            entry = {"name": known, "type": type_of(expr), "expr": expr, **self._defaults, **fields}
            if self._entries.get(known, entry) != entry:
                raise ValueError(f"two schedules are called {known}: pass name=")
            self._entries[known] = entry
            _remember(handler, entry)
            return handler

        return decorate

    @property
    def entries(self) -> list[dict[str, Any]]:
        """What was declared, as the file that ``chronosctl apply`` takes lists it."""
        return [dict(each) for each in self._entries.values()]


def _remember(handler: Any, entry: Mapping[str, Any]) -> None:
    """On the function itself, where it takes attributes; a bound or built-in one does not."""
    try:
        setattr(handler, _MARK, [*getattr(handler, _MARK, ()), dict(entry)])
    except (AttributeError, TypeError):
        return


everywhere = DeclaredSchedules()


def schedule(expr: str, *, name: str | None = None, **fields: Any) -> Callable[[Handler], Handler]:
    """Declare that a function runs by ``expr``, for whichever app of this process: ``@schedule("0 2 * * *")``."""
    return everywhere.schedule(expr, name=name, **fields)


def entries_of(app: Any) -> list[dict[str, Any]]:
    """What ``app`` declares: a ``DeclaredSchedules``, a decorated function, or an app that uses ``schedule``."""
    if isinstance(app, DeclaredSchedules):
        return app.entries
    own = getattr(app, _MARK, None)
    return [dict(each) for each in own] if own else everywhere.entries
