"""What callers of bulk changes send and get."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.requests import Body, Opt, TokenQuery
from chalicelib.api.http.responses import ProblemField, ShownInstant, ViolationView
from chalicelib.api.schedules.schemas import NewSchedule, PauseEnd, ScheduleChanges, ScheduleView, Tag
from chalicelib.core.schedules.limits import BATCH_MAX_OPERATIONS, NOTE_MAX_CHARS
from chalicelib.usecases.bulk import TagVerb

Id = Annotated[str, Meta(min_length=26, max_length=26)]
Note = Annotated[str, Meta(max_length=NOTE_MAX_CHARS)]
IfMatch = Annotated[
    Opt[Annotated[str, Meta(min_length=26, max_length=26)]],
    Meta(description="The version that the schedule must still have."),
]


class CreateOperation(Body, tag_field="op", tag="create", kw_only=True):
    """Create a schedule."""

    schedule: NewSchedule


class PatchOperation(Body, tag_field="op", tag="patch", kw_only=True):
    """Change fields of a schedule."""

    id: Id
    changes: ScheduleChanges
    if_match: IfMatch = UNSET


class PauseOperation(Body, tag_field="op", tag="pause", kw_only=True):
    """Pause a schedule."""

    id: Id
    note: Opt[Note | None] = UNSET
    until_unix_ms: PauseEnd = UNSET
    if_match: IfMatch = UNSET


class ResumeOperation(Body, tag_field="op", tag="resume", kw_only=True):
    """Resume a schedule."""

    id: Id
    if_match: IfMatch = UNSET


class DeleteOperation(Body, tag_field="op", tag="delete", kw_only=True):
    """Delete a schedule."""

    id: Id
    if_match: IfMatch = UNSET


AnyOperation = CreateOperation | PatchOperation | PauseOperation | ResumeOperation | DeleteOperation


class BatchBody(Body, kw_only=True):
    """Changes, done in their order. The shape of all is judged before the first is done."""

    operations: Annotated[
        list[AnyOperation], Meta(min_length=1, max_length=BATCH_MAX_OPERATIONS, description="Each by its `op`.")
    ]


class ItemError(msgspec.Struct, kw_only=True):
    """Why one of many was refused."""

    code: str
    detail: str
    errors: Opt[list[ProblemField]] = UNSET
    violations: Opt[list[ViolationView]] = UNSET


class BatchResult(msgspec.Struct, kw_only=True):
    """What became of one change. `status` is what the single call would have answered."""

    index: int
    op: str
    status: int
    id: Opt[str] = UNSET
    schedule: Opt[ScheduleView] = UNSET
    error: Opt[ItemError] = UNSET


class BatchView(msgspec.Struct):
    """One result for each change, in their order."""

    items: list[BatchResult]
    succeeded: int
    failed: int


class TagBody(Body, kw_only=True):
    """Which schedules."""

    tag: Tag


class TagPauseBody(TagBody, kw_only=True):
    """Which schedules, why, and until when."""

    note: Note | None = None
    until_unix_ms: PauseEnd = UNSET


class TagQuery(TokenQuery, kw_only=True):
    """How."""

    dry_run: Annotated[bool, Meta(description="Show what would change, and change nothing.")] = False


class TagItem(msgspec.Struct, kw_only=True):
    """One schedule. `runs_unix_ms`: its next runs if it is resumed; those that fall away if it is paused or deleted."""

    id: str
    name: str | None
    owner: str
    enabled: bool
    changed: bool
    runs_unix_ms: list[ShownInstant]
    error: Opt[ItemError] = UNSET


class TagView(msgspec.Struct):
    """What changes (or would). With a `next_page_token` there is more: call again with it."""

    op: TagVerb
    tag: str
    dry_run: bool
    changed: int
    items: list[TagItem]
    next_page_token: str | None
