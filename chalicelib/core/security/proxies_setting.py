"""Which proxies a deployment believes, read from the environment's variables."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from chalicelib.core.errors import SettingsError
from chalicelib.core.security.source import Network


def read(env: Mapping[str, str]) -> tuple[Network, ...]:
    """The networks whose X-Forwarded-For says where a request comes from. Raises SettingsError."""
    found: list[Network] = []
    for entry in filter(None, (part.strip() for part in env.get("CHRONO_TRUSTED_PROXIES", "").split(","))):
        try:
            found.append(ipaddress.ip_network(entry))
        except ValueError:
            raise SettingsError(
                "CHRONO_TRUSTED_PROXIES", f"must list addresses or networks such as 10.0.0.0/8, not {entry[:80]!r}"
            ) from None
    return tuple(found)
