"""English."""

from __future__ import annotations

from typing import Final

from chalicelib.core.words.lexicon import Field, Language, Phrases, language_of, read_words

_WORDS = read_words(
    """
every each = every
at @ = at
on = on
in during = in
of = of
the = noise
from since starting_from = from
past = of
after = after
to until till through thru = to
and & = and
or = or
that_is_also which_is_also = also
once one_time only_once just_once = once
next = next
other = num:2
second seconds sec secs = unit:s
minute minutes min mins = unit:m
hour hours hr hrs = unit:h
millisecond milliseconds ms msec = unit:ms
day days = unit:d
week weeks = unit:w
month months = unit:month
year years = unit:y
day_of_the_week days_of_the_week = unit:weekday
hourly = every unit:h
daily everyday = every unit:d
weekly = every unit:w
monthly = every unit:month
yearly annually = every unit:y
half_an_hour half_hour = num:30 unit:m
quarter_hour quarter_of_an_hour = num:15 unit:m
weekday weekdays workday workdays working_day working_days business_day business_days = workday
weekend weekends = weekend
last = last
nearest_to closest_to nearest = near
times time = times
in_steps_of = steps
starting beginning starting_at starting_on = starting
by_the_rule = rule
after_the_previous_run_ends after_the_end_of_the_previous_run after_each_run_ends after_the_last_run_ends = afterrun
after_the_previous_run after_each_run after_every_run after_it_ends after_the_run_ends = afterrun
today = today
tomorrow = tomorrow
noon midday = time:12:00
midnight = time:00:00
a.m. in_the_morning = am
p.m. in_the_afternoon in_the_evening at_night = pm
o'clock oclock = noise
sunday sun = wd:0
monday mon = wd:1
tuesday tue tues = wd:2
wednesday wed = wd:3
thursday thu thur thurs = wd:4
friday fri = wd:5
saturday sat = wd:6
sundays = wds:0
mondays = wds:1
tuesdays = wds:2
wednesdays = wds:3
thursdays = wds:4
fridays = wds:5
saturdays = wds:6
january jan = mon:1
february feb = mon:2
march mar = mon:3
april apr = mon:4
may = mon:5
june jun = mon:6
july jul = mon:7
august aug = mon:8
september sep sept = mon:9
october oct = mon:10
november nov = mon:11
december dec = mon:12
first = ord:1
third = ord:3
fourth = ord:4
fifth = ord:5
one = num:1
two = num:2
three = num:3
four = num:4
five = num:5
six = num:6
seven = num:7
eight = num:8
nine = num:9
ten = num:10
twelve = num:12
fifteen = num:15
twenty = num:20
thirty = num:30
time_zone timezone = zoneword
"""
)
_UNITS = {
    "ms": "millisecond",
    "s": "second",
    "m": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
    "month": "month",
    "y": "year",
}
_WEEK: Final = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def _amount(n: str, unit: str) -> str:
    return f"{n} {_UNITS[unit]}{'' if n == '1' else 's'}"


def _field(before: str, unit: str) -> Field:
    return Field(
        one=f"{before} {unit} {{n}}",
        many=f"{before} {unit}s {{list}}",
        span=f"{before} {unit}s {{a}} to {{b}}",
        step=f"{before} every {{s}} {unit}",
        each=f"{before} every {unit}",
        since=" from {a}",
        until=" to {b}",
    )


ENGLISH: Final[Language] = language_of(
    "en",
    _WORDS,
    Phrases(
        every={unit: f"every {name}" for unit, name in _UNITS.items()},
        every_many="every {}",
        amount=_amount,
        after_run="{} after the previous run ends",
        steps="in steps of {}",
        times=lambda n: f"{n} time{'' if n == 1 else 's'}",
        starting="starting {}",
        rule='by the rule "{}"',
        once="once on {date} at {time}",
        once_at="once at {}",
        date="{d} {month} {y}",
        month_of_date=_MONTHS,
        yearly="every {d} {month}",
        conjunction="and",
        every_day="every day",
        at_time="at {}",
        fields={f"{case} {unit}": _field(case, _UNITS[unit]) for case in ("at", "of") for unit in ("s", "m", "h")},
        day=_field("on", "day"),
        last_day="on the last day",
        last_workday="on the last working day",
        near_workday="on the working day nearest to day {n}",
        of_month="of the month",
        month=Field(
            "in {n}", "in {list}", "from {a} to {b}", "in every {s} month", "in every month", " from {a}", " to {b}"
        ),
        months=_MONTHS,
        months_from=_MONTHS,
        months_to=_MONTHS,
        workdays="every weekday",
        weekly=[f"every {name}" for name in _WEEK],
        week_span="from {a} to {b}",
        week_from=_WEEK,
        week_to=_WEEK,
        week_step=Field("", "", "", "on every {s} day of the week", "on every day of the week", " from {a}", " to {b}"),
        nth=[f"on the {{n}} {name} of the month" for name in _WEEK],
        last=[f"on the last {name} of the month" for name in _WEEK],
        either="or",
        both="that is also",
    ),
)
