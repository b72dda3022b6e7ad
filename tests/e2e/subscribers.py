"""Many subscribers to ticks, or to tasks, at once, on one thread."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType

TICKS, TASKS = "/api/v1/ticks/second", "/api/tasks/subscribe"


class Subscribers:
    """A context: as many open streams, read all the time. ``seen`` gets each piece and when it came, in unix ms."""

    def __init__(
        self, port: int, count: int, path: str = TICKS, seen: Callable[[bytes, float], None] | None = None
    ) -> None:
        self.ticks = 0
        self.ended = 0
        self.begun = 0
        self._seen = seen
        self._selector = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port), timeout=30)
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n".encode())
            self._selector.register(sock, selectors.EVENT_READ)

    def __enter__(self) -> Subscribers:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(10)
        for key in list(self._selector.get_map().values()):
            assert isinstance(key.fileobj, socket.socket)
            key.fileobj.close()
        self._selector.close()

    def _read(self) -> None:
        while not self._stop.is_set():
            for key, _ in self._selector.select(0.1):
                assert isinstance(key.fileobj, socket.socket)
                piece = key.fileobj.recv(65_536)
                self.ticks += piece.count(b"event: tick")
                self.begun += piece.count(b"retry: ")
                if self._seen is not None:
                    self._seen(piece, time.time() * 1000)
                if not piece:
                    self.ended += 1
                    self._selector.unregister(key.fileobj)
                    key.fileobj.close()
