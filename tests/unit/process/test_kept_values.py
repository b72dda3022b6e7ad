"""What a process keeps of what never changes: so many, and so many bytes in all."""

from __future__ import annotations

from chalicelib.process.kept_values import KeptValues


def names(kept: KeptValues, *asked: str) -> list[str]:
    """Those that are read anew."""
    read: list[str] = []

    def reads(name: str) -> str:
        read.append(name)
        return name

    for name in asked:
        assert kept.get(name, lambda name=name: reads(name), 0) == name  # type: ignore[misc]
    return read


def test_what_was_asked_for_longest_ago_goes_first() -> None:
    kept = KeptValues(2)
    assert names(kept, "a", "b", "a", "c", "a", "b") == ["a", "b", "c", "b"]


def test_large_values_leave_room_for_what_is_newest() -> None:
    kept = KeptValues(10, max_bytes=100)
    for name, size in (("a", 60), ("b", 40), ("c", 1)):
        kept.get(name, lambda name=name: name, size)  # type: ignore[misc]
    assert names(kept, "b", "c") == []
    assert names(kept, "a") == ["a"]
    kept.get("huge", lambda: "huge", 1000)
    assert names(kept, "huge") == [], "one that is larger than all is kept alone"
    assert names(kept, "b", "c") == ["b", "c"]


def test_none_is_asked_for_again() -> None:
    kept = KeptValues()
    assert kept.get("a", lambda: None) is None
    assert kept.get("a", lambda: 1) == 1
