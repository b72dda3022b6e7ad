"""What describes a schedule is read back as the same schedule, in all four languages."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from chalicelib.core.errors import InvalidField
from chalicelib.core.recurrence import expressions
from chalicelib.core.recurrence.expressions import RecurrenceType, Spec
from chalicelib.core.words.describe import canonical, describe
from chalicelib.core.words.languages import LANGUAGES, WordsLanguage
from chalicelib.core.words.parse import parse
from chalicelib.core.words.reading import Meaning

NOW_MS = 1_795_740_000_000
SCHEDULES = 1_000
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Australia/Lord_Howe",
    "America/Argentina/Buenos_Aires",
    "Etc/GMT+3",
    "EST",
    "GMT",
    "CST6CDT",
    "Cuba",
    "America/Port-au-Prince",
)
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def _term(r: random.Random, low: int, high: int, names: Sequence[str] = ()) -> str:
    def value(n: int) -> str:
        return r.choice((str(n), names[n - low])) if names and n - low < len(names) else str(n)

    a = r.randint(low, high)
    b = r.randint(a, high)
    step = r.choice((1, 2, 3, 5, 10, 15, 70))
    return r.choice(
        (value(a), value(a), value(a), f"{value(a)}-{value(b)}", f"*/{step}", f"{value(a)}/{step}", f"{a}-{b}/{step}")
    )


def _field(r: random.Random, low: int, high: int, extra: Sequence[str] = (), names: Sequence[str] = ()) -> str:
    if r.random() < 0.3:
        return "*"
    count = r.choice((1, 1, 1, 2, 3, 4))
    return ",".join(r.choice((_term(r, low, high, names), *extra)) for _ in range(count))


def _cron(r: random.Random) -> str:
    if r.random() < 0.1:
        return r.choice(("@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@midnight"))
    day_extra = ("L", "LW", f"{r.randint(1, 28)}W") if r.random() < 0.4 else ()
    week_extra = (f"{r.randint(0, 7)}#{r.randint(1, 4)}", f"{r.choice(_DAYS)}L", "L5", "7L") if r.random() < 0.4 else ()
    fields = [
        _field(r, 0, 59) if r.random() < 0.5 else str(r.randint(0, 59)),
        _field(r, 0, 23) if r.random() < 0.5 else str(r.randint(0, 23)),
        _field(r, 1, 31, day_extra) if r.random() < 0.5 else "*",
        _field(r, 1, 12, (), _MONTHS) if r.random() < 0.4 else "*",
        _field(r, 0, 7, week_extra, _DAYS) if r.random() < 0.5 else "*",
    ]
    if r.random() < 0.25:
        fields.insert(0, _field(r, 0, 59))
    return " ".join(fields)


def _period(r: random.Random) -> str:
    date = "".join(f"{r.randint(1, 40)}{unit}" for unit in "YMWD" if r.random() < 0.3)
    time = "".join(f"{r.randint(1, 90)}{unit}" for unit in "HMS" if r.random() < 0.3)
    if time and r.random() < 0.1:
        time = f"{r.randint(1, 90)}.25S"
    return f"P{date}{'T' if time else ''}{time}" if date or time else "PT5M"


def _iso(r: random.Random) -> str:
    times = r.choice(("", str(r.randint(1, 500))))
    anchor = r.choice(("2026-12-01T10:00:00Z", "2026-12-01T10:00:00", "2026-12-01T10:00:00.5+02:00"))
    return r.choice((_period(r), _period(r), f"R{times}/{_period(r)}", f"R{times}/{anchor}/{_period(r)}"))


def _at(r: random.Random) -> str:
    second = r.randrange(1_700_000_000, 4_200_000_000)
    return r.choice(
        (
            f"at:{second_text(second)}Z",
            f"at:{second_text(second)}.{r.randint(0, 999):03d}Z",
            f"at:{second_text(second)}+05:30",
            f"at:{second_text(second - second % 3600)}Z",
            "at:2026-10-25T00:30:00Z",  # comes twice on the clocks of Berlin
        )
    )


def second_text(unix_s: int) -> str:
    from chalicelib.core.instants import to_rfc3339

    return to_rfc3339(unix_s * 1000)[:19]


def _rule(r: random.Random) -> str:
    rule = f"FREQ={r.choice(('DAILY', 'WEEKLY', 'MONTHLY'))};INTERVAL={r.randint(1, 9)}"
    return r.choice(
        (
            rule,
            f"RRULE:{rule};BYHOUR={r.randint(0, 23)}",
            f"DTSTART;TZID=Europe/Berlin:20261201T100000\nRRULE:{rule};COUNT=5",
            f"DTSTART:20261201T100000Z\r\nRRULE:{rule};\r\n COUNT=5\r\nEXDATE:20261202T100000Z",
        )
    )


_KINDS: dict[RecurrenceType, Callable[[random.Random], str]] = {
    "CRON": _cron,
    "RATE": lambda r: f"rate:{r.randint(1, 400)}{r.choice(('s', 'm', 'h'))}",
    "DELAY": lambda r: f"delay:{r.randint(1, 5000)}{r.choice(('ms', 's', 'm', 'h'))}",
    "ISO8601": _iso,
    "AT": _at,
    "RRULE": _rule,
}


def random_schedule(r: random.Random) -> Spec:
    """One that the service takes."""
    while True:
        kind = r.choice(("CRON", "CRON", "CRON", "CRON", *_KINDS))
        spec = Spec(kind, _KINDS[kind](r), r.choice(ZONES), NOW_MS)  # type: ignore[arg-type]
        try:
            expressions.compile_uncached(spec)
        except InvalidField:
            continue
        return spec


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_description_is_read_back_as_the_same_schedule(language: WordsLanguage) -> None:
    r = random.Random(f"round trip {language}")
    for _ in range(SCHEDULES):
        spec = random_schedule(r)
        said = describe(spec.type, spec.expr, spec.timezone, language)
        assert f"({spec.timezone})" in said
        read = parse(said, "Asia/Tokyo", NOW_MS, [language])
        wanted = Meaning(spec.type, canonical(spec.type, spec.expr), spec.timezone)
        assert (read.meanings, read.doubts) == ([wanted], []), f"{spec.type} {spec.expr!r} is said as {said!r}"
        _same_runs(spec, wanted.expr)


def _same_runs(spec: Spec, expr: str) -> None:
    """The one spelling of an expression has its very instants."""
    if expr == spec.expr or spec.type == "DELAY":
        return
    ours, theirs = expressions.compile(spec), expressions.compile(spec._replace(expr=expr))
    at: int | None = ours.first_ms
    assert at == theirs.first_ms
    for _ in range(5):
        if at is None:
            return
        assert ours.next_after(at) == theirs.next_after(at)
        at = ours.next_after(at)


def test_descriptions_differ_where_schedules_do() -> None:
    r = random.Random("differ")
    said: dict[str, Meaning] = {}
    for _ in range(SCHEDULES):
        spec = random_schedule(r)
        meaning = Meaning(spec.type, canonical(spec.type, spec.expr), spec.timezone)
        text = describe(spec.type, spec.expr, spec.timezone, "en")
        assert said.setdefault(text, meaning) == meaning
