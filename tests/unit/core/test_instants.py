"""Timestamps as RFC 3339 writes them, and as nothing else does."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.instants import parse_rfc3339, to_rfc3339

AT_MS = 1_798_192_800_000  # 2026-12-25T10:00:00Z


@pytest.mark.parametrize(
    ("text", "unix_ms"),
    [
        ("2026-12-25T10:00:00Z", AT_MS),
        ("2026-12-25t10:00:00z", AT_MS),
        ("2026-12-25T10:00:00+00:00", AT_MS),
        ("2026-12-25T10:00:00-00:00", AT_MS),
        ("2026-12-25T11:30:00+01:30", AT_MS),
        ("2026-12-25T02:00:00-08:00", AT_MS),
        ("2026-12-25T10:00:00.5Z", AT_MS + 500),
        ("2026-12-25T10:00:00.0019999Z", AT_MS + 1),
        ("1969-12-31T23:59:59.999Z", -1),
    ],
)
def test_rfc_3339_is_read(text: str, unix_ms: int) -> None:
    assert parse_rfc3339(text) == unix_ms


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-12-25",
        "2026-12-25T10:00Z",
        "2026-12-25T10Z",
        "20261225T100000Z",
        "2026-W52-5T10:00:00Z",
        "2026-359T10:00:00Z",
        "2026-12-25T10:00:00+0100",
        "2026-12-25T10:00:00+01",
        "2026-12-25T10:00:00+01:00:00",
        "2026-12-25T10:00:00+24:00",
        "2026-12-25T10:00:00+01:60",
        "2026-12-25T10:00:00,5Z",
        "2026-12-25T10:00:00.Z",
        "2026-12-25 10:00:00Z",
        "2026-12-25T10:00:00 Z",
        "2026-12-25T10:00:00Z ",
        "2026-12-25T10:00:00Z\n",
        "2026-12-25T24:00:00Z",
        "2026-12-25T10:60:00Z",
        "2026-12-25T10:00:60Z",
        "2026-02-29T10:00:00Z",
        "0000-12-25T10:00:00Z",
        "+2026-12-25T10:00:00Z",
        "2026-12-25T10:00:00.\u0665Z",
        "\uff12\uff10\uff12\uff16-12-25T10:00:00Z",
    ],
)
def test_any_other_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be RFC 3339"):
        parse_rfc3339(text)


def test_an_offset_that_is_missing_is_told() -> None:
    with pytest.raises(ValueError, match="must carry its offset"):
        parse_rfc3339("2026-12-25T10:00:00")


@given(st.datetimes(datetime(1970, 1, 1), timezones=st.timezones(), allow_imaginary=False))  # noqa: DTZ001
def test_equal_to_pythons_own_reader(moment: datetime) -> None:
    text = moment.isoformat()
    offset = moment.utcoffset()
    assert offset is not None
    if offset.seconds % 60 == 0:  # else older than the standard's offsets
        whole = moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)
        assert parse_rfc3339(text) == round(whole.timestamp() * 1000)


@given(st.integers(0, 253_402_300_799_999))
def test_text_goes_there_and_back(unix_ms: int) -> None:
    assert parse_rfc3339(to_rfc3339(unix_ms)) == unix_ms


@given(st.text(max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(parse_rfc3339(text), int)
