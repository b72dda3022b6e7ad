"""What callers log about an execution: a bounded number of lines, kept as long as its record may be."""

from __future__ import annotations

from chalicelib.core.errors import Conflict, TooMany
from chalicelib.core.executions.limits import LOG_LINES_MAX
from chalicelib.core.security.caller import Caller
from chalicelib.ports.services import Services
from chalicelib.ports.stores.logs import LogLine
from chalicelib.usecases import executions

WRITE_ATTEMPTS = 20
RECENT_LINES = 50  # lines among which a call that is run again searches the one it wrote


def append(
    s: Services, caller: Caller, execution_id: str, message: str, level: str, since_ms: int | None = None
) -> LogLine:
    """Add a line. ``since_ms`` says that the same call may have added it before, no earlier than then.

    Raises NotFound; Conflict (``log_full``) after LOG_LINES_MAX lines; TooMany when many write at once.
    """
    key = executions.get(s, caller, execution_id, "executions:report").key
    number = s.stores.logs.last(key) + 1
    if since_ms is not None:
        written, _ = s.stores.logs.page(key, RECENT_LINES, max(0, number - 1 - RECENT_LINES))
        for line in written:
            if (line.level, line.message) == (level, message) and line.at_ms >= since_ms:
                return line
    for _ in range(WRITE_ATTEMPTS):
        if number > LOG_LINES_MAX:
            raise Conflict(f"an execution has at most {LOG_LINES_MAX} log lines", code="log_full")
        line = LogLine(number, s.clock.now_ms(), level, message)
        if s.stores.logs.append(key, line):
            return line
        number += 1
    raise TooMany("the log is being written by many callers at once", code="contended")


def page(s: Services, caller: Caller, execution_id: str, limit: int, after: int) -> tuple[list[LogLine], int | None]:
    """Lines in the order of their writing, and the number to go on from (None: the end). Raises NotFound."""
    return s.stores.logs.page(executions.get(s, caller, execution_id).key, limit, after)
