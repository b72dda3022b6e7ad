"""A proxy before the emulator that stops a process at a call: it can be killed exactly there."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from http.server import ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit

from bench import forwarding
from bench.forwarding import Answer

TIMEOUT_S = 60.0


class HoldingProxy:
    """Passes calls on to ``endpoint`` until ``once()``, which is asked before each. It never passes on, nor answers,
    those from then on. Use it as a context."""

    def __init__(self, endpoint: str, once: Callable[[], bool]) -> None:
        self._emulator, self._once = urlsplit(endpoint).netloc, once
        self._asking = threading.Lock()
        self.holds, self._over = threading.Event(), threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), forwarding.handler(self._answer))
        self._server.daemon_threads = True

    def __enter__(self) -> HoldingProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def _is_held(self) -> bool:
        with self._asking:
            if not self.holds.is_set() and self._once():
                self.holds.set()
            return self.holds.is_set()

    def _answer(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer | None:
        if not self._is_held():
            return forwarding.pass_on(self._emulator, path, headers, body)
        self._over.wait(TIMEOUT_S)
        return None
