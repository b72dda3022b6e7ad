"""Schedules as YAML files, over HTTP: for those who keep them in version control."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from chalicelib.api.http import yaml_text
from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply
from chalicelib.api.http.requests import Body, given
from chalicelib.api.schedules import file_schemas
from chalicelib.api.schedules.bulk import item_error
from chalicelib.api.schedules.file_schemas import FieldChange, ImportItem
from chalicelib.api.schedules.operations import COLLECTION
from chalicelib.api.schedules.schemas import request_of
from chalicelib.core.limits import PAGE_MAX_ITEMS
from chalicelib.core.schedules.limits import EXPORT_MAX_BYTES, EXPORT_MAX_SCHEDULES
from chalicelib.core.schedules.schedule import Definition, RetryPolicy
from chalicelib.ports.services import Config
from chalicelib.ports.stores.schedules import ScheduleFilter
from chalicelib.usecases import bulk, files, schedules
from chalicelib.usecases.files import ImportEntry, ImportStep

NEXT_TOKEN: Final = "X-Chrono-Next-Page-Token"  # noqa: S105 -- the name of a header
HEAD: Final = (
    "# Schedules of ChronoWatch: POST them back to /api/v1/schedules:import (add ?dry_run=true to see first).\n"
)
_NAMES: Final = {"start_at_ms": "start_at_unix_ms", "end_at_ms": "end_at_unix_ms", "active": "enabled"}
_ALWAYS: Final = frozenset({"type", "expr"})  # what has no default
_ORDER: Final = ("id", "name", "owner", "type", "expr", "timezone", "enabled", "target", "payload", "tags")


def export(call: Call[Body, file_schemas.ExportQuery]) -> Reply:
    """The schedules that match, as one file; where they are too many, the first part of it."""
    q, s = call.query, call.services
    wanted = ScheduleFilter(given(q.owner), given(q.enabled), given(q.type), given(q.tag), given(q.name_prefix))
    after, size = call.after(q), 0
    entries: list[tuple[str, str, str]] = []  # owner, name or id, and what is said: in an order that diffs can follow
    while True:
        limit = min(PAGE_MAX_ITEMS, EXPORT_MAX_SCHEDULES - len(entries))
        found, following = schedules.page(s, call.caller, wanted, limit, after)
        for each in found:
            text = yaml_text.dump([_entry(each.definition, s.config)])
            size += len(text.encode())
            if size > EXPORT_MAX_BYTES and entries:
                return _file(entries, call.token(after))
            entries.append((each.definition.owner, each.definition.name or each.definition.id, text))
            after = each.definition.id
        after = following
        if after is None or len(entries) >= EXPORT_MAX_SCHEDULES:
            return _file(entries, call.token(after))


def _file(entries: list[tuple[str, str, str]], token: str | None) -> Reply:
    listed = "schedules:\n" + "".join(text for *_, text in sorted(entries)) if entries else "schedules: []\n"
    rest = "" if token is None else f"# There are more: ask again with page_token={token}\n"
    headers = {} if token is None else {NEXT_TOKEN: token}
    return Reply(200, f"{HEAD}{rest}version: 1\n{listed}", headers, f"{yaml_text.YAML}; charset=utf-8")


def _entry(d: Definition, config: Config) -> dict[str, Any]:
    """What a file says of a schedule: what differs from what it would get by default."""
    blank = Definition(
        tenant="",
        id="",
        version="",
        since_ms=0,
        type="AT",
        expr="",
        timezone="",
        shard_key=d.id,
        owner="",
        target={},
        timeout_ms=config.attempt_timeout_ms,
        sla_ms=config.default_sla_ms,
        retry_policy=RetryPolicy(max_attempts=config.max_attempts),
        created_at_ms=0,
        updated_at_ms=0,
    )
    said = {} if d.name is not None else {"id": d.id}
    for name in (*sorted(files.COMPARED), "shard_key"):
        if name in _ALWAYS or getattr(d, name) != getattr(blank, name):
            said[_NAMES.get(name, name)] = _shown(name, getattr(d, name))
    return {name: said[name] for name in sorted(said, key=_place)}


def _place(name: str) -> tuple[int, str]:
    return (_ORDER.index(name) if name in _ORDER else len(_ORDER), name)


def _shown(name: str, value: Any) -> Any:
    """A field of a definition as files and diffs show it."""
    if name == "payload":
        return json.loads(value, parse_float=yaml_text.Digits)
    if name == "exclude":
        return [e if isinstance(e, str) else {"from_unix_ms": e[0], "to_unix_ms": e[1]} for e in value]
    if isinstance(value, Mapping):
        return dict(value)
    return msgspec.to_builtins(value)


def import_(call: Call[file_schemas.ImportBody, file_schemas.ImportQuery]) -> Reply:
    """Make schedules as a file says, or return what that would do."""
    s, dry_run = call.services, call.query.dry_run
    seed = call.new_id()
    entries = [ImportEntry(request_of(e), given(e.id)) for e in call.body.schedules]
    steps = files.apply(s, call.caller, entries, seed, dry_run)
    items = [_item(call, n, entry, step) for n, (entry, step) in enumerate(zip(entries, steps, strict=True))]
    counts = Counter(step.action for step in steps)
    view = file_schemas.ImportView(
        dry_run=dry_run,
        created=counts["create"],
        updated=counts["update"],
        unchanged=counts["unchanged"],
        refused=counts["refused"],
        items=items,
    )
    return Reply(200, view)


def _item(call: Call[Any, Any], index: int, entry: ImportEntry, step: ImportStep) -> ImportItem:
    item = ImportItem(
        index=index,
        action=step.action,
        name=given(entry.wanted.name),
        owner=given(entry.wanted.owner) or call.caller.subject,
    )
    known = step.after or step.before
    if known is not None and not (step.action == "create" and call.query.dry_run):
        item.id = known.id
    if step.action == "update" and step.before is not None and step.after is not None:
        item.changes = _changes(step.before, step.after, step.changed)
    if step.after is not None:
        item.runs_unix_ms = bulk.next_runs(call.services, step.after, None)
    if step.error is not None:
        item.error = item_error(step.error)
    return item


def _changes(before: Definition, after: Definition, changed: frozenset[str]) -> dict[str, FieldChange]:
    def change(name: str) -> FieldChange:
        return FieldChange(_plain(name, getattr(before, name)), _plain(name, getattr(after, name)))

    return {_NAMES.get(name, name): change(name) for name in sorted(changed)}


def _plain(name: str, value: Any) -> Any:
    return json.loads(value) if name == "payload" else _shown(name, value)


_EXAMPLE = {"version": 1, "schedules": [{"name": "beat", "type": "RATE", "expr": "rate:5s", "tags": ["nightly"]}]}


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="GET",
            path=COLLECTION + ":export",
            summary="Schedules as a YAML file",
            tag="schedules",
            permission="schedules:read",
            handler=export,
            query=file_schemas.ExportQuery,
            sensitive=True,
            answers={200: yaml_text.YAML},
            errors=(400,),
            description=f"At most {EXPORT_MAX_SCHEDULES} of them; where there are more, `{NEXT_TOKEN}` "
            "is the page token of the rest.",
            answer_headers={NEXT_TOKEN: "The page token of the rest, when there is more."},
        ),
        Operation(
            method="POST",
            path=COLLECTION + ":import",
            summary="Make schedules as a YAML file says",
            tag="schedules",
            permission="schedules:write",
            handler=import_,
            body=file_schemas.ImportBody,
            query=file_schemas.ImportQuery,
            answers={200: file_schemas.ImportView},
            creates=True,
            yaml=True,
            description="Owner and name say which schedule an entry means; without a name its id does. What is left "
            "out has its default, and an AT may lie in the past. Importing a file again changes nothing. "
            "`dry_run=true` answers with the differences and the next runs, and changes nothing.",
            example=_EXAMPLE,
        ),
    ]
