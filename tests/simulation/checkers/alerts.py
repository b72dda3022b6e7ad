"""Notification rules: each channel hears once of each incident, and once of its end, and never in a quiet time.

What should be said follows from what was signalled: by the bus for monitors, by the feed for schedules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from chalicelib.core.notices.ledger_line import SentNotification
from chalicelib.core.notices.limits import BACKOFF_FIRST_MS, SEND_ATTEMPTS_MAX, SEND_LEASE_MS
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from tests.simulation.checkers import heartbeats

SLACK_MS = 40
SOON_MS = 2_500


class TrueSignal(NamedTuple):
    """Something of a subject went wrong, or well, at ``at_ms``; the rules knew at ``noted_ms``."""

    at_ms: int
    bad: bool
    noted_ms: int


def check(play: Any) -> Iterable[str]:
    """What broke."""
    if not play.rested:
        return
    signals = _signals(play)
    for place, rule in enumerate(play.clients.rules):
        sent = [one for one in play.channels.sent if one.rule == rule.id]
        found = [
            *_claimed(play, sent),
            *_same(sent),
            *_quiet(play, place, sent),
            *_deleted(play, place, sent),
            *_once(play, place, sent, signals),
            *_all_said(play, place, sent, signals),
            *_ledger(play, place, sent),
        ]
        yield from (f"rule {place}: {problem}" for problem in found)


def _signals(play: Any) -> dict[str, list[TrueSignal]]:
    found: dict[str, list[TrueSignal]] = defaultdict(list)
    for monitor in play.clients.monitors:
        for event in heartbeats.events_of(play, monitor.id):
            found[f"monitor/{monitor.id}"].append(TrueSignal(event.due_ms, event.state == "down", event.at_ms))
    for one in play.clients.signals:
        found[f"schedule/{one.thing}"].append(TrueSignal(one.at_ms, one.bad, one.taken_ms))
    return found


def _claimed(play: Any, sent: list[Any]) -> Iterator[str]:
    """Nothing is sent without its claim, and a message comes again only when its last sender has lost it."""
    by_key: dict[str, list[Any]] = defaultdict(list)
    for one in sent:
        by_key[one.key].append(one)
        claim = one.claim
        if claim is None or one.key != f"{claim.rule}-{claim.number}-{claim.channel}":
            yield f"{one.key} was sent without its claim"
    for key, these in by_key.items():
        written = play.tables.written.get(key, [])
        if len(written) == len(these[0].data["incidents"]):
            for one in these:
                if one.claim is not None and one.claim.clock_ms > max(written) + SLACK_MS:
                    yield f"{key} was sent again, and the ledger had it"
        if play.plan.mood == "calm" and len(these) > 1:
            yield f"{key} was sent {len(these)} times"
        ordered = sorted((one for one in these if one.claim), key=lambda one: one.claim.clock_ms)
        taken_over = sum(one.back_ms is None or other.claim.clock_ms < one.back_ms for one, other in pairwise(ordered))
        if len(these) - taken_over > SEND_ATTEMPTS_MAX:
            yield f"{key} was tried {len(these)} times, and {taken_over} of them were taken over"
        for one, other in pairwise(ordered):
            apart_ms = other.claim.clock_ms - one.claim.clock_ms
            least_ms = BACKOFF_FIRST_MS if one.said == "failed" else SEND_LEASE_MS
            if apart_ms < least_ms - SLACK_MS:
                yield f"{key} was claimed again after {apart_ms} ms, though its last try {one.said or 'is under way'}"


def _same(sent: list[Any]) -> Iterator[str]:
    """One key, one message: receivers take the second for a repeat."""
    said: dict[str, Any] = {}
    for one in sent:
        if said.setdefault(one.key, one.data) != one.data:
            yield f"{one.key} was {said[one.key]['text']!r}, and then {one.data['text']!r}"


def _quiet(play: Any, place: int, sent: list[Any]) -> Iterator[str]:
    quiet = play.plan.rules[place].quiet
    calmed = [c.started_ms for c in play.clients.of(place, "calm")]
    if play.restored_ms is not None and calmed:
        return  # the backup may be of before
    for one in sent:
        if one.kind == "digest" and quiet is None:
            yield f"{one.key} is a digest, and it is never quiet"
        if quiet is None or one.kind == "test" or one.claim is None:
            continue
        period_ms = 120_000 if quiet[0].startswith("*/2") else 60_000
        into_ms = one.claim.clock_ms % period_ms
        if SLACK_MS < into_ms < quiet[1] - SLACK_MS and not any(at_ms <= one.claim.clock_ms for at_ms in calmed):
            yield f"{one.key} ({one.kind}) was sent {into_ms} ms into a quiet time of {quiet[1]} ms"


def _deleted(play: Any, place: int, sent: list[Any]) -> Iterator[str]:
    deletes = [c.latest_ms for c in play.clients.of(place, "delete") if c.is_done]
    if play.restored_ms is None and deletes:
        for one in sent:
            if one.claim is not None and one.claim.clock_ms > min(deletes) + SLACK_MS:
                yield f"{one.key} was sent, and the rule was deleted {one.claim.clock_ms - min(deletes)} ms before"


def _once(play: Any, place: int, sent: list[Any], signals: dict[str, list[TrueSignal]]) -> Iterator[str]:
    when = play.plan.rules[place].when
    keys: dict[tuple[int, str, bool], set[str]] = defaultdict(set)
    spans: dict[str, dict[str, int]] = defaultdict(dict)
    for one in sent:
        if one.kind == "recovery" and "recovered" not in when:
            yield f"{one.key} is a recovery that nobody asked for"
        for each in one.data["incidents"] if one.kind != "test" else ():
            subject = _subject(each)
            keys[one.channel, each["incident_id"], each["closed_unix_ms"] is not None].add(one.key)
            spans[subject][each["incident_id"]] = each["opened_unix_ms"]
            if not any(s.bad and s.at_ms == each["opened_unix_ms"] for s in signals[subject]):
                yield f"{one.key} is of {subject}, which was well at {each['opened_unix_ms']}"
            closed_ms = each["closed_unix_ms"]
            if closed_ms is not None and not any(not s.bad and s.at_ms == closed_ms for s in signals[subject]):
                yield f"{one.key} ends what {subject} did not end at {closed_ms}"
    for (channel, incident, closed), found in keys.items():
        if len(found) > 1:
            yield f"channel {channel} heard of {'the end of ' if closed else ''}{incident} as {sorted(found)}"
    for subject, opened in spans.items():
        begins = sorted(opened.values())
        for one_ms, other_ms in pairwise(begins):
            between = any(not s.bad and one_ms <= s.at_ms <= other_ms for s in signals[subject])
            noted_ms = max(s.noted_ms for s in signals[subject] if s.at_ms == other_ms)
            spans_restore = play.restored_ms is not None and one_ms <= play.restored_ms <= noted_ms
            if not between and not spans_restore:
                yield f"{subject} has incidents since {one_ms} and {other_ms}, and nothing went well between them"


def _all_said(play: Any, place: int, sent: list[Any], signals: dict[str, list[TrueSignal]]) -> Iterator[str]:
    if play.clients.of(place, "delete"):
        return
    planned = play.plan.rules[place]
    tagged = {f"monitor/{m.id}" for m, p in zip(play.clients.monitors, play.plan.monitors, strict=True) if p.tagged}
    since_ms = play.restored_ms or 0
    given_up = {one.key for one in sent if one.claim is not None and one.claim.attempt >= SEND_ATTEMPTS_MAX}
    for subject, these in signals.items():
        if planned.tagged and subject not in tagged:
            continue
        for channel, temper in enumerate(planned.tempers):
            if temper == "refuse":
                continue
            heard = [
                (one, each)
                for one in sent
                if one.channel == channel and one.kind != "test" and (one.said == "completed" or one.key in given_up)
                for each in one.data["incidents"]
                if _subject(each) == subject
            ]
            yield from _heard(play, planned, subject, channel, [s for s in these if s.noted_ms > since_ms], heard)


def _heard(
    play: Any, planned: Any, subject: str, channel: int, signals: list[TrueSignal], heard: list[tuple[Any, Any]]
) -> Iterator[str]:
    for s in signals:
        if not s.bad:
            continue
        ends = sorted(o.at_ms for o in signals if not o.bad and o.at_ms >= s.at_ms)
        covering = [(one, each) for one, each in heard if each["opened_unix_ms"] <= s.at_ms]
        covering = [(one, each) for one, each in covering if not _is_over(signals, each["opened_unix_ms"], s.at_ms)]
        if not covering:
            yield f"channel {channel} never heard that {subject} failed at {s.at_ms}"
            continue
        first_ms = min(one.at_ms for one, _ in covering)
        is_soon = first_ms <= s.noted_ms + planned.group_ms + SOON_MS
        if play.plan.mood == "calm" and planned.quiet is None and not is_soon:
            yield f"channel {channel} heard of {subject} {first_ms - s.noted_ms} ms later"
        if ends and "recovered" in planned.when and not any(each["closed_unix_ms"] is not None for _, each in covering):
            yield f"channel {channel} never heard that {subject} recovered at {ends[0]}"


def _is_over(signals: list[TrueSignal], opened_ms: int, at_ms: int) -> bool:
    """Whether an incident ended before ``at_ms``. What went well in the millisecond in which it began ended the one
    before it, unless that came after."""
    began = max((n for n, o in enumerate(signals) if o.bad and o.at_ms == opened_ms), default=-1)
    good = [(n, o.at_ms) for n, o in enumerate(signals) if not o.bad and opened_ms <= o.at_ms < at_ms]
    return any(ended_ms > opened_ms or n > began for n, ended_ms in good)


def _ledger(play: Any, place: int, sent: list[Any]) -> Iterator[str]:
    """Each message that a channel took is in the ledger as sent, and no other is."""
    if play.restored_ms is not None or play.clients.of(place, "delete"):
        return
    rule = play.clients.rules[place]
    records, _ = play.tables.inner.page(ANONYMOUS_ADMIN.tenant, "sent", 100_000, None)
    lines = [msgspec.json.decode(record.document, type=SentNotification) for record in records]
    mine = [line for line in lines if line.rule_id == rule.id]
    well = [one for one in sent if one.said == "completed"]
    taken = {(one.key, each["incident_id"]) for one in well for each in one.data["incidents"]}
    written = {(line.notification_id, line.incident_id): line.state for line in mine}
    for key, incident in sorted(taken - set(written)):
        yield f"{key} of {incident} was taken, and is not in the ledger"
    for place_of, state in written.items():
        if state == "sent" and place_of not in taken:
            yield f"{place_of} is in the ledger, and no channel took it"
        if state == "failed" and place_of in taken:
            yield f"{place_of} is in the ledger as failed, and its channel took it"


def _subject(each: dict[str, Any]) -> str:
    kind = next(name.removesuffix("_id") for name in ("monitor_id", "schedule_id") if name in each)
    return f"{kind}/{each[kind + '_id']}"
