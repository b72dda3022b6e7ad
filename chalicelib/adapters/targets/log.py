"""Firings to the log: each CloudEvent is one JSON line on standard output, which is a function's log stream on AWS.

The service's own lines never hold a payload. These do, because the owner of the schedule asked for it. Their fields
differ: a CloudEvent has ``specversion``, the service's lines have ``level`` and ``msg``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import BinaryIO

from chalicelib.adapters.aws.failures import failed
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.targets.kinds.log import KIND
from chalicelib.ports.target import COMPLETED, Delivery, Outcome


class LogSender:
    """Writes firings to a stream. Several threads may write: each call is one write, so lines stay whole."""

    max_batch = KIND.max_batch

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def prepare(self, delivery: Delivery) -> None:
        """There is nothing to prepare."""

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Write them all, in order, in one write: they have one answer."""
        try:
            self._stream.write(b"".join(_line(delivery.event) for delivery in deliveries))
            self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: the stream is closed
            return [failed("internal_error", f"the log cannot be written: {error}")] * len(deliveries)
        return [Outcome(COMPLETED)] * len(deliveries)

    def cancel(self, execution_id: str, attempt: int) -> bool:
        """A line is written at once; there is nothing to close."""
        return False


def make(parts: TargetParts) -> LogSender:
    """The sender of a process."""
    return LogSender(sys.stdout.buffer)


def _line(event: bytes) -> bytes:
    """Line breaks stand between the parts of JSON only: within a string they are escaped."""
    return b" ".join(event.splitlines()) + b"\n"
