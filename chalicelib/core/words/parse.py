"""A text in one of four languages as a schedule: every word of it is accounted for, or the text is refused.

Words that leave a choice give several meanings, and nothing is guessed. The clock and the zone are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from chalicelib.core.errors import InvalidField
from chalicelib.core.instants import parse_rfc3339
from chalicelib.core.limits import DURATION_MAX_MS
from chalicelib.core.recurrence import expressions, zones
from chalicelib.core.recurrence.limits import EXPR_MAX_CHARS
from chalicelib.core.words import describe, lexicon
from chalicelib.core.words.grammar import read_clauses
from chalicelib.core.words.languages import WordsLanguage
from chalicelib.core.words.lexer import NotUnderstood, read_marks
from chalicelib.core.words.lexicon import WordMark
from chalicelib.core.words.limits import CHOICES_MAX
from chalicelib.core.words.marks_of import MarkReader
from chalicelib.core.words.meaning import meanings
from chalicelib.core.words.reading import Doubt, Meaning, ReadingTime

_PERIOD_LETTERS = {"y": "Y", "month": "M", "w": "W", "d": "D", "h": "H", "m": "M", "s": "S"}
_UNIT_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 7 * 86_400_000}


class Parsed(NamedTuple):
    """What a text means, in the language it was read in; several meanings when ``doubts`` says why."""

    meanings: list[Meaning]
    doubts: list[Doubt]
    language: WordsLanguage


def parse(text: str, timezone: str, now_ms: int, languages: Sequence[WordsLanguage]) -> Parsed:
    """The meaning of a text. The first of ``languages`` that reads all of it counts.

    ``timezone`` holds where the text names none. Raises NotUnderstood, of the language that read most of it.
    """
    refused: list[NotUnderstood] = []
    for code in languages:
        try:
            found, doubts = _parse(text, timezone, now_ms, code)
            return Parsed(found, doubts, code)
        except NotUnderstood as why:
            refused.append(why)
    raise max(refused, key=lambda why: why.start)


def _parse(text: str, timezone: str, now_ms: int, code: WordsLanguage) -> tuple[list[Meaning], list[Doubt]]:
    marks = read_marks(text, lexicon.load(code))
    rest, names, zone_mark = _without_zone(marks)
    if not rest:
        raise NotUnderstood("says nothing about when", 0, len(text))
    doubts: list[Doubt] = []
    if len(names) > 1 and zone_mark is not None:
        doubts.append(Doubt("may be any of " + ", ".join(names), zone_mark.start, zone_mark.end))
    found: list[Meaning] = []
    for name in names or (timezone,):
        moment = ReadingTime(zones.zone(name), now_ms)
        read, why = _read(text, rest, moment)
        found += [meaning for meaning in read if meaning not in found]
        doubts += [doubt for doubt in why if doubt not in doubts]
    for meaning in found:
        _check(meaning, now_ms, len(text))
    return found[:CHOICES_MAX], doubts


def _without_zone(marks: Sequence[WordMark]) -> tuple[list[WordMark], tuple[str, ...], WordMark | None]:
    """The marks without the zone and the words that lead to it or follow it."""
    places = [i for i, mark in enumerate(marks) if mark.kind == "zone"]
    if not places:
        return list(marks), (), None
    i = places[0]
    if len(places) > 1 and marks[places[1]].value != marks[i].value:
        mark = marks[places[1]]
        raise NotUnderstood("is a second time zone", mark.start, mark.end)
    begin, end = i, i + 1
    while begin and marks[begin - 1].kind in ("in", "at", "on", "of", "zoneword", "to"):
        begin -= 1
    while end < len(marks) and marks[end].kind == "zoneword":
        end += 1
    rest = [mark for mark in [*marks[:begin], *marks[end:]] if mark.kind != "zone"]
    if rest and rest[-1].kind == "comma":
        rest.pop()
    return rest, tuple(marks[i].value.split("|")), marks[i]


def _read(text: str, marks: Sequence[WordMark], moment: ReadingTime) -> tuple[list[Meaning], list[Doubt]]:
    cursor = MarkReader(text, marks)
    simple = _rule(cursor) or _steps(cursor) or _delay_or_soon(cursor, moment) or _instant(cursor, moment)
    if simple is not None:
        if not cursor.done:
            raise cursor.wrong("does not fit here")
        return [Meaning(simple[0], simple[1], moment.zone.name)], []
    return meanings(read_clauses(cursor, moment.today), moment, len(text))


def _rule(cursor: MarkReader) -> tuple[expressions.RecurrenceType, str] | None:
    if cursor.kind != "rule":
        return None
    cursor.take()
    if cursor.kind != "quoted":
        raise cursor.wrong("is no rule in quotation marks")
    return "RRULE", cursor.take().value.replace(" / ", "\n")


def _steps(cursor: MarkReader) -> tuple[expressions.RecurrenceType, str] | None:
    """``in steps of 1 month, 5 times, starting 2026-12-01T10:00:00``."""
    if cursor.kind != "steps":
        return None
    cursor.take()
    period = _period_text(cursor)
    times, anchor = "", ""
    while not cursor.done:
        cursor.skip("comma")
        if cursor.kind == "num" and cursor.peek(1).kind == "times" and not times:
            times = str(cursor.whole())
            cursor.take()
        elif cursor.kind in ("starting", "from") and not anchor:
            cursor.take()
            if cursor.kind != "instant":
                raise cursor.wrong("is no instant such as 2026-12-01T10:00:00")
            anchor = cursor.take().value.replace(" ", "T")
        else:
            raise cursor.wrong("does not fit here")
    parts = [f"R{times}"] if times or anchor else []
    return "ISO8601", "/".join([*parts, *([anchor] if anchor else []), period])


def _period_text(cursor: MarkReader) -> str:
    dates, times = "", ""
    while cursor.kind == "num" and cursor.peek(1).kind == "unit":
        number, unit = cursor.take(), cursor.take()
        if unit.value in ("y", "month", "w", "d"):
            dates += number.value + _PERIOD_LETTERS[unit.value]
        elif unit.value == "ms":
            raise cursor.wrong("is no unit of such a step", unit)
        else:
            times += number.value + _PERIOD_LETTERS[unit.value]
        if cursor.kind in ("comma", "and") and cursor.peek(1).kind == "num" and cursor.peek(2).kind == "unit":
            cursor.take()
    if not dates and not times:
        raise cursor.wrong("is no duration")
    return f"P{dates}{'T' if times else ''}{times}"


def _delay_or_soon(cursor: MarkReader, moment: ReadingTime) -> tuple[expressions.RecurrenceType, str] | None:
    """``30 seconds after the previous run ends``, or ``in 5 minutes``: once, so long from now."""
    at = cursor.at
    led = cursor.kind == "in"
    cursor.skip("in")
    if cursor.kind != "num" or cursor.peek(1).kind != "unit":
        cursor.at = at
        return None
    first = cursor.mark
    amounts: list[tuple[int, str]] = []
    while cursor.kind == "num" and cursor.peek(1).kind == "unit" and cursor.peek(1).value in _UNIT_MS:
        amounts.append((cursor.whole(), cursor.take().value))
        if cursor.kind in ("comma", "and") and cursor.peek(1).kind == "num":
            cursor.take()
    total_ms = sum(n * _UNIT_MS[unit] for n, unit in amounts)
    if cursor.kind == "afterrun" and amounts:
        cursor.take()
        if not 1 <= total_ms <= DURATION_MAX_MS:
            raise cursor.wrong("begins a delay that is too short or too long", first)
        return "DELAY", f"delay:{duration_text(amounts)}"
    if led and cursor.done and amounts:
        return "AT", describe.at_text(moment.now_ms + min(total_ms, DURATION_MAX_MS * 100))
    cursor.at = at
    return None


def duration_text(amounts: Iterable[tuple[int, str]]) -> str:
    """The amounts as one, in the largest unit that holds them; one amount stays as it was said."""
    amounts = list(amounts)
    if len(amounts) == 1 and amounts[0][1] != "w":
        return f"{amounts[0][0]}{amounts[0][1]}"
    total_ms = sum(n * _UNIT_MS[unit] for n, unit in amounts)
    unit = next(unit for unit in ("d", "h", "m", "s", "ms") if total_ms % _UNIT_MS[unit] == 0)
    return f"{total_ms // _UNIT_MS[unit]}{unit}"


def _instant(cursor: MarkReader, moment: ReadingTime) -> tuple[expressions.RecurrenceType, str] | None:
    """``once at 2026-12-25T10:00:00Z``."""
    at = cursor.at
    cursor.skip("once", "at", "on")
    if cursor.kind != "instant":
        cursor.at = at
        return None
    mark = cursor.take()
    text = mark.value.replace(" ", "T").upper()
    if len(text.partition("T")[2].split("+")[0].split("-")[0].rstrip("Z")) == 5:
        head, _, tail = text.partition("T")
        text = f"{head}T{tail[:5]}:00{tail[5:]}"
    try:
        if text.endswith("Z") or text[-6] in "+-":
            return "AT", describe.at_text(parse_rfc3339(text))
        wall_ms = parse_rfc3339(text + "Z")
    except ValueError:
        raise cursor.wrong("is no instant", mark) from None
    found = moment.zone.instants_of(wall_ms // 1000)
    if len(found) != 1:
        raise cursor.wrong("comes twice or never on the clocks of this zone: add its offset, such as +01:00", mark)
    return "AT", describe.at_text(found[0] * 1000 + wall_ms % 1000)


def _check(meaning: Meaning, now_ms: int, length: int) -> None:
    """Refuse what can never fire."""
    try:
        if len(meaning.expr) > EXPR_MAX_CHARS:
            raise NotUnderstood("makes an expression that is too long", 0, length)
        expressions.compile_uncached(expressions.Spec(meaning.type, meaning.expr, meaning.timezone, now_ms))
    except InvalidField as wrong:
        raise NotUnderstood(f"makes {meaning.expr!r}, which {wrong.errors[0].message}", 0, length) from None
