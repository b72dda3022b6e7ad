"""A small ChronoWatch for tests: leases and ticks in memory, over real sockets, with faults on demand.

It keeps the promises of the lease API (fencing tokens, order of waiters, repeats that succeed) for one process and one
clock. It is no service: nothing is stored, nothing is authenticated.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

Fault = Literal["lose_answer", "unavailable", "refuse_connection"]


@dataclass(slots=True)
class _Lease:
    token: int = 0
    holder: str | None = None
    expires: float = 0.0
    released: tuple[str, int] | None = None
    waiters: dict[str, float] = field(default_factory=dict)  # holder -> asks until; a dict keeps the order of entry

    def is_taken(self, now: float) -> bool:
        return self.holder is not None and now < self.expires


class _Problem(Exception):
    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail


class FakeServer:
    """Serves on 127.0.0.1 and a free port while in its ``with`` block; ``url`` is for ``Client``.

    ``calls`` lists (verb, body) in order of arrival; ``fault(verb, kind, times)`` makes the next calls of a verb go
    wrong: ``lose_answer`` after doing it, ``unavailable`` (503) and ``refuse_connection`` without.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._leases: dict[str, _Lease] = {}
        self._faults: dict[str, deque[Fault]] = {}
        self._ticks: dict[str, list[dict[str, Any]]] = {}
        self._schedules: dict[str, dict[str, Any]] = {}
        self._keys: dict[str, str] = {}
        self._closing = False
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self._server = _Server(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> FakeServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fault(self, verb: str, kind: Fault, times: int = 1) -> None:
        """Make the next ``times`` calls of ``verb`` ("acquire", "renew", "ticks", "schedules", …) go wrong."""
        with self._changed:
            self._faults.setdefault(verb, deque()).extend([kind] * times)

    def wait_for_call(self, verb: str, count: int = 1, timeout: float = 10.0) -> None:
        """Return once ``count`` calls of ``verb`` have arrived. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: sum(v == verb for v, _ in self.calls) >= count, timeout):
                raise TimeoutError(f"{verb} was not called {count} times within {timeout} s")

    def break_lease(self, name: str) -> None:
        """Take the lease from its holder."""
        with self._changed:
            self._leases[name].holder = None
            self._changed.notify_all()

    def emit(self, frequency: str, timestamp: int) -> None:
        """Append a tick to a stream."""
        with self._changed:
            stream = self._ticks.setdefault(frequency, [])
            sequence = len(stream) + 1
            stream.append(
                {
                    "id": f"{frequency}-{timestamp}-{sequence}",
                    "timestamp": timestamp,
                    "frequency": frequency,
                    "sequence": sequence,
                    "seed": timestamp ^ sequence,
                    "schema_version": 1,
                    "producer_version": "fake",
                    "instance_id": "fake",
                }
            )

    # -- what the handler calls

    def answer(self, verb: str, path: str, body: dict[str, Any], key: str | None) -> tuple[Fault | None, int, Any]:
        """(what goes wrong, the status, the answer)."""
        with self._changed:
            self.calls.append((verb, body))
            self._changed.notify_all()
            waiting = self._faults.get(verb)
            fault = waiting.popleft() if waiting else None
            if fault in ("unavailable", "refuse_connection"):
                return fault, 503, {"code": "unavailable", "detail": "told to", "status": 503}
            try:
                return fault, 200, self._route(verb, path, body, key)
            except _Problem as p:
                return fault, p.status, {"code": p.code, "detail": p.detail, "status": p.status}

    def _route(self, verb: str, path: str, body: dict[str, Any], key: str | None) -> Any:
        if verb == "acquire":
            return self._acquire(body)
        if verb == "renew":
            return self._renew(body)
        if verb == "release":
            return self._release(body)
        if verb == "validate":
            lease = self._leases.get(body["name"], _Lease())
            valid = lease.token == body["fencing_token"] and lease.is_taken(self._clock())
            return {"valid": valid, "highest_fencing_token": lease.token}
        if verb == "ticks":
            return self._page_of_ticks(path.rsplit("/", 1)[1], body)
        if verb == "schedules":
            return self._schedule(path, body, key)
        raise _Problem(404, "not_found", path)

    def _acquire(self, body: dict[str, Any]) -> dict[str, Any]:
        lease = self._leases.setdefault(body["name"], _Lease())
        me, ttl = body["holder_id"], body["ttl_ms"] / 1000
        deadline = self._clock() + body.get("wait_ms", 0) / 1000
        while True:
            now = self._clock()
            lease.waiters = {who: until for who, until in lease.waiters.items() if now < until}
            if lease.is_taken(now) and lease.holder == me:
                lease.expires = max(lease.expires, now + ttl)
                return self._granted(lease)
            if not lease.is_taken(now) and next(iter(lease.waiters), me) == me:
                lease.waiters.pop(me, None)
                lease.token, lease.holder, lease.expires = lease.token + 1, me, now + ttl
                return self._granted(lease)
            lease.waiters[me] = now + ttl
            if now >= deadline or self._closing:
                place = list(lease.waiters).index(me) + 1
                return {"acquired": False, "queue_position": place, "holder_id": lease.holder}
            times = [deadline, now + ttl / 4, *lease.waiters.values()]
            if lease.is_taken(now):
                times.append(lease.expires)
            self._changed.wait(max(0.001, min(times) - now))

    def _renew(self, body: dict[str, Any]) -> dict[str, Any]:
        lease = self._held(body)
        lease.expires = max(lease.expires, self._clock() + body.get("ttl_ms", 1000) / 1000)
        return self._granted(lease)

    def _release(self, body: dict[str, Any]) -> dict[str, Any]:
        lease = self._leases.get(body["name"], _Lease())
        if lease.released != (body["holder_id"], body["fencing_token"]):
            lease = self._held(body)
            lease.holder, lease.released = None, (body["holder_id"], body["fencing_token"])
            self._changed.notify_all()
        return {"released": True}

    def _held(self, body: dict[str, Any]) -> _Lease:
        lease = self._leases.get(body["name"], _Lease())
        if lease.holder != body["holder_id"] or lease.token != body["fencing_token"]:
            raise _Problem(409, "lease_not_held", body["name"])
        return lease

    def _granted(self, lease: _Lease) -> dict[str, Any]:
        unix_ms = int((time.time() + lease.expires - self._clock()) * 1000)
        return {"acquired": True, "fencing_token": lease.token, "expires_at_unix_ms": unix_ms}

    def _page_of_ticks(self, frequency: str, query: dict[str, Any]) -> dict[str, Any]:
        after, limit = int(query.get("after_sequence", 0)), int(query.get("limit", 50))
        found = [t for t in self._ticks.get(frequency, ()) if t["sequence"] > after]
        return {"items": found[:limit], "next_page_token": "more" if len(found) > limit else None}

    def _schedule(self, path: str, body: dict[str, Any], key: str | None) -> Any:
        name = path.removeprefix("/api/v1/schedules").lstrip("/")
        if name:
            if name not in self._schedules:
                raise _Problem(404, "not_found", name)
            return self._schedules[name]
        if "expr" not in body:
            return self._page_of_schedules(body)
        made = self._keys.setdefault(key or str(len(self._keys)), f"s{len(self._schedules) + 1}")
        return self._schedules.setdefault(made, {"id": made, **body})

    def _page_of_schedules(self, query: dict[str, Any]) -> dict[str, Any]:
        names, start = sorted(self._schedules), int(query.get("page_token", 0))
        end = start + int(query.get("limit", 50))
        token = str(end) if end < len(names) else None
        return {"items": [self._schedules[n] for n in names[start:end]], "next_page_token": token}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False  # kept-alive connections of a client that is still open would be waited for

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error of a server; all else is."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


def _handler_of(fake: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 30

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            self._answer({name: values[-1] for name, values in parse_qs(parts.query).items()})

        def do_POST(self) -> None:
            self._answer(json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}"))

        def _answer(self, body: dict[str, Any]) -> None:
            path = unquote(urlsplit(self.path).path)
            verb = path.rsplit(":", 1)[1] if ":" in path else path.split("/")[3]
            fault, status, answer = fake.answer(verb, path, body, self.headers.get("Idempotency-Key"))
            if fault in ("lose_answer", "refuse_connection"):
                self.close_connection = True
                return
            text = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if status < 400 else "application/problem+json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    return Handler
