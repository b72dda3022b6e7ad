"""What a notification says: as data for programs, and as a text for people.

Names and errors in it were written by others. They are cut, and control characters are taken out.
"""

from __future__ import annotations

from typing import Any

from chalicelib.core.channels import subject_line
from chalicelib.core.instants import to_rfc3339
from chalicelib.core.notices.limits import LINES_MAX
from chalicelib.core.notices.rule import NotificationRule
from chalicelib.core.notices.rule_book import Incident, Notice

NOTIFICATION_TYPE = "chronowatch.notification.v1"
_SHOWN = 300


def plain(text: str) -> str:
    """A text that others wrote, on one line."""
    return "".join(c if c.isprintable() else " " for c in text)[:_SHOWN]


def data_of(rule: NotificationRule, notice: Notice, key: str) -> dict[str, Any]:
    """The message as data. ``incident_id`` is that of the first incident, and of the only one without grouping."""
    return {
        "notification_id": key,
        "kind": notice.kind,
        "rule_id": rule.id,
        "rule": rule.name,
        "incident_id": notice.incidents[0].id,
        "text": text_of(rule, notice),
        "at_unix_ms": notice.made_ms,
        "incidents": [_incident(each) for each in notice.incidents[:LINES_MAX]],
        "incident_count": len(notice.incidents),
    }


def text_of(rule: NotificationRule, notice: Notice) -> str:
    """The message as a text."""
    lines = [_line(each) for each in notice.incidents[:LINES_MAX]]
    more = len(notice.incidents) - len(lines)
    if more:
        lines.append(f"and {more} more")
    return f"[{plain(rule.name)}] {notice.kind}: " + "\n".join(lines)


def mail_of(rule: NotificationRule, notice: Notice) -> tuple[str, str]:
    """The message as the subject of an e-mail and its text, which names each incident by its id."""
    names = ", ".join(plain(each.name) for each in notice.incidents)
    known = "\n".join(f"incident_id: {each.id}" for each in notice.incidents[:LINES_MAX])
    return subject_line(f"[{plain(rule.name)}] {notice.kind}: {names}"), f"{text_of(rule, notice)}\n\n{known}\n"


def _line(each: Incident) -> str:
    what = " and ".join(each.causes) or "test"
    times = "" if each.count == 1 else f", {each.count} times"
    detail = f": {plain(each.detail)}" if each.detail else ""
    if each.closed_ms is not None:
        return f"{plain(each.name)} has recovered at {to_rfc3339(each.closed_ms)} ({what}{times})"
    return f"{plain(each.name)} {what} since {to_rfc3339(each.opened_ms)}{times}{detail}"


def _incident(each: Incident) -> dict[str, Any]:
    kind, _, thing = each.subject.partition("/")
    run, _, node = thing.partition("/")
    subject = {"run_id": run, "node_id": node} if kind == "gate" else {f"{kind}_id": thing or each.subject}
    return {
        "incident_id": each.id,
        **subject,
        "name": plain(each.name),
        "when": list(each.causes),
        "opened_unix_ms": each.opened_ms,
        "last_unix_ms": each.last_ms,
        "closed_unix_ms": each.closed_ms,
        "count": each.count,
        "detail": plain(each.detail),
    }
