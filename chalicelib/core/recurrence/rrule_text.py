"""The expression of an RRULE schedule: a rule alone, or the lines of RFC 5545 that go with it.

Understood are DTSTART, RRULE, RDATE and EXDATE, folded or not. Any other line is rejected by name: a line that is
ignored makes a schedule fire at times that its owner did not write.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from chalicelib.core.recurrence.calendar_days import NEVER
from chalicelib.core.recurrence.rrule import RuleGrid
from chalicelib.core.recurrence.rrule_parts import RuleError
from chalicelib.core.recurrence.rrule_times import RuleSet, When, named_zone, read_when, removed
from chalicelib.core.recurrence.zones import Zone

_NAMES: Final = ("DTSTART", "RRULE", "RDATE", "EXDATE")
_PARAMETERS: Final = {
    "DTSTART": {"TZID", "VALUE"},
    "RRULE": set(),
    "RDATE": {"TZID", "VALUE"},
    "EXDATE": {"TZID", "VALUE"},
}
_LINE: Final = re.compile(r"([A-Z-]+)((?:;[A-Z-]+=(?:\"[^\"]*\"|[^\":;]*))*):(.*)", re.ASCII | re.IGNORECASE)
_BEGINS: Final = re.compile(r"\s*(?:" + "|".join((*_NAMES, "EXRULE")) + r")[;:]", re.ASCII | re.IGNORECASE)
_BARE: Final = re.compile(r"\s*[A-Z]+=", re.ASCII | re.IGNORECASE)  # a rule without its name
_SHOWN: Final = 60


class _Line(NamedTuple):
    text: str
    name: str
    parameters: dict[str, str]
    value: str


class RuleText(NamedTuple):
    """An expression taken apart; ``start`` is None when it has no DTSTART."""

    rule: str
    start: When | None
    zone: Zone
    added: tuple[When, ...]
    taken: tuple[When, ...]

    def grid(self, start: When) -> RuleGrid | RuleSet:
        """Its times from ``start`` on. Raises ValueError, also when none is left."""
        grid = RuleGrid(self.rule, start.wall_s, self.zone)
        if not (self.added or self.taken):
            return grid
        if any(when.is_date != start.is_date for when in self.added):
            raise RuleError("RDATE must hold dates when DTSTART is a date, and else times")
        rest = RuleSet(grid, removed(self.taken, start), [when.wall_in(self.zone) for when in self.added])
        if rest.next_wall(min([start.wall_s, *(when.wall_in(self.zone) for when in self.added)])) == NEVER:
            raise RuleError("can never fire: EXDATE leaves nothing out of which to fire")
        return rest


def read(expr: str, zone: Zone) -> RuleText:
    """Take an expression apart; ``zone`` is that of the schedule. Raises ValueError naming the line."""
    if "\n" not in expr and _BARE.match(expr):
        return RuleText(expr, None, zone, (), ())
    lines = [_line(text) for text in _unfolded(expr)]
    rule, begin = _only(lines, "RRULE"), _only(lines, "DTSTART")
    if rule is None:
        raise RuleError("must hold a rule such as FREQ=DAILY")
    start = None
    if begin is not None:
        [start] = _times([begin], zone)
        zone = named_zone(begin.parameters, zone)  # also beside a time in UTC: the whole rule follows it
        start = When(start.wall_in(zone), zone, start.is_date)
    added = _times([line for line in lines if line.name == "RDATE"], zone)
    taken = _times([line for line in lines if line.name == "EXDATE"], zone)
    return RuleText(rule.value, start, zone, added, taken)


def _unfolded(expr: str) -> Iterator[str]:
    """The lines, a continuation joined to what it continues. An indented line that begins anew stands alone."""
    whole = ""
    for line in expr.removeprefix("\ufeff").replace("\r\n", "\n").split("\n"):
        if whole and line[:1] in (" ", "\t") and not _BEGINS.match(line):
            whole += line[1:].rstrip()
            continue
        if whole:
            yield whole
        whole = line.strip()
    if whole:
        yield whole


def _line(text: str) -> _Line:
    if _BARE.match(text):
        return _Line(text, "RRULE", {}, text)
    found = _LINE.fullmatch(text)
    name = found[1].upper() if found is not None else ""
    if found is None or name not in _NAMES:
        raise RuleError(f"{text[:_SHOWN]!r} is not understood; the lines of a rule are {', '.join(_NAMES)}")
    parameters: dict[str, str] = {}
    for parameter in re.findall(r";([^=]+)=(\"[^\"]*\"|[^;]*)", found[2]):
        key = parameter[0].upper()
        if key not in _PARAMETERS[name] or key in parameters:
            raise RuleError(f"{text[:_SHOWN]!r}: {parameter[0]} is not understood, or given twice")
        parameters[key] = parameter[1].strip('"')
    return _Line(text, name, parameters, found[3])


def _only(lines: list[_Line], name: str) -> _Line | None:
    found = [line for line in lines if line.name == name]
    if len(found) > 1:
        raise RuleError(f"{found[1].text[:_SHOWN]!r} is a second {name}")
    return found[0] if found else None


def _times(lines: list[_Line], zone: Zone) -> tuple[When, ...]:
    found: list[When] = []
    for line in lines:
        values = [line.value] if line.name == "DTSTART" else line.value.split(",")
        try:
            found += [read_when(value, line.parameters, zone) for value in values]
        except ValueError as problem:
            raise RuleError(f"{line.name}: {problem}") from None
    return tuple(found)
