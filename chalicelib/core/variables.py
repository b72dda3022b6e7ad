"""Values of environment variables: each reader takes the environment and a name, and names it in its errors."""

from __future__ import annotations

import re
from collections.abc import Mapping

from chalicelib.core.errors import SettingsError

UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
UNITS_BYTES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}


def path_of_file(env: Mapping[str, str], name: str, needed_by: tuple[str, ...] = ()) -> str | None:
    """A path; what is in the file is for its reader to judge."""
    path = env.get(name, "").strip()
    if not path:
        for other in needed_by:
            if env.get(other, "").strip():
                raise SettingsError(name, f"is required with {other}: the path of a PEM file")
    return path or None


def integer(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``."""
    text = env.get(name, "").strip()
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise SettingsError(name, f"must be a whole number from {low} to {high}, not {text[:40]!r}")
    return int(text)


def port_or_off(env: Mapping[str, str], name: str, default: int) -> int | None:
    """A port; None for ``off``."""
    text = env.get(name, "").strip()
    if text == "off":
        return None
    if text and not text.isdecimal():
        raise SettingsError(name, f"must be a whole number from 1 to 65535, or off, not {text[:40]!r}")
    return integer(env, name, default, 1, 65_535)


def duration(env: Mapping[str, str], name: str, default_ms: int, low_ms: int, high_ms: int) -> int:
    """Milliseconds of ``500ms``, ``90s``, ``5m``, ``1h30m`` or ``30d``."""
    text = env.get(name, "").strip()
    if not text:
        return default_ms
    parts = re.findall(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise SettingsError(name, f"must be a duration such as 500ms, 30s, 5m, 1h30m or 30d, not {text[:40]!r}")
    found = round(sum(float(number) * UNITS_MS[unit] for number, unit in parts))
    if not low_ms <= found <= high_ms:
        raise SettingsError(name, f"must be from {_spoken(low_ms)} to {_spoken(high_ms)}, not {text[:40]!r}")
    return found


def _spoken(duration_ms: int) -> str:
    """A duration in the largest unit that it is whole in."""
    unit = next(u for u in reversed(UNITS_MS) if duration_ms % UNITS_MS[u] == 0)
    return f"{duration_ms // UNITS_MS[unit]}{unit}"


def size(env: Mapping[str, str], name: str) -> int | None:
    """Bytes of ``2GB``, ``500MB``, ``1.5GB`` or ``1048576`` (units of 1024); None when nothing is set."""
    text = env.get(name, "").strip()
    if not text:
        return None
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s?([KMGT]?B)?", text, re.IGNORECASE)
    if found is None or not float(found[1]):
        raise SettingsError(name, f"must be a size such as 2GB, 500MB or 65536, not {text[:40]!r}")
    return max(1, int(float(found[1]) * UNITS_BYTES[(found[2] or "B").upper()]))


def ratio(env: Mapping[str, str], name: str, default: float, most: float = 1.0) -> float:
    """A number from 0 to ``most``."""
    text = env.get(name, "").strip()
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", text) or float(text) > most:
        raise SettingsError(name, f"must be a number from 0 to {most:g}, not {text[:40]!r}")
    return float(text)


def choice(env: Mapping[str, str], name: str, default: str, choices: tuple[str, ...]) -> str:
    """One of some words."""
    text = env.get(name, "").strip() or default
    if text not in choices:
        raise SettingsError(name, f"must be one of {', '.join(choices)}, not {text[:40]!r}")
    return text


def word(env: Mapping[str, str], name: str, default: str, longest: int) -> str:
    """A word of letters, digits, ``.``, ``_`` and ``-``."""
    text = env.get(name, "").strip() or default
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text) or len(text) > longest:
        raise SettingsError(name, f"must be 1 to {longest} letters, digits, '.', '_' or '-', not {text[:40]!r}")
    return text
