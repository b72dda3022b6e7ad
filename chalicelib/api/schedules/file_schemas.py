"""What callers who keep schedules in files send and get."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.requests import Body, Opt, Query, TokenQuery
from chalicelib.api.http.responses import PolicyWarnings, ShownInstant
from chalicelib.api.schedules.bulk_schemas import ItemError
from chalicelib.api.schedules.schemas import Name, NewSchedule, Owner, Tag
from chalicelib.core.recurrence.expressions import RecurrenceType
from chalicelib.core.schedules.limits import IMPORT_MAX_SCHEDULES
from chalicelib.usecases.files import ImportAction


class FileEntry(NewSchedule, kw_only=True):
    """A schedule as it shall be. What is left out has its default. Without a `name` it is known by its `id`."""

    id: Opt[Annotated[str, Meta(min_length=26, max_length=26)]] = UNSET


class ImportBody(Body, kw_only=True):
    """A file of schedules, as `:export` writes it: YAML, or the same as JSON."""

    version: Literal[1] = 1
    schedules: Annotated[list[FileEntry], Meta(max_length=IMPORT_MAX_SCHEDULES)]


class ImportQuery(Query, kw_only=True):
    """How."""

    dry_run: Annotated[bool, Meta(description="Show what would change, and change nothing.")] = False


class ExportQuery(TokenQuery, kw_only=True):
    """Which schedules."""

    owner: Opt[Owner] = UNSET
    enabled: Opt[bool] = UNSET
    type: Opt[RecurrenceType] = UNSET
    tag: Opt[Tag] = UNSET
    name_prefix: Opt[Name] = UNSET


class FieldChange(msgspec.Struct, rename={"before": "from", "after": "to"}):
    """A field that differs."""

    before: Any
    after: Any


class ImportItem(msgspec.Struct, kw_only=True):
    """What one entry does. `runs_unix_ms`: its next runs as it then stands."""

    index: int
    action: ImportAction
    name: str | None
    owner: str
    id: Opt[str] = UNSET
    changes: Opt[dict[str, FieldChange]] = UNSET
    runs_unix_ms: Opt[list[ShownInstant]] = UNSET
    error: Opt[ItemError] = UNSET
    warnings: PolicyWarnings = UNSET


class ImportView(msgspec.Struct, kw_only=True):
    """What a file does, or would do."""

    dry_run: bool
    created: int
    updated: int
    unchanged: int
    refused: int
    items: list[ImportItem]
