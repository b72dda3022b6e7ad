"""How every noun of the API is called: what the generated calls share, as functions and as coroutines."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import quote

from chronowatch.transport import Transport

Value = TypeVar("Value")


class Unset:
    """Nothing was said of a field: it keeps its default, or its present value."""

    def __repr__(self) -> str:
        return "UNSET"

    def __bool__(self) -> bool:
        return False


UNSET: Final = Unset()


def said(**fields: Any) -> dict[str, Any]:
    """The fields of which something was said, by their names in the API."""
    return {name.rstrip("_"): value for name, value in fields.items() if value is not UNSET}


def place(path: str, **parameters: str) -> str:
    """A path with its parameters."""
    return path.format(**{name: quote(value, safe="") for name, value in parameters.items()})


def key_of_call(given: str | None) -> str:
    """The caller's Idempotency-Key, or one of this call: its retries never do a thing twice."""
    return given or uuid.uuid4().hex


def _how(key: str | None, if_match: str | None) -> dict[str, str]:
    headers = {} if key is None else {"Idempotency-Key": key}
    return headers if if_match is None else {**headers, "If-Match": f'"{if_match}"'}


class Caller:
    """A noun's calls, made one after another."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        key: str | None = None,
        if_match: str | None = None,
        safe: bool = True,
    ) -> Any:
        return self._transport.call(method, path, body, query=query, headers=_how(key, if_match), safe=safe)

    def _text(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        if_match: str | None = None,
        safe: bool = True,
    ) -> str:
        headers = {"Accept": "*/*", **_how(None, if_match)}
        return self._transport.exchange(method, path, body, query=query, headers=headers, safe=safe).body.decode()

    def _pages(
        self, method: str, path: str, *, query: Mapping[str, Any] | None = None, body: Any = None
    ) -> Iterator[Any]:
        asked = dict(query or {})
        while True:
            page = self._transport.call(method, path, body, query=asked)
            yield from page["items"]
            if page["next_page_token"] is None:
                return
            asked["page_token"] = page["next_page_token"]


class AsyncCaller:
    """A noun's calls as coroutines: the same calls, each in a thread of ``pool``."""

    def __init__(self, transport: Transport, pool: Executor) -> None:
        self._transport = transport
        self._pool = pool

    async def _call(self, method: str, path: str, **how: Any) -> Any:
        return await in_thread(self._pool, partial(Caller(self._transport)._call, method, path, **how))

    async def _text(self, method: str, path: str, **how: Any) -> str:
        return await in_thread(self._pool, partial(Caller(self._transport)._text, method, path, **how))

    async def _pages(self, method: str, path: str, **how: Any) -> AsyncIterator[Any]:
        pages = Caller(self._transport)._pages(method, path, **how)
        async for each in stepwise(self._pool, pages):
            yield each


async def in_thread(pool: Executor, call: Callable[[], Value]) -> Value:
    """What ``call`` returns. A coroutine that is cancelled stops waiting; the call itself goes on to its answer."""
    return await asyncio.get_running_loop().run_in_executor(pool, call)


_END: Final = object()


async def stepwise(pool: Executor, items: Iterator[Value]) -> AsyncIterator[Value]:
    """``items``, each awaited."""
    while True:
        found = await in_thread(pool, lambda: next(items, _END))
        if found is _END:
            return
        yield found  # type: ignore[misc]
