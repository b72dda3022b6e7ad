"""What reads JSON and query parameters into types: made one at a time, and kept.

msgspec analyses a type when it first meets it, and registers it before it has analysed all of it. A thread that uses
the type meanwhile, or one that contains it, reads what is half made: the process dies of SIGSEGV (msgspec 0.22). So
every type is analysed under one lock, and used afterwards. A test in ``tests/tidy`` holds all modules to this.
"""

from __future__ import annotations

import threading
from typing import Any, Final, TypeVar, overload

import msgspec

T = TypeVar("T")

_analysing: Final = threading.Lock()
_made: Final[dict[Any, msgspec.json.Decoder[Any]]] = {}


@overload
def decoder_of(kind: type[T]) -> msgspec.json.Decoder[T]: ...


@overload
def decoder_of(kind: Any) -> msgspec.json.Decoder[Any]: ...


def decoder_of(kind: Any) -> msgspec.json.Decoder[Any]:
    """The decoder of JSON for ``kind``. Safe to share between threads."""
    found = _made.get(kind)
    if found is None:
        with _analysing:
            found = _made[kind] = _made.get(kind) or msgspec.json.Decoder(kind)
    return found


@overload
def converted(value: object, kind: type[T], *, strict: bool = True) -> T: ...


@overload
def converted(value: object, kind: Any, *, strict: bool = True) -> Any: ...


def converted(value: object, kind: Any, *, strict: bool = True) -> Any:
    """Plain values as ``kind``. Raises msgspec.ValidationError."""
    decoder_of(kind)  # from here on msgspec knows the type
    return msgspec.convert(value, kind, strict=strict)
