"""The operators of conditions: each is compiled with its operand once, into a test of a value.

A value of another kind than an operator is for does not pass. A list passes where each of its members does; ``eq``,
``ne`` and ``contains`` test the list itself. A URL is judged by how the service would read it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from operator import ge, gt, le, lt
from typing import Any, Final

from chalicelib.core.rules import run_times, subject
from chalicelib.core.rules.limits import VALUE_TEXT_MAX_CHARS, VALUES_MAX_COUNT
from chalicelib.core.rules.linear_pattern import LinearPattern
from chalicelib.core.rules.pattern_syntax import BadPattern
from chalicelib.core.rules.subject import Subject

Test = Callable[[Any, Subject], bool]


class BadOperand(ValueError):
    """Raised when a condition's value is none that its operator takes; says what would be."""


ALIASES: Final[Mapping[str, str]] = {
    "equals": "eq",
    "not_equals": "ne",
    "greater_than": "gt",
    "greater_than_or_equal": "ge",
    "less_than": "lt",
    "less_than_or_equal": "le",
    "not_exists": "absent",
}
PRESENCE: Final = frozenset({"exists", "absent"})  # what takes no value
ON_LISTS: Final = frozenset({"eq", "ne", "contains"})
URL_OPERATORS: Final = frozenset({"host_in", "url_scheme"})


def compile_test(name: str, operand: Any) -> Test:
    """The test that an operator, by its own name, makes of its operand. Raises BadOperand."""
    test = _MAKERS[name](operand)
    return test if name in ON_LISTS else _of_each(test)


def _of_each(test: Test) -> Test:
    def of_each(value: Any, about: Subject) -> bool:
        if isinstance(value, list | tuple):
            return all(test(one, about) for one in value)
        return test(value, about)

    return of_each


def _scalar(operand: Any) -> Any:
    if isinstance(operand, str) and len(operand) > VALUE_TEXT_MAX_CHARS:
        raise BadOperand(f"must have at most {VALUE_TEXT_MAX_CHARS} characters")
    if operand is None or isinstance(operand, dict):
        raise BadOperand("must be a text, a number, true or false")
    return operand


def _same(one: Any, other: Any) -> bool:
    """Equality as JSON knows it: true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _eq(operand: Any) -> Test:
    if not isinstance(operand, list):
        _scalar(operand)
    if isinstance(operand, str):
        return lambda value, _: value == operand
    return lambda value, _: _same(_plain(value), operand)


def _ne(operand: Any) -> Test:
    equal = _eq(operand)
    return lambda value, about: not equal(value, about)


def _members(operand: Any) -> list[Any]:
    if not isinstance(operand, list) or not 1 <= len(operand) <= VALUES_MAX_COUNT:
        raise BadOperand(f"must be a list of 1 to {VALUES_MAX_COUNT} values")
    return [_scalar(one) for one in operand]


def _in(operand: Any) -> Test:
    members = _members(operand)
    if any(isinstance(one, list) for one in members):
        raise BadOperand("must be a list of texts, numbers, true or false")
    known = frozenset((type(one) is bool, one) for one in members)

    def is_in(value: Any, _: Subject) -> bool:
        return isinstance(value, str | int | float) and (type(value) is bool, value) in known

    return is_in


def _not_in(operand: Any) -> Test:
    is_in = _in(operand)
    return lambda value, about: not is_in(value, about)


def _contains(operand: Any) -> Test:
    _scalar(operand)

    def contains(value: Any, _: Subject) -> bool:
        if isinstance(value, str):
            return isinstance(operand, str) and operand in value
        return isinstance(value, list | tuple) and any(_same(one, operand) for one in value)

    return contains


def _text(operand: Any) -> str:
    if not isinstance(operand, str) or not 1 <= len(operand) <= VALUE_TEXT_MAX_CHARS:
        raise BadOperand(f"must be a text of 1 to {VALUE_TEXT_MAX_CHARS} characters")
    return operand


def _starts_with(operand: Any) -> Test:
    begin = _text(operand)
    return lambda value, _: isinstance(value, str) and value.startswith(begin)


def _ends_with(operand: Any) -> Test:
    end = _text(operand)
    return lambda value, _: isinstance(value, str) and value.endswith(end)


def _regex_matches(operand: Any) -> Test:
    try:
        search = LinearPattern(_text(operand)).search
    except BadPattern as wrong:
        raise BadOperand(f"the pattern {wrong}") from None
    return lambda value, _: isinstance(value, str) and search(value)


def _number(operand: Any) -> float:
    if isinstance(operand, bool) or not isinstance(operand, int | float):
        raise BadOperand("must be a number")
    return operand


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Test]:
    def make(operand: Any) -> Test:
        bound = _number(operand)
        return lambda value, _: _is_number(value) and compare(value, bound)

    return make


def _between(operand: Any) -> Test:
    if not isinstance(operand, list) or len(operand) != 2:
        raise BadOperand("must be a list of two numbers, both of which count as between")
    low, high = _number(operand[0]), _number(operand[1])
    if low > high:
        raise BadOperand("must name the lower number first")
    return lambda value, _: _is_number(value) and low <= value <= high


def _texts(operand: Any) -> list[str]:
    members = [operand] if isinstance(operand, str) else operand
    if not isinstance(members, list) or not 1 <= len(members) <= VALUES_MAX_COUNT:
        raise BadOperand(f"must be a text, or a list of 1 to {VALUES_MAX_COUNT} texts")
    return [_text(one) for one in members]


def _cidr_contains(operand: Any) -> Test:
    try:
        networks = tuple(ip_network(one) for one in _texts(operand))
    except ValueError:
        raise BadOperand("must name networks such as 10.0.0.0/8") from None
    return lambda value, _: isinstance(value, str) and _lies_in(value, networks)


@lru_cache(maxsize=4096)
def _lies_in(value: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether an address, or a URL whose host is one, lies in a network. A name is no address."""
    if "://" in value:
        url = subject.parsed(value)
        address = None if url is None else url.literal
    else:
        try:
            address = ip_address(value)
        except ValueError:
            address = None
    return address is not None and any(address in network for network in networks)


def _host_of(text: str) -> str:
    """A host as a parsed URL has it. Raises BadOperand."""
    plain = f"[{text}]" if ":" in text and not text.startswith("[") else text
    url = subject.parsed(f"https://{plain}/")
    if url is None or url.port != 443:
        raise BadOperand(f"must name hosts such as api.example.com or *.example.com, not {text[:80]!r}")
    return url.host.rstrip(".")


def _host_in(operand: Any) -> Test:
    texts = _texts(operand)
    exact = frozenset(_host_of(one) for one in texts if not one.startswith("*."))
    below = tuple("." + _host_of(one[2:]) for one in texts if one.startswith("*."))

    def host_in(value: Any, _: Subject) -> bool:
        url = subject.parsed(value) if isinstance(value, str) else None
        if url is None:
            return False
        host = url.host.rstrip(".")
        return host in exact or bool(below and host.endswith(below))

    return host_in


def _url_scheme(operand: Any) -> Test:
    schemes = frozenset(one.lower().removesuffix("://") for one in _texts(operand))

    def url_scheme(value: Any, _: Subject) -> bool:
        url = subject.parsed(value) if isinstance(value, str) else None
        return url is not None and url.scheme in schemes

    return url_scheme


def _cron_interval_at_least(operand: Any) -> Test:
    least_ms = run_times.read_duration(operand)
    if least_ms is None:
        raise BadOperand("must be a duration such as 5m, or milliseconds")

    def far_apart(_: Any, about: Subject) -> bool:
        if about.recurrence is None:
            return False
        gap_ms = run_times.shortest_gap_ms(about.recurrence)
        return gap_ms is None or gap_ms >= least_ms

    return far_apart


def _runs_within_window(operand: Any) -> Test:
    window = run_times.read_window(operand)
    if isinstance(window, str):
        raise BadOperand(window)
    return lambda _, about: about.recurrence is not None and run_times.keeps_to(about.recurrence, window)


def _timezone_in(operand: Any) -> Test:
    names = _texts(operand)
    exact = frozenset(name for name in names if not name.endswith("/*"))
    areas = tuple(name.removesuffix("*") for name in names if name.endswith("/*"))
    return lambda value, _: isinstance(value, str) and (value in exact or bool(areas and value.startswith(areas)))


_MAKERS: Final[Mapping[str, Callable[[Any], Test]]] = {
    "eq": _eq,
    "ne": _ne,
    "in": _in,
    "not_in": _not_in,
    "contains": _contains,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "regex_matches": _regex_matches,
    "gt": _ordered(gt),
    "ge": _ordered(ge),
    "lt": _ordered(lt),
    "le": _ordered(le),
    "between": _between,
    "cidr_contains": _cidr_contains,
    "host_in": _host_in,
    "url_scheme": _url_scheme,
    "cron_interval_at_least": _cron_interval_at_least,
    "runs_within_window": _runs_within_window,
    "timezone_in": _timezone_in,
}
OPERATORS: Final = (*_MAKERS, *sorted(PRESENCE))
# What these judge is when a schedule runs, whatever their field holds: any other field would read as something else.
ON_RECURRENCE: Final = frozenset({"cron_interval_at_least", "runs_within_window"})
