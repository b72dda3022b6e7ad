"""Many subscribers to ticks at once, on one thread."""

from __future__ import annotations

import selectors
import socket
import threading
from types import TracebackType

SUBSCRIBE = b"GET /api/v1/ticks/second HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n"


class Subscribers:
    """A context: as many open streams of seconds, read all the time."""

    def __init__(self, port: int, count: int) -> None:
        self.ticks = 0
        self.ended = 0
        self._selector = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read)
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port), timeout=30)
            sock.sendall(SUBSCRIBE)
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
                if not piece:
                    self.ended += 1
                    self._selector.unregister(key.fileobj)
                    key.fileobj.close()
