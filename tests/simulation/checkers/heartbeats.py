"""Monitors: each goes down when its ping did not come or its job failed, at that very instant, and at no other time.

What a monitor should do follows from the calls of its pingers: when each began, and when it was answered. A ping in
doubt may have been taken at any moment until its time limit, or not at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

SLACK_MS = 40  # between the clocks of two instances, and between a decision and the clock that it read
SOON_MS = 2_000
RESTORE_MS = 3_000  # the last run of the settling


def check(play: Any) -> Iterable[str]:
    """What broke."""
    if not play.rested:
        yield "it never comes to rest"
        return
    for place, monitor in enumerate(play.clients.monitors):
        name = f"monitor {place}"
        events = _once(play, monitor.id)
        yield from (f"{name}: {problem}" for problem in _numbered(play, monitor.id))
        for event in events:
            yield from (f"{name}: {problem}" for problem in _is_right(play, place, event))
        yield from (f"{name}: {problem}" for problem in _none_missed(play, place, events))


def events_of(play: Any, monitor_id: str) -> list[Any]:
    """What the bus heard of a monitor, each event once, in the order of their numbers."""
    return _once(play, monitor_id)


def _once(play: Any, monitor_id: str) -> list[Any]:
    found = {e.id: e for e in reversed(play.bus.heard) if e.monitor == monitor_id}
    return sorted(found.values(), key=_number)


def _number(event: Any) -> int:
    return int(event.id.rpartition("-")[2])


def _numbered(play: Any, monitor_id: str) -> Iterator[str]:
    """One change, one number; none is left out."""
    said: dict[str, tuple[str, str, int]] = {}
    for e in play.bus.heard:
        if e.monitor == monitor_id and said.setdefault(e.id, e[3:]) != e[3:]:
            yield f"event {e.id} was {said[e.id]}, and then {e[3:]}"
    events = _once(play, monitor_id)
    for before, event in pairwise(events):
        spans = play.restored_ms is not None and before.at_ms <= play.restored_ms <= event.at_ms
        is_lost = play.restored_ms is not None and event.at_ms <= play.restored_ms  # it was to be announced again
        if _number(event) != _number(before) + 1 and not spans and not is_lost:
            yield f"{before.id} is followed by {event.id}: a change was not announced"
        if event.due_ms < before.due_ms - SLACK_MS:
            yield f"{event.id} is of before {before.id}"


def _is_right(play: Any, place: int, event: Any) -> Iterator[str]:
    planned, clients, due_ms = play.plan.monitors[place], play.clients, event.due_ms
    period_ms, grace_ms = planned.period_ms, planned.grace_ms
    if event.at_ms < due_ms - SLACK_MS:
        yield f"{event} was announced before its time"
    if play.plan.mood == "calm" and event.at_ms > due_ms + SOON_MS:
        yield f"{event} was announced late"
    successes, fails = clients.of(place, "success"), clients.of(place, "fail")
    begins = [*successes, *fails, *clients.of(place, "resume"), *_restore(play)]
    match event.reason:
        case "missed":
            basis_ms = due_ms - period_ms - grace_ms
            if not any(_may_be(c, basis_ms) for c in begins):
                yield f"{event} is not {period_ms} + {grace_ms} ms after anything that began to wait"
            for c in [*successes, *fails, *_restore(play)]:
                if c.is_done and c.latest_ms < due_ms - SLACK_MS and c.started_ms > basis_ms + SLACK_MS:
                    yield f"{event}, though {c} was answered before"
        case "not_ended":
            if not any(_may_be(c, due_ms - grace_ms) for c in clients.of(place, "start")):
                yield f"{event}, and nothing started {grace_ms} ms before"
            for c in [*successes, *fails]:
                if c.is_done and c.latest_ms < due_ms - SLACK_MS and c.started_ms > due_ms - grace_ms + SLACK_MS:
                    yield f"{event}, though {c} ended it"
        case "failed" if not any(_may_be(c, due_ms) for c in fails):
            yield f"{event}, and nothing failed"
        case "pinged" if not any(_may_be(c, due_ms) for c in successes):
            yield f"{event}, and nothing succeeded"
    back = [*clients.of(place, "resume"), *_restore(play)]
    for c in clients.of(place, "pause"):
        is_back = any(r.latest_ms > c.started_ms and r.started_ms < due_ms + SLACK_MS for r in back)
        if c.is_done and c.latest_ms < due_ms - SLACK_MS and not is_back:
            yield f"{event}, though {c} had paused it"


def _may_be(call: Any, at_ms: int) -> bool:
    return bool(call.started_ms - SLACK_MS <= at_ms <= call.latest_ms + SLACK_MS)


class _Restore:
    """What a restore is for a monitor: it waits from then on."""

    def __init__(self, at_ms: int) -> None:
        self.started_ms = at_ms - RESTORE_MS
        self.latest_ms = at_ms
        self.is_done = True

    def __str__(self) -> str:
        return "the restore"


def _restore(play: Any) -> list[Any]:
    return [] if play.restored_ms is None else [_Restore(play.restored_ms)]


def _none_missed(play: Any, place: int, events: list[Any]) -> Iterator[str]:
    """After a ping that was answered, and which nothing follows in time, there is an event at its instant."""
    planned, clients = play.plan.monitors[place], play.clients
    acts = clients.of(place, "success", "fail", "start", "pause", "resume")
    others = _restore(play)
    for act in acts:
        if not act.is_done or act.kind not in ("success", "fail", "start"):
            continue
        rest = [o for o in [*acts, *others] if o is not act]
        waits = {"success": planned.period_ms + planned.grace_ms, "start": planned.grace_ms, "fail": 0}
        wait_ms = waits[act.kind]
        over_ms = act.latest_ms + wait_ms + SLACK_MS
        meets = any(o.started_ms <= over_ms and o.latest_ms >= act.started_ms - SLACK_MS for o in rest)
        lost = act.started_ms <= (play.restored_ms or 0)  # what was not announced then never is
        if meets or lost or _may_be_paused(play, place, act.started_ms):
            continue
        if act.kind == "success" and _last_state(play, events, act) == "down":
            is_back = any(e.reason == "pinged" and _may_be(act, e.due_ms) for e in events)
            if not is_back:
                yield f"{act} ended what was announced, and that was not"
        # What is late already may be down before the grace of a start is over.
        wanted = {"success": ("missed",), "start": ("missed", "not_ended"), "fail": ("failed", "missed", "not_ended")}[
            act.kind
        ]
        was_down = act.kind != "success" and _was_down(play, events, act)
        first_ms, last_ms = act.started_ms + (0 if act.kind == "start" else wait_ms) - SLACK_MS, over_ms
        if not was_down and not any(e.reason in wanted and first_ms <= e.due_ms <= last_ms for e in events):
            yield f"{act}, and nothing after it: it did not go down ({wanted[0]})"


def _last_state(play: Any, events: list[Any], act: Any) -> str:
    """What was announced of it last. A restore forgets what came after the backup."""
    restored_ms = play.restored_ms or 0
    since_ms = restored_ms if act.latest_ms >= restored_ms else 0
    before = [e for e in events if e.due_ms < act.started_ms - SLACK_MS and e.at_ms >= since_ms]
    return before[-1].state if before else "up"


def _was_down(play: Any, events: list[Any], act: Any) -> bool:
    """Whether it may have been down before. After a restore that is not known."""
    before = [e for e in events if e.due_ms < act.started_ms + SLACK_MS]
    return play.restored_ms is not None or (bool(before) and before[-1].state == "down")


def _may_be_paused(play: Any, place: int, at_ms: int) -> bool:
    if play.restored_ms is not None and play.clients.of(place, "pause"):
        return True  # the backup may be of before the resumption
    pauses = [c for c in play.clients.of(place, "pause") if c.started_ms <= at_ms]
    resumes = [c for c in play.clients.of(place, "resume") if c.is_done and c.latest_ms <= at_ms]
    return any(all(r.started_ms <= pause.latest_ms for r in resumes) for pause in pauses)
