from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.targets import retry_after
from chalicelib.core.targets.limits import RETRY_AFTER_MAX_MS

NOW_MS = 1_795_252_800_000  # Saturday 2026-11-21T09:20:00Z


@pytest.mark.parametrize(
    ("value", "wait_ms"),
    [
        ("120", 120_000),
        (" 7 ", 7_000),
        ("0", 0),
        ("Sat, 21 Nov 2026 09:20:30 GMT", 30_000),
        ("Saturday, 21-Nov-26 09:20:30 GMT", 30_000),
        ("Sat Nov 21 09:20:30 2026", 30_000),
        ("Sat, 21 Nov 2026 09:20:30 -0000", 30_000),
        ("Sat, 21 Nov 2026 09:19:00 GMT", 0),
        ("9" * 400, RETRY_AFTER_MAX_MS),
        ("Sat, 21 Nov 2099 09:20:30 GMT", RETRY_AFTER_MAX_MS),
    ],
)
def test_seconds_and_dates(value: str, wait_ms: int):
    assert retry_after.parse(value, NOW_MS) == wait_ms


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        " ",
        "-5",
        "1.5",
        "soon",
        "\u0663",
        "Sat, 99 Nov 2026 09:20:30 GMT",
        "Mon, 20 Nov 9999999999 12:00:00 +0000",
        "Mon, 20 Nov 2026 12:00:00 +99999999999999999999",
        "Mon, 99999999999999999999 Nov 2026 10:00:00 GMT",
        "17 June , 2022",
    ],
)
def test_what_cannot_be_read_is_no_wish(value: str | None):
    assert retry_after.parse(value, NOW_MS) is None


@given(st.text() | st.from_regex(r"\w{3}, \d{1,4} \w{3} \d{1,9} \d{1,3}:\d{1,3}:\d{1,3} ([+-]\d{1,6}|GMT)"))
def test_no_header_can_break_it(value: str):
    wait_ms = retry_after.parse(value, NOW_MS)
    assert wait_ms is None or 0 <= wait_ms <= RETRY_AFTER_MAX_MS
