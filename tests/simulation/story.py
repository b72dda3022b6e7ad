"""The story of a seed: a readable timeline of what happened in its world."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.played import Played, clock


def lines(played: Played) -> Iterator[str]:
    """The plan (less what is left out), the timeline (seconds since the world began, who, what), and what broke."""
    yield played.plan()
    for line in played.parts().values():
        yield f"  plan: {line}"
    for at_ms, who, text in played.story:
        yield f"{clock(at_ms - played.start_ms)}  {who:<7} {text}"
    for problem in played.problems:
        yield f"BROKEN  {problem}"
