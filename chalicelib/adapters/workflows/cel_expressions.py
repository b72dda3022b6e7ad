"""``Expressions`` with Google's CEL (cel-cpp). Imported by the first expression: the library has 14 MB.

An error is a value there and not an exception; here it is a StepFailed. ``map`` and ``filter`` take time that grows
with the square of a list, so lists in expressions are bounded. The library cuts text that it is given at the character
U+0000, so that "admin" would equal such text that only begins with it. Here that is an error. Integral numbers of JSON
are integers, others doubles; ``num(x)`` makes a double of either.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final

from cel_expr_python import cel

from chalicelib.ports.workflow_steps import StepFailed

LIST_MAX_ITEMS: Final = 1_000
_QUADRATIC: Final = re.compile(r"\.\s*(map|filter)\s*\(")
_PLACE: Final = re.compile(r"^INVALID_ARGUMENT: ERROR: <input>:|\s*\[INVALID_ARGUMENT\]$|\n \|.*", re.ASCII)
_INT_MAX: Final = 2**63 - 1
_TYPES: Final = {"map": cel.Type.Map(cel.Type.STRING, cel.Type.DYN), "any": cel.Type.DYN}


class CelExpressions:
    """Compiled expressions are kept by their text."""

    def __init__(self) -> None:
        self._compiled = lru_cache(maxsize=4096)(self._compile)

    def check(self, text: str, names: Mapping[str, str]) -> str | None:
        """What is wrong with an expression, and where; None: nothing."""
        try:
            self._compiled(text, tuple(sorted(names.items())))
        except RuntimeError as problem:
            return _readable(str(problem))
        return None

    def evaluate(self, text: str, values: Mapping[str, Any]) -> Any:
        """The value, as JSON has it. Raises StepFailed."""
        names = tuple(sorted((name, "map" if name in ("nodes", "run") else "any") for name in values))
        if _QUADRATIC.search(text) and (found := _long_list(values, text)) is not None:
            said = f"a list of {found} items: map and filter take at most {LIST_MAX_ITEMS}; use a transform node"
            raise StepFailed("expression_error", said)
        if _has_nul([value for name, value in values.items() if name in text]):
            raise StepFailed("expression_error", f"{text[:200]}: what it names has text with the character U+0000")
        try:
            result = self._compiled(text, names).eval(data=dict(values))
            value = result.plain_value()
            kind = result.type().name()
        except Exception as problem:  # of the library, for values that it cannot take, such as integers over 64 bits
            raise StepFailed("expression_error", _readable(str(problem))) from None
        if kind in ("ERROR", "UNKNOWN"):
            raise StepFailed("expression_error", f"{text[:200]}: {_readable(str(value))}")
        return _as_json(value)

    def _compile(self, text: str, names: tuple[tuple[str, str], ...]) -> cel.Expression:
        return _environment(names).compile(text)


@lru_cache(maxsize=16)
def _environment(names: tuple[tuple[str, str], ...]) -> cel.Env:
    overloads = [
        cel.Overload(id=f"num_{name}", return_type=cel.Type.DOUBLE, parameters=[kind], is_member=False, impl=float)
        for name, kind in (("int", cel.Type.INT), ("uint", cel.Type.UINT), ("double", cel.Type.DOUBLE))
    ]
    number = cel.FunctionDecl("num", overloads)
    return cel.NewEnv(variables={name: _TYPES[kind] for name, kind in names}, functions=[number])


def _readable(text: str) -> str:
    lines = text.split("\n")
    said = _PLACE.sub("", lines[0]).removeprefix("INVALID_ARGUMENT: ")
    return said.strip()[:500]


def _long_list(values: Mapping[str, Any], text: str) -> int | None:
    """The length of a list that is too long, in what the expression names."""
    left: list[Any] = [value for name, value in values.items() if name in text]
    while left:
        value = left.pop()
        if isinstance(value, list):
            if len(value) > LIST_MAX_ITEMS:
                return len(value)
            left += value
        elif isinstance(value, dict):
            left += value.values()
    return None


def _has_nul(values: list[Any]) -> bool:
    left = values
    while left:
        value = left.pop()
        if isinstance(value, str):
            if "\0" in value:
                return True
        elif isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            left += value
            left += value.values()
    return False


def _as_json(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_as_json(one) for one in value]
    if isinstance(value, dict):
        if not all(isinstance(name, str) for name in value):
            raise StepFailed("expression_error", "a map's keys must be text to be JSON")
        return {name: _as_json(one) for name, one in value.items()}
    raise StepFailed("expression_error", f"the value is a {type(value).__name__}, which JSON does not have")
