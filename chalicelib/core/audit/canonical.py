"""JSON in the one form that is hashed: RFC 8785, the JSON Canonicalization Scheme."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any, Final

_FIXED_FROM: Final = -7  # ECMAScript writes 1e-7 with an exponent, and 0.000001 without
_FIXED_BELOW: Final = 21


def canonical(value: Any) -> bytes:
    """``value`` (what JSON can say, with keys that are strings) in canonical form. Raises ValueError, TypeError."""
    return _text(value).encode()


def sha256(value: Any) -> str:
    """The digest of the canonical form, in hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def _text(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is dict or kind is list or kind is tuple:
        return _whole(value)
    if value is None or isinstance(value, bool | str | int):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping | Sequence):
        return _whole(value)
    raise TypeError(f"JSON has no {kind.__name__}")


def _whole(value: Mapping[str, Any] | Sequence[Any]) -> str:
    if not isinstance(value, Mapping):
        return "[" + ",".join([_text(part) for part in value]) + "]"
    # Only names beyond ASCII have an order in UTF-16 that may be another.
    names = sorted(value) if "".join(value).isascii() else sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join([f"{_text(name)}:{_text(value[name])}" for name in names]) + "}"


def _number(value: float) -> str:
    """As ECMAScript's Number::toString: the fewest digits that mean the number."""
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("JSON has no such number")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = f"{abs(value)!r}".partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    point = len(whole) + int(exponent or 0) - (len(whole + fraction) - len(digits))
    digits = digits.rstrip("0")
    return sign + _placed(digits, point)


def _placed(digits: str, point: int) -> str:
    """Digits with the decimal point after so many of them."""
    if _FIXED_FROM < point - 1 < _FIXED_BELOW:
        if point <= 0:
            return "0." + "0" * -point + digits
        padded = digits.ljust(point, "0")
        return padded if len(padded) == point else f"{padded[:point]}.{padded[point:]}"
    rest = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{digits[0]}{rest}e{point - 1:+d}"
