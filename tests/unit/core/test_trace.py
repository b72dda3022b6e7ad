from __future__ import annotations

import pytest

from chalicelib.core import trace

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "flags"),
    [
        (f"00-{TRACE}-{SPAN}-01", 1),
        (f"00-{TRACE}-{SPAN}-00", 0),
        (f"00-{TRACE}-{SPAN}-ff", 1),  # flags that version 00 does not know are dropped
        (f"cc-{TRACE}-{SPAN}-01", 1),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-holds", 1),
        (f" 00-{TRACE}-{SPAN}-01 ", 1),
    ],
)
def test_a_valid_header_is_read(header: str, flags: int):
    assert trace.parse(header) == trace.TraceContext(TRACE, SPAN, flags)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01-",
        f"cc-{TRACE}-{SPAN}-01.more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN[:-1]}\u0663-01",
    ],
)
def test_an_invalid_header_starts_a_new_trace(header: str | None):
    assert trace.parse(header) is None


def test_every_attempt_of_an_execution_has_its_own_span_in_one_trace():
    first, second = trace.of_attempt("01KB-1", 1), trace.of_attempt("01KB-1", 2)
    assert first == trace.of_attempt("01KB-1", 1)
    assert first.trace_id == second.trace_id == trace.trace_id_of("01KB-1")
    assert first.span_id != second.span_id
    assert trace.parse(str(first)) == first
    assert trace.of_attempt("01KB-2", 1).trace_id != first.trace_id


def test_a_child_stays_in_its_trace_with_its_flags():
    parent = trace.TraceContext(TRACE, SPAN, 0)
    assert str(trace.child(parent, "b7ad6b7169203331")) == f"00-{TRACE}-b7ad6b7169203331-00"
