"""Changes for tests: as streams bring them."""

from __future__ import annotations

from chalicelib.core.changes.change_log import Arrived, Change
from tests.kit.records import START_MS


def gone(number: int, tenant: str = "default", owner: str | None = "ann", at_ms: int = START_MS) -> Arrived:
    """The smallest change: a schedule was deleted. ``number`` is its sequence number, and part of its id."""
    return Arrived(number, tenant, Change("schedule", f"gone-{number}", at_ms, owner, None))
