"""What goes wrong, as a person and as a program read it: one line and a hint, or problem+json; and the exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, Final

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
NOT_ALLOWED: Final = 4
CONFLICT: Final = 5
UNAVAILABLE: Final = 6

_BY_STATUS: Final[Mapping[int, int]] = {
    **dict.fromkeys((401, 403), NOT_ALLOWED),
    **dict.fromkeys((404, 410), NOT_FOUND),
    **dict.fromkeys((409, 412), CONFLICT),
    **dict.fromkeys((429, 502, 503, 504), UNAVAILABLE),
}
_HINT_BY_CODE: Final[Mapping[str, str]] = {
    "name_taken": "`chronosctl schedules list --name-prefix NAME` shows who has it; `schedules edit NAME` changes it",
    "lease_not_held": "`chronosctl leases get NAME` shows who holds it, and with which token",
    "policy_denied": "`chronosctl policies list` shows the rules; `policies get NAME` one of them",
    "precondition_failed": "it was changed meanwhile: get it again, and use its present version",
    "cursor_expired": "leave --after out, and begin anew",
    "last_admin_key": "create another admin key first",
    "method_not_allowed": "is the service older than this chronosctl? `chronosctl doctor` shows its release",
}
_HINT_BY_EXIT: Final[Mapping[int, str]] = {
    FAILED: "`chronosctl NOUN VERB --help` lists the fields and what they may be",
    NOT_FOUND: "`chronosctl NOUN list` shows what there is; names are told apart by case",
    NOT_ALLOWED: "set CHRONO_TOKEN, or `chronosctl context set NAME --url URL --token-stdin`; `doctor` tries it",
    CONFLICT: "look at its present state with `get`, then decide",
    UNAVAILABLE: "try again soon; `chronosctl doctor` says what is wrong",
}
_HINT_BY_STATUS: Final[Mapping[int, str]] = {
    403: "the credential is known, and may not do this: ask for a role or a permission",
    429: "slow down, and try again",
}


class Fault(Exception):
    """Raised when a command cannot do what it is for. ``problem`` is the service's, where it has one."""

    def __init__(
        self, message: str, exit_code: int = FAILED, hint: str = "", problem: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.exit_code = exit_code
        self.hint = hint or _HINT_BY_EXIT.get(exit_code, "`chronosctl --help` shows the commands")
        self.problem = problem


def usage(message: str, hint: str = "") -> Fault:
    """The call of the command is wrong."""
    return Fault(message, USAGE, hint or "`chronosctl NOUN VERB --help` shows how it is called")


def of_service(error: Any) -> Fault:
    """What an ApiError or Unreachable of the client means here."""
    status = getattr(error, "status", None)
    if status is None:
        hint = "is the service running? CHRONO_URL or the context names its address; `chronosctl doctor` tries it"
        return Fault(f"no answer: {error}", UNAVAILABLE, hint)
    exit_code = _BY_STATUS.get(status, FAILED)
    said = "; ".join(f"{each.get('field')}: {each.get('message')}" for each in error.errors)
    detail = said or error.detail or f"HTTP {status}"
    hint = _HINT_BY_CODE.get(error.code) or _HINT_BY_STATUS.get(status) or _HINT_BY_EXIT[exit_code]
    return Fault(f"{error.code}: {detail}", exit_code, hint, error.problem or None)


def show(fault: Fault, as_json: bool) -> None:
    """Write it to the standard error."""
    if as_json:
        text = json.dumps(fault.problem or _problem(fault), ensure_ascii=False)
    else:
        text = f"error: {' '.join(fault.message.split())}\nhint: {fault.hint}"
    print(text, file=sys.stderr)


def _problem(fault: Fault) -> dict[str, Any]:
    code = {USAGE: "usage", UNAVAILABLE: "unreachable", NOT_FOUND: "not_found", CONFLICT: "conflict"}.get(
        fault.exit_code, "failed"
    )
    status = {USAGE: 400, UNAVAILABLE: 503, NOT_FOUND: 404, CONFLICT: 409}.get(fault.exit_code, 500)
    return {
        "type": f"urn:chronowatch:error:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": fault.message,
        "code": code,
        "hint": fault.hint,
    }
