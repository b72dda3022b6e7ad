"""Which release of the IANA time zone data this process plans with."""

from __future__ import annotations

import zoneinfo
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from chalicelib.core.recurrence import zones


def zone_data_version() -> str:
    """The release in force, such as ``2026f``; ``unknown`` when the data does not say.

    Directories of ``zoneinfo.TZPATH`` come before the ``tzdata`` package, as they do for zoneinfo itself.
    """
    for directory in zoneinfo.TZPATH:
        root = Path(directory)
        if (root / "Etc" / "UTC").exists() or (root / "UTC").exists():
            return _version_of(root)
    with suppress(ImportError):
        return str(import_module("tzdata").IANA_VERSION)
    return "unknown"


def use_packaged_zones() -> None:
    """Plan with the pinned ``tzdata`` package alone, not with whatever the operating system carries."""
    zoneinfo.reset_tzpath(to=())
    zones.forget()


def _version_of(root: Path) -> str:
    with suppress(OSError):
        return (root / "+VERSION").read_text("ascii").strip()
    with suppress(OSError), (root / "tzdata.zi").open(encoding="ascii") as lines:
        first = lines.readline()
        if first.startswith("# version "):
            return first.removeprefix("# version ").strip()
    return "unknown"
