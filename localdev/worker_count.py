"""``--workers N``: how many workers ``scripts/dev`` starts. A worker is one process, and so keeps one core busy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chalicelib.core.errors import SettingsError

WORKERS: Final = "--workers"
WORKERS_MAX: Final = 32


def take(arguments: Sequence[str]) -> tuple[int, list[str]]:
    """The number, and the command line without it. Raises SettingsError."""
    rest = list(arguments)
    for at, argument in enumerate(rest):
        name, equals, value = argument.partition("=")
        if name != WORKERS:
            continue
        if not equals:
            if at + 1 == len(rest):
                raise SettingsError(WORKERS, "needs a number")
            value = rest.pop(at + 1)
        del rest[at]
        if not value.isascii() or not value.isdigit() or not 1 <= int(value[:9]) <= WORKERS_MAX:
            raise SettingsError(WORKERS, f"is a whole number from 1 to {WORKERS_MAX}, not {value[:40]!r}")
        if any(each.partition("=")[0] == WORKERS for each in rest):
            raise SettingsError(WORKERS, "is given twice")
        return int(value), rest
    return 1, rest


def names(count: int) -> list[str]:
    """What the processes are called: the first as if it were the only one."""
    return ["worker", *(f"worker-{number}" for number in range(2, count + 1))]
