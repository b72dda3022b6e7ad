"""Events: one comes in, an execution goes out.

``receive`` is the one way, whatever brought the event: an inlet, a queue, a broker, another part of the service. A
trigger of a workflow is one whose target is that workflow. It may be called again with the same event at
any time: by (source, id) there is one execution. It returns only when what it says is durable, so that a reader of
a queue acknowledges after it. It raises Unavailable and the like when the event must come again.

The order is: paused, depth, filter, the execution that is there already, key, throttle, debounce.
"""

from __future__ import annotations

import hashlib
import json
import logging
from typing import Any, Final, Literal

from msgspec import Struct

from chalicelib.core.errors import TooMany
from chalicelib.core.schedules.schedule import Key, Schedule
from chalicelib.core.telemetry.metric_catalogue import TRIGGER_EVENTS
from chalicelib.core.triggers import throttle, watch
from chalicelib.core.triggers.limits import DEPTH_MAX
from chalicelib.core.triggers.received_event import DIGEST_CHARS, ReceivedEvent, is_too_deep
from chalicelib.core.triggers.trigger import Trigger, TriggerRules
from chalicelib.core.triggers.watch import Arrival
from chalicelib.engine.triggers import event_firings, watches
from chalicelib.ports.services import Services
from chalicelib.ports.workflow_steps import StepFailed

log = logging.getLogger(__name__)

Outcome = Literal[
    "fired", "repeated", "filtered", "deduplicated", "throttled", "waiting", "ended", "paused", "dead_letter"
]
FIRED: Final = "fired"
DEAD_LETTER: Final[Outcome] = "dead_letter"
SAVE_ATTEMPTS: Final = 24


class Received(Struct, frozen=True):
    """What became of an event. ``execution_id`` is the execution that it fires, will fire if nothing else comes
    (``waiting``), or another event of its key has fired. ``reason`` says why it is a dead letter."""

    outcome: Outcome
    execution_id: str | None = None
    reason: str | None = None


class _Refused(Exception):
    """Raised for an event that cannot be judged: it becomes a dead letter."""


def receive(s: Services, trigger: Trigger, event: ReceivedEvent) -> Received:
    """Let an event fire, if its trigger wants that. Raises Unavailable, OutcomeUnknown, TooMany: it must come again."""
    received = _received(s, trigger, event)
    if received.outcome != DEAD_LETTER:  # counted where it is one
        _count(s, trigger, received.outcome)
    return received


def _received(s: Services, trigger: Trigger, event: ReceivedEvent) -> Received:
    key = Key(trigger.tenant, trigger.id)
    found = s.stores.schedules.get([key]).get(key)
    if found is None or not found.definition.active:
        return Received("paused")
    try:
        return _judged(s, trigger, found, event)
    except _Refused as problem:
        return dead_letter(s, trigger, event, str(problem))


def dead_letter(s: Services, trigger: Trigger, event: ReceivedEvent, reason: str) -> Received:
    """Put an event that cannot be judged aside, with the reason."""
    log.warning("an event of trigger %s went to the dead letters: %s", trigger.id, reason)
    execution_id = f"{trigger.id}-{event.digest}"
    s.queue.send_dead(execution_id, event.text, reason)
    _count(s, trigger, DEAD_LETTER)
    return Received(DEAD_LETTER, execution_id, reason)


def _count(s: Services, trigger: Trigger, outcome: Outcome) -> None:
    s.process.meter.count(TRIGGER_EVENTS, (str(trigger.rules.source["type"]), outcome))


def too_deep() -> str:
    """Why a chain of triggers ends."""
    return f"this event is the {DEPTH_MAX}th of a chain of triggers: the chain ends here"


def _judged(s: Services, trigger: Trigger, found: Schedule, event: ReceivedEvent) -> Received:
    rules = trigger.rules
    if is_too_deep(event):
        raise _Refused(too_deep())
    passes = _holds(s, "filter", rules.filter, event)
    arrival = Arrival(event.digest, event.text, event.depth)
    if rules.absence is not None:
        return _absence(s, trigger, found, event, passes)
    if not passes:
        return Received("filtered")
    known = event_firings.existing(s, found, event.digest)
    if known is not None:
        return Received("repeated", known.id)
    holder = arrival if rules.dedupe is None else _holder(s, trigger, event, arrival)
    if holder.digest == arrival.digest:
        return _let_through(s, trigger, found, arrival)
    held = event_firings.existing(s, found, holder.digest)
    if held is None:  # its worker may have died: what counts as its repetition must not be lost with it
        let = _let_through(s, trigger, found, holder)
        if let.outcome == "throttled":  # as the holder was: nothing of this key has fired
            return let
    return Received("deduplicated", event_firings.key_of(found, holder.digest).id)


def _let_through(s: Services, trigger: Trigger, found: Schedule, arrival: Arrival) -> Received:
    if not _admitted(s, trigger, arrival.digest):
        return Received("throttled")
    if trigger.rules.debounce_ms:
        return _burst(s, trigger, found, arrival)
    return Received(FIRED, event_firings.fire(s, found, arrival, s.clock.now_ms()).id)


def _burst(s: Services, trigger: Trigger, found: Schedule, arrival: Arrival) -> Received:
    debounce_ms = trigger.rules.debounce_ms
    watches.move(
        s,
        (trigger.tenant, trigger.id),
        "debounce",
        "",
        lambda before: watch.burst(before, arrival, debounce_ms, s.clock.now_ms()),
    )
    return Received("waiting", event_firings.key_of(found, arrival.digest).id)


def _absence(s: Services, trigger: Trigger, found: Schedule, event: ReceivedEvent, passes: bool) -> Received:
    rule = trigger.rules.absence
    assert rule is not None
    after = _holds(s, "absence.after", rule.after, event)
    if not after and not passes:
        return Received("filtered")
    key = "" if trigger.rules.dedupe is None else _key_of(s, trigger.rules, event)
    arrival = Arrival(event.digest, event.text, event.depth, after, passes)
    _, now = watches.move(
        s,
        (trigger.tenant, trigger.id),
        "absence",
        key,
        lambda before: watch.absence(before, arrival, rule.within_ms, s.clock.now_ms()),
    )
    if now.state == watch.ARMED:
        return Received("waiting", event_firings.key_of(found, now.digest).id)
    return Received("ended")


def _holder(s: Services, trigger: Trigger, event: ReceivedEvent, arrival: Arrival) -> Arrival:
    rule = trigger.rules.dedupe
    assert rule is not None
    key, now_ms = _key_of(s, trigger.rules, event), s.clock.now_ms()
    return s.stores.triggers.claim_key(trigger.tenant, trigger.id, key, arrival, now_ms, now_ms + rule.window_ms)


def _admitted(s: Services, trigger: Trigger, digest: str) -> bool:
    rule = trigger.rules.throttle
    if rule is None:
        return True
    for _ in range(SAVE_ATTEMPTS):
        before = s.stores.triggers.throttle(trigger.tenant, trigger.id)
        after, passes = throttle.admit(before, digest, rule.limit, rule.per_ms, s.clock.now_ms())
        if after == before or s.stores.triggers.save_throttle(after, before.rev):
            return passes
    raise TooMany("events of one trigger arrive faster than they can be counted", code="contended")


def _key_of(s: Services, rules: TriggerRules, event: ReceivedEvent) -> str:
    assert rules.dedupe is not None
    value = _evaluated(s, "dedupe.key", rules.dedupe.key, event)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_CHARS]


def _holds(s: Services, field: str, text: str | None, event: ReceivedEvent) -> bool:
    if text is None:
        return True
    value = _evaluated(s, field, text, event)
    if not isinstance(value, bool):
        raise _Refused(f"{field}: the expression gave {type(value).__name__}, and not true or false")
    return value


def _evaluated(s: Services, field: str, text: str, event: ReceivedEvent) -> Any:
    assert s.workflows is not None, "this process evaluates no expressions"
    try:
        return s.workflows.expressions.evaluate(text, {"event": event.attributes})
    except StepFailed as problem:
        raise _Refused(f"{field}: {problem.error}") from None
