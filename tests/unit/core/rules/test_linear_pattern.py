"""Patterns in linear time: they agree with Python's engine where both speak, and refuse what is not linear."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.rules.limits import PATTERN_MAX_CHARS
from chalicelib.core.rules.linear_pattern import LinearPattern
from chalicelib.core.rules.pattern_syntax import BadPattern

ATOMS = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\d", r"\w", r"\S", "[a-c1]", r"\.", "^", "$", r"\x61"])


def _deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}", "*?"])).map(
            lambda two: f"({two[0]}){two[1]}"
        ),
        inner.map(lambda one: f"(?P<n>{one})" if "(?P" not in one else one),
    )


@given(st.recursive(ATOMS, _deeper, max_leaves=8), st.text("ab1.\nc ", max_size=8), st.booleans())
def test_finds_what_python_finds(pattern: str, text: str, ignore_case: bool) -> None:
    pattern = "(?i)" + pattern if ignore_case else pattern
    plain = pattern.replace("$", r"\Z").replace("?P<n>", "?:")
    expected = re.search(plain, text, re.ASCII) is not None
    assert LinearPattern(pattern).search(text) is expected


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "(a*)*b", "(.*a){20}$", "(x+x+)+y"])
def test_what_takes_others_for_ever_takes_no_time(pattern: str) -> None:
    compiled = LinearPattern(pattern)
    begun = time.perf_counter()
    for text in ("a" * 40 + "!", "a" * 40, "x" * 2_000):
        compiled.search(text)
    assert time.perf_counter() - begun < 1.0  # an engine that backtracks would need years


def test_forgets_states_and_stays_right() -> None:
    compiled = LinearPattern("(a|b)*a(a|b){12}$")
    text = "".join("ab"[(n * n + n // 7) % 2] for n in range(5_000))
    assert compiled.search(text) is (re.search("a[ab]{12}$", text) is not None)
    assert compiled.search(text) is compiled.search(text)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        (r"(a)\1", "refers back"),
        ("(?P<n>a)(?P=n)", "refers back"),
        ("(?=a)", "looks around"),
        ("(?!a)", "looks around"),
        ("(?<=a)b", "looks around"),
        ("a++", "possessive"),
        ("a**", "repeats a repetition"),
        ("*a", "repeats nothing"),
        ("(a", "nothing closes"),
        ("a)", "nothing opens"),
        ("[a", "nothing closes"),
        ("[b-a]", "no order"),
        (r"\q", "escape"),
        (r"\b", "escape"),
        ("a{2", "no {n}"),
        ("a{3,2}", "repetition"),
        ("a{1001}", "repetition"),
        ("((a{100}){100}){2}", "too large"),
        ("a(?i)b", "not offered"),
        ("(" * 60 + ")" * 60, "nested"),
        ("a" * (PATTERN_MAX_CHARS + 1), "characters"),
    ],
)
def test_what_is_none_or_not_linear_is_refused(pattern: str, problem: str) -> None:
    with pytest.raises(BadPattern, match=problem):
        LinearPattern(pattern)
