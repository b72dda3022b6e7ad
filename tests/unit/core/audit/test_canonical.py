"""The canonical form: the examples of RFC 8785, and numbers as ECMAScript writes them."""

from __future__ import annotations

import json
import struct
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.core.audit.canonical import canonical, sha256

# RFC 8785, appendix B: the bits of a double, and its form.
NUMBERS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]


@pytest.mark.parametrize(("bits", "form"), NUMBERS)
def test_numbers(bits: str, form: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical(value).decode() == form


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_json_cannot_say_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="no such number"):
        canonical([value])
    with pytest.raises(TypeError):
        canonical({"x": object()})


def test_the_example_of_the_rfc() -> None:
    text = r"""{
      "numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],
      "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
      "literals": [null, true, false]
    }"""
    expected = (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )
    assert canonical(json.loads(text)).decode() == expected


def test_names_are_in_the_order_of_utf_16() -> None:
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\u00f6"]
    text = canonical(dict.fromkeys(names, 0)).decode()
    assert list(json.loads(text)) == ["\r", "1", "\x80", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_read_back_as_it_was(value: float) -> None:
    assert float(canonical(value)) == value


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)  # no halves of pairs
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(json_values)
def test_text_is_written_as_json_writes_it(value: object) -> None:
    if not isinstance(value, float):
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        assert sorted(canonical(value).decode()) == sorted(text), "but for the order of names"


def test_what_is_no_plain_dict_or_list_has_the_same_form() -> None:
    frozen = MappingProxyType({"b": (1, True, None), "a": "x"})
    assert canonical(frozen) == canonical(dict(frozen)) == b'{"a":"x","b":[1,true,null]}'
    with pytest.raises(TypeError):
        canonical({1: 2})


@given(json_values)
def test_what_json_says_is_kept(value: object) -> None:
    assert json.loads(canonical(value)) == value
    assert sha256([1]) != sha256([2])
