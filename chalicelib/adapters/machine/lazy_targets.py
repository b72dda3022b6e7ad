"""The kinds of target of a deployment, each loaded with the first firing that asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping

from chalicelib.ports.target import Target


class LazyTargets(Mapping[str, Target]):
    """The kinds of target by name; each is loaded and made when the first firing asks for it."""

    def __init__(self, makers: Mapping[str, Callable[[], Target]]) -> None:
        self._makers = makers
        self._lock = threading.Lock()
        self._made: dict[str, Target] = {}

    def __getitem__(self, name: str) -> Target:
        found = self._made.get(name)
        if found is not None:
            return found
        with self._lock:
            if name not in self._made:
                self._made[name] = self._makers[name]()
            return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)
