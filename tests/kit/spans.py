"""A tracer that remembers."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.core.telemetry.span import Span


class KeptSpans:
    """Takes spans and keeps them."""

    on = True
    dropped = 0

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def export(self, spans: Sequence[Span]) -> None:
        self.spans += spans

    def flush(self) -> None:
        """Nothing waits."""

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]
