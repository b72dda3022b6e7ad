"""Triggers: each event fires once or not at all, and which do follows from when they were sent and taken.

Nothing of the product's decisions is asked. An event is *before* another when it was taken before that was first sent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

SLACK_MS = 30  # between the clocks of two instances, and between a decision and the clock that it read


def check(play: Any) -> Iterable[str]:
    """What broke."""
    fired = {e.event: e for e in play.journal.inserted}
    sent = {one.event.digest: one for one in play.sender.sent}
    for digest, times in Counter(e.event for e in play.journal.inserted).items():
        if times > 1:
            yield f"{digest} fired {times} times"
        if digest not in sent:
            yield f"{digest} fired, and nobody sent it"
    for reason in play.work.dead:
        yield f"a dead letter: {reason}"
    if not play.world.over:
        yield "not all that was sent was taken, or something is waited for still"
        return
    yield from _RULES[play.plan.rule](play, list(sent.values()), fired)


def _plain(play: Any, sent: list[Any], fired: dict[str, Any]) -> Iterator[str]:
    for one in sent:
        if one.event.digest not in fired:
            yield f"event {_name(one)} did not fire"


def _dedupe(play: Any, sent: list[Any], fired: dict[str, Any]) -> Iterator[str]:
    wait_ms = play.plan.wait_ms
    for key in range(play.plan.keys):
        mine = [one for one in sent if one.key == key]
        of_key = [one for one in mine if one.event.digest in fired]
        for place, one in enumerate(of_key):
            for other in of_key[place + 1 :]:
                if other.sent_ms > one.last_ms and other.last_ms < one.sent_ms + wait_ms - SLACK_MS:
                    yield f"events {_name(one)} and {_name(other)} of one key fired within {wait_ms} ms"
        for one in mine:
            near = any(o.sent_ms <= one.last_ms and o.last_ms >= one.sent_ms - wait_ms - SLACK_MS for o in of_key)
            if not near:
                yield f"event {_name(one)} did not fire, and none of its key did within {wait_ms} ms before"


def _throttle(play: Any, sent: list[Any], fired: dict[str, Any]) -> Iterator[str]:
    plan, passed = play.plan, play.tables.passed
    times = sorted(passed.values())
    for first, last in zip(times, times[plan.limit :], strict=False):
        if last - first < plan.wait_ms:
            yield f"more than {plan.limit} were let through within {last - first} ms of {plan.wait_ms}"
    for digest in fired:
        if digest not in passed:
            yield f"{digest} fired, and the throttle had not let it through"
    for one in sent:
        if one.event.digest not in fired and "throttled" not in one.outcomes:
            yield f"event {_name(one)} neither fired nor was dropped"
        lonely = not any(
            o is not one and o.sent_ms <= one.last_ms and o.last_ms >= one.sent_ms - plan.wait_ms - SLACK_MS
            for o in sent
        )
        if lonely and one.event.digest not in fired:
            yield f"event {_name(one)} was dropped, though none came near it"


def _debounce(play: Any, sent: list[Any], fired: dict[str, Any]) -> Iterator[str]:
    wait_ms = play.plan.wait_ms
    for one in sent:
        record = fired.get(one.event.digest)
        if record is None:
            followed = any(
                o is not one and o.taken_ms >= one.sent_ms and o.sent_ms <= one.taken_ms + wait_ms + SLACK_MS
                for o in sent
            )
            if not followed:
                yield f"event {_name(one)} did not fire, and none followed it"
            continue
        if not one.sent_ms + wait_ms - SLACK_MS <= record.firing_ms <= one.taken_ms + wait_ms + SLACK_MS:
            yield f"event {_name(one)} is due at {record.firing_ms}, not {wait_ms} ms after it came"
        for other in sent:
            if other.sent_ms > one.taken_ms and other.taken_ms < record.firing_ms - SLACK_MS:
                yield f"event {_name(one)} fired, though {_name(other)} came before its wait was over"


def _absence(play: Any, sent: list[Any], fired: dict[str, Any]) -> Iterator[str]:
    wait_ms = play.plan.wait_ms
    for one in sent:
        record = fired.get(one.event.digest)
        same = [o for o in sent if o is not one and o.key == one.key]
        if record is None:
            alone = not any(
                o.sent_ms <= one.taken_ms + wait_ms + SLACK_MS and o.taken_ms >= one.sent_ms - wait_ms - SLACK_MS
                for o in same
            )
            if one.after and alone:
                yield f"nothing came after event {_name(one)}, and it did not fire"
            elif one.after and not _is_covered(one, same, fired, wait_ms):
                yield f"no wait that began before event {_name(one)} fired in its stead"
            continue
        if not one.after:
            yield f"event {_name(one)} fired, and begins no wait"
        if not one.sent_ms + wait_ms - SLACK_MS <= record.firing_ms <= one.taken_ms + wait_ms + SLACK_MS:
            yield f"event {_name(one)} is due at {record.firing_ms}, not {wait_ms} ms after it came"
        for other in same:
            if other.awaited and other.sent_ms > one.taken_ms and other.taken_ms < record.firing_ms - SLACK_MS:
                yield f"event {_name(one)} fired, though {_name(other)} came in time"


def _is_covered(one: Any, same: list[Any], fired: dict[str, Any], wait_ms: int) -> bool:
    """Whether an event that waits and does not fire needs not to: what it waits for came, or a wait was on already."""
    for other in same:
        came = other.sent_ms <= one.taken_ms + wait_ms + SLACK_MS and other.taken_ms >= one.sent_ms - SLACK_MS
        if other.awaited and came:
            return True
        record = fired.get(other.event.digest)
        if record is not None and other.sent_ms <= one.taken_ms and record.firing_ms >= one.sent_ms - SLACK_MS:
            return True
    return False


def _name(one: Any) -> str:
    return str(one.event.attributes["id"])


_RULES = {"plain": _plain, "dedupe": _dedupe, "throttle": _throttle, "debounce": _debounce, "absence": _absence}
