"""Work in the sizes that one AWS call takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

K = TypeVar("K")
T = TypeVar("T")
V = TypeVar("V")


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """``items`` in runs of at most ``size``."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def gathered(read: Callable[[Sequence[K]], dict[K, V]], keys: Sequence[K], size: int) -> dict[K, V]:
    """The union of ``read`` over ``keys`` in batches of ``size``."""
    found: dict[K, V] = {}
    for chunk in chunks(keys, size):
        found.update(read(chunk))
    return found


def written(write: Callable[[Sequence[T]], list[bool]], items: Sequence[T], size: int) -> list[bool]:
    """The answers of ``write`` over ``items`` in batches of ``size``, in order."""
    return [answer for chunk in chunks(items, size) for answer in write(chunk)]
