"""A port that a test looks into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Watched:
    """A store or queue; ``then`` is told what a method of it was called with, after every call."""

    def __init__(self, inner: Any, method: str, then: Callable[..., object]) -> None:
        self._inner, self._method, self._then = inner, method, then

    def __getattr__(self, name: str) -> Any:
        return self._watched if name == self._method else getattr(self._inner, name)

    def _watched(self, *arguments: Any) -> Any:
        answer = getattr(self._inner, self._method)(*arguments)
        self._then(*arguments)
        return answer
