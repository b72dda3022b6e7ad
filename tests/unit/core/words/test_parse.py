"""What texts mean, what they leave open, and where they are refused."""

from __future__ import annotations

import pytest

from chalicelib.core.words.languages import LANGUAGES, wanted_languages
from chalicelib.core.words.lexer import NotUnderstood
from chalicelib.core.words.parse import parse

NOW_MS = 1_795_740_000_000  # Friday, 27 November 2026, 00:40 UTC


def read(text: str, timezone: str = "UTC") -> list[str]:
    """The expressions that a text may mean, those of other zones with their zone."""
    found = parse(text, timezone, NOW_MS, LANGUAGES).meanings
    return [m.expr if m.timezone == timezone else f"{m.expr} {m.timezone}" for m in found]


@pytest.mark.parametrize(
    ("text", "expr"),
    [
        ("every 5 minutes", "rate:5m"),
        ("every minute", "rate:1m"),
        ("Every 90 seconds.", "rate:90s"),
        ("every 2 weeks", "rate:14d"),
        ("every half hour", "rate:30m"),
        ("hourly", "rate:1h"),
        ("every 3 months", "P3M"),
        ("every year", "P1Y"),
        ("every weekday at 9:00", "0 9 * * 1-5"),
        ("Monday to Friday at 9am", "0 9 * * 1-5"),
        ("daily at noon", "0 12 * * *"),
        ("at 10 pm on weekends", "0 22 * * 0,6"),
        ("Mondays at 9", "0 9 * * 1"),
        ("on Monday, Wednesday and Friday at 9:00", "0 9 * * 1,3,5"),
        ("on the 1st of every month at 9:00", "0 9 1 * *"),
        ("every month on the 1st and 15th at 9:00", "0 9 1,15 * *"),
        ("on the last working day of the month at 18:00", "0 18 LW * *"),
        ("the last Friday of the month at 17:00", "0 17 * * 5L"),
        ("on the 2nd Tuesday of the month at 8:00", "0 8 * * 2#2"),
        ("every 25 December at 10:00", "0 10 25 12 *"),
        ("every year on January 1 at midnight", "0 0 1 1 *"),
        ("every 15 minutes on weekdays", "*/15 * * * 1-5"),
        ("at 9:00 and 17:00 in January and July", "0 9,17 * 1,7 *"),
        ("every 2 weeks on Monday at 9:00", "R/2026-11-30T09:00:00/P14D"),
        ("every other day at 9:00", "R/2026-11-27T09:00:00/P2D"),
        ("every 3 months on day 15 at 9:00", "R/2026-12-15T09:00:00/P3M"),
        ("10 minutes after each run ends", "delay:10m"),
        ("tomorrow at 9:00", "at:2026-11-28T09:00:00Z"),
        ("in 1 hour 30 minutes", "at:2026-11-27T02:10:00Z"),
        ("next Monday at 9:00", "at:2026-11-30T09:00:00Z"),
        ("on 25 December at 10:00", "at:2026-12-25T10:00:00Z"),
        ("on 13/02 at 9:00", "at:2027-02-13T09:00:00Z"),
        ("2026-12-25 10:00", "at:2026-12-25T10:00:00Z"),
        ("every day at 9:00 in Berlin", "0 9 * * * Europe/Berlin"),
        ("every day at 9:00 america/new_york", "0 9 * * * America/New_York"),
        ("every day at 9:00 UTC+3", "0 9 * * * Etc/GMT-3"),
        ("каждые 5 минут", "rate:5m"),
        ("каждый час", "rate:1h"),
        ("по будням в 9 утра по Москве", "0 9 * * 1-5 Europe/Moscow"),
        ("каждый понедельник в 9:00", "0 9 * * 1"),
        ("по средам и пятницам в 18:30", "30 18 * * 3,5"),
        ("1 числа каждого месяца в 9:00", "0 9 1 * *"),
        ("последняя пятница месяца в 17:00", "0 17 * * 5L"),
        ("завтра в 9:00", "at:2026-11-28T09:00:00Z"),
        ("через 5 минут", "at:2026-11-27T00:45:00Z"),
        ("cada 5 minutos", "rate:5m"),
        ("todos los días a las 9:00", "0 9 * * *"),
        ("los lunes a las 9 de la mañana", "0 9 * * 1"),
        ("de lunes a viernes a las 18:00", "0 18 * * 1-5"),
        ("el último día del mes a las 23:00", "0 23 L * *"),
        ("mañana a las 9:00", "at:2026-11-28T09:00:00Z"),
        ("a cada 10 minutos", "rate:10m"),
        ("todo dia às 9h", "0 9 * * *"),
        ("às segundas e quartas às 9h30", "30 9 * * 1,3"),
        ("em dias úteis às 18:30", "30 18 * * 1-5"),
        ("no dia 5 de cada mês às 8:00", "0 8 5 * *"),
        ("amanhã às 9:00", "at:2026-11-28T09:00:00Z"),
    ],
)
def test_a_text_that_means_one_thing(text: str, expr: str) -> None:
    assert read(text) == [expr]


@pytest.mark.parametrize(
    ("text", "exprs"),
    [
        ("on Monday at 9:00", ["0 9 * * 1", "at:2026-11-30T09:00:00Z"]),
        ("в понедельник в 9:00", ["0 9 * * 1", "at:2026-11-30T09:00:00Z"]),
        ("el lunes a las 9:00", ["0 9 * * 1", "at:2026-11-30T09:00:00Z"]),
        ("na segunda às 9:00", ["0 9 * * 1", "at:2026-11-30T09:00:00Z"]),
        ("at 9:00", ["0 9 * * *", "at:2026-11-27T09:00:00Z"]),
        ("on 01/02 at 9:00", ["at:2027-01-02T09:00:00Z", "at:2027-02-01T09:00:00Z"]),
        ("on 01/02/2027 at 9:00", ["at:2027-01-02T09:00:00Z", "at:2027-02-01T09:00:00Z"]),
        ("every year on 01/02 at 9:00", ["0 9 2 1 *", "0 9 1 2 *"]),
        ("every month at 9:00", ["0 9 1 * *", "0 9 27 * *", "0 9 L * *"]),
        ("каждый месяц в 9:00", ["0 9 1 * *", "0 9 27 * *", "0 9 L * *"]),
        ("every week at 9:00", ["0 9 * * 1", "0 9 * * 5"]),
        ("every Monday", ["0 0 * * 1", "0 9 * * 1"]),
        ("every 2nd Monday at 9:00", ["0 9 * * 1#2", "R/2026-11-30T09:00:00/P14D"]),
        (
            "every 2nd Monday",
            [
                "0 0 * * 1#2",
                "0 9 * * 1#2",
                "R/2026-11-30T00:00:00/P14D",
                "R/2026-11-30T09:00:00/P14D",
            ],
        ),
        ("every 2 weeks on Monday", ["R/2026-11-30T00:00:00/P14D", "R/2026-11-30T09:00:00/P14D"]),
        ("on Monday", ["0 0 * * 1", "0 9 * * 1", "at:2026-11-30T00:00:00Z", "at:2026-11-30T09:00:00Z"]),
        ("next Friday", ["at:2026-12-04T00:00:00Z", "at:2026-12-04T09:00:00Z"]),
        ("every year on 01/02", ["0 0 2 1 *", "0 9 2 1 *", "0 0 1 2 *", "0 9 1 2 *"]),
        (
            "every day at 9:00 CST",
            ["0 9 * * * America/Chicago", "0 9 * * * Asia/Shanghai", "0 9 * * * America/Havana"],
        ),
        ("every 5 minutes IST", ["rate:5m Asia/Kolkata", "rate:5m Europe/Dublin", "rate:5m Asia/Jerusalem"]),
    ],
)
def test_what_a_text_leaves_open_is_offered(text: str, exprs: list[str]) -> None:
    assert read(text) == exprs
    doubts = parse(text, "UTC", NOW_MS, LANGUAGES).doubts
    assert doubts
    assert all(0 <= doubt.start < doubt.end <= len(text) for doubt in doubts)


def test_the_next_friday_is_not_this_one() -> None:
    assert read("on Friday at 9:00")[1] == "at:2026-11-27T09:00:00Z"
    for text in ("next Friday at 9:00", "el próximo viernes a las 9:00", "в следующую пятницу в 9:00"):
        assert read(text) == ["at:2026-12-04T09:00:00Z"], text


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("on Monday", ["may be every week, or once", "does not say at what time of day"]),
        ("every 2nd Monday", ["does not say at what time of day", "may count weeks of a month, or weeks"]),
        ("every year on 01/02", ["may be either of two dates", "does not say at what time of day"]),
        ("on Monday at 9:00", ["may be every week, or once"]),
    ],
)
def test_each_choice_that_is_left_open_has_its_reason(text: str, messages: list[str]) -> None:
    assert [doubt.message for doubt in parse(text, "UTC", NOW_MS, LANGUAGES).doubts] == messages


def test_a_time_that_clocks_show_twice_is_two_and_one_that_they_skip_is_none() -> None:
    twice = read("on 25 October 2026 at 2:30", "Europe/Berlin")
    assert twice == ["at:2026-10-25T00:30:00Z", "at:2026-10-25T01:30:00Z"]
    with pytest.raises(NotUnderstood, match="does not exist"):
        read("on 28 March 2027 at 2:30", "Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("every banana", "banana"),
        ("every 5 bananas at noon", "bananas"),
        ("every day at 25:00", "25:00"),
        ("every day at 9:75", "9:75"),
        ("every day at at 9:00", "at"),
        ("every day at 9:00 please", "please"),
        ("every 7 minutes on Monday", "minutes"),
        ("every day at 9:00 at 10:00", "10:00"),
        ("every day at 9:00 and 17:30", "9:00"),
        ("on 30 February 2027 at 9:00", "30"),
        ("on day 32 of the month at 9:00", "32"),
        ("on Monday, day 13 of the month at 9:00", "Monday"),
        ("every day at 9:00 Europe/Berlin Asia/Tokyo", "Asia/Tokyo"),
        ("every day at 9:00 Europe/Nowhere", "Europe"),
        ("каждый банан", "банан"),
        ("ежедневно в 9:00 пожалуйста", "пожалуйста"),
        ("cada plátano", "plátano"),
        ("👍 every day", "👍"),
    ],
)
def test_words_at_fault_are_named_by_their_code_points(text: str, fault: str) -> None:
    with pytest.raises(NotUnderstood) as refused:
        read(text)
    assert text[refused.value.start : refused.value.end] == fault


def test_languages_are_taken_in_the_order_that_a_caller_wants() -> None:
    assert wanted_languages("pt-BR,pt;q=0.9,en;q=0.8")[:2] == ["pt", "en"]
    assert wanted_languages("de, es;q=0.4, ru;q=0.7")[:2] == ["ru", "es"]
    assert wanted_languages(None) == list(LANGUAGES)
    assert wanted_languages("ru;q=x, es;q=0")[0] == "en"
    assert parse("cada 5 minutos", "UTC", NOW_MS, ["pt", "es"]).language == "pt"
