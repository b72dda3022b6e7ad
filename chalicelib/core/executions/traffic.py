"""How many executions there were lately, in a ring of counts that a worker keeps beside its cursor.

A slot holds its period and its count in one number, so that a slot of an hour ago shows its age.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

PERIOD_MS: Final = 300_000
SLOTS: Final = 12
WINDOW_MS: Final = PERIOD_MS * SLOTS
_COUNT_MAX: Final = 10**9


def counted(values: Mapping[str, int], instants_ms: Iterable[int]) -> dict[str, int]:
    """The slots of ``values`` that change when executions of these instants are counted, with their new numbers."""
    found = Counter(at_ms // PERIOD_MS for at_ms in instants_ms)
    return {
        _slot(period): period * _COUNT_MAX + min(_in(values, period) + n, _COUNT_MAX - 1) for period, n in found.items()
    }


def joined(values: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    """The slots of ``values`` that change when what ``others`` counted is added; of two periods the newer stays."""
    found: dict[str, int] = {}
    for slot in (f"n{number}" for number in range(SLOTS)):
        (mine, n), (theirs, more) = divmod(values.get(slot, 0), _COUNT_MAX), divmod(others.get(slot, 0), _COUNT_MAX)
        if more and theirs >= mine:
            found[slot] = theirs * _COUNT_MAX + min(more + (n if mine == theirs else 0), _COUNT_MAX - 1)
    return found


def total(values: Mapping[str, int], now_ms: int) -> int:
    """How many were counted in the window that ends with the present period."""
    newest = now_ms // PERIOD_MS
    return sum(_in(values, period) for period in range(newest - SLOTS + 1, newest + 1))


def _in(values: Mapping[str, int], period: int) -> int:
    stored, count = divmod(values.get(_slot(period), 0), _COUNT_MAX)
    return count if stored == period else 0


def _slot(period: int) -> str:
    return f"n{period % SLOTS}"
