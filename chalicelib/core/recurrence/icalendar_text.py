"""iCalendar text (RFC 5545) taken apart into its events and those of their properties that say what time they cover.

Folds, quotes and parameters are the library's to read (``icalendar``, imported by the first calendar). What it returns
are lines, and nothing of a value is guessed: the modules above read values strictly. A property that has no say in
coverage is left out unread, whatever its writer made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import Struct, field

EVENTS_MAX: Final = 5_000
_LISTS: Final = frozenset({"RRULE", "RDATE", "EXDATE"})
_ONCE: Final = frozenset({"DTSTART", "DTEND", "DURATION", "RECURRENCE-ID", "SEQUENCE", "STATUS", "UID"})
_READ: Final = _LISTS | _ONCE | {"EXRULE", "SUMMARY"}
_UNSTATED: Final = _LISTS | {"EXRULE", "SEQUENCE", "STATUS", "SUMMARY", "UID"}  # empty, they say nothing
_SIMPLE: Final = re.compile(r"([\w.-]+)((?:;[^\":\\]*)?):(.*)", re.ASCII | re.DOTALL)  # no quote before its colon
_NAMED: Final = re.compile(r"([\w.-]+);", re.ASCII)
# Messages about events (RFC 5546) whose events are not, or not yet, what is scheduled.
_NOT_SCHEDULED: Final = frozenset({"CANCEL", "COUNTER", "DECLINECOUNTER", "REFRESH"})
_SHOWN: Final = 40


class CalendarError(ValueError):
    """Raised when iCalendar text cannot be read, or holds what would change coverage and is not understood."""


class Property(NamedTuple):
    """One content line; ``value`` as it stands in the text, without blanks at its ends."""

    name: str
    parameters: Mapping[str, str]
    value: str


class Event(Struct):
    """One VEVENT: its properties that are read, in the order of the text."""

    properties: list[Property] = field(default_factory=list)

    def one(self, name: str) -> Property | None:
        """The property of this name, if there is one."""
        return next((p for p in self.properties if p.name == name), None)

    def every(self, name: str) -> list[Property]:
        """All properties of this name."""
        return [p for p in self.properties if p.name == name]

    @property
    def uid(self) -> str:
        """What its series is known by; empty when it has no UID."""
        found = self.one("UID")
        return found.value if found else ""

    @property
    def label(self) -> str:
        """How errors name it."""
        found = self.one("SUMMARY") or self.one("UID")
        return f"event {found.value[:_SHOWN]!r}" if found else "an event"


def read_events(text: str) -> list[Event]:
    """The VEVENTs of ``text``. Raises CalendarError."""
    events: list[Event] = []
    depth: list[str] = []
    for line in _lines(text):
        found = _property(line, depth[-1] if depth else "")
        if found is None:
            continue
        if found.name == "BEGIN":
            depth.append(found.value.upper())
            if depth[-1] == "VEVENT":
                events.append(Event())
        elif found.name == "END":
            if not depth or depth.pop() != found.value.upper():
                raise CalendarError(f"END:{found.value} closes nothing")
        elif found.name == "METHOD":
            if found.value.upper() in _NOT_SCHEDULED:
                raise CalendarError(f"METHOD:{found.value} is a message about events, and not a calendar")
        else:
            _add(events[-1], found)
    if depth:
        raise CalendarError(f"{depth[-1]} is not closed")
    if not events:
        raise CalendarError("holds no VEVENT")
    if len(events) > EVENTS_MAX:
        raise CalendarError(f"holds more than {EVENTS_MAX} events")
    return events


def _lines(text: str) -> Iterator[str]:
    from icalendar.parser.content_line import UFOLD  # 50 ms to import, and few schedules have a calendar

    whole = text.replace("\r\n", "\n").replace("\r", "\n")
    return (line for line in UFOLD.sub("", whole).split("\n") if line.strip())


def _property(line: str, component: str) -> Property | None:
    """A line that is read in this component, or None for one that is not. Raises CalendarError for what is no line."""
    simple = _SIMPLE.fullmatch(line)
    if simple is not None:
        name, parameters, value = simple.groups()
        if not _is_read(name.upper(), component):
            return None
        known = _head(name + parameters).parameters if parameters else {}
        return Property(name.upper(), known, value.strip())
    named = _NAMED.match(line)
    if named is not None and not _is_read(named[1].upper(), component):
        return None
    found = _parts(line)
    return found if _is_read(found.name, component) else None


@lru_cache(maxsize=512)
def _head(head: str) -> Property:
    """A name with parameters: the same few stand before all values of a calendar. Raises CalendarError."""
    return _parts(f"{head}:")


def _is_read(name: str, component: str) -> bool:
    if name in ("BEGIN", "END"):
        return True
    return name in _READ if component == "VEVENT" else name == "METHOD" and component == "VCALENDAR"


def _parts(line: str) -> Property:
    """A line by the library's reading. Raises CalendarError."""
    from icalendar.parser.content_line import Contentline  # as above

    try:
        content = Contentline(line)  # type: ignore[no-untyped-call]
        if content.value_separator_index() < 0:
            raise CalendarError("it has no value")
        name, parameters, value = content.raw_parts()
    except ValueError:
        raise CalendarError(f"{line[:_SHOWN]!r} is not a content line") from None
    several = [key for key, given in parameters.items() if not isinstance(given, str)]
    if several and name.upper() in _READ:
        raise CalendarError(f"{line[:_SHOWN]!r}: {several[0]} has several values")
    known = {key.upper(): given for key, given in parameters.items() if isinstance(given, str)}
    return Property(name.upper(), known, value.strip())


def _add(event: Event, found: Property) -> None:
    if not found.value and found.name in _UNSTATED:
        return  # publishers of holidays write an empty RRULE: it repeats nothing
    if found.name in _ONCE and event.one(found.name) not in (None, found):
        raise CalendarError(f"{event.label}: {found.name} is given twice")
    event.properties.append(found)


__all__ = ["EVENTS_MAX", "CalendarError", "Event", "Property", "read_events"]
