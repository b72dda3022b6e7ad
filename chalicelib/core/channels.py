"""What channels of notification nodes and of notification rules have in common."""

from __future__ import annotations

import re
from typing import Any, Final

CLOUD_CHANNELS: Final = frozenset({"email", "sns"})  # by services of the cloud, which not every deployment has
MAIL_MAX_COUNT: Final = 50  # SES takes as many
PAGERDUTY_URL: Final = "https://events.pagerduty.com/v2/enqueue"
SUBJECT_MAX_CHARS: Final = 200
RECEIVERS_WRONG: Final = f"must be an address of e-mail, or a list of 1 to {MAIL_MAX_COUNT}"
SENDER_WRONG: Final = "must be an address of e-mail, which SES has verified"
UNOFFERED: Final = "needs a service that this deployment runs without: let a webhook send it"
ADDRESS_PATTERN: Final = r'^[^\s@<>,;:"\x00-\x1f]{1,64}@[A-Za-z0-9.-]{1,190}$'
_ADDRESS: Final = re.compile(ADDRESS_PATTERN, re.ASCII)


def is_address(value: Any) -> bool:
    """Whether it is an address of e-mail, and no more than that."""
    return isinstance(value, str) and _ADDRESS.fullmatch(value) is not None


def receivers(value: Any) -> tuple[str, ...]:
    """The addresses of an address or a list of them; empty when it is neither."""
    found = [value] if isinstance(value, str) else value
    right = isinstance(found, list | tuple) and len(found) <= MAIL_MAX_COUNT and all(is_address(each) for each in found)
    return tuple(found) if right else ()


def subject_line(text: str) -> str:
    """A text as a subject: one line, cut."""
    return " ".join(text.split())[:SUBJECT_MAX_CHARS]
