"""How far long work is: a bar on the standard error of a terminal, and nothing elsewhere."""

from __future__ import annotations

import os
import sys
import time
from types import TracebackType
from typing import Final

_BAR_MAX: Final = 30
_REDRAW_S: Final = 0.1
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """A bar that is there while its block runs. Without a total it counts."""

    def __init__(self, about: str, total: int | None = None) -> None:
        self.about, self.total, self.done = about, total, 0
        self._shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and total != 0
        self._began_s = self._drawn_s = time.monotonic()

    def __enter__(self) -> Progress:
        self._draw(self._began_s)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, at: TracebackType | None
    ) -> None:
        self.clear()

    def at(self, done: int) -> None:
        """So much is done."""
        self.done = done
        now_s = time.monotonic()
        if done == self.total or now_s - self._drawn_s >= _REDRAW_S:
            self._draw(now_s)

    def clear(self) -> None:
        """Take it away: what is said next begins on an empty line."""
        if self._shown:
            print(_CLEAR, end="", file=sys.stderr, flush=True)

    def _draw(self, now_s: float) -> None:
        if self._shown:
            import shutil

            self._drawn_s = now_s
            room = shutil.get_terminal_size().columns - 1
            print(_CLEAR + bar(self, now_s - self._began_s, room), end="", file=sys.stderr, flush=True)


def bar(progress: Progress, passed_s: float, room: int) -> str:
    """What it says in so many columns. How long it still takes is known once a tenth is done."""
    about, done, total = progress.about, progress.done, progress.total
    if total is None:
        return f"{about}: {done:,}"[:room]
    said = f" {done:,} of {total:,}"
    if total / 10 <= done < total:
        said += f", {_span(passed_s * (total - done) / done)} left"
    width = min(_BAR_MAX, room - len(about) - len(said) - 3)
    if width < 5:
        return f"{about}:{said}"[:room]
    return f"{about} [{'#' * (width * done // total):<{width}}]{said}"


def _span(seconds: float) -> str:
    whole = max(1, round(seconds))
    return f"{whole} s" if whole < 120 else f"{whole // 60} min"
