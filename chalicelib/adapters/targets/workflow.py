"""Firings that begin runs of workflows. Beginning one twice is beginning it once: the execution's id is the run's."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from chalicelib.adapters.aws.failures import failed
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.errors import ChronoError
from chalicelib.core.targets.kinds.workflow import KIND
from chalicelib.ports.target import COMPLETED, Delivery, Outcome


class WorkflowSender:
    """Begins runs through the service's own use case."""

    max_batch = KIND.max_batch

    def __init__(self, start: Callable[[Delivery], str] | None) -> None:
        self._start = start

    def prepare(self, delivery: Delivery) -> None:
        """There is nothing to prepare."""

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Begin one run each."""
        return [self._begin(delivery) for delivery in deliveries]

    def cancel(self, execution_id: str, attempt: int) -> bool:
        """A run begins at once; there is nothing to close."""
        return False

    def _begin(self, delivery: Delivery) -> Outcome:
        if self._start is None:
            return failed("rejected", "this process starts no runs of workflows", permanent=True)
        try:
            run_id = self._start(delivery)
        except ChronoError as problem:
            kind = "internal_error" if problem.retryable else "rejected"
            return failed(kind, f"{problem.code}: {problem.detail}", permanent=not problem.retryable)
        return Outcome(COMPLETED, receipt=json.dumps({"run_id": run_id}))


def make(parts: TargetParts) -> WorkflowSender:
    """The sender of a process."""
    return WorkflowSender(parts.start_run)
