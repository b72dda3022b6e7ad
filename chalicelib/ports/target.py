"""Where a firing goes: the port that webhooks, buses, queues and functions stand behind.

A worker calls ``prepare`` for every delivery of a batch before its instant, and ``dispatch`` at the instant. Both may
be called from several threads at once. Neither raises: what went wrong is an ``Outcome``, so one bad target cannot
take the rest of a batch with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from chalicelib.core.targets import cloudevent

OutcomeKind = Literal["completed", "accepted", "failed"]

COMPLETED: Literal["completed"] = "completed"
ACCEPTED: Literal["accepted"] = "accepted"
FAILED: Literal["failed"] = "failed"

ERROR_TYPES = frozenset(
    {"timeout", "connection_error", "dns_error", "http_error", "rpc_error", "rejected", "internal_error"}
)


def unheard() -> None:
    """A notification that has no listener."""


class Delivery(Struct, frozen=True):
    """One attempt to hand one firing to its target."""

    execution_id: str
    tenant: str
    schedule_id: str
    firing_unix_ms: int
    attempt: int  # 1 for the first
    fencing_token: int
    target: Mapping[str, object]  # as stored: {"type": "webhook", "url": …}, already validated, defaults filled
    event: bytes  # the CloudEvents object, serialised JSON in UTF-8
    traceparent: str
    timeout_ms: int  # the dispatch ends by then: the smaller of target.timeout_ms and schedule.timeout_ms
    event_type: str = cloudevent.TYPE  # what a bus calls it; ticks travel the same way under a type of their own
    tracestate: str = ""  # of the trace that it goes on with
    generation: int = 1  # grows when a caller asks for one more attempt of what was over
    depth: int = 0  # how many webhooks of this service led to it: see core.targets.loop_depth
    sent: Callable[[], None] = unheard  # a target that knows calls it when only the answer is still to come


class Outcome(Struct, frozen=True):
    """What became of one delivery.

    ``completed``: the target took it. ``accepted``: the target answered that it will report by ``:complete`` later.
    ``failed``: ``error_type`` is one of ``ERROR_TYPES``; ``permanent`` says that repeating it cannot help.
    """

    kind: OutcomeKind
    http_status: int | None = None
    error_type: str | None = None
    error: str | None = None
    retry_after_ms: int | None = None  # what the target asked for, from now; None when it said nothing
    permanent: bool = False
    pause_schedule: bool = False  # the target is gone for good (a webhook's 410)
    closed: bool = False  # broken off by ``cancel``
    receipt: str = ""  # what the target says of where it keeps it: a JSON object
    answer: str | None = None  # what is kept of a failed one's answer (core.targets.target_answer)


class Target(Protocol):
    """One kind of destination; one instance serves every schedule of that kind."""

    max_batch: int  # deliveries that one dispatch call may carry with profit

    def prepare(self, delivery: Delivery) -> None:
        """Do what can be done before the instant (resolve, connect, read the secret). Never raises; never sends."""
        ...

    def dispatch(self, deliveries: Sequence[Delivery]) -> list[Outcome]:
        """Send now; one outcome each, in order. Never raises for a failed delivery."""
        ...

    def cancel(self, execution_id: str, attempt: int) -> bool:
        """Break off an attempt under way in this process, from any thread: its dispatch ends soon. False when there is
        none, or when this kind of target cannot be broken off. Never raises."""
        ...
