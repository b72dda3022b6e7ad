"""The book of one rule: its open incidents, the messages that are to be sent, and how far each has got.

An incident is one thing and this rule, from the first bad signal until the next success. It is announced once to each
channel, and its end as well. All that is decided here is one document, which is changed by conditional writes. So no
two workers announce the same, and a worker that dies leaves what the next one needs.

A send is claimed before it is made. A claim that its worker did not end in time is made again under the same key: a
receiver that keeps keys sees it once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.notices.limits import (
    BACKOFF_FIRST_MS,
    BACKOFF_MAX_MS,
    INCIDENTS_MAX,
    NOTICES_MAX,
    NUMBERS_RAISED,
    SEND_ATTEMPTS_MAX,
    SEND_LEASE_MS,
    SOURCES_KEPT,
)
from chalicelib.core.notices.rule import NotificationRule, Signal, only_ends, quiet_until

NoticeKind = Literal["alert", "recovery", "digest", "test"]
SendState = Literal["pending", "sent", "failed"]
TEST_INCIDENT: Final = "test"


class Incident(Struct, frozen=True, kw_only=True):
    """Something that is bad since ``opened_ms``; ``closed_ms`` when it is over and its end is still to be sent."""

    id: str
    subject: str
    name: str
    causes: tuple[str, ...]
    opened_ms: int
    last_ms: int
    count: int = 1
    detail: str = ""
    announced: bool = False
    closed_ms: int | None = None
    calm_ms: int | None = None

    @property
    def calm_at_ms(self) -> int | None:
        """When it is over if nothing more comes; None: only a success ends it, or it is over."""
        return None if self.calm_ms is None or self.closed_ms is not None else self.last_ms + self.calm_ms


class Send(Struct, frozen=True):
    """What became of a message in one channel. ``next_ms`` is when a worker may take it next."""

    channel: int
    state: SendState = "pending"
    attempts: int = 0
    next_ms: int = 0
    error: str = ""


class Notice(Struct, frozen=True):
    """A message: the incidents as they were when it was made, and its sends."""

    number: int
    kind: NoticeKind
    made_ms: int
    incidents: tuple[Incident, ...]
    sends: tuple[Send, ...]


class RuleBook(Struct, frozen=True, kw_only=True):
    """All that is open for a rule. ``due_ms`` is when what is new is made into messages, ``held`` that it was quiet.

    ``beyond`` counts bad signals of further things while INCIDENTS_MAX are open.
    """

    tenant: str
    id: str
    rev: int = 0
    counter: int = 0
    incidents: tuple[Incident, ...] = ()
    notices: tuple[Notice, ...] = ()
    seen: tuple[str, ...] = ()
    due_ms: int | None = None
    held: bool = False
    beyond: int = 0

    @property
    def next_ms(self) -> int | None:
        """When there is something to do next."""
        sends = [send.next_ms for notice in self.notices for send in notice.sends if send.state == "pending"]
        calms = [i.calm_at_ms for i in self.incidents if i.calm_at_ms is not None]
        return min([*sends, *calms, *([] if self.due_ms is None else [self.due_ms])], default=None)


def note(book: RuleBook, rule: NotificationRule, signal: Signal, now_ms: int) -> RuleBook:
    """The book after a signal. The same object when it changes nothing."""
    causes = [cause for cause in signal.causes if cause in rule.when or only_ends(rule)]
    open_now = next((i for i in book.incidents if i.subject == signal.subject and i.closed_ms is None), None)
    if signal.source in book.seen:
        return book
    if causes:
        return _worse(_remembering(book, signal), rule, signal, causes, open_now, now_ms)
    if open_now is None or not signal.success or signal.at_ms < open_now.opened_ms:
        return book
    closed = replace(open_now, closed_ms=signal.at_ms)
    incidents = tuple(closed if each is open_now else each for each in book.incidents)
    return _due(replace(_remembering(book, signal), incidents=incidents), rule, now_ms)


def compose(book: RuleBook, rule: NotificationRule, now_ms: int) -> RuleBook:
    """Make messages of what is new, when its time has come; in quiet times they wait, and become a digest."""
    book = _calmed(book, rule, now_ms)
    until_ms = quiet_until(rule, now_ms)
    if until_ms is not None:
        book = _put_off(book, until_ms)
    if book.due_ms is None or book.due_ms > now_ms or len(book.notices) + 2 > NOTICES_MAX:
        return book
    if until_ms is not None:
        return replace(book, due_ms=until_ms, held=True, rev=book.rev + 1)
    fresh = tuple(i for i in book.incidents if not i.announced and not only_ends(rule))
    over = tuple(i for i in book.incidents if i.closed_ms is not None and i not in fresh)
    told = over if "recovered" in rule.when else ()
    lots: list[tuple[NoticeKind, tuple[Incident, ...]]]
    lots = [("digest", (*fresh, *told))] if book.held else [("alert", fresh), ("recovery", told)]
    made = replace(book, due_ms=None, held=False, rev=book.rev + 1)
    if book.beyond:
        lots[0] = (lots[0][0], (*lots[0][1], _beyond(book, rule, now_ms)))
    for kind, incidents in lots:
        if incidents:
            made = _with_notice(made, rule, kind, incidents, now_ms)
    left = tuple(replace(i, announced=True) for i in book.incidents if i.closed_ms is None)
    return replace(made, incidents=left, beyond=0)


def hastened(book: RuleBook, now_ms: int) -> RuleBook:
    """The book after the quiet times of its rule have changed: what waited for the end of the old ones is checked now.
    The same object when nothing did."""

    def sooner(send: Send) -> Send:
        # A send that another worker has keeps its time: a claim is shorter than the longest pause between two tries.
        latest_ms = now_ms if send.attempts == 0 else now_ms + BACKOFF_MAX_MS
        return replace(send, next_ms=latest_ms) if send.state == "pending" and send.next_ms > latest_ms else send

    notices = tuple(replace(n, sends=tuple(sooner(send) for send in n.sends)) for n in book.notices)
    due_ms = now_ms if book.held else book.due_ms
    return book if (notices, due_ms) == (book.notices, book.due_ms) else replace(book, notices=notices, due_ms=due_ms)


def test(book: RuleBook, rule: NotificationRule, now_ms: int) -> RuleBook:
    """The book with a message that only tries the channels."""
    tried = Incident(
        id=f"{rule.id}-{TEST_INCIDENT}-{book.counter + 1}",
        subject="test",
        name=rule.name,
        causes=(),
        opened_ms=now_ms,
        last_ms=now_ms,
        detail="This is a test of the rule.",
    )
    return _with_notice(replace(book, rev=book.rev + 1), rule, "test", (tried,), now_ms)


def claimable(book: RuleBook, now_ms: int) -> list[tuple[int, int]]:
    """Numbers of messages and their channels that a worker may send now."""
    return [
        (notice.number, send.channel)
        for notice in book.notices
        for send in notice.sends
        if send.state == "pending" and send.next_ms <= now_ms
    ]


def claim(book: RuleBook, number: int, channel: int, now_ms: int) -> RuleBook:
    """The book after a worker took a send. The same object when another one has it."""
    if (number, channel) not in claimable(book, now_ms):
        return book
    return _sending(
        book, number, channel, lambda send: replace(send, attempts=send.attempts + 1, next_ms=now_ms + SEND_LEASE_MS)
    )


def finish(
    book: RuleBook, number: int, channel: int, attempt: int, error: str | None, final: bool, now_ms: int
) -> RuleBook:
    """The book after an attempt to send came to its end: sent, to be tried again, or given up. The same object when
    that says nothing."""

    def ended(send: Send) -> Send:
        if send.state != "pending":
            return send
        if error is None:
            return replace(send, state="sent", error="")
        if send.attempts != attempt:  # it took too long, and the next one is under way: what that comes to counts
            return send
        if final or send.attempts >= SEND_ATTEMPTS_MAX:
            return replace(send, state="failed", error=error)
        wait_ms = min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS << max(0, send.attempts - 1))
        return replace(send, next_ms=now_ms + wait_ms, error=error)

    after = _sending(book, number, channel, ended)
    open_still = tuple(n for n in after.notices if any(send.state == "pending" for send in n.sends))
    return after if open_still == after.notices else replace(after, notices=open_still)


def restored(book: RuleBook) -> RuleBook:
    """The book out of a backup. What became of its messages since is not known: none of them is sent, and what goes on
    being bad opens an incident anew. Numbers begin above those that were given out, so that no receiver takes a new
    message for one that it has."""
    return RuleBook(tenant=book.tenant, id=book.id, rev=book.rev + 1, counter=book.counter + NUMBERS_RAISED)


def emptied(book: RuleBook) -> RuleBook:
    """The book of a rule that is switched off, or on again: its incidents would wait for ends that it does not hear of.
    The same object when it is empty."""
    if not (book.incidents or book.notices or book.beyond):
        return book
    return RuleBook(tenant=book.tenant, id=book.id, rev=book.rev, counter=book.counter, seen=book.seen)


def notice_of(book: RuleBook, number: int) -> Notice | None:
    """A message that still has something to be sent."""
    return next((notice for notice in book.notices if notice.number == number), None)


def _worse(
    book: RuleBook,
    rule: NotificationRule,
    signal: Signal,
    causes: Sequence[str],
    known: Incident | None,
    now_ms: int,
) -> RuleBook:
    if known is not None:
        more = (*known.causes, *(cause for cause in causes if cause not in known.causes))
        worse = replace(
            known,
            count=known.count + 1,
            causes=more,
            last_ms=max(known.last_ms, signal.at_ms),
            detail=signal.detail or known.detail,
        )
        return replace(book, incidents=tuple(worse if each is known else each for each in book.incidents))
    if len(book.incidents) >= INCIDENTS_MAX:
        return replace(book, beyond=book.beyond + 1)
    number = book.counter + 1
    opened = Incident(
        id=f"{rule.id}-{number}",
        subject=signal.subject,
        name=signal.name,
        causes=tuple(causes),
        opened_ms=signal.at_ms,
        last_ms=signal.at_ms,
        detail=signal.detail,
        calm_ms=signal.calm_ms,
    )
    return _due(replace(book, counter=number, incidents=(*book.incidents, opened)), rule, now_ms)


def _calmed(book: RuleBook, rule: NotificationRule, now_ms: int) -> RuleBook:
    """End the incidents that nothing more came of. The same object when there are none."""
    over = [i for i in book.incidents if i.calm_at_ms is not None and i.calm_at_ms <= now_ms]
    if not over:
        return book
    incidents = tuple(replace(i, closed_ms=i.calm_at_ms) if i in over else i for i in book.incidents)
    return _due(replace(book, incidents=incidents, rev=book.rev + 1), replace(rule, group_ms=0), now_ms)


def _put_off(book: RuleBook, until_ms: int) -> RuleBook:
    """Let what is still to be sent wait for the end of a quiet time. A test is asked for now. The same object when
    nothing is put off."""

    def later(notice: Notice) -> Notice:
        if notice.kind == "test" or not any(s.state == "pending" and s.next_ms < until_ms for s in notice.sends):
            return notice
        sends = tuple(replace(s, next_ms=max(s.next_ms, until_ms)) if s.state == "pending" else s for s in notice.sends)
        return replace(notice, sends=sends)

    notices = tuple(later(notice) for notice in book.notices)
    if all(new is old for new, old in zip(notices, book.notices, strict=True)):
        return book
    return replace(book, notices=notices, rev=book.rev + 1)


def _beyond(book: RuleBook, rule: NotificationRule, now_ms: int) -> Incident:
    """What stands for things that failed while too many incidents were open."""
    return Incident(
        id=f"{rule.id}-beyond-{book.counter}",
        subject="beyond",
        name=f"more than {INCIDENTS_MAX} things",
        causes=(),
        opened_ms=now_ms,
        last_ms=now_ms,
        count=book.beyond,
        detail="these have no incident of their own",
    )


def _remembering(book: RuleBook, signal: Signal) -> RuleBook:
    return replace(book, seen=(*book.seen, signal.source)[-SOURCES_KEPT:], rev=book.rev + 1)


def _due(book: RuleBook, rule: NotificationRule, now_ms: int) -> RuleBook:
    return book if book.due_ms is not None else replace(book, due_ms=now_ms + rule.group_ms)


def _with_notice(
    book: RuleBook, rule: NotificationRule, kind: NoticeKind, incidents: tuple[Incident, ...], now_ms: int
) -> RuleBook:
    sends = tuple(Send(channel, next_ms=now_ms) for channel in range(len(rule.channels)))
    made = Notice(book.counter + 1, kind, now_ms, incidents, sends)
    return replace(book, counter=made.number, notices=(*book.notices, made))


def _sending(book: RuleBook, number: int, channel: int, change: Callable[[Send], Send]) -> RuleBook:
    notices = tuple(
        replace(n, sends=tuple(change(s) if s.channel == channel else s for s in n.sends)) if n.number == number else n
        for n in book.notices
    )
    return book if notices == book.notices else replace(book, notices=notices, rev=book.rev + 1)
