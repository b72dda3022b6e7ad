"""How far long work is: a bar on a terminal, and nothing elsewhere."""

from __future__ import annotations

import os
import sys
from typing import Final

_WIDTH: Final = 30


class Progress:
    """A bar on the standard error."""

    def __init__(self, about: str, total: int) -> None:
        self.about, self.total = about, total
        self._shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and total > 0

    def at(self, done: int) -> None:
        """Show it."""
        if self._shown:
            filled = _WIDTH * done // self.total
            print(f"\r{self.about} [{'#' * filled:<{_WIDTH}}] {done}/{self.total}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Take it away."""
        if self._shown:
            print("\r" + " " * (len(self.about) + _WIDTH + 30) + "\r", end="", file=sys.stderr, flush=True)
