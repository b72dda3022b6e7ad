"""The setting of an admin key beside those that are stored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from chalicelib.core.errors import SettingsError

VARIABLE: Final = "CHRONO_BOOTSTRAP_KEY"
MIN_CHARS: Final = 32
MAX_CHARS: Final = 4096  # a header holds twice as much

_FORM: Final = rf"[!-~]{{{MIN_CHARS},{MAX_CHARS}}}"


def read(env: Mapping[str, str], auth: str) -> str | None:
    """The key that ``env`` sets; None: none. Where ``auth`` takes no keys that is said, and not found out later.

    Raises SettingsError, which never quotes the key.
    """
    key = env.get(VARIABLE, "").strip()
    if not key:
        return None
    if not re.fullmatch(_FORM, key):
        raise SettingsError(VARIABLE, f"must have {MIN_CHARS} to {MAX_CHARS} characters of ASCII, and no blanks")
    if auth != "off" and "apikey" not in auth.split(","):
        raise SettingsError(VARIABLE, f"is taken only with apikey in CHRONO_AUTH, which is {auth}")
    return key
