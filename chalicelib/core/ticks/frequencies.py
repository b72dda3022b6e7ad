"""The frequencies that a clock can tick at."""

from __future__ import annotations

from typing import Final, Literal, get_args

Frequency = Literal["second", "minute", "hour", "day"]
FREQUENCIES: Final[tuple[Frequency, ...]] = get_args(Frequency)
