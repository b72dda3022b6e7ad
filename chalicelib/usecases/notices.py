"""Notification rules, kept by those who watch; and the ledger of what was sent."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.decoders import decoder_of
from chalicelib.core.errors import CapacityExhausted, PreconditionFailed, TooMany
from chalicelib.core.notices import rule_book
from chalicelib.core.notices.ledger_line import SentNotification
from chalicelib.core.notices.limits import NOTICES_MAX, RULES_MAX_COUNT
from chalicelib.core.notices.rule import NoticeCause, NotificationRule, Quiet, RuleMatch, check
from chalicelib.core.notices.rule_book import RuleBook
from chalicelib.core.security.authorize import Resource, authorize, only_owner
from chalicelib.core.security.caller import Caller
from chalicelib.engine import notices
from chalicelib.ports.services import Services
from chalicelib.ports.stores.alerts import AlertRecord
from chalicelib.usecases.quotas import noting_full

Permission = Literal["notifications:read", "notifications:write"]
_line = decoder_of(SentNotification).decode
CHANGE_ATTEMPTS = 16


class RuleWish(Struct, frozen=True):
    """What a caller wants of a rule; None: nothing is said. ``clear_quiet``: it is never quiet again."""

    name: str | None = None
    when: tuple[NoticeCause, ...] | None = None
    match: RuleMatch | None = None
    channels: tuple[dict[str, Any], ...] | None = None
    group_ms: int | None = None
    quiet: Quiet | None = None
    clear_quiet: bool = False
    enabled: bool | None = None


def create(s: Services, caller: Caller, wish: RuleWish, rule_id: str, again: bool = False) -> NotificationRule:
    """Make a rule. ``again``: the same call ran before, so that what it made is found.

    Raises Forbidden, InvalidField, CapacityExhausted.
    """
    authorize(caller, "notifications:write")
    if again and (known := s.stores.alerts.load(caller.tenant, "rule", rule_id)) is not None:
        return notices.read_rule(known)
    now_ms = s.clock.now_ms()
    made = NotificationRule(
        tenant=caller.tenant,
        id=rule_id,
        version=s.ids.ulid(now_ms),
        name=wish.name or "",
        when=wish.when or (),
        match=wish.match or RuleMatch(),
        channels=wish.channels or (),
        group_ms=wish.group_ms or 0,
        quiet=wish.quiet,
        enabled=wish.enabled is not False,
        owner=caller.subject,
        every_owner=_sees_all(caller),
        created_ms=now_ms,
        updated_ms=now_ms,
    )
    _check(s, made)
    with noting_full(s, caller):
        if len(notices.rules_of(s, caller.tenant)) >= RULES_MAX_COUNT:
            raise CapacityExhausted(f"a tenant has at most {RULES_MAX_COUNT} notification rules")
    s.stores.alerts.save(_record(made), 0)
    return made


def get(s: Services, caller: Caller, rule_id: str, permission: Permission = "notifications:read") -> NotificationRule:
    """A rule. Raises Forbidden, NotFound."""
    authorize(caller, permission)
    found = notices.load_rule(s, caller.tenant, rule_id)
    authorize(caller, permission, Resource(found.tenant, found.owner, "notification rule"))
    return found


def page(s: Services, caller: Caller, limit: int, after: str | None) -> tuple[list[NotificationRule], str | None]:
    """The rules that a caller may see, newest first, and where to go on (None: the end). A page may be short."""
    authorize(caller, "notifications:read")
    owner = only_owner(caller, "notifications:read")
    records, more = s.stores.alerts.page(caller.tenant, "rule", limit, after)
    found = [notices.read_rule(record) for record in records]
    return [rule for rule in found if owner in (None, rule.owner)], more


def edit(s: Services, caller: Caller, rule_id: str, wish: RuleWish, versions: list[str] | None) -> NotificationRule:
    """Change some fields. Raises Forbidden, NotFound, InvalidField, PreconditionFailed."""
    for _ in range(CHANGE_ATTEMPTS):
        known = _ours(s, caller, rule_id, versions)
        now_ms = s.clock.now_ms()
        names = ("name", "when", "match", "channels", "group_ms", "quiet", "enabled")
        said = {name: value for name in names if (value := getattr(wish, name)) is not None}
        if wish.clear_quiet:
            said["quiet"] = None
        if known.owner == caller.subject:  # whose roles may have changed since
            said["every_owner"] = _sees_all(caller)
        changed = replace(known, **said, version=s.ids.ulid(now_ms), updated_ms=now_ms, rev=known.rev + 1)
        _check(s, changed)
        if changed.enabled and not known.enabled:
            notices.change(s, caller.tenant, rule_id, rule_book.emptied)
        if s.stores.alerts.save(_record(changed), known.rev):
            if not changed.enabled:
                notices.change(s, caller.tenant, rule_id, rule_book.emptied)
            if "quiet" in said:
                notices.change(s, caller.tenant, rule_id, lambda book: rule_book.hastened(book, s.clock.now_ms()))
            return changed
    raise TooMany("the rule is being changed by many callers at once", code="contended")


def delete(s: Services, caller: Caller, rule_id: str, versions: list[str] | None) -> None:
    """Delete a rule. What it has not sent yet is not sent. Raises as ``edit``."""
    for _ in range(CHANGE_ATTEMPTS):
        known = _ours(s, caller, rule_id, versions)
        if s.stores.alerts.delete(caller.tenant, "rule", rule_id, known.rev):
            _forget_book(s, caller.tenant, rule_id)
            return
    raise TooMany("the rule is being changed by many callers at once", code="contended")


def test(s: Services, caller: Caller, rule_id: str, versions: list[str] | None) -> list[str]:
    """Send a test to every channel; the ids of these notifications. The rule is read once: it is sent to the channels
    that it had then, and ``versions`` is judged by that. Raises Forbidden, NotFound, PreconditionFailed."""
    found = _ours(s, caller, rule_id, versions)
    made: list[int] = []

    def decide(known: RuleBook) -> RuleBook:
        if len(known.notices) >= NOTICES_MAX:
            raise TooMany("the rule has too many messages that wait to be sent", retry_after_s=60)
        after = rule_book.test(known, found, s.clock.now_ms())
        made[:] = [after.notices[-1].number]
        return after

    notices.change(s, caller.tenant, rule_id, decide)
    return [f"{rule_id}-{made[0]}-{channel}" for channel in range(len(found.channels))]


def sent(
    s: Services, caller: Caller, rule_id: str | None, incident_id: str | None, limit: int, after: str | None
) -> tuple[list[SentNotification], str | None]:
    """What was sent, newest first, and where to go on (None: the end). A page may be short."""
    authorize(caller, "notifications:read")
    owner = only_owner(caller, "notifications:read")
    records, more = s.stores.alerts.page(caller.tenant, "sent", limit, after)
    lines = [_line(record.document) for record in records]
    found = [line for line in lines if owner in (None, line.owner)]
    return [line for line in found if rule_id in (None, line.rule_id) and incident_id in (None, line.incident_id)], more


def _ours(s: Services, caller: Caller, rule_id: str, versions: list[str] | None) -> NotificationRule:
    found = get(s, caller, rule_id, "notifications:write")
    if versions is not None and found.version not in versions:
        raise PreconditionFailed(f"the rule is at version {found.version}")
    return found


def _check(s: Services, rule: NotificationRule) -> None:
    check(rule, s.config.webhook_allow, s.config.secrets, in_cloud=not s.config.unoffered)


def _sees_all(caller: Caller) -> bool:
    return "schedules:read" in caller.on_every_owner


def _record(rule: NotificationRule) -> AlertRecord:
    return AlertRecord(rule.tenant, "rule", rule.id, msgspec.json.encode(rule).decode(), rule.rev)


def _forget_book(s: Services, tenant: str, rule_id: str) -> None:
    """A signal may write it once more: who reads a book whose rule is gone forgets it then."""
    for _ in range(CHANGE_ATTEMPTS):
        record = s.stores.alerts.load(tenant, "book", rule_id)
        if record is None or s.stores.alerts.delete(tenant, "book", rule_id, record.rev):
            return
