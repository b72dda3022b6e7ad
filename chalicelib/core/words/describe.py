"""What a schedule does, in words that ``core.words.parse`` reads back as the same schedule.

A description holds type, expression and zone, and nothing else. When a schedule begins and ends, and what it leaves
out, stand in fields of their own. The way back gives the same expression in one spelling: ``MON`` becomes 1, a list of
numbers is sorted, ``@daily`` is ``0 0 * * *``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from itertools import pairwise
from typing import Final

from chalicelib.core.instants import parse_rfc3339, to_rfc3339
from chalicelib.core.limits import INSTANT_MAX_MS
from chalicelib.core.recurrence import zones
from chalicelib.core.words import cron_text, lexicon
from chalicelib.core.words.cron_text import STAR, Term, Terms
from chalicelib.core.words.languages import WordsLanguage
from chalicelib.core.words.lexicon import Field, Phrases
from chalicelib.core.words.limits import DESCRIPTIONS_KEPT

TIMES_MAX: Final = 6  # so many times of day are listed; more are said by minutes and hours
_AMOUNT: Final = re.compile(r"(\d+)(ms|s|m|h|d)")
_PARTS: Final = re.compile(r"(\d+)(Y|M|W|D)|(\d+(?:[.,]\d+)?)(H|M|S)")
_DATE_UNITS: Final = {"Y": "y", "M": "month", "W": "w", "D": "d"}
_TIME_UNITS: Final = {"H": "h", "M": "m", "S": "s"}


@lru_cache(maxsize=DESCRIPTIONS_KEPT)
def describe(kind: str, expr: str, timezone: str, language: WordsLanguage) -> str:
    """The description of a schedule that was taken. ``kind`` is its type."""
    said = lexicon.load(language).phrases
    expr = expr.removeprefix("\ufeff").strip()
    match kind:
        case "CRON":
            body = _Said(said, cron_text.read_terms(expr)).text()
        case "RATE":
            body = _rate(said, _duration(expr))
        case "DELAY":
            body = said.after_run.format(said.amount(*_duration(expr)))
        case "ISO8601":
            body = _steps(said, expr)
        case "AT":
            body = _at(said, parse_rfc3339(expr.partition(":")[2].strip()), timezone)
        case _:
            body = said.rule.format(" / ".join(line.strip() for line in _unfolded(expr)))
    return f"{body} ({timezone})"


def canonical(kind: str, expr: str) -> str:
    """The one spelling of an expression: what its description is read back as."""
    expr = expr.removeprefix("\ufeff").strip()
    match kind:
        case "CRON":
            return cron_text.canonical(expr)
        case "RATE" | "DELAY":
            number, unit = _duration(expr)
            return f"{kind.lower()}:{number}{unit}"
        case "ISO8601":
            return _canonical_steps(expr)
        case "AT":
            return at_text(parse_rfc3339(expr.partition(":")[2].strip()))
        case _:
            return "\n".join(line.strip() for line in _unfolded(expr))


def at_text(unix_ms: int) -> str:
    """``at:`` and an instant, without milliseconds where there are none."""
    return f"at:{to_rfc3339(unix_ms).replace('.000Z', 'Z')}"


def ordinal(n: int) -> str:
    """``2nd``."""
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def _duration(expr: str) -> tuple[str, str]:
    found = _AMOUNT.fullmatch(expr.partition(":")[2].strip())
    assert found is not None, "the expression was taken before"
    return str(int(found[1])), found[2]


def _rate(said: Phrases, amount: tuple[str, str]) -> str:
    return said.every[amount[1]] if amount[0] == "1" else said.every_many.format(said.amount(*amount))


def _unfolded(expr: str) -> list[str]:
    """The lines of a rule, folded ones joined (RFC 5545, section 3.1)."""
    lines = re.sub(r"\r?\n(?=[ \t]*(?:DTSTART|RRULE|RDATE|EXDATE)[;:])", "\n", expr, flags=re.IGNORECASE)
    lines = re.sub(r"\r?\n[ \t](?![ \t]*(?:DTSTART|RRULE|RDATE|EXDATE)[;:])", "", lines, flags=re.IGNORECASE)
    return [line for line in lines.splitlines() if line.strip()]


def _repetition(expr: str) -> tuple[int | None, str | None, str]:
    parts = expr.upper().split("/")
    if not parts[0].startswith("R"):
        return None, None, parts[0]
    return int(parts[0][1:]) if parts[0][1:] else None, parts[1] if len(parts) == 3 else None, parts[-1]


def _canonical_steps(expr: str) -> str:
    times, anchor, period = _repetition(expr)
    period = "P" + "".join(_period_parts(period))
    if times is None and anchor is None:
        return period
    return "/".join(part for part in (f"R{'' if times is None else times}", anchor, period) if part is not None)


def _period_parts(period: str) -> list[str]:
    date, _, time = period.removeprefix("P").partition("T")
    dates = [f"{int(n)}{unit}" for n, unit in re.findall(r"(\d+)([YMWD])", date)]
    times = [f"{_number(n)}{unit}" for n, unit in re.findall(r"(\d+(?:[.,]\d+)?)([HMS])", time)]
    return [*dates, *(["T"] if times else []), *times]


def _number(text: str) -> str:
    whole, dot, rest = text.replace(",", ".").partition(".")
    return f"{int(whole)}{dot}{rest}"


def _steps(said: Phrases, expr: str) -> str:
    times, anchor, period = _repetition(expr)
    units, amounts = _DATE_UNITS, []
    for part in _period_parts(period):
        if part == "T":
            units = _TIME_UNITS
        else:
            amounts.append(said.amount(part[:-1], units[part[-1]]))
    parts = [said.steps.format(", ".join(amounts))]
    if times is not None:
        parts.append(said.times(times))
    if anchor is not None:
        parts.append(said.starting.format(anchor))
    return ", ".join(parts)


def _at(said: Phrases, unix_ms: int, timezone: str) -> str:
    zone = zones.zone(timezone)
    wall_s, ms = divmod(unix_ms, 1000)
    wall_s += zone.offset(wall_s)
    if not 0 <= wall_s * 1000 <= INSTANT_MAX_MS or len(zone.instants_of(wall_s)) != 1:
        return said.once_at.format(at_text(unix_ms).removeprefix("at:"))  # a wall time that comes twice says too little
    civil = datetime.fromisoformat(to_rfc3339(wall_s * 1000)[:-1])
    time = f"{civil:%H:%M}"
    if ms or civil.second:
        time += f":{civil:%S}" + (f".{ms:03d}" if ms else "")
    date = said.date.format(d=civil.day, month=said.month_of_date[civil.month - 1], y=f"{civil.year:04d}")
    return said.once.format(date=date, time=time)


class _Said:
    """Says one cron expression."""

    def __init__(self, said: Phrases, fields: dict[str, Terms]) -> None:
        self._said = said
        self._fields = fields

    def text(self) -> str:
        """Days, months, then the time of day."""
        said, day, month, week = self._said, *(self._fields[name] for name in ("day", "month", "week"))
        times = self._times()
        if week == STAR and _is_one(day) and _is_one(month):
            date = said.yearly.format(d=day[0].a, month=said.month_of_date[month[0].a - 1])
            return f"{date} {times}"
        days = self._days(day, week)
        months = "" if month == STAR else self._months(month)
        if not days and not months and not self._is_listed():
            return times
        return " ".join(part for part in (days or said.every_day, months, times) if part)

    def _days(self, day: Terms, week: Terms) -> str:
        said = self._said
        if day == STAR and week == STAR:
            return ""
        dates = "" if day == STAR else f"{self._joined(self._dates(day))} {said.of_month}"
        weekdays = "" if week == STAR else self._joined(self._weekdays(week))
        if not dates or not weekdays:
            return dates or weekdays
        both = any(terms[0].kind == "step" and terms[0].a < 0 for terms in (day, week))
        return f"{dates} {said.both if both else said.either} {weekdays}"

    def _dates(self, terms: Terms) -> list[str]:
        said = self._said
        special = {"last": said.last_day, "workday": said.last_workday}
        found = []
        for group in _grouped(terms):
            term = group[0]
            if term.kind in special:
                found.append(special[term.kind])
            elif term.kind == "near":
                found.append(said.near_workday.format(n=term.a))
            else:
                found.append(self._element(said.day, group))
        return found

    def _weekdays(self, terms: Terms) -> list[str]:
        said = self._said
        if terms == (Term("span", 1, 5),):
            return [said.workdays]
        found = []
        for term in terms:
            match term.kind:
                case "one":
                    found.append(said.weekly[term.a])
                case "span":
                    found.append(said.week_span.format(a=said.week_from[term.a % 7], b=said.week_to[term.b % 7]))
                case "nth":
                    found.append(said.nth[term.a].format(n=ordinal(term.b) if self._is_english else term.b))
                case "lastweek":
                    found.append(said.last[term.a])
                case _:
                    found.append(self._step(said.week_step, term, said.week_from, said.week_to, 0))
        return found

    def _months(self, terms: Terms) -> str:
        said = self._said
        found = []
        for group in _grouped(terms):
            term = group[0]
            if term.kind == "one":
                names = [said.months[each.a - 1] for each in group]
                field = said.month.one if len(names) == 1 else said.month.many
                found.append(field.format(n=names[0], list=self._joined(names)))
            elif term.kind == "span":
                found.append(said.month.span.format(a=said.months_from[term.a - 1], b=said.months_to[term.b - 1]))
            else:
                found.append(self._step(said.month, term, said.months_from, said.months_to, 1))
        return self._joined(found)

    def _step(self, field: Field, term: Term, first: Sequence[str], last: Sequence[str], base: int) -> str:
        text = field.step.format(s=ordinal(term.s), n=term.s)
        if term.a >= 0:
            text += field.since.format(a=first[(term.a - base) % len(first)])
        if term.b >= 0:
            text += field.until.format(b=last[(term.b - base) % len(last)])
        return text

    def _is_listed(self) -> bool:
        """Whether the times of day are few enough to be listed."""
        fields = [self._fields[name] for name in ("s", "m", "h") if name in self._fields]
        if any(term.kind != "one" for terms in fields for term in terms) or len(self._fields.get("s", STAR)) > 1:
            return False
        return len(self._fields["m"]) * len(self._fields["h"]) <= TIMES_MAX

    def _times(self) -> str:
        said, fields = self._said, self._fields
        if self._is_listed():
            second = f":{fields['s'][0].a:02d}" if "s" in fields else ""
            times = [f"{hour.a:02d}:{minute.a:02d}{second}" for hour in fields["h"] for minute in fields["m"]]
            return said.at_time.format(self._joined(times))
        names = [name for name in ("s", "m", "h") if name in fields]
        parts = []
        for case, name in zip(("at", *("of",) * len(names)), names, strict=False):
            field = said.fields[f"{case} {name}"]
            parts.append(self._joined([self._element(field, group) for group in _grouped(fields[name])]))
        return " ".join(parts)

    def _element(self, field: Field, group: Terms) -> str:
        term = group[0]
        match term.kind:
            case "one":
                numbers = [str(each.a) for each in group]
                return (field.one if len(numbers) == 1 else field.many).format(n=term.a, list=self._joined(numbers))
            case "span":
                return field.span.format(a=term.a, b=term.b)
            case "star":
                return field.each
            case _:
                text = field.step.format(s=ordinal(term.s), n=term.s)
                text += field.since.format(a=term.a) if term.a >= 0 else ""
                return text + (field.until.format(b=term.b) if term.b >= 0 else "")

    def _joined(self, parts: Sequence[str]) -> str:
        if len(parts) == 1:
            return parts[0]
        return f"{', '.join(parts[:-1])} {self._said.conjunction} {parts[-1]}"

    @property
    def _is_english(self) -> bool:
        return "{s}" in self._said.day.step


def _is_one(terms: Terms) -> bool:
    return len(terms) == 1 and terms[0].kind == "one"


def _grouped(terms: Terms) -> list[Terms]:
    """The terms, single values that stand together as one group."""
    cuts = [0, *(i for i, (a, b) in enumerate(pairwise(terms), 1) if a.kind != "one" or b.kind != "one"), len(terms)]
    return [terms[a:b] for a, b in pairwise(cuts)]
