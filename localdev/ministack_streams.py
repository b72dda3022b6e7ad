"""Reads of streams that wait in the emulator until there is something to read, as calls that receive messages do.

A reader that has to ask at intervals either wastes its time or is late. One that says how long it would wait costs
a machine at rest nothing, and hears of a write at once. Other servers do not know the header, and answer at once.

Runs in the emulator's own environment, by path: it imports nothing else of ours.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

HOLD = "x-chronowatch-hold"  # seconds, and after each ";" a table and how the keys end that are worth an answer
NOTHING = (b'"Records": []', b'"Records":[]')
HOLD_MOST_S = 60.0
OF_SERVICE = ("#", "%23")  # begin the partitions of the service's own: cursors, nodes, ticks


class _Held(NamedTuple):
    """A read that waits."""

    table: str
    ending: str
    woken: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop


def hold_reads(dynamodb: Any, streams: Any) -> Callable[[], None]:
    """Let reads of streams wait for what they read. Returns what ends those that wait, and lets no more wait. Raises
    AttributeError when the emulator is another."""
    emit, handle, decode = dynamodb._emit_stream_event, streams.handle_request, streams._decode_iterator
    waiting, ended = set[_Held](), list[bool]()

    def emit_and_wake(table_name: str, event_name: str, before: Any, after: Any, *more: Any, **named: Any) -> None:
        emit(table_name, event_name, before, after, *more, **named)
        if not waiting:
            return
        pk = str((after or before or {}).get("pk", {}).get("S", ""))
        for held in tuple(waiting):
            if held.table == table_name and pk.endswith(held.ending) and not pk.startswith(OF_SERVICE):
                waiting.discard(held)
                _wake(held)

    async def handle_or_hold(method: str, path: str, headers: dict[str, str], body: bytes, query: Any) -> Any:
        answer = await handle(method, path, headers, body, query)
        if HOLD not in headers or not _holds_nothing(answer):
            return answer
        seconds, *endings = headers[HOLD].split(";")
        loop = asyncio.get_running_loop()
        table = str((decode(json.loads(body)["ShardIterator"]) or {}).get("t", ""))
        ending = next((end for name, _, end in (e.partition("=") for e in endings) if table.endswith(name)), "")
        held = _Held(table, ending, loop.create_future(), loop)
        waiting.add(held)
        try:
            if not ended:
                await asyncio.wait((held.woken,), timeout=min(float(seconds), HOLD_MOST_S))
        finally:
            waiting.discard(held)
        return await handle(method, path, headers, body, query)

    def end() -> None:
        ended.append(True)
        for held in tuple(waiting):
            _wake(held)

    dynamodb._emit_stream_event = emit_and_wake
    streams.handle_request = handle_or_hold
    return end


def _holds_nothing(answer: Any) -> bool:
    status, _, body = answer
    text = body if isinstance(body, bytes) else str(body).encode()
    return status == 200 and any(nothing in text for nothing in NOTHING)


def _wake(held: _Held) -> None:
    # Items expire in a thread of the emulator's own.
    held.loop.call_soon_threadsafe(_set, held.woken)


def _set(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
