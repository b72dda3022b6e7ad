"""What a deployment says of the Open Policy Agent beside it, read from the environment's variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from chalicelib.core.errors import SettingsError

PATH_DEFAULT: Final = "chronowatch/allow"
_PATH: Final = r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*"


class OpaSettings(NamedTuple):
    """``policy_path`` names the rule that decides, below ``/v1/data/``."""

    url: str
    policy_path: str


def read(env: Mapping[str, str]) -> OpaSettings | None:
    """The settings; None: there is no such engine. Raises SettingsError."""
    url = env.get("CHRONO_OPA_URL", "").strip().rstrip("/")
    path = env.get("CHRONO_OPA_POLICY_PATH", "").strip()
    if not url:
        if path:
            raise SettingsError("CHRONO_OPA_POLICY_PATH", "is of no use without CHRONO_OPA_URL")
        return None
    if not _is_base(url):
        raise SettingsError("CHRONO_OPA_URL", f"must be a URL such as http://127.0.0.1:8181, not {url[:80]!r}")
    if path and re.fullmatch(_PATH, path, re.ASCII) is None:
        raise SettingsError(
            "CHRONO_OPA_POLICY_PATH", f"must be a path of names such as {PATH_DEFAULT}, not {path[:80]!r}"
        )
    return OpaSettings(url, path or PATH_DEFAULT)


def _is_base(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(host) and not (parts.query or parts.fragment or "@" in url)
