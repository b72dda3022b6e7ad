"""Tasks over HTTP: executions as people see them, and a stream of their changes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Generator
from typing import Any

import msgspec

from chalicelib.api.executions.schemas import RetryBody
from chalicelib.api.http import connection, event_stream
from chalicelib.api.http.event_stream import FeedPause, StreamEvent
from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, Query, given, json_text
from chalicelib.api.queues.schemas import of_queue
from chalicelib.api.tasks import schemas
from chalicelib.core.changes.change_log import position_text
from chalicelib.core.errors import NotFound
from chalicelib.core.executions.execution import ID_PATTERN, Execution, version_of
from chalicelib.core.schedules import validation
from chalicelib.process.change_tail import TailEntry
from chalicelib.usecases import changes, executions, queues, task_feed, tasks
from chalicelib.usecases.task_feed import FeedItem, FeedPlace, Rest, Silence
from chalicelib.usecases.tasks import SORT_FIELDS, Task, TaskFilter

COLLECTION = "/api/tasks"
ONE = COLLECTION + "/{task_id}"
STREAM_MAX_MS = 3_600_000  # then the subscriber comes back, perhaps to another server
_ID_FORM = re.compile(ID_PATTERN)
_TAGGED = {"ETag": "The version of its execution, for `If-Match`."}


def page(call: Call[Body, schemas.TasksQuery]) -> Reply:
    """A page of tasks."""
    q, s = call.query, call.services
    wanted = TaskFilter(given(q.status), given(q.name), given(q.owner), given(q.id))
    sort, after = given(q.sort), call.after(q)
    if sort is None:
        found, more = tasks.page(s, call.caller, wanted, q.limit, after)
    else:
        field = next(name for name in SORT_FIELDS if name == sort.removeprefix("-"))
        found, more = tasks.sorted_page(s, call.caller, wanted, field, sort.startswith("-"), q.limit, after)
    return call.page([schemas.of_task(task, s.config.trace_url_template) for task in found], more)


def get(call: Call[Body, Query]) -> Reply:
    """One task."""
    found = tasks.get(call.services, call.caller, _id(call))
    view = schemas.of_detail(found, call.services.config.trace_url_template)
    return Reply(200, view, {"ETag": entity_tag(version_of(found.task.execution))})


def retry(call: Call[RetryBody, Query]) -> Reply:
    """A further attempt."""
    raw = given(call.body.payload)
    payload = None if raw is None else json_text(raw)
    if payload is not None:
        validation.check_payload(payload)
    return _shown(call, executions.retry(call.services, call.caller, _id(call), call.versions, payload))


def cancel(call: Call[Body, Query]) -> Reply:
    """Cancel a pending or running task."""
    return _shown(call, executions.cancel(call.services, call.caller, _id(call), None, call.versions))


def metrics(call: Call[Body, Query]) -> Reply:
    """The numbers of the header."""
    found = tasks.numbers(call.services, call.caller)
    return Reply(
        200,
        schemas.TaskMetricsView(
            queued=found.queued,
            active=found.active,
            failure_percent_24h=found.failure_percent_24h,
            mean_duration_ms_24h=found.mean_duration_ms_24h,
            errors_24h=[schemas.of_error_count(each) for each in found.errors],
            other_errors_24h=found.other_errors,
            more_24h=found.more,
            queue=of_queue(queues.get(call.services, call.caller)),
        ),
    )


def _shown(call: Call[Any, Query], found: Execution) -> Reply:
    task = tasks.one(call.services, found)
    view = schemas.of_task(task, call.services.config.trace_url_template)
    return Reply(200, view, {"ETag": entity_tag(version_of(found))})


def _id(call: Call[Any, Query]) -> str:
    """The task that the path names; what cannot be an id is not found, and never reaches a table."""
    task_id = call.params["task"]
    if _ID_FORM.fullmatch(task_id) is None:
        raise NotFound("there is no such task")
    return task_id


# -- Server-Sent Events


def subscribe(call: Call[Body, schemas.SubscribeQuery]) -> Reply:
    """Tasks as they change."""
    s, said = call.services, event_stream.last_event_id(call.headers)
    field = event_stream.LAST_EVENT_ID if said else "last_event_id"
    text = said or given(call.query.last_event_id) or None
    after = None if text is None else changes.position_of(text, field)

    def feed(gone: Callable[[], bool], may_wait: bool) -> event_stream.Feed:
        follow = task_feed.follow if may_wait else task_feed.follow_whole
        until_ms = s.clock.now_ms() + (STREAM_MAX_MS if may_wait else connection.hold_ms())
        items = follow(s, call.caller, after, until_ms, gone)
        return _events(items, s.clock.now_ms, s.config.trace_url_template)

    return event_stream.reply(feed, s.process.change_streams, call.caller.principal)


def _events(
    feed: Generator[FeedItem, None, None], now_ms: Callable[[], int], trace_url_template: str | None
) -> event_stream.Feed:
    with contextlib.closing(feed):
        for item in feed:  # what a thousand subscribers get stands first
            if isinstance(item, TailEntry):
                yield item.text or _text(item, trace_url_template)
            elif isinstance(item, Rest):
                yield FeedPause((item.until_ms - now_ms()) / 1000, item.bell, item.heard)
            elif isinstance(item, Silence):
                yield None
            elif isinstance(item, FeedPlace):
                yield f"id: {position_text(item.position)}\n\n"
            else:
                position = None if item.position is None else position_text(item.position)
                yield StreamEvent("reset", {"reason": item.reason, "detail": item.detail}, position)


def _text(entry: TailEntry, trace_url_template: str | None) -> str:
    """The event, made by the first of many subscribers. Two at once make the same."""
    assert isinstance(entry.change.now, Execution)
    task = Task(entry.change.now, entry.definition)
    view = schemas.of_task(task, trace_url_template)
    entry.text = StreamEvent("task", msgspec.to_builtins(view), position_text(entry.position)).text()
    return entry.text


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="GET",
            path=COLLECTION,
            summary="List tasks: executions as people see them",
            tag="tasks",
            permission="executions:read",
            handler=page,
            query=schemas.TasksQuery,
            answers={200: schemas.TaskList},
            errors=(400,),
            description="Where few match, a page may be short (even empty) and still have a next one.",
        ),
        Operation(
            method="GET",
            path=COLLECTION + "/metrics",
            summary="How the tasks are doing",
            tag="tasks",
            permission="executions:read",
            handler=metrics,
            answers={200: schemas.TaskMetricsView},
            description="Of what the caller may see, at most five seconds old: the newest "
            f"{tasks.COUNTED_MAX} executions of 24 hours.",
        ),
        Operation(
            method="GET",
            path=COLLECTION + "/subscribe",
            summary="Tasks as they change, as Server-Sent Events",
            tag="tasks",
            permission="executions:read",
            handler=subscribe,
            query=schemas.SubscribeQuery,
            answers={200: event_stream.MEDIA_TYPE},
            description="`event: task` with a task as `data` and its position in the change feed as `id`. With "
            "`Last-Event-ID` the stream goes on from there, without loss or repeat; without it, it begins now. "
            "`event: reset` says that something was missed: with an `id` the stream goes on from that, and the caller "
            "lists the tasks anew. An `id` alone says from where to go on. A server that cannot stream answers with "
            "what there is, or with what comes within 20 seconds, and the subscriber comes back.",
        ),
        Operation(
            method="GET",
            path=ONE,
            summary="One task with its history, logs and result",
            tag="tasks",
            permission="executions:read",
            handler=get,
            answers={200: schemas.TaskDetailView},
            errors=(404,),
            answer_headers=_TAGGED,
        ),
        Operation(
            method="POST",
            path=ONE + "/retry",
            summary="A further attempt of a task that ended without success",
            tag="tasks",
            permission="executions:retry",
            handler=retry,
            body=RetryBody,
            answers={200: schemas.TaskView},
            errors=(404, 409),
            guarded=True,
            answer_headers=_TAGGED,
            example={"payload": {"hello": "again"}},
        ),
        Operation(
            method="DELETE",
            path=ONE,
            summary="Cancel a pending or running task",
            tag="tasks",
            permission="executions:cancel",
            handler=cancel,
            answers={200: schemas.TaskView},
            errors=(404, 409),
            guarded=True,
            answer_headers=_TAGGED,
        ),
    ]
