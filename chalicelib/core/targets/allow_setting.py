"""Which private addresses webhooks and brokers may have, read from the environment's variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from chalicelib.core.errors import SettingsError

LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


def read(env: Mapping[str, str], loopback: bool) -> tuple[str, ...]:
    """Hosts and addresses that may be reached although they are private; set but empty = none. Raises SettingsError."""
    text = env.get("CHRONO_WEBHOOK_ALLOW")
    if text is None:
        return LOOPBACK if loopback else ()
    entries = tuple(entry.strip().lower() for entry in text.split(",") if entry.strip())
    for entry in entries:
        if not re.fullmatch(r"[a-z0-9._-]+|\[?[0-9a-f:.]+\]?|[0-9a-f:.]+/[0-9]{1,3}", entry) or not _is_known(entry):
            raise SettingsError(
                "CHRONO_WEBHOOK_ALLOW", f"must list host names, addresses or networks, not {entry[:80]!r}"
            )
    return entries


def _is_known(entry: str) -> bool:
    """Whether the guard takes it, which reads the list anew for each judgement."""
    from chalicelib.core.targets import ssrf  # loaded for a list: each function pays for its imports at a cold start

    try:
        ssrf.parse_allow((entry,))
    except ValueError:
        return False
    return True
