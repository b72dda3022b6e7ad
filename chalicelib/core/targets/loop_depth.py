"""How many webhooks of this service led to a call: what ends a service that calls itself.

Each webhook says how deep its firing lies. The API refuses calls that carry the header, unless the deployment allows
them. What an allowed call makes lies one deeper, and the tenth is the end.
"""

from __future__ import annotations

from typing import Final

HEADER: Final = "X-Chrono-Depth"
DEPTH_MAX: Final = 10


def parse(text: str | None) -> int:
    """The depth that a call states; 0 without a header. A header that is no number counts as the greatest depth: it
    was set on purpose, and not by this service."""
    if text is None:
        return 0
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else DEPTH_MAX


def problem(depth: int, allowed: bool) -> str | None:
    """Why a call of this depth is refused, or None."""
    if depth >= DEPTH_MAX:
        return f"this call is the {DEPTH_MAX}th webhook in a chain that calls this service itself: the chain ends here"
    if depth and not allowed:
        return "a webhook of this service called the service itself, and CHRONO_WEBHOOK_OWN_API does not allow that"
    return None
