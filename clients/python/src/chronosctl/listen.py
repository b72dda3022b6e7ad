"""``listen``: firings of the service, posted to a program on this machine as a webhook would be."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.request
from collections.abc import Mapping
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import quote

import click

from chronosctl import contexts, follow, naming, options, output
from chronosctl.commands import Shared, session_of
from chronosctl.faults import usage
from chronosctl.session import Session

_BEGUN: Final = ("in_progress", "completed", "failed", "timeout")
_REMEMBERED: Final = 10_000
_POST_TIMEOUT_S: Final = 30.0


@click.command("listen", cls=Shared)
@click.option(
    "--forward-to", metavar="URL", required=True, help="Where firings are posted: http://localhost:3000/hook."
)
@click.option(
    "--schedule", metavar="SCHEDULE", multiple=True, help="Only these, by id or name. Repeatable.",
    shell_complete=options.completer("schedule_id"),
)  # fmt: skip
@click.option("--secret", help="Sign with this whsec_… secret; by default with one of this session.")
@click.option("--count", type=click.IntRange(1), help="End after so many.")
@click.pass_context
def listen(
    context: click.Context, /, forward_to: str, schedule: tuple[str, ...], secret: str | None, count: int | None
) -> None:
    """Forward firings to a program on this machine, signed as webhooks are.

    Each attempt is posted once, whatever its target is; the service does not learn of the answer.
    """
    session = session_of(context)
    url = forward_to if "://" in forward_to else f"http://{forward_to}"
    if not contexts.is_address(url):
        raise usage(f"--forward-to: {forward_to} is no address", "as in --forward-to http://localhost:3000/hook")
    secret = secret or "whsec_" + base64.b64encode(os.urandom(24)).decode()
    key = _key(secret)
    wanted = {naming.schedule(session, each) for each in schedule}
    after = session.call("GET", "/api/v1/changes", query={"limit": 1})["next_after"]
    print(f"listening; posts to {url} are signed with {secret}", file=sys.stderr, flush=True)
    seen: dict[tuple[str, int], None] = {}
    for change in follow.feed(session, after, "execution"):
        found = change["data"]
        if not _is_new(found, wanted, seen):
            continue
        _forward(session, found, url, key)
        if count is not None and len(seen) >= count:
            return


def _is_new(found: Mapping[str, Any], wanted: set[str], seen: dict[tuple[str, int], None]) -> bool:
    key = (str(found.get("id")), int(found.get("attempt") or 0))
    if found.get("delivery_state") not in _BEGUN or key in seen or (wanted and found["schedule_id"] not in wanted):
        return False
    seen[key] = None
    if len(seen) > _REMEMBERED:
        del seen[next(iter(seen))]
    return True


def event_of(session: Session, found: Mapping[str, Any]) -> dict[str, Any]:
    """The CloudEvent of an execution, as its target gets it."""
    task = session.call("GET", f"/api/tasks/{quote(found['id'], safe='')}")
    at = output.instant(found["firing_time_unix_ms"])
    return {
        "specversion": "1.0",
        "id": found["id"],
        "source": f"/chronowatch/schedules/{found['schedule_id']}",
        "type": "chronowatch.firings.v1",
        "subject": found["schedule_id"],
        "time": at if "." in at else at[:-1] + ".000Z",
        "datacontenttype": "application/json",
        "traceparent": f"00-{found['trace_id']}-{found['trace_id'][:16]}-01",
        "fencingtoken": found["fencing_token"],
        "attempt": found["attempt"],
        "data": task.get("payload"),
    }


def _forward(session: Session, found: Mapping[str, Any], url: str, key: bytes) -> None:
    event = event_of(session, found)
    body = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    request = urllib.request.Request(url, body, _headers(event, body, key))  # noqa: S310 (http or https, checked)
    began = time.monotonic()
    try:
        with urllib.request.urlopen(request, timeout=_POST_TIMEOUT_S) as answer:  # noqa: S310
            status: Any = answer.status
    except HTTPError as refused:
        status = refused.code
    except OSError as failure:
        status = f"no answer: {getattr(failure, 'reason', failure)}"
    took_ms = round((time.monotonic() - began) * 1000)
    row = {"id": found["id"], "attempt": found["attempt"], "status": status, "took_ms": took_ms}
    if session.output == "table":
        click.echo(f"{event['time']}  {found['id']}  attempt {found['attempt']}  {status}  {took_ms} ms")
    else:
        output.one(row, "jsonl" if session.output == "json" else session.output)
    sys.stdout.flush()


def _key(secret: str) -> bytes:
    """What signs. Raises Fault before anything is listened for."""
    from chronowatch.webhooks import key_of

    try:
        return key_of(secret)
    except ValueError as wrong:
        raise usage(f"--secret: {wrong}", "as in whsec_ and base64") from None


def _headers(event: Mapping[str, Any], body: bytes, key: bytes) -> dict[str, str]:
    stamp = str(int(time.time()))
    signed = hmac.new(key, f"{event['id']}.{stamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "Content-Type": "application/cloudevents+json",
        "webhook-id": event["id"],
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(signed).decode(),
        "Idempotency-Key": event["id"],
        "traceparent": event["traceparent"],
    }
