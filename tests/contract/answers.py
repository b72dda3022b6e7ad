"""What stores answer, in a form in which two of them can be compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chalicelib.ports.stores.schedules import CapacityFull, Due, NameTaken, RevisionLost


def outcome(call: Callable[[Any], Any], stores: Any) -> Any:
    """What a call answers, or the name of what it raises."""
    try:
        return call(stores)
    except (NameTaken, CapacityFull, RevisionLost) as refused:
        return type(refused).__name__


def pages(read: Callable[[str | None], Any]) -> list[Any]:
    """All items of a paged list; where its pages break is the adapter's affair."""
    found: list[Any] = []
    after: str | None = None
    for _ in range(200):
        items, after = read(after)
        found += items
        if after is None:
            return found
    raise AssertionError("the list does not end")


def pages_of_due(stores: Any, shard: int, until_ms: int, limit: int) -> list[Due]:
    """All due entries; the order of those of the same instant is the adapter's affair."""
    found: list[Due] = []
    while page := stores.schedules.due(shard, until_ms, limit, found[-1] if found else None):
        found += page
        assert len(found) <= 1000, "the list does not end"
    assert [d.next_run_ms for d in found] == sorted(d.next_run_ms for d in found)
    return sorted(found)
