"""What applying files would do: compared by the service, field by field; nothing is written."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chronosctl import firings
from chronosctl.faults import FAILED, Fault
from chronosctl.files import Wanted
from chronosctl.progress import Progress
from chronosctl.session import Session

MARK: Final = "managed:"
PRUNE_SHARE_MAX: Final = 0.2
_TAG_MAX_CHARS: Final = 64
_ENTRY: Final = re.compile(r"schedules\.(\d+)(?:\.(.+))?")
_NOT_WRITTEN: Final = "nothing was written; docs/chronosctl.md shows a file"
_CHUNK_ENTRIES: Final = 50
_CHUNK_BYTES: Final = 200_000  # a body may have 256 KiB


def source_of(named: str | None, path: str) -> str:
    """Who manages what is applied: the name given, or the file's path."""
    return named or ("stdin" if path == "-" else os.path.normpath(path))


def mark_of(source: str) -> str:
    """The tag of what a source manages. A tag is short: of a long name the end stays, with a hash of all of it."""
    if len(MARK + source) <= _TAG_MAX_CHARS:
        return MARK + source
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    return f"{MARK}{digest}:{source[-(_TAG_MAX_CHARS - len(MARK) - 13) :]}"


def marked(entry: Mapping[str, Any], mark: str) -> dict[str, Any]:
    """An entry with the mark of its source, and no other's."""
    tags = entry.get("tags")
    kept = [tag for tag in tags if not str(tag).startswith(MARK)] if isinstance(tags, list) else []
    return {**entry, "tags": [*kept, mark]}


@dataclass(slots=True)
class Step:
    """What one schedule goes through. ``change`` has its fields from and to."""

    action: str
    called: str
    where: str = ""
    id: str | None = None
    entry: dict[str, Any] = field(default_factory=dict)
    change: Mapping[str, Any] = field(default_factory=dict)
    firings: Mapping[str, int] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    version: str | None = None


@dataclass(slots=True)
class Plan:
    """All steps, and what they do to firings."""

    source: str
    mark: str
    days: int
    steps: list[Step] = field(default_factory=list)
    managed: int = 0
    left_over: int = 0
    prune: bool = False
    firings: firings.Firings = field(default_factory=firings.Firings)
    hot: list[dict[str, int]] = field(default_factory=list)

    def of(self, action: str) -> list[Step]:
        """The steps of a kind."""
        return [each for each in self.steps if each.action == action]

    @property
    def changes(self) -> bool:
        return any(each.action in ("create", "update", "delete") for each in self.steps)

    @property
    def prunes_much(self) -> bool:
        """Whether so much would be pruned that somebody must say yes to it."""
        return len(self.of("delete")) > PRUNE_SHARE_MAX * self.managed


def make(session: Session, wanted: Sequence[Wanted], source: str, days: int, prune: bool) -> Plan:
    """The plan. Raises ApiError, Unreachable, Fault."""
    plan = Plan(source, mark_of(source), days, prune=prune)
    entries = [marked(each.entry, plan.mark) for each in wanted]
    with Progress("comparing", len(entries)) as progress:
        for start, chunk in chunks(entries):
            answer = _compared_by_service(session, chunk, wanted[start : start + len(chunk)])
            for item in answer["items"]:
                plan.steps.append(_step(wanted[start + item["index"]], chunk[item["index"]], item))
            progress.at(start + len(chunk))
    _left_over(session, plan)
    _firings(session, plan)
    return plan


def _compared_by_service(session: Session, chunk: list[dict[str, Any]], wanted: Sequence[Wanted]) -> Any:
    """The service's answer. It refuses a part of which an entry has not even the shape of a schedule: raises Fault with
    the lines at fault."""
    from chronowatch.errors import ApiError

    try:
        return session.call("POST", "/api/v1/schedules:import", {"schedules": chunk}, query={"dry_run": True})
    except ApiError as error:
        placed = [_placed(each, wanted) for each in error.errors]
        if not placed or None in placed:
            raise
        errors = [each for each in placed if each is not None]
        text = "; ".join(f"{each['where']}: {each['name']}: {each['field']}: {each['message']}" for each in errors)
        raise Fault(text, FAILED, _NOT_WRITTEN, {**error.problem, "detail": text, "errors": errors}) from None


def _placed(error: Mapping[str, Any], wanted: Sequence[Wanted]) -> dict[str, Any] | None:
    """An error of a part, by the line and the name of its entry; None where it is about none."""
    found = _ENTRY.fullmatch(str(error.get("field")))
    if found is None:
        return None
    one, field = wanted[int(found[1])], found[2]
    name = one.entry.get("name") or one.entry.get("id")
    return {**error, "where": one.at(field) if field else one.where, "name": name, "field": field or "schedule"}


def chunks(entries: Sequence[dict[str, Any]]) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Parts that one call takes, each with the number of its first."""
    part: list[dict[str, Any]] = []
    size, start = 0, 0
    for n, entry in enumerate(entries):
        length = len(json.dumps(entry))
        if part and (len(part) == _CHUNK_ENTRIES or size + length > _CHUNK_BYTES):
            yield start, part
            part, size, start = [], 0, n
        part.append(entry)
        size += length
    if part:
        yield start, part


def _step(wanted: Wanted, entry: dict[str, Any], item: Mapping[str, Any]) -> Step:
    error = item.get("error")
    where = wanted.where
    if error and error.get("errors"):
        where = wanted.at(error["errors"][0]["field"])
    called = entry.get("name") or entry.get("id") or ""
    return Step(item["action"], called, where, item.get("id"), entry, item.get("changes", {}), error=error)


def _left_over(session: Session, plan: Plan) -> None:
    """What the source manages and no longer names."""
    known = {each.id for each in plan.steps if each.id}
    managed = list(session.pages("/api/v1/schedules", {"tag": plan.mark}))
    gone = [each for each in managed if each["id"] not in known]
    plan.managed, plan.left_over = len(managed), len(gone)
    if plan.prune:
        for each in gone:
            called = each["name"] or each["id"]
            plan.steps.append(Step("delete", called, id=each["id"], entry=each, version=each["version"]))


def _firings(session: Session, plan: Plan) -> None:
    if not plan.changes or not plan.days:
        return
    outlook = firings.Outlook(session, plan.days)
    with Progress("comparing firings", len(plan.steps)) as progress:
        for n, step in enumerate(plan.steps):
            step.firings = _compared(session, outlook, step)
            progress.at(n + 1)
    plan.firings, plan.hot = outlook.found, outlook.hot_minutes()


def _compared(session: Session, outlook: firings.Outlook, step: Step) -> Mapping[str, int]:
    if step.action == "create":
        return outlook.compare(step.called, None, step.entry)
    if step.action == "delete":
        return outlook.compare(step.called, step.entry, None)
    if step.action == "update" and firings.DECIDING & step.change.keys():
        before = session.call("GET", f"/api/v1/schedules/{step.id}")
        after = {**before, **{name: each["to"] for name, each in step.change.items()}}
        return outlook.compare(step.called, before, after)
    return {}


def shown(plan: Plan) -> dict[str, Any]:
    """The plan as programs read it."""
    f = plan.firings
    return {
        "source": plan.source,
        "changes": plan.changes,
        "created": len(plan.of("create")),
        "updated": len(plan.of("update")),
        "unchanged": len(plan.of("unchanged")),
        "deleted": len(plan.of("delete")),
        "refused": len(plan.of("refused")),
        "not_in_file": plan.left_over,
        "managed": plan.managed,
        "days": plan.days,
        "firings": {"added": f.added, "removed": f.removed, "moved": f.moved},
        "firings_complete": f.complete,
        "dst": f.dst,
        "hot_minutes": plan.hot,
        "items": [_item(each) for each in plan.steps],
    }


def _item(step: Step) -> dict[str, Any]:
    said = {
        "action": step.action,
        "name": step.called,
        "id": step.id,
        "where": step.where,
        "changes": dict(step.change),
        "firings": dict(step.firings),
        "error": step.error,
    }
    return {name: value for name, value in said.items() if value not in (None, "", {})}
