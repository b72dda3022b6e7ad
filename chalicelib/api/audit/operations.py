"""The audit over HTTP. What it needs is loaded with the first call: the API starts without."""

from __future__ import annotations

from chalicelib.api.audit import schemas
from chalicelib.api.http.operations import Call, Operation
from chalicelib.api.http.problem import Reply
from chalicelib.api.http.requests import Body, Query, given
from chalicelib.core.decoders import converted
from chalicelib.core.errors import InvalidField

COLLECTION = "/api/v1/audit"
NDJSON = "text/x-ndjson"
NEXT_TOKEN = "X-Chrono-Next-Page-Token"  # noqa: S105 -- the name of a header


def page(call: Call[Body, schemas.AuditQuery]) -> Reply:
    """A page of entries."""
    from chalicelib.core.audit.entry import shown
    from chalicelib.usecases import audit_trail

    q = call.query
    from_ms, to_ms = given(q.from_unix_ms), given(q.to_unix_ms)
    if from_ms is not None and to_ms is not None and to_ms < from_ms:
        raise InvalidField.of("to_unix_ms", "must not be before from_unix_ms")
    wanted = audit_trail.AuditFilter(
        actor=given(q.actor),
        action=given(q.action),
        resource=given(q.resource),
        from_ms=from_ms,
        to_ms=to_ms,
    )
    after = call.after(q)
    position = None if after is None else audit_trail.AuditPosition(*map(int, after.split(".")))
    found = audit_trail.page(call.services, call.caller, wanted, q.limit, position)
    items = [converted(shown(entry), schemas.AuditEntryView) for entry in found.entries]
    return call.page(items, found.after and f"{found.after.segment}.{found.after.sequence}")


def verify(call: Call[Body, Query]) -> Reply:
    """Judge the chain."""
    from chalicelib.usecases import audit_trail

    found = audit_trail.verify(call.services, call.caller)
    verdict = found.verdict
    view = schemas.AuditVerdictView(
        valid=verdict.first_bad is None,
        entries=verdict.entries,
        covered_entries=verdict.covered,
        checkpoints=found.checkpoints,
    )
    if verdict.first_bad is not None:
        view.first_bad_sequence, view.reason = verdict.first_bad, verdict.reason or ""
    return Reply(200, view)


def export(call: Call[Body, schemas.AuditExportQuery]) -> Reply:
    """A part of the chain, oldest first, as lines."""
    from chalicelib.usecases import audit_trail

    after = call.after(call.query)
    entries, checkpoints, rest = audit_trail.export(
        call.services, call.caller, call.query.limit, 0 if after is None else int(after)
    )
    lines = [*map(audit_trail.line, entries), *map(audit_trail.line, checkpoints)]
    text = "".join(f"{each}\n" for each in lines)
    token = call.token(None if rest is None else str(rest))
    return Reply(200, text, {} if token is None else {NEXT_TOKEN: token}, f"{NDJSON}; charset=utf-8")


def operations() -> list[Operation]:
    """The calls of this noun."""
    return [
        Operation(
            method="GET",
            path=COLLECTION,
            summary="Who did what, and who was refused, newest first",
            tag="audit",
            permission="audit:read",
            handler=page,
            query=schemas.AuditQuery,
            answers={200: schemas.AuditList},
            errors=(400,),
            description="For admins. What is recorded: docs/security.md. A page may be short, or empty, and have a "
            "`next_page_token` all the same.",
        ),
        Operation(
            method="POST",
            path=COLLECTION + ":verify",
            summary="Whether the audit is what it was",
            tag="audit",
            permission="audit:read",
            handler=verify,
            answers={200: schemas.AuditVerdictView},
            description="For admins. Judges each entry, each link, each erasure, and all of it by the signed "
            "checkpoints. `scripts/verify-audit` does the same to an export, without this service.",
        ),
        Operation(
            method="GET",
            path=COLLECTION + ":export",
            summary="The audit and its checkpoints as JSON lines, oldest first",
            tag="audit",
            permission="audit:read",
            handler=export,
            query=schemas.AuditExportQuery,
            answers={200: NDJSON},
            errors=(400,),
            sensitive=True,
            description='For admins. Each line is `{"entry": …}` or `{"checkpoint": …}`. Where there are more, '
            f"`{NEXT_TOKEN}` is the page token of the rest.",
            answer_headers={NEXT_TOKEN: "The page token of the rest, when there is more."},
        ),
    ]
