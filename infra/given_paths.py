"""Paths as a caller of a script gives them: relative to where it stands, which the script has left."""

from __future__ import annotations

import os
from pathlib import Path


def from_caller(path: Path) -> Path:
    """A path that was given on a command line, as an absolute one."""
    return Path(os.environ.get("CALLED_FROM", "."), path).resolve()
