"""What the play of one seed in one kind of world leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Played:
    """A seed's end: what broke, what was hit, and the story if it was wanted.

    ``plan`` tells the world; ``parts`` names everything in it that the shrinker can leave out, each with a line that
    tells what it is. What was left out already is missing from both. They are made when somebody asks: most seeds are
    never told.
    """

    seed: int
    problems: list[str]
    hits: Mapping[str, int]
    story: Sequence[tuple[int, str, str]]
    start_ms: int
    plan: Callable[[], str]
    parts: Callable[[], Mapping[str, str]]
    steps: int


def clock(ms: int) -> str:
    """Time since the world began, as stories show it."""
    minutes, rest = divmod(ms, 60_000)
    return f"{minutes:3}:{rest // 1000:02}.{rest % 1000:03}"
