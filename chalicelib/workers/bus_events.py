"""Events that the rules of triggers bring: each fires its trigger, as what a worker listens to does."""

from __future__ import annotations

import logging
from typing import Final

from chalicelib.core import ulid
from chalicelib.core.errors import ChronoError, InvalidField, TooLarge
from chalicelib.core.queue_messages import BusEvent
from chalicelib.core.telemetry.metric_catalogue import TRIGGER_EVENTS
from chalicelib.core.triggers import messages, sources
from chalicelib.core.triggers.trigger import Trigger, TriggerRules
from chalicelib.engine.triggers import own_events
from chalicelib.ports.services import Services
from chalicelib.usecases import triggers

log = logging.getLogger(__name__)

(KIND,) = sources.ROUTED
YOUNG_MS: Final = 600_000  # the rule of a trigger is made before the trigger: so long that may not be there yet


def take(s: Services, found: BusEvent) -> bool:
    """Whether what became of an event is durable; else it must come again."""
    try:
        trigger = s.stores.triggers.load(found.tenant, found.trigger_id)
        if trigger is None:
            return _is_stray(s, found)
        if trigger.rules.source["type"] == KIND:
            _receive(s, trigger, found)
    except ChronoError as problem:
        log.warning("an event of trigger %s comes again: %s", found.trigger_id, problem.detail)
        return False
    return True


def _receive(s: Services, trigger: Trigger, found: BusEvent) -> None:
    try:
        event = messages.of_bus_event(found.event)
    except (InvalidField, TooLarge) as problem:
        now_ms = s.clock.now_ms()
        message = messages.EventMessage(body=messages.as_json(found.event), place=str(found.event.get("id") or ""))
        poison = messages.unreadable(KIND, trigger.id, message, now_ms, s.ids.ulid(now_ms))
        triggers.dead_letter(s, trigger, poison, f"the message is no event: {problem.detail}")
        return
    if messages.is_own(found.event) and not own_events.is_heard(s, trigger, str(event.attributes["source"])):
        s.process.meter.count(TRIGGER_EVENTS, (KIND, "filtered"))
        return
    triggers.receive(s, trigger, event)


def _is_stray(s: Services, found: BusEvent) -> bool:
    """An event of a trigger that is not there. A worker died before it was made, or before its rule was deleted."""
    if s.clock.now_ms() - ulid.time_ms(found.trigger_id) < YOUNG_MS:
        return False
    log.warning("the rule of trigger %s is deleted: the trigger is gone", found.trigger_id)
    rules = TriggerRules(source={"type": KIND, "bus": found.bus})
    s.event_sources.unroute(Trigger(tenant=found.tenant, id=found.trigger_id, name="", rules=rules))
    return True
