"""Pausing and resuming the dispatch of a tenant over HTTP."""

from __future__ import annotations

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply
from chalicelib.api.http.requests import Body, Query, given
from chalicelib.api.queues import schemas
from chalicelib.usecases import queues

QUEUE = "/api/admin/queue"


def get(call: Call[Body, Query]) -> Reply:
    """Whether the queue is paused."""
    return Reply(200, schemas.of_queue(queues.get(call.services, call.caller)))


def pause(call: Call[schemas.PauseQueueBody, Query]) -> Reply:
    """Pause the queue."""
    until_ms = given(call.body.until_unix_ms)
    return Reply(200, schemas.of_queue(queues.pause(call.services, call.caller, call.body.note, until_ms)))


def resume(call: Call[Body, Query]) -> Reply:
    """Resume the queue."""
    return Reply(200, schemas.of_queue(queues.resume(call.services, call.caller)))


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="GET",
            path=QUEUE,
            summary="Whether the tenant's queue is paused, since when, by whom and why",
            tag="queue",
            permission="executions:read",
            handler=get,
            answers={200: schemas.QueueView},
            description="All roles see it. It also stands in `GET /api/tasks/metrics`.",
        ),
        Operation(
            method="POST",
            path=QUEUE + "/pause",
            summary="Let nothing of the tenant be dispatched until the queue is resumed",
            tag="queue",
            permission="queue:pause",
            handler=pause,
            body=schemas.PauseQueueBody,
            answers={200: schemas.QueueView},
            held=True,
            description="It answers after about a second: then nothing begins any more. What is under way goes on to "
            "its end. What falls due is held as `pending`. A schedule's `catch_up_window_ms` goes on: what has passed "
            "it ends as `missed`, and its reason names the pause. One-time firings, triggers and retries wait. A pause "
            "of a paused queue replaces note and end.",
            example={"note": "the receiver is being moved"},
        ),
        Operation(
            method="POST",
            path=QUEUE + "/resume",
            summary="Dispatch again, what was held first",
            tag="queue",
            permission="queue:pause",
            handler=resume,
            answers={200: schemas.QueueView},
            held=True,
            description="What is more than 2 s late goes out at the pace of catch-up. Resuming an active queue changes "
            "nothing.",
        ),
    ]
