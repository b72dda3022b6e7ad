"""``doctor``: whether calls arrive, are allowed, and by which clock."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from typing import Any, Final

import click

from chronosctl import contexts, output
from chronosctl.commands import Shared, session_of
from chronosctl.faults import FAILED, NOT_ALLOWED, UNAVAILABLE, Fault, of_service
from chronosctl.session import Session

_SKEW_MAX_MS: Final = 2_000


@click.command("doctor", cls=Shared)
@click.pass_context
def doctor(context: click.Context, /) -> None:
    """Try the context, the connection, the token, the service's health, and the clock.

    The exit code is that of the worst finding: 6 not reachable, 4 not allowed, 1 anything else.
    """
    session = session_of(context)
    rows: list[dict[str, Any]] = []
    worst = 0
    for name, check in _CHECKS:
        try:
            rows.append({"name": name, "ok": True, "detail": check(session)})
        except Exception as failure:
            fault = failure if isinstance(failure, Fault) else of_service(failure)
            rows.append({"name": name, "ok": False, "detail": fault.message, "hint": fault.hint})
            code = fault.exit_code if fault.exit_code in (NOT_ALLOWED, UNAVAILABLE) else FAILED
            worst = max(worst, code)
            if name == "connection":
                break
    if session.output == "table":
        for row in rows:
            click.echo(f"{'ok  ' if row['ok'] else 'FAIL'}  {row['name']:<12}{row['detail']}")
            if not row["ok"]:
                click.echo(f"      hint: {row['hint']}")
    else:
        output.many(rows, session.output)
    context.exit(worst)


def _context(session: Session) -> str:
    found = contexts.connection(session.context)
    file = contexts.path()
    if os.path.exists(file) and stat.S_IMODE(os.stat(file).st_mode) & 0o077:
        raise Fault(f"others may read {file}, which holds tokens", hint=f"chmod 600 {file}")
    return f"{found.url} by {found.origin}, {'with a' if found.token else 'no'} token"


def _connection(session: Session) -> str:
    from chronowatch.errors import ApiError

    began, transport = time.monotonic(), session.connect(5.0, attempts=1)
    try:
        transport.call("GET", "/health")
    except ApiError as answered:  # an answer is an answer; whether it is a good one is asked below
        return f"it answers ({answered.status})"
    finally:
        transport.close()
    return f"it answers within {round((time.monotonic() - began) * 1000)} ms"


def _token(session: Session) -> str:
    session.call("GET", "/api/v1/schedules", query={"limit": 1})
    return "schedules may be read"


def _health(session: Session) -> str:
    found = session.call("GET", "/health", attempts=1)
    if found["status"] != "ok":
        bad = [name for name, check in found["checks"].items() if not check["ok"]]
        raise Fault(
            f"{found['status']}: {', '.join(bad) or 'many executions fail'}", hint="`chronosctl health` says more"
        )
    return f"{found['status']}, release {found['version']}"


def _clock(session: Session) -> str:
    before = time.time()
    now = session.call("GET", "/api/v1/time/now")["wall_unix_nanos"] / 1e9
    skew_ms = round((now - (before + time.time()) / 2) * 1000)
    if abs(skew_ms) > _SKEW_MAX_MS:
        raise Fault(f"this clock and the service's differ by {skew_ms} ms", hint="turn NTP on")
    return f"this clock and the service's differ by {skew_ms} ms"


_CHECKS: Final[tuple[tuple[str, Callable[[Session], str]], ...]] = (
    ("context", _context),
    ("connection", _connection),
    ("token", _token),
    ("health", _health),
    ("clock", _clock),
)
