"""A webhook receiver on loopback that notes when each request arrived: ``python -m bench.receiver``.

A process of its own with one thread, so that what it notes is the arrival and not its own queueing. It prints its port;
``GET /records`` answers what arrived since the last time it was asked: ``[[id, arrival_unix_ns], …]``. ``GET /tokens``
answers the fencing tokens of each id that came more than once, in the order of arrival: ``{id: [token, …]}``.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

records: list[tuple[int, bytes]] = []
tokens: dict[str, list[int]] = {}


class Reader(asyncio.Protocol):
    """One connection, kept alive, requests with a Content-Length."""

    def __init__(self) -> None:
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        arrived_ns = time.time_ns()
        self._buffer += data
        while self._take(arrived_ns):
            pass

    def _take(self, arrived_ns: int) -> bool:
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return False
        length = _content_length(head)
        if len(rest) < length:
            return False
        self._buffer = rest[length:]
        assert self._transport is not None
        if head.startswith(b"POST"):
            records.append((arrived_ns, rest[:length]))
            self._transport.write(_OK)
        else:
            self._transport.write(_again() if head.startswith(b"GET /tokens") else _answer())
        return True


def _content_length(head: bytes) -> int:
    for header in head.split(b"\r\n")[1:]:
        name, _, value = header.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _answer() -> bytes:
    found = []
    for arrived_ns, body in records:
        event = json.loads(body)
        found.append((event["id"], arrived_ns))
        tokens.setdefault(event["id"], []).append(event.get("fencingtoken"))  # a peer has none
    records.clear()
    return _ok(found)


def _again() -> bytes:
    return _ok({name: several for name, several in tokens.items() if len(several) > 1})


def _ok(found: object) -> bytes:
    body = json.dumps(found).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body


async def _serve() -> None:
    server = await asyncio.get_running_loop().create_server(Reader, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    # It ends with the process that started it: standard input is a pipe that only that process holds.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    asyncio.run(_serve())
