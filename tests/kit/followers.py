"""Followers that wait out their pauses, as the server does for its subscribers."""

from __future__ import annotations

from collections.abc import Callable, Generator

from chalicelib.core.security.caller import Caller
from chalicelib.core.ticks.frequencies import Frequency
from chalicelib.core.ticks.numbering import Tick
from chalicelib.ports.services import Services
from chalicelib.usecases import tick_feed
from chalicelib.usecases.tick_feed import Dropped, Nothing, Pause


def follow(
    s: Services, caller: Caller, frequency: Frequency, last: int | None, until_ms: int, gone: Callable[[], bool]
) -> Generator[Tick | Dropped | Nothing, None, None]:
    """As ``tick_feed.follow``, asleep during its pauses."""
    for item in tick_feed.follow(s, caller, frequency, last, until_ms, gone):
        if isinstance(item, Pause):
            s.clock.sleep_until(item.until_ms)
        else:
            yield item
