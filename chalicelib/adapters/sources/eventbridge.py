"""Events of a bus of EventBridge: a rule for each trigger sends them to the queue of steps, under the trigger's name.

So no worker has to listen. A rule of a trigger that is gone is deleted by the first event that it brings.
"""

from __future__ import annotations

import json
from typing import Any, Final

from chalicelib.adapters.aws import clients
from chalicelib.adapters.sources.source_parts import SourceParts
from chalicelib.core.errors import FieldError, InvalidField, OutcomeUnknown, Unavailable
from chalicelib.core.triggers.trigger import Trigger

STAGE_MAX_CHARS: Final = 24  # of a stage in the name of a rule, which has at most 64 characters
QUEUE: Final = "steps"
TARGET_ID: Final = "trigger"
EVERYTHING: Final = {"source": [{"prefix": ""}]}
_GONE: Final = "ResourceNotFoundException"
_REFUSED: Final = {
    _GONE: "there is no such bus",
    "LimitExceededException": "has no room for another rule",
    "AccessDeniedException": "this service may not make rules there",
    "InvalidEventPatternException": "its pattern is not one of a rule",
}


def rule_name(stage: str, trigger: Trigger) -> str:
    """The name of a trigger's rule, which no other stage has."""
    return clients.resource_name(stage[:STAGE_MAX_CHARS], trigger.id)


def route(parts: SourceParts, trigger: Trigger, active: bool) -> None:
    """Make the rule of a trigger as it is to be. Raises InvalidField, Unavailable."""
    events, bus, name = _of(parts, trigger)
    arn = _queue_arn(parts)
    pattern = trigger.rules.source.get("pattern") or EVERYTHING
    state = "ENABLED" if active else "DISABLED"
    envelope = json.dumps({"bus": [trigger.tenant, trigger.id, bus]}, ensure_ascii=True)
    # The template's own signs, and its end: the event goes in there as it is.
    template = envelope.replace("<", "\\u003c").replace(">", "\\u003e")[:-1] + ', "event": <aws.events.event.json>}'
    target = {"Id": TARGET_ID, "Arn": arn, "InputTransformer": {"InputTemplate": template}}
    _call(lambda: events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern), State=state))
    answer = _call(lambda: events.put_targets(Rule=name, EventBusName=bus, Targets=[target]))
    if answer.get("FailedEntryCount"):
        raise Unavailable(f"the rule of the trigger has no target: {answer['FailedEntries'][0].get('ErrorMessage')}")


def unroute(parts: SourceParts, trigger: Trigger) -> None:
    """Delete the rule of a trigger, where there is one. Raises InvalidField, Unavailable."""
    events, bus, name = _of(parts, trigger)
    for delete in (
        lambda: events.remove_targets(Rule=name, EventBusName=bus, Ids=[TARGET_ID]),
        lambda: events.delete_rule(Name=name, EventBusName=bus),
    ):
        try:
            clients.write(delete)
        except Exception as problem:
            if _code(problem) != _GONE:
                raise _translated(problem) from problem


def _of(parts: SourceParts, trigger: Trigger) -> tuple[Any, str, str]:
    bus = str(trigger.rules.source.get("bus") or parts.lent.event_bus)
    return parts.lent.client("events")(), bus, rule_name(parts.stage, trigger)


def _queue_arn(parts: SourceParts) -> str:
    queues = parts.lent.client("sqs")()
    name = clients.resource_name(parts.stage, QUEUE)
    url = clients.read(lambda: queues.get_queue_url(QueueName=name))["QueueUrl"]
    found = clients.read(lambda: queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"]))
    return str(found["Attributes"]["QueueArn"])


def _call(call: Any) -> dict[str, Any]:
    try:
        found: dict[str, Any] = clients.write(call)
    except Exception as problem:
        raise _translated(problem) from problem
    return found


def _code(problem: BaseException) -> str:
    """The code of botocore's error, which ``clients`` wraps."""
    response = getattr(problem, "response", None) or getattr(problem.__cause__, "response", None) or {}
    return str(response.get("Error", {}).get("Code", ""))


def _translated(problem: Exception) -> Exception:
    code = _code(problem)
    if code in _REFUSED:
        return InvalidField([FieldError("source.bus", _REFUSED[code])])
    if isinstance(problem, Unavailable | OutcomeUnknown):
        return problem
    return Unavailable(f"the bus did not take the rule of the trigger: {problem}")
