"""HTTP dates in the three forms of RFC 9110, section 5.6.7; what is none of them is no date, and no error."""

from __future__ import annotations

from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core import http_date

NOW_MS = 1_795_252_800_000  # Saturday 2026-11-21T09:20:00Z
AT_MS = 784_111_777_000  # the standard's own example


@pytest.mark.parametrize(
    "text",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "sun, 6 nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37 -0000",
    ],
)
def test_three_forms_name_one_instant(text: str) -> None:
    assert http_date.parse(text, NOW_MS) == AT_MS


@pytest.mark.parametrize(("year", "means"), [("26", 2026), ("76", 2076), ("77", 1977), ("99", 1999), ("00", 2000)])
def test_a_year_of_two_digits_lies_at_most_fifty_years_ahead(year: str, means: int) -> None:
    short = http_date.parse(f"Saturday, 21-Nov-{year} 09:20:00 GMT", NOW_MS)
    assert short == http_date.parse(f"Sat, 21 Nov {means} 09:20:00 GMT", NOW_MS)


def test_a_leap_second_is_the_last_second_of_its_minute() -> None:
    leap = http_date.parse("Sat, 31 Dec 2016 23:59:60 GMT", NOW_MS)
    assert leap == http_date.parse("Sat, 31 Dec 2016 23:59:59 GMT", NOW_MS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1994-11-06T08:49:37Z",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "Sun, 31 Feb 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 99999 08:49:37 GMT",
        "Sun, \u0660\u0666 Nov 1994 08:49:37 GMT",
    ],
)
def test_what_is_no_http_date_is_none(text: str) -> None:
    assert http_date.parse(text, NOW_MS) is None


@given(st.integers(0, 253_402_300_799))
def test_what_others_write_is_read(unix_s: int) -> None:
    assert http_date.parse(formatdate(unix_s, usegmt=True), NOW_MS) == unix_s * 1000


@given(st.text(max_size=60))
def test_no_text_can_break_it(text: str) -> None:
    found = http_date.parse(text, NOW_MS)
    assert found is None or isinstance(found, int)
