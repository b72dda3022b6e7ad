"""Where spans go. A tracer is called on the way of a firing, so it neither blocks nor raises: it drops and counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from chalicelib.core.telemetry.span import Span


class Tracer(Protocol):
    """Takes spans that have ended and are to be kept."""

    @property
    def on(self) -> bool:
        """Whether spans go anywhere: when not, none need be made."""
        ...

    @property
    def dropped(self) -> int:
        """How many spans were dropped, since the collector was away or too slow."""
        ...

    def export(self, spans: Sequence[Span]) -> None:
        """Take spans. Returns at once, and never raises."""
        ...

    def flush(self) -> None:
        """Let what was taken leave, within a bound: for a process that is about to stand still or end."""
        ...


class NoTracer:
    """Traces are off."""

    on = False
    dropped = 0

    def export(self, spans: Sequence[Span]) -> None:
        """Nothing is kept."""

    def flush(self) -> None:
        """Nothing waits."""
