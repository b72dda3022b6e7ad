"""Notification rules over HTTP, and what they sent."""

from __future__ import annotations

from msgspec import Struct

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply, entity_tag
from chalicelib.api.http.requests import Body, PageQuery, Query, given
from chalicelib.api.notices import schemas
from chalicelib.core.errors import NotFound
from chalicelib.core.notices.rule import NotificationRule
from chalicelib.core.ulid import is_ulid
from chalicelib.usecases import notices

RULES = "/api/v1/notification-rules"
RULE = RULES + "/{rule_id}"


def create(call: Call[schemas.NewNotificationRule, Query]) -> Reply:
    """Make a rule; under an Idempotency-Key, find the one that an earlier run of the same call made."""
    s = call.services
    rule_id = call.new_id()
    again = call.is_repeat
    reply = _shown(notices.create(s, call.caller, schemas.wish_of(call.body), rule_id, again), 201)
    reply.headers["Location"] = f"{call.base}{RULES}/{rule_id}"
    return reply


def get(call: Call[Body, Query]) -> Reply:
    """One rule."""
    return _shown(notices.get(call.services, call.caller, _id(call)))


def page(call: Call[Body, PageQuery]) -> Reply:
    """A page of rules."""
    found, after = notices.page(call.services, call.caller, call.query.limit, call.after(call.query))
    return call.page([schemas.of_rule(rule) for rule in found], after)


def edit(call: Call[schemas.NotificationRuleChanges, Query]) -> Reply:
    """Change some fields."""
    return _shown(notices.edit(call.services, call.caller, _id(call), schemas.wish_of(call.body), call.versions))


def delete(call: Call[Body, Query]) -> Reply:
    """Delete a rule."""
    notices.delete(call.services, call.caller, _id(call), call.versions)
    return Reply(200, schemas.NotificationRuleDeleted(_id(call)))


def test(call: Call[Body, Query]) -> Reply:
    """Try the channels."""
    return Reply(202, schemas.Tested(notices.test(call.services, call.caller, _id(call), call.versions)))


def sent(call: Call[Body, schemas.SentQuery]) -> Reply:
    """A page of what was sent."""
    q = call.query
    wanted = given(q.rule_id), given(q.incident_id)
    found, after = notices.sent(call.services, call.caller, *wanted, q.limit, call.after(q))
    return call.page([schemas.of_sent(line) for line in found], after)


def _id(call: Call[Struct, Query]) -> str:
    found = call.params["rule"]
    if not is_ulid(found):
        raise NotFound("there is no notification rule")
    return found


def _shown(found: NotificationRule, status: int = 200) -> Reply:
    return Reply(status, schemas.of_rule(found), {"ETag": entity_tag(found.version)})


_EXAMPLE = {
    "name": "on call",
    "when": ["failed", "late", "recovered"],
    "match": {"tag": "production"},
    "channels": [{"type": "webhook", "url": "https://example.com/alerts"}],
    "group_ms": 30_000,
    "quiet": {"cron": "0 22 * * *", "for_ms": 28_800_000, "timezone": "Europe/Berlin"},
}
_TAGGED = {"ETag": "Its version."}


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="POST",
            path=RULES,
            summary="Make a notification rule",
            tag="notifications",
            permission="notifications:write",
            handler=create,
            body=schemas.NewNotificationRule,
            answers={201: schemas.NotificationRuleView},
            errors=(409, 507),
            creates=True,
            description="An incident is one schedule or monitor and this rule, until its next success. Each channel "
            "hears of it once, and once of its end where `when` has `recovered`.",
            example=_EXAMPLE,
            answer_headers={"Location": "The rule's path.", **_TAGGED},
        ),
        Operation(
            method="GET",
            path=RULES,
            summary="List notification rules, newest first",
            tag="notifications",
            permission="notifications:read",
            handler=page,
            query=PageQuery,
            answers={200: schemas.NotificationRuleList},
            errors=(400,),
        ),
        Operation(
            method="GET",
            path=RULE,
            summary="One notification rule",
            tag="notifications",
            permission="notifications:read",
            handler=get,
            answers={200: schemas.NotificationRuleView},
            errors=(404,),
            answer_headers=_TAGGED,
        ),
        Operation(
            method="PATCH",
            path=RULE,
            summary="Change some fields of a notification rule",
            tag="notifications",
            permission="notifications:write",
            handler=edit,
            body=schemas.NotificationRuleChanges,
            answers={200: schemas.NotificationRuleView},
            errors=(404,),
            guarded=True,
            example={"enabled": False},
            answer_headers=_TAGGED,
        ),
        Operation(
            method="DELETE",
            path=RULE,
            summary="Delete a notification rule",
            tag="notifications",
            permission="notifications:write",
            handler=delete,
            answers={200: schemas.NotificationRuleDeleted},
            errors=(404,),
            guarded=True,
            description="What it has not sent yet is not sent.",
        ),
        Operation(
            method="POST",
            path=RULE + ":test",
            summary="Send a test to every channel of a rule",
            tag="notifications",
            permission="notifications:write",
            handler=test,
            answers={202: schemas.Tested},
            errors=(404,),
            guarded=True,
        ),
        Operation(
            method="GET",
            path="/api/v1/notifications",
            summary="The ledger of what was sent, newest first",
            tag="notifications",
            permission="notifications:read",
            handler=sent,
            query=schemas.SentQuery,
            answers={200: schemas.SentList},
            errors=(400,),
            description="One line an incident and channel. It is kept for 30 days.",
        ),
    ]
