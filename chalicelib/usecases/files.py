"""Schedules as a file in version control: what such a file would change, and changing it.

A file says how schedules shall be; a schedule is known by its owner and name (one without a name by its id). Importing
the same file twice changes nothing the second time.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final, Literal

from msgspec import UNSET, Struct
from msgspec.structs import replace

from chalicelib.core.errors import ChronoError, InvalidField
from chalicelib.core.schedules import validation
from chalicelib.core.schedules.request import ScheduleRequest
from chalicelib.core.schedules.schedule import Definition, Key, Schedule
from chalicelib.core.security.authorize import authorize, authorize_owner, only_owner
from chalicelib.core.security.caller import Caller
from chalicelib.core.targets import registry
from chalicelib.core.ulid import derived, is_ulid
from chalicelib.ports.services import Services
from chalicelib.usecases import schedules
from chalicelib.usecases.policy_gate import check_schedule

ImportAction = Literal["create", "update", "unchanged", "refused"]

# What a file says of a schedule; the rest is kept by the service.
COMPARED: Final = frozenset(Definition.__struct_fields__) - {
    *("tenant", "id", "version", "since_ms", "until_ms", "note", "zone_data", "traceparent", "depth"),
    *("created_at_ms", "updated_at_ms", "hlc", "origin", "shard_key"),
    *("failures_from_ms", "failure_pauses", "paused_until_ms"),
}


class ImportEntry(Struct, frozen=True):
    """One schedule of a file: the fields that it names, and its id when it says one."""

    wanted: ScheduleRequest
    schedule_id: str | None = None


class ImportStep(Struct, frozen=True):
    """What an entry does (or did): ``before`` and ``after`` are the definitions, None where there is none."""

    action: ImportAction
    before: Definition | None = None
    after: Definition | None = None
    changed: frozenset[str] = frozenset()
    error: ChronoError | None = None


def apply(s: Services, caller: Caller, entries: Sequence[ImportEntry], seed: str, dry_run: bool) -> list[ImportStep]:
    """Make schedules as the file says; with ``dry_run`` return what that would do, and write nothing.

    An entry that is rejected does not stop the others. New schedules have ids that follow from ``seed``, so that the
    same call run again makes the same. Raises InvalidField when two entries mean the same schedule.
    """
    authorize(caller, "schedules:write")
    _check_distinct(caller, entries)
    existing = _existing(s, caller, entries)
    return [_step(s, caller, entry, existing[n], derived(seed, n), dry_run) for n, entry in enumerate(entries)]


def _identity(caller: Caller, entry: ImportEntry) -> tuple[str, str] | str | None:
    """(owner, name), or the id of a nameless one."""
    owner, name = entry.wanted.owner, entry.wanted.name
    if isinstance(name, str):
        return caller.subject if owner is UNSET else owner, name
    return entry.schedule_id


def _check_distinct(caller: Caller, entries: Sequence[ImportEntry]) -> None:
    seen: set[object] = set()
    for number, entry in enumerate(entries):
        identity = _identity(caller, entry)
        if identity is not None and identity in seen:
            field = "id" if isinstance(identity, str) else "name"
            raise InvalidField.of(f"schedules.{number}.{field}", "is used by another schedule of this file")
        seen.add(identity)


def _existing(s: Services, caller: Caller, entries: Sequence[ImportEntry]) -> list[Schedule | None]:
    """The schedules that the entries mean, where they exist and the caller may change them."""
    identities = [_identity(caller, entry) for entry in entries]
    names = list(dict.fromkeys(i for i in identities if isinstance(i, tuple)))
    held = s.stores.schedules.named(caller.tenant, names)
    ids = [i if isinstance(i, str) else None if i is None else held.get(i) for i in identities]
    keys = list(dict.fromkeys(Key(caller.tenant, i) for i in ids if i is not None and is_ulid(i)))
    found = s.stores.schedules.get(keys) if keys else {}
    own = only_owner(caller, "schedules:read")
    ours = {key: f for key, f in found.items() if not f.definition.by_events}  # the others are triggers'
    seen = {key: f for key, f in ours.items() if own in (None, f.definition.owner)}
    return [None if i is None else seen.get(Key(caller.tenant, i)) for i in ids]


def _step(
    s: Services, caller: Caller, entry: ImportEntry, existing: Schedule | None, new_id: str, dry_run: bool
) -> ImportStep:
    before = None if existing is None else existing.definition
    try:
        if not entry.wanted.name and entry.schedule_id is None:
            raise InvalidField.of("name", "is required: a file knows its schedules by owner and name, or by id")
        if entry.schedule_id is not None and not is_ulid(entry.schedule_id):
            raise InvalidField.of("id", "must be a ULID")
        if before is None:
            return _create(s, caller, entry, entry.schedule_id or new_id, dry_run)
        return _update(s, caller, entry, before, dry_run)
    except ChronoError as refused:
        return ImportStep("refused", before, error=refused)


def _create(s: Services, caller: Caller, entry: ImportEntry, schedule_id: str, dry_run: bool) -> ImportStep:
    if dry_run:
        wanted = schedules.draft_new(s, caller, entry.wanted, schedule_id, allow_past=True)
    else:
        wanted = schedules.create(s, caller, entry.wanted, schedule_id, allow_past=True).definition
    return ImportStep("create", None, wanted, COMPARED)


def _update(s: Services, caller: Caller, entry: ImportEntry, before: Definition, dry_run: bool) -> ImportStep:
    shard_key = before.shard_key if entry.wanted.shard_key is UNSET else entry.wanted.shard_key
    wanted = schedules.draft(s, caller, replace(entry.wanted, shard_key=shard_key), before.id, allow_past=True)
    if wanted.shard_key != before.shard_key:
        raise InvalidField.of("shard_key", "cannot be changed once the schedule exists")
    changed = frozenset(name for name in COMPARED if _differ(name, before, wanted))
    after = replace(before, **{name: getattr(wanted, name) for name in changed})
    if not changed:
        return ImportStep("unchanged", before, before)
    validation.check(after, s.clock.now_ms(), s.config.webhook_allow, True, s.config.secrets)
    authorize(caller, "schedules:write", schedules.resource_of(before))
    authorize_owner(caller, after.owner, before.owner)
    if dry_run:
        check_schedule(s, caller, after, "schedules:edit")
    else:
        values = {("enabled" if name == "active" else name): getattr(wanted, name) for name in changed}
        after = schedules.edit(s, caller, before.id, ScheduleRequest(**values), None, allow_past=True).definition
    return ImportStep("update", before, after, changed)


def _differ(name: str, before: Definition, wanted: Definition) -> bool:
    old, new = getattr(before, name), getattr(wanted, name)
    if name == "payload":
        return bool(json.loads(old) != json.loads(new))  # 1.10 is 1.1, and the order of keys says nothing
    if name == "target":
        return registry.normal_target(old) != registry.normal_target(new)
    return bool(old != new)
