"""Subjects over HTTP: what is kept about one, and its erasure."""

from __future__ import annotations

import msgspec

from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import EveryVersion, Reply
from chalicelib.api.http.requests import Body, TokenQuery
from chalicelib.api.subjects import schemas
from chalicelib.core.audit.limits import SUBJECT_MAX_CHARS
from chalicelib.core.errors import NotFound, PreconditionFailed

ONE = "/api/v1/subjects/{subject_id}"
NDJSON = "text/x-ndjson"
NEXT_TOKEN = "X-Chrono-Next-Page-Token"  # noqa: S105 -- the name of a header


def export(call: Call[Body, TokenQuery]) -> Reply:
    """What is kept about a subject, as lines."""
    from chalicelib.usecases import subjects

    found, after = subjects.export(call.services, call.caller, _id(call), call.after(call.query))
    text = "".join(f"{msgspec.json.encode({'kind': kind, 'data': data}).decode()}\n" for kind, data in found)
    token = call.token(after)
    headers = {"Cache-Control": "no-store"} | ({} if token is None else {NEXT_TOKEN: token})
    return Reply(200, text, headers, f"{NDJSON}; charset=utf-8")


def erase(call: Call[Body, TokenQuery]) -> Reply:
    """Erase a subject, or go on."""
    from chalicelib.usecases import subjects

    done = subjects.erase_subject(call.services, call.caller, _id(call), call.after(call.query))
    view = schemas.ErasureView(
        pseudonym=done.pseudonym,
        schedules=done.schedules,
        executions=done.executions,
        keys=done.keys,
        leases=done.leases,
        triggers=done.triggers,
        monitors=done.monitors,
        notification_rules=done.notification_rules,
        workflows=done.workflows,
        audit_entries=done.audit_entries,
        completed=done.after is None,
        next_page_token=call.token(done.after),
    )
    return Reply(200, view)


def _id(call: Call[Body, TokenQuery]) -> str:
    subject_id = call.params["subject"]
    if len(subject_id) > SUBJECT_MAX_CHARS:
        raise NotFound("there is no such subject")
    if call.versions is not None and not isinstance(call.versions, EveryVersion):
        raise PreconditionFailed("a subject has no version: leave If-Match out")
    return subject_id


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="POST",
            path=ONE + ":export",
            summary="Everything that is kept about a subject, as JSON lines",
            tag="subjects",
            permission="subjects:read",
            handler=export,
            query=TokenQuery,
            answers={200: NDJSON},
            errors=(400,),
            guarded=True,
            records_itself=True,
            description='For admins. Each line is `{"kind","data"}`: `schedule`, `execution`, `log`, `key`, `lease`, '
            "`trigger`, `monitor`, `notification_rule`, `workflow`, `run` or `audit`. "
            f"Where there is more, `{NEXT_TOKEN}` is the page token of the rest. docs/compliance.md.",
            answer_headers={NEXT_TOKEN: "The page token of the rest, when there is more."},
        ),
        Operation(
            method="POST",
            path=ONE + ":erase",
            summary="Erase a subject",
            tag="subjects",
            permission="subjects:write",
            handler=erase,
            query=TokenQuery,
            answers={200: schemas.ErasureView},
            errors=(400, 409),
            guarded=True,
            records_itself=True,
            description="For admins. Deletes the subject's schedules, triggers, monitors, notification rules and "
            "workflows, ends its keys, breaks its leases. In ended executions and in the audit a "
            "pseudonym stands for it. The audit stays valid. docs/compliance.md.",
        ),
    ]
