"""Which streams of ticks a deployment runs, read from the environment's variables."""

from __future__ import annotations

from collections.abc import Mapping

from chalicelib.core.errors import SettingsError
from chalicelib.core.ticks.frequencies import FREQUENCIES, Frequency


def read(env: Mapping[str, str], costly: bool) -> tuple[Frequency, ...]:
    """The streams of ticks that run until an admin switches them; set but empty = none. Unset: all.

    Where a stream of seconds is ``costly``, since it keeps a function running all the time, it waits to be switched on.
    Raises SettingsError.
    """
    text = env.get("CHRONO_TICKS")
    if text is None:
        return FREQUENCIES[1:] if costly else FREQUENCIES
    names = {name.strip() for name in text.split(",") if name.strip()}
    if names - set(FREQUENCIES):
        raise SettingsError("CHRONO_TICKS", f"must list some of {', '.join(FREQUENCIES)}, not {text[:80]!r}")
    return tuple(f for f in FREQUENCIES if f in names)
