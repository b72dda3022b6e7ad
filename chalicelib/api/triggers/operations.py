"""Triggers over HTTP, and the inlet where a webhook source sends its events."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from chalicelib.api.executions.schemas import of_execution
from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, PageQuery, Query
from chalicelib.api.triggers import schemas, views
from chalicelib.core.errors import BadRequest, Forbidden, Unauthorized, UnsupportedMedia
from chalicelib.core.triggers import received_event
from chalicelib.core.triggers.received_event import ReceivedEvent
from chalicelib.usecases import trigger_settings, triggers
from chalicelib.usecases.trigger_settings import ShownTrigger

COLLECTION: Final = "/api/v1/triggers"
ONE: Final = COLLECTION + "/{trigger_id}"
INLET: Final = "/ingest/{trigger_id}/{token}"
_TAGGED: Final = {"ETag": "The version, for `If-Match`."}
_EXAMPLE: Final[dict[str, Any]] = {
    "name": "orders",
    "source": {"type": "webhook", "secret_ref": "secretsmanager:orders-webhook"},
    "filter": {"cel": "event.type == 'order.created'"},
    "target": {"type": "sqs", "queue_url": "https://sqs.eu-west-1.amazonaws.com/123456789012/orders"},
}


def create(call: Call[schemas.NewTriggerBody, Query]) -> Reply:
    """Make a trigger."""
    trigger_id = call.new_id()
    made = trigger_settings.create(call.services, call.caller, views.request_of(call.body), trigger_id)
    reply = _shown(call, made, 201)
    reply.headers["Location"] = f"{call.base}{COLLECTION}/{trigger_id}"
    return reply


def page(call: Call[Body, PageQuery]) -> Reply:
    """A page of triggers."""
    found, after = trigger_settings.page(call.services, call.caller, call.query.limit, call.after(call.query))
    base, now_ms = views.base_of(call.headers, call.base), call.services.clock.now_ms()
    return call.page([views.trigger_view(one, base, now_ms) for one in found], after)


def get(call: Call[Body, Query]) -> Reply:
    """One trigger."""
    return _shown(call, trigger_settings.get(call.services, call.caller, call.params["trigger"]), 200)


def edit(call: Call[schemas.TriggerChanges, Query]) -> Reply:
    """Change fields."""
    wanted = views.request_of(call.body)
    return _shown(
        call, trigger_settings.edit(call.services, call.caller, call.params["trigger"], wanted, call.versions), 200
    )


def pause(call: Call[Body, Query]) -> Reply:
    """Let no event fire."""
    return _switched(call, active=False)


def resume(call: Call[Body, Query]) -> Reply:
    """Let events fire again."""
    return _switched(call, active=True)


def delete(call: Call[Body, Query]) -> Reply:
    """Delete a trigger."""
    trigger_settings.delete(call.services, call.caller, call.params["trigger"], call.versions)
    return Reply(200, schemas.TriggerDeleted(call.params["trigger"]))


def executions(call: Call[Body, PageQuery]) -> Reply:
    """What it fired."""
    trigger_id, after = call.params["trigger"], call.after(call.query)
    found, more = trigger_settings.executions(call.services, call.caller, trigger_id, call.query.limit, after)
    template = call.services.config.trace_url_template
    return call.page([of_execution(one, template) for one in found], more)


def ingest(call: Call[schemas.EventBody, Query]) -> Reply:
    """Take an event."""
    s = call.services
    trigger = trigger_settings.at_inlet(s, call.params["trigger"], call.params["token"])
    ref = trigger.rules.source.get("secret_ref")
    if ref is not None and (problem := s.inlet_signatures.problem(str(ref), call.headers, call.raw)):
        raise Unauthorized(problem)
    event = _event_of(call, trigger.id)
    if received_event.is_too_deep(event):
        raise Forbidden(triggers.too_deep(), code="webhook_loop")
    received = triggers.receive(s, trigger, event)
    return Reply(202, views.received_view(received, str(event.attributes["id"])))


def _event_of(call: Call[Any, Any], trigger_id: str) -> ReceivedEvent:
    value = msgspec.json.decode(call.raw) if call.raw else None
    media = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if received_event.is_other_form(media):
        raise UnsupportedMedia(f"{media} is not taken: send each event by itself, as {received_event.STRUCTURED}")
    depth = call.caller.depth
    if received_event.is_cloudevent(media, value):
        return received_event.of_object(value if isinstance(value, dict) else {}, depth)
    named = dict(call.headers.items())
    binary = received_event.of_headers("ce-", named, value, percent_encoded=True)
    if binary is not None:
        return received_event.of_object(binary, depth)
    if not call.raw:
        raise BadRequest("the body is empty; a CloudEvent or other JSON is needed")
    now_ms = call.services.clock.now_ms()
    event_id = call.headers.get("webhook-id") or call.headers.get("idempotency-key") or call.services.ids.ulid(now_ms)
    source = f"/chronowatch/triggers/{trigger_id}"
    return received_event.of_object(received_event.wrapped(source, event_id, now_ms, value), depth)


def _switched(call: Call[Any, Any], active: bool) -> Reply:
    found = trigger_settings.switch(call.services, call.caller, call.params["trigger"], active, call.versions)
    return _shown(call, found, 200)


def _shown(call: Call[Any, Any], found: ShownTrigger, status: int) -> Reply:
    base, now_ms = views.base_of(call.headers, call.base), call.services.clock.now_ms()
    shown = views.trigger_view(found, base, now_ms)
    return Reply(status, shown, {"ETag": entity_tag(found.version)})


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="POST",
            path=COLLECTION,
            summary="Make a trigger",
            tag="triggers",
            permission="triggers:write",
            handler=create,
            body=schemas.NewTriggerBody,
            answers={201: schemas.TriggerView},
            creates=True,
            errors=(409,),
            description="Each event that matches fires once: by its source and id there is one execution, with the "
            "same journal, retries and policies as any. See docs/triggers.md for the sources.",
            example=_EXAMPLE,
            answer_headers={"Location": "The trigger's path.", **_TAGGED},
        ),
        Operation(
            method="GET",
            path=COLLECTION,
            summary="List triggers, newest first",
            tag="triggers",
            permission="triggers:read",
            handler=page,
            query=PageQuery,
            answers={200: schemas.TriggerList},
            errors=(400,),
            description="Those that the caller may see. A page may be short and still have a next one.",
        ),
        Operation(
            method="GET",
            path=ONE,
            summary="One trigger",
            tag="triggers",
            permission="triggers:read",
            handler=get,
            answers={200: schemas.TriggerView},
            errors=(404,),
            answer_headers=_TAGGED,
        ),
        Operation(
            method="PATCH",
            path=ONE,
            summary="Change fields of a trigger",
            tag="triggers",
            permission="triggers:write",
            handler=edit,
            body=schemas.TriggerChanges,
            answers={200: schemas.TriggerView},
            errors=(404, 409),
            guarded=True,
            description="Events that come after the answer are judged by the changed rules.",
            example={"filter": {"cel": "event.type == 'order.paid'"}, "debounce_ms": 2000},
            answer_headers=_TAGGED,
        ),
        Operation(
            method="DELETE",
            path=ONE,
            summary="Delete a trigger",
            tag="triggers",
            permission="triggers:write",
            handler=delete,
            answers={200: schemas.TriggerDeleted},
            errors=(404,),
            guarded=True,
            description="What it fired and is not sent yet is cancelled. Executions stay readable.",
        ),
        Operation(
            method="POST",
            path=ONE + ":pause",
            summary="Let no event fire",
            tag="triggers",
            permission="triggers:write",
            handler=pause,
            answers={200: schemas.TriggerView},
            errors=(404,),
            guarded=True,
            description="Events that come meanwhile are answered `paused`; brokers and queues keep theirs.",
            answer_headers=_TAGGED,
        ),
        Operation(
            method="POST",
            path=ONE + ":resume",
            summary="Let events fire again",
            tag="triggers",
            permission="triggers:write",
            handler=resume,
            answers={200: schemas.TriggerView},
            errors=(404,),
            guarded=True,
            answer_headers=_TAGGED,
        ),
        Operation(
            method="GET",
            path=ONE + "/executions",
            summary="What a trigger fired, newest first",
            tag="triggers",
            permission="triggers:read",
            handler=executions,
            query=PageQuery,
            answers={200: schemas.TriggerExecutions},
            errors=(400, 404),
        ),
        Operation(
            method="POST",
            path=INLET,
            summary="Send an event to a trigger",
            tag="triggers",
            permission="triggers:read",
            handler=ingest,
            body=schemas.EventBody,
            answers={202: schemas.ReceivedView},
            open_to_all=True,
            any_json=True,
            deep=True,
            free=True,
            harmless=True,
            errors=(404,),
            description="A CloudEvent, structured or binary, or any JSON, which becomes the data of one. Where the "
            "trigger's source has a `secret_ref`, the call must have a Standard Webhooks signature (401). The URL is "
            "the trigger's `ingest_url`. The answer comes when the event is durable.",
            example={"specversion": "1.0", "id": "4711", "source": "/shop", "type": "order.created", "data": {"n": 1}},
        ),
    ]
