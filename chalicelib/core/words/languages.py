"""The languages that schedules are described in, and which of them a caller reads."""

from __future__ import annotations

from typing import Final, Literal

WordsLanguage = Literal["en", "ru", "es", "pt"]
LANGUAGES: Final[tuple[WordsLanguage, ...]] = ("en", "ru", "es", "pt")


def wanted_languages(header: str | None) -> list[WordsLanguage]:
    """The languages of an Accept-Language header, best first; those it does not name follow."""
    weighed: list[tuple[float, WordsLanguage]] = []
    for part in (header or "").split(","):
        tag, _, weight = part.strip().partition(";")
        code = tag.strip().lower().partition("-")[0]
        quality = weight.replace(" ", "").removeprefix("q=") or "1"
        try:
            value = float(quality)
        except ValueError:
            continue
        weighed += [(value, known) for known in LANGUAGES if known == code and value > 0]
    named = [code for _, code in sorted(weighed, key=lambda pair: -pair[0])]
    return list(dict.fromkeys([*named, *LANGUAGES]))
