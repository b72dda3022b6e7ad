"""Many schedules at once, over HTTP."""

from __future__ import annotations

from functools import partial
from typing import Any, get_args

import msgspec

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply
from chalicelib.api.http.requests import Query, given
from chalicelib.api.http.responses import ProblemField, violation_view
from chalicelib.api.schedules import bulk_schemas
from chalicelib.api.schedules.bulk_schemas import (
    AnyOperation,
    BatchResult,
    CreateOperation,
    DeleteOperation,
    ItemError,
    PatchOperation,
    PauseOperation,
    ResumeOperation,
    TagItem,
)
from chalicelib.api.schedules.operations import COLLECTION
from chalicelib.api.schedules.schemas import language_of, of_schedule, request_of
from chalicelib.core.errors import ChronoError, InvalidField, PolicyDenied
from chalicelib.core.schedules.limits import BATCH_MAX_OPERATIONS, TAG_CHANGE_MAX_SCHEDULES
from chalicelib.core.ulid import derived
from chalicelib.core.words.languages import WordsLanguage
from chalicelib.usecases import bulk
from chalicelib.usecases.bulk import BulkChange, BulkOperation, BulkResult, TagVerb

_CREATED = 201


def batch(call: Call[bulk_schemas.BatchBody, Query]) -> Reply:
    """Run a batch. Under an Idempotency-Key every create has an id that the key's first call gave it."""
    s = call.services
    seed = call.new_id()
    wanted = [_operation(o, derived(seed, n)) for n, o in enumerate(call.body.operations)]
    results = bulk.run(s, call.caller, wanted, again=call.is_repeat)
    now_ms = s.clock.now_ms()
    language = language_of(call.headers)
    items = [_result(n, result, now_ms, language) for n, result in enumerate(results)]
    failed = sum(result.error is not None for result in results)
    return Reply(200, bulk_schemas.BatchView(items, len(items) - failed, failed))


def _operation(body: AnyOperation, new_id: str) -> BulkOperation:
    match body:
        case CreateOperation():
            return BulkOperation("create", new_id, request_of(body.schedule))
        case PatchOperation():
            return BulkOperation("patch", body.id, request_of(body.changes), if_match=given(body.if_match))
        case PauseOperation():
            note, until_ms = given(body.note) or None, given(body.until_unix_ms)
            return BulkOperation("pause", body.id, note=note, if_match=given(body.if_match), until_ms=until_ms)
        case ResumeOperation():
            return BulkOperation("resume", body.id, if_match=given(body.if_match))
        case DeleteOperation():
            return BulkOperation("delete", body.id, if_match=given(body.if_match))


def _result(index: int, result: BulkResult, now_ms: int, language: WordsLanguage) -> BatchResult:
    o = result.operation
    if result.error is not None:
        known = msgspec.UNSET if o.op == "create" else o.schedule_id
        return BatchResult(index=index, op=o.op, status=result.error.status, id=known, error=item_error(result.error))
    view = msgspec.UNSET if result.schedule is None else of_schedule(result.schedule, now_ms, language)
    status = _CREATED if o.op == "create" else 200
    return BatchResult(index=index, op=o.op, status=status, id=o.schedule_id, schedule=view)


def item_error(error: ChronoError) -> ItemError:
    """An error as one of many shows it."""
    shown = ItemError(code=error.code, detail=error.detail)
    if isinstance(error, InvalidField):
        shown.errors = [ProblemField(e.field, e.message) for e in error.errors]
    if isinstance(error, PolicyDenied):
        shown.violations = [violation_view(v) for v in error.violations]
    return shown


def by_tag(op: TagVerb, call: Call[Any, bulk_schemas.TagQuery]) -> Reply:
    """Change everything with a tag, or return what that would do."""
    q, tag = call.query, call.body.tag
    note, until_ms = None, None
    if isinstance(call.body, bulk_schemas.TagPauseBody):
        note, until_ms = call.body.note or None, given(call.body.until_unix_ms)
    done = bulk.by_tag(call.services, call.caller, op, tag, note, q.dry_run, call.after(q), until_ms)
    items = [_tag_item(change) for change in done.changes]
    changed = sum(item.changed for item in items)
    return Reply(200, bulk_schemas.TagView(op, tag, q.dry_run, changed, items, call.token(done.after)))


def _tag_item(change: BulkChange) -> TagItem:
    d = change.before.definition
    return TagItem(
        id=d.id,
        name=d.name,
        owner=d.owner,
        enabled=d.active,
        changed=change.changed,
        runs_unix_ms=change.runs_ms,
        error=msgspec.UNSET if change.error is None else item_error(change.error),
    )


_EXAMPLE = {
    "operations": [
        {"op": "create", "schedule": {"type": "RATE", "expr": "rate:5s", "tags": ["nightly"]}},
        {"op": "pause", "id": "01KB0E5T0QJ8Z3V7M4N2X9YRSC", "note": "deploying"},
    ]
}


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="POST",
            path=COLLECTION + ":batch",
            summary=f"Up to {BATCH_MAX_OPERATIONS} creates, patches, pauses, resumes and deletes",
            tag="schedules",
            permission="schedules:write",
            handler=batch,
            body=bulk_schemas.BatchBody,
            answers={200: bulk_schemas.BatchView},
            creates=True,
            description="Done in their order, each with its own result: one that is refused does not stop the others.",
            example=_EXAMPLE,
        ),
        *(_by_tag(op) for op in get_args(TagVerb)),
    ]


def _by_tag(op: TagVerb) -> Operation:
    return Operation(
        method="POST",
        path=f"{COLLECTION}:{op}",
        summary=f"{op.capitalize()} every schedule with a tag",
        tag="schedules",
        permission="schedules:write",
        handler=partial(by_tag, op),
        body=bulk_schemas.TagPauseBody if op == "pause" else bulk_schemas.TagBody,
        query=bulk_schemas.TagQuery,
        answers={200: bulk_schemas.TagView},
        errors=(400,),
        description="`dry_run=true` answers with what would change and the next runs, and changes nothing. At most "
        f"{TAG_CHANGE_MAX_SCHEDULES} schedules a call: with a `next_page_token` call again.",
        example={"tag": "nightly"},
    )
