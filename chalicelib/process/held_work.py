"""What this process has claimed and not begun to send. It is handed back when the process is to end."""

from __future__ import annotations

from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class HeldWork(Generic[T]):
    """Things by a name of theirs. Once closed it takes no more. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._held: dict[int, T] = {}
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the process is to end."""
        return self._closed

    def add(self, name: int, work: T) -> bool:
        """Keep ``work``. False when the process is to end: then the caller hands it back."""
        with self._lock:
            if not self._closed:
                self._held[name] = work
            return not self._closed

    def remove(self, name: int) -> None:
        """It is over, or in the care of others."""
        with self._lock:
            self._held.pop(name, None)

    def close(self) -> list[T]:
        """Take no more; what is held now, for the first caller."""
        with self._lock:
            self._closed = True
            held, self._held = list(self._held.values()), {}
        return held
