"""The queue as callers see it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.requests import Body, Instant, Opt
from chalicelib.api.http.responses import ShownInstant
from chalicelib.core.queues.queue_state import QUEUE_NOTE_MAX_CHARS, QueueState


class PauseQueueBody(Body, kw_only=True):
    """Why the queue is paused, and until when."""

    note: Annotated[str, Meta(max_length=QUEUE_NOTE_MAX_CHARS, examples=["the receiver is being moved"])] = ""
    until_unix_ms: Annotated[
        Opt[Instant], Meta(description="When the pause ends by itself; left out: when the queue is resumed.")
    ] = UNSET


class QueueView(msgspec.Struct, kw_only=True):
    """The queue of the caller's tenant. The other fields are there while it is paused."""

    state: Literal["active", "paused"]
    paused_at_unix_ms: Opt[ShownInstant] = UNSET
    until_unix_ms: Opt[ShownInstant] = UNSET
    paused_by: Opt[str] = UNSET
    note: Opt[str] = UNSET


def of_queue(found: QueueState) -> QueueView:
    """The view of a queue."""
    if found.paused_ms is None:
        return QueueView(state="active")
    return QueueView(
        state="paused",
        paused_at_unix_ms=found.paused_ms,
        until_unix_ms=UNSET if found.until_ms is None else found.until_ms,
        paused_by=found.by or UNSET,
        note=found.note or UNSET,
    )
