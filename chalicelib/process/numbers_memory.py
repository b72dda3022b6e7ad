"""Numbers that take many reads to make, kept for some seconds: who asks meanwhile gets the same."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any

KEPT_MAX = 1024  # principals whose numbers one process keeps


class NumbersMemory:
    """By principal. Safe to share between threads; no lock is held while numbers are made."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[tuple[str, str | None], tuple[int, Any]] = {}

    def read(self, whose: tuple[str, str | None], now_ms: int, age_max_ms: int, make: Callable[[], Any]) -> Any:
        """The numbers of a principal, not older than ``age_max_ms``."""
        with self._lock:
            kept = self._kept.get(whose)
        if kept is not None and 0 <= now_ms - kept[0] < age_max_ms:
            return kept[1]
        made = make()
        with self._lock:
            if len(self._kept) >= KEPT_MAX:
                self._kept.clear()
            self._kept[whose] = (now_ms, made)
        return made
