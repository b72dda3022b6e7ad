"""Counts of all processes. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from typing import Protocol


class MetricStore(Protocol):
    """A few documents: serialised by core.telemetry.metric_document, each replaced whole under its rev."""

    def load(self, name: str) -> tuple[str, int] | None:
        """(document, rev), or None when there is none."""
        ...

    def save(self, name: str, document: str, rev: int, expected_rev: int) -> bool:
        """Write the document if the stored rev still is ``expected_rev`` (0: if there is none)."""
        ...
