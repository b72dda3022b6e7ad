"""Stamps: what a client is answered is later than all it has seen, whichever instance answers; and each instance's own
only grow."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def check(play: Any) -> Iterable[str]:
    """What broke."""
    yield from (f"an instance's went back: {text}" for text in play.world.record.stamps_backward)
    for client, seen, answered in play.leases.stamps:
        if answered <= seen:
            yield f"{client} had seen {seen} and was answered {answered}"
