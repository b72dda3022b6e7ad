"""What a subject owns beside schedules and keys: shown and erased part by part, as ``usecases.subjects`` asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct, field
from msgspec.structs import replace

from chalicelib.core.heartbeats.heartbeat import Heartbeat
from chalicelib.core.notices.rule import NotificationRule
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.security.caller import Caller
from chalicelib.core.triggers.trigger import Trigger
from chalicelib.engine.heartbeats import read_record
from chalicelib.engine.notices import read_rule
from chalicelib.engine.workflows import run_access
from chalicelib.ports.services import Services
from chalicelib.usecases import heartbeats, notices, runs, trigger_settings, workflows

PAGE_ITEMS: Final = 100


class Record(NamedTuple):
    """One thing that is kept about a subject."""

    kind: str
    data: Mapping[str, Any]


class SubjectPage(Struct):
    """What a section gave, and where it goes on (None: it is done)."""

    records: list[Record] = field(default_factory=list)
    changed: int = 0
    after: str | None = None


def own_triggers(s: Services, caller: Caller, subject: str, after: str | None) -> SubjectPage:
    """Its triggers, without their tokens."""
    found, after = _triggers_of(s, caller, subject, after)
    bare = [{**plain(one), "token": None} for one in found]
    return SubjectPage([Record("trigger", each) for each in bare], 0, after)


def _triggers_of(s: Services, caller: Caller, subject: str, after: str | None) -> tuple[list[Trigger], str | None]:
    some, after = s.stores.triggers.page(caller.tenant, PAGE_ITEMS, after)
    keys = [Key(one.tenant, one.id) for one in some]
    known = s.stores.schedules.definitions(keys) if keys else {}
    return [one for one, key in zip(some, keys, strict=True) if key in known and known[key].owner == subject], after


def own_monitors(s: Services, caller: Caller, subject: str, after: str | None) -> SubjectPage:
    """Its monitors, without their tokens."""
    found, after = _monitors_of(s, caller, subject, after)
    bare = [{**plain(one), "ping_token": None, "badge_token": None} for one in found]
    return SubjectPage([Record("monitor", each) for each in bare], 0, after)


def _monitors_of(s: Services, caller: Caller, subject: str, after: str | None) -> tuple[list[Heartbeat], str | None]:
    some, after = s.stores.alerts.page(caller.tenant, "monitor", PAGE_ITEMS, after)
    return [one for one in map(read_record, some) if one.owner == subject], after


def own_rules(s: Services, caller: Caller, subject: str, after: str | None) -> SubjectPage:
    """Its notification rules, without routing keys."""
    found, after = _rules_of(s, caller, subject, after)
    bare = [replace(one, channels=tuple(_without_key(channel) for channel in one.channels)) for one in found]
    return SubjectPage([Record("notification_rule", plain(one)) for one in bare], 0, after)


def _without_key(channel: Mapping[str, Any]) -> dict[str, Any]:
    return {name: None if name == "routing_key" else value for name, value in channel.items()}


def _rules_of(
    s: Services, caller: Caller, subject: str, after: str | None
) -> tuple[list[NotificationRule], str | None]:
    some, after = s.stores.alerts.page(caller.tenant, "rule", PAGE_ITEMS, after)
    return [one for one in map(read_rule, some) if one.owner == subject], after


def own_workflows(s: Services, caller: Caller, subject: str, after: str | None) -> SubjectPage:
    """Its workflows, in the live version."""
    some, after = s.stores.workflows.page(caller.tenant, PAGE_ITEMS, after)
    found = [head for head in some if head.owner == subject]
    documents = [s.stores.workflows.load_version(head.tenant, head.name, head.live) for head in found]
    records = [
        Record("workflow", {**plain(head), "document": None if text is None else msgspec.json.decode(text)})
        for head, text in zip(found, documents, strict=True)
    ]
    return SubjectPage(records, 0, after)


def own_runs(s: Services, caller: Caller, subject: str, after: str | None) -> SubjectPage:
    """The runs of its workflows, with input and output."""
    some, after = s.stores.runs.page(caller.tenant, None, None, PAGE_ITEMS, after)
    records: list[Record] = []
    for summary in (one for one in some if one.owner == subject):
        shown = runs.shown(s, caller, run_access.load(s, caller.tenant, summary.id))
        state = shown.run.state
        about = {name: getattr(state, name) for name in ("id", "workflow", "version", "owner", "started_by", "status")}
        records.append(Record("run", {**about, "input": shown.input, "output": shown.output}))
    return SubjectPage(records, 0, after)


def erase_triggers(s: Services, caller: Caller, subject: str, _pseudonym: str, after: str | None) -> SubjectPage:
    """Delete its triggers."""
    found, after = _triggers_of(s, caller, subject, after)
    for one in found:
        trigger_settings.delete(s, caller, one.id, None)
    return SubjectPage([], len(found), after)


def erase_monitors(s: Services, caller: Caller, subject: str, _pseudonym: str, after: str | None) -> SubjectPage:
    """Delete its monitors."""
    found, after = _monitors_of(s, caller, subject, after)
    for one in found:
        heartbeats.delete(s, caller, one.id, None)
    return SubjectPage([], len(found), after)


def erase_rules(s: Services, caller: Caller, subject: str, _pseudonym: str, after: str | None) -> SubjectPage:
    """Delete its notification rules."""
    found, after = _rules_of(s, caller, subject, after)
    for one in found:
        notices.delete(s, caller, one.id, None)
    return SubjectPage([], len(found), after)


def erase_workflows(s: Services, caller: Caller, subject: str, _pseudonym: str, after: str | None) -> SubjectPage:
    """Delete its workflows. Their versions stay for the runs that go on."""
    some, after = s.stores.workflows.page(caller.tenant, PAGE_ITEMS, after)
    found = [head for head in some if head.owner == subject]
    for head in found:
        workflows.delete(s, caller, head.name, None)
    return SubjectPage([], len(found), after)


def plain(value: Any) -> dict[str, Any]:
    """A record as JSON has it."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    return found
