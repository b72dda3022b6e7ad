"""Sending one statement over a connection: prepared there, with its values as text, in one call of libpq.

psycopg's cursor does the same with four times the work in Python. A worker under load sends some thousand statements a
second, so that work is what it has no time for. Results are read by psycopg, in C where it is installed so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import psycopg
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

PREPARED_MAX: Final = 200  # statements of one connection; what comes later is sent unprepared
_TEXT: Final = 0
_BINARY: Final = 1
_COMMAND_OK: Final = psycopg.pq.ExecStatus.COMMAND_OK
_TUPLES_OK: Final = psycopg.pq.ExecStatus.TUPLES_OK
_PLACEHOLDER: Final = re.compile(r"%(?:\((\w+)\))?s|%%")


class CannotHold(Exception):
    """Raised for a value that no row of PostgreSQL can have: text with the character U+0000."""


class Session(psycopg.Connection[tuple[Any, ...]]):
    """A connection that knows which statements it has prepared."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.prepared: dict[str, bytes] = {}  # empty: seen once, to be prepared when it comes again


def execute(session: Session, sql: str, values: Sequence[object] | Mapping[str, object]) -> list[tuple[Any, ...]]:
    """The rows that a statement answers with. Raises psycopg.Error and CannotHold."""
    text, names = _numbered(sql)
    given = [values[name] for name in names] if isinstance(values, Mapping) else values
    params: Any = [_written(value) for value in given]  # psycopg's types know of no NULL
    formats = [_BINARY if isinstance(value, bytes) else _TEXT for value in given]
    name = session.prepared.get(sql)
    pgconn = session.pgconn
    if name is None:
        if len(session.prepared) < PREPARED_MAX:
            session.prepared[sql] = b""
        result = pgconn.exec_params(text, params, None, formats)
    else:
        if not name:
            name = b"s%d" % sum(map(bool, session.prepared.values()))
            _checked(pgconn.prepare(name, text), _COMMAND_OK)
            session.prepared[sql] = name
        result = pgconn.exec_prepared(name, params, formats)
    if result.status == _COMMAND_OK:
        return []
    _checked(result, _TUPLES_OK)
    if not result.ntuples:
        return []
    reader = Transformer(session)
    reader.set_pgresult(result)
    return reader.load_rows(0, result.ntuples, tuple)


def _checked(result: psycopg.pq.abc.PGresult, wanted: int) -> None:
    if result.status != wanted:
        raise error_from_result(result)


@lru_cache(maxsize=500)
def _numbered(sql: str) -> tuple[bytes, tuple[str, ...]]:
    """A statement with PostgreSQL's placeholders, and the names of its values in that order; none without names."""
    numbers: dict[str, int] = {}
    count = 0

    def place(found: re.Match[str]) -> str:
        nonlocal count
        if found[0] == "%%":
            return "%"
        count += 1
        return f"${numbers.setdefault(found[1] or f'#{count}', len(numbers) + 1)}"

    text = _PLACEHOLDER.sub(place, sql)
    return text.encode(), tuple(numbers)


def _written(value: object) -> bytes | None:
    """A value as PostgreSQL reads it, whatever its type there. Bytes go as they are."""
    if value is None or isinstance(value, bytes):
        return value
    text = _array(value) if isinstance(value, list | tuple) else _word(value)
    if "\0" in text:  # libpq would end the value there
        raise CannotHold
    return text.encode()


def _word(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, int | float):
        return str(value)
    raise TypeError(f"a value of {type(value).__name__} is not for PostgreSQL")


def _array(values: Sequence[object]) -> str:
    return "{" + ",".join([_element(value) for value in values]) + "}"


def _element(value: object) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return "NULL" if value is None else _word(value)
