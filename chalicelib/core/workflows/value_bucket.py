"""The bucket for large values of runs, read out of its variable. Imported before anything is installed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from chalicelib.core.errors import SettingsError

VARIABLE: Final = "CHRONO_VALUE_BUCKET"
_BUCKET: Final = r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"


def of_emulator(stage: str) -> str:
    """The bucket that a stage has on an emulator, where names need not be the world's only ones."""
    return f"chronowatch-{re.sub(r'[^a-z0-9-]', '-', stage.lower())}-values"[:63]


def read(env: Mapping[str, str], stage: str, is_emulated: bool) -> str | None:
    """The bucket (None: large values lie in the table of runs). Raises SettingsError."""
    bucket = env.get(VARIABLE, "").strip()
    if not bucket:
        return of_emulator(stage) if is_emulated else None
    if re.fullmatch(_BUCKET, bucket) is None:
        raise SettingsError(VARIABLE, f"must be the name of an S3 bucket, not {bucket[:80]!r}")
    return bucket
