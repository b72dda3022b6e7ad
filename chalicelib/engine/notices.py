"""Notification rules at work: signals become incidents, incidents become messages, messages are sent once a channel.

The book of a rule is one document. Every step is one conditional write of it: note, compose, claim, finish. What each
step leaves is found by ``next_ms``, which reconcile looks for, so a worker may die after any of them. What was sent is
in the ledger before the book says so: a claim that is taken over looks there first.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from chalicelib.core.decoders import decoder_of
from chalicelib.core.errors import NotFound, TooMany
from chalicelib.core.executions.limits import HORIZON_MS
from chalicelib.core.heartbeats.heartbeat import Crossing, Heartbeat
from chalicelib.core.limits import PAGE_MAX_ITEMS
from chalicelib.core.notices import rule_book
from chalicelib.core.notices.ledger_line import SentNotification
from chalicelib.core.notices.limits import LEDGER_RETENTION_S
from chalicelib.core.notices.rule import NotificationRule, Signal, concerns, quiet_until
from chalicelib.core.notices.rule_book import Notice, RuleBook
from chalicelib.core.queue_messages import RunHint
from chalicelib.core.security.authorize import missing
from chalicelib.engine.notice_sending import key_of, send
from chalicelib.ports.services import Services
from chalicelib.ports.stores.alerts import AlertRecord
from chalicelib.ports.work_queue import Outgoing

log = logging.getLogger(__name__)

NOTICE_HINT: Final = "notice"
WRITE_ATTEMPTS: Final = 32
ROUNDS_MAX: Final = 200
_rule: Final = decoder_of(NotificationRule).decode
_book: Final = decoder_of(RuleBook).decode


def rules_of(s: Services, tenant: str) -> list[NotificationRule]:
    """The rules of a tenant, all of them."""
    found: list[NotificationRule] = []
    after: str | None = None
    while True:
        records, after = s.stores.alerts.page(tenant, "rule", PAGE_MAX_ITEMS, after)
        found += [_rule(record.document) for record in records]
        if after is None:
            return found


def read_rule(record: AlertRecord) -> NotificationRule:
    """The rule of a record."""
    return _rule(record.document)


def load_rule(s: Services, tenant: str, rule_id: str) -> NotificationRule:
    """A rule. Raises NotFound."""
    record = s.stores.alerts.load(tenant, "rule", rule_id)
    if record is None:
        raise missing("notification rule")
    return _rule(record.document)


def signal(
    s: Services, tenant: str, signals: Sequence[Signal], rules: Iterable[NotificationRule] | None = None
) -> None:
    """Note signals in the books of the rules that they concern. Noting one again changes nothing.

    Raises Unavailable."""
    for rule in rules_of(s, tenant) if rules is None else rules:
        ours = [each for each in signals if concerns(rule, each)]
        if ours:
            change(s, tenant, rule.id, lambda book, ours=ours, rule=rule: _noted(s, book, rule, ours))  # type: ignore[misc]


def on_monitor(s: Services, monitor: Heartbeat, crossings: Sequence[Crossing]) -> None:
    """Signal to the rules that a monitor went down or came up: ``failed``, and a success."""
    signals = [
        Signal(
            subject=f"monitor/{monitor.id}",
            name=monitor.name,
            owner=monitor.owner,
            tags=monitor.tags,
            causes=("failed",) if crossing.state == "down" else (),
            success=crossing.state == "up",
            at_ms=crossing.at_ms,
            source=f"{monitor.id}-{crossing.number}",
            detail=crossing.reason if crossing.state == "down" else "",
        )
        for crossing in crossings
    ]
    signal(s, monitor.tenant, signals)


def change(s: Services, tenant: str, rule_id: str, decide: Callable[[RuleBook], RuleBook]) -> RuleBook:
    """Change the book of a rule by one conditional write, and send the hint of what is to be done next."""
    for _ in range(WRITE_ATTEMPTS):
        known = _load(s, tenant, rule_id)
        after = decide(known)
        if after is known:
            return known
        after = msgspec.structs.replace(after, rev=known.rev + 1)
        document = msgspec.json.encode(after).decode()
        stored = AlertRecord(tenant, "book", rule_id, document, after.rev, wake_ms=after.next_ms)
        if s.stores.alerts.save(stored, known.rev):
            _send_hint(s, after, known)
            return after
    raise TooMany("the incidents of a rule are being changed by many at once", code="contended")


def _load(s: Services, tenant: str, rule_id: str) -> RuleBook:
    record = s.stores.alerts.load(tenant, "book", rule_id)
    return RuleBook(tenant=tenant, id=rule_id) if record is None else _book(record.document)


def look(s: Services, tenant: str, rule_id: str) -> None:
    """Make the messages that are due, and send them. Raises NotFound when the rule is gone; its book goes too."""
    for _ in range(ROUNDS_MAX):
        rule = _rule_of_book(s, tenant, rule_id)  # anew: a rule that was deleted meanwhile sends nothing more
        book = _compose(s, rule)
        todo = rule_book.claimable(book, s.clock.now_ms())
        if not todo:
            return
        _deliver(s, rule, *todo[0])


def _compose(s: Services, rule: NotificationRule) -> RuleBook:
    return change(s, rule.tenant, rule.id, lambda known: rule_book.compose(known, rule, s.clock.now_ms()))


def _rule_of_book(s: Services, tenant: str, rule_id: str) -> NotificationRule:
    try:
        return load_rule(s, tenant, rule_id)
    except NotFound:
        record = s.stores.alerts.load(tenant, "book", rule_id)
        if record is not None:
            s.stores.alerts.delete(tenant, "book", rule_id, record.rev)
        raise


def _noted(s: Services, book: RuleBook, rule: NotificationRule, signals: Sequence[Signal]) -> RuleBook:
    for each in signals:
        book = rule_book.note(book, rule, each, s.clock.now_ms())
    return book


def _deliver(s: Services, rule: NotificationRule, number: int, channel: int) -> None:
    took: list[bool] = []

    def decide(known: RuleBook) -> RuleBook:
        now_ms = s.clock.now_ms()
        after = known if _is_held(rule, known, number, now_ms) else rule_book.claim(known, number, channel, now_ms)
        took[:] = [after is not known]
        return after

    book = change(s, rule.tenant, rule.id, decide)
    notice = rule_book.notice_of(book, number)
    if not took[0] or notice is None:
        return
    attempt = next(x.attempts for x in notice.sends if x.channel == channel)
    error, final = None, False
    if not _is_in_ledger(s, rule, notice, channel):
        error, final = (
            ("the rule has no such channel", True) if channel >= len(rule.channels) else send(s, rule, notice, channel)
        )

    def ended(known: RuleBook) -> RuleBook:
        return rule_book.finish(known, number, channel, attempt, error, final, s.clock.now_ms())

    if error is None:
        _enter(s, rule, notice, channel, "sent", attempt, "")
    else:
        known = _load(s, rule.tenant, rule.id)
        if _is_pending(known, number, channel) and not _is_pending(ended(known), number, channel):
            _enter(s, rule, notice, channel, "failed", attempt, error)
    change(s, rule.tenant, rule.id, ended)


def _is_pending(book: RuleBook, number: int, channel: int) -> bool:
    notice = rule_book.notice_of(book, number)
    return notice is not None and any(x.channel == channel and x.state == "pending" for x in notice.sends)


def _is_held(rule: NotificationRule, book: RuleBook, number: int, now_ms: int) -> bool:
    """Whether a quiet time has begun since the message was made: the next look puts it off."""
    notice = rule_book.notice_of(book, number)
    return notice is not None and notice.kind != "test" and quiet_until(rule, now_ms) is not None


def _is_in_ledger(s: Services, rule: NotificationRule, notice: Notice, channel: int) -> bool:
    return s.stores.alerts.load(rule.tenant, "sent", _line_id(notice, channel, 0)) is not None


def _enter(
    s: Services, rule: NotificationRule, notice: Notice, channel: int, state: str, attempts: int, error: str
) -> None:
    """Write the lines of the ledger; the first one, which a take-over looks for, comes last."""
    from chalicelib.core.notices.message import text_of

    kind = str(rule.channels[channel]["type"]) if channel < len(rule.channels) else "gone"
    for place in range(len(notice.incidents) - 1, -1, -1):
        incident = notice.incidents[place]
        line = SentNotification(
            id=_line_id(notice, channel, place),
            notification_id=key_of(rule, notice, channel),
            rule_id=rule.id,
            rule=rule.name,
            owner=rule.owner,
            incident_id=incident.id,
            kind=notice.kind,
            channel=kind,
            state=state,
            attempts=attempts,
            at_ms=s.clock.now_ms(),
            subject=incident.subject,
            name=incident.name,
            causes=incident.causes,
            text=text_of(rule, notice),
            error=error,
        )
        expires_s = s.clock.now_ms() // 1000 + LEDGER_RETENTION_S
        document = msgspec.json.encode(line).decode()
        s.stores.alerts.save(AlertRecord(rule.tenant, "sent", line.id, document, 1, expires_s=expires_s), 0)


def _line_id(notice: Notice, channel: int, place: int) -> str:
    """Lines in order of time; the number of a rule's message and the incident make each one's own."""
    return f"{notice.made_ms:015d}-{notice.incidents[place].id}-{notice.number}-{channel}"


def _send_hint(s: Services, book: RuleBook, before: RuleBook) -> None:
    due_ms = book.next_ms
    now_ms = s.clock.now_ms()
    if due_ms is None or due_ms == before.next_ms or due_ms > now_ms + HORIZON_MS or s.workflows is None:
        return
    hint = RunHint(book.tenant, book.id, NOTICE_HINT, due_ms=due_ms)
    s.workflows.queue.send([Outgoing(hint, max(0, (due_ms - now_ms - s.config.lead_ms) // 1000))])
