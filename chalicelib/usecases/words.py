"""Words to a schedule: what a text means, without writing anything."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from chalicelib.core.errors import FieldError, InvalidField
from chalicelib.core.recurrence import expressions, zones
from chalicelib.core.recurrence.limits import PREVIEW_DEFAULT_COUNT
from chalicelib.core.security.authorize import authorize
from chalicelib.core.security.caller import Caller
from chalicelib.core.words.describe import describe
from chalicelib.core.words.languages import WordsLanguage
from chalicelib.core.words.lexer import NotUnderstood
from chalicelib.core.words.parse import parse
from chalicelib.core.words.reading import Doubt, Meaning
from chalicelib.ports.services import Services


class UnderstoodSchedule(Struct, frozen=True):
    """One meaning of a text: its description, and when it runs next (unix milliseconds)."""

    meaning: Meaning
    description: str
    runs: tuple[int, ...]


class UnderstoodText(Struct, frozen=True):
    """What a text means; several meanings where ``doubts`` say what it leaves open."""

    schedules: tuple[UnderstoodSchedule, ...]
    doubts: tuple[Doubt, ...]


def read_text(
    s: Services, caller: Caller, text: str, timezone: str | None, languages: Sequence[WordsLanguage]
) -> UnderstoodText:
    """Read a text in the first of ``languages`` that has all of its words; the descriptions are in that language.

    Raises Forbidden, InvalidField: of ``text`` with the code ``not_understood`` and the place of the words at fault.
    """
    authorize(caller, "schedules:read")
    zone = s.config.default_timezone if timezone is None else timezone
    try:
        zones.zone(zone)
    except ValueError as wrong:
        raise InvalidField.of("timezone", str(wrong)) from None
    now_ms = s.clock.now_ms()
    try:
        found = parse(text, zone, now_ms, languages)
    except NotUnderstood as why:
        raise InvalidField([FieldError("text", why.message, (why.start, why.end))], code="not_understood") from None
    schedules = tuple(
        UnderstoodSchedule(m, describe(m.type, m.expr, m.timezone, found.language), _runs(m, now_ms))
        for m in found.meanings
    )
    return UnderstoodText(schedules, tuple(found.doubts))


def _runs(meaning: Meaning, now_ms: int) -> tuple[int, ...]:
    """The next runs of a schedule that is made now."""
    spec = expressions.Spec(meaning.type, meaning.expr, meaning.timezone, now_ms)
    compiled = expressions.compile_uncached(spec)
    if meaning.type == "DELAY":
        first = compiled.first_ms
        return () if first is None else (first,)
    runs: list[int] = []
    found = compiled.next_after(now_ms)
    while found is not None and len(runs) < PREVIEW_DEFAULT_COUNT:
        runs.append(found)
        found = compiled.next_after(found)
    return tuple(runs)
