"""HTTP with kept-alive connections, shared by all threads, and retries of what is safe to repeat."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from chronowatch.errors import ApiError, Unreachable, error_of

Headers = Mapping[str, str] | Callable[[], Mapping[str, str]]

_RETRYABLE = frozenset({429, 502, 503, 504})
_NOT_DONE = frozenset({429, 503})  # the service did nothing, but for the code below
_MAY_BE_DONE = "outcome_unknown"
_BACKOFF_FIRST_S = 0.1
_BACKOFF_MAX_S = 2.0
_IDLE_MAX = 8
_ANSWER_MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a call is made again after no answer, 429 or 503, and how to sleep in between (seconds)."""

    attempts: int = 4
    sleep: Callable[[float], object] = time.sleep


@dataclass(frozen=True, slots=True)
class Answered:
    """What came back: the names of ``headers`` are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, decoded; None when it is empty. Raises Unreachable when it is no JSON."""
        return _decoded(self.body)


class Transport:
    """Calls to one base URL. Thread-safe."""

    def __init__(
        self,
        base_url: str,
        headers: Headers,
        timeout: float,
        retries: Retries,
        context: ssl.SSLContext | None = None,
    ) -> None:
        """``timeout`` is in seconds and bounds each wait for the network. Raises ValueError for a wrong URL."""
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"base_url must be http:// or https:// with a host, not {base_url!r}")
        self._secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._prefix = parts.path.rstrip("/")
        self._headers = headers
        self._timeout = timeout
        self._retries = retries
        self._context = context
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        attempts: int | None = None,
        safe: bool = True,
    ) -> Any:
        """The decoded answer. Raises ApiError for an error of the service, Unreachable when no answer came."""
        asked = {"query": query, "headers": headers, "timeout": timeout, "attempts": attempts, "safe": safe}
        return self.exchange(method, path, body, **asked).json()  # type: ignore[arg-type]

    def exchange(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        attempts: int | None = None,
        safe: bool = True,
    ) -> Answered:
        """The answer as it came. A ``body`` of bytes is sent as it is, all else as JSON; None in ``query`` is left out.

        ``safe``: the call may be made twice. One that may not is made again only when it was surely not done: nothing
        took the connection, or the service said so. Raises ApiError, Unreachable.
        """
        target = self._prefix + path + _query_text(query)
        sent = self._all_headers(headers)
        payload = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        total = attempts or self._retries.attempts
        for left in range(total - 1, -1, -1):
            try:
                return self._once(method, target, payload, sent, self._timeout if timeout is None else timeout, safe)
            except Unreachable as failure:
                wait_s = 0.0
                if not left or not (safe or failure.unsent):
                    raise
            except ApiError as error:
                wait_s = error.retry_after_s
                if not left or not _may_repeat(error, safe):
                    raise
            self._retries.sleep(max(wait_s, self._backoff_s(total - 1 - left)))
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """Close the connections that are not in use now; a later call opens new ones."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    @staticmethod
    def _backoff_s(tried: int) -> float:
        # Full jitter: many clients that failed together do not come back together.
        import random  # what no retry needs is not loaded

        return random.uniform(0, min(_BACKOFF_MAX_S, _BACKOFF_FIRST_S * 2**tried))  # noqa: S311 (no secret is made of it)

    def _all_headers(self, extra: Mapping[str, str] | None) -> dict[str, str]:
        configured = self._headers() if callable(self._headers) else self._headers
        return {"Content-Type": "application/json", "Accept": "application/json", **configured, **(extra or {})}

    def _once(
        self, method: str, target: str, payload: bytes | None, headers: dict[str, str], timeout: float, safe: bool
    ) -> Answered:
        connection = self._take() if safe else None  # a kept connection may die after the call was taken
        if connection is not None:
            try:
                return self._exchange(connection, method, target, payload, headers, timeout)
            except (OSError, http.client.HTTPException) as failure:
                # A kept-alive connection that the server closed meanwhile says nothing about the server: ask once
                # more on a new one. A timeout has used up its time already.
                if isinstance(failure, TimeoutError):
                    raise _unreachable(method, target, failure) from failure
        connection = self._new(timeout)
        try:
            connection.connect()
        except OSError as failure:
            raise _unreachable(method, target, failure, unsent=True) from failure
        try:
            return self._exchange(connection, method, target, payload, headers, timeout)
        except (OSError, http.client.HTTPException) as failure:
            raise _unreachable(method, target, failure) from failure

    def _exchange(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        target: str,
        payload: bytes | None,
        headers: dict[str, str],
        timeout: float,
    ) -> Answered:
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        try:
            connection.request(method, target, payload, headers)
            response = connection.getresponse()
            text = response.read(_ANSWER_MAX_BYTES)
        except BaseException:
            connection.close()
            raise
        if response.isclosed() and connection.sock is not None:
            self._give_back(connection)
        else:
            connection.close()
        if response.status < 400:
            named = {name.lower(): value for name, value in response.headers.items()}
            return Answered(response.status, named, text)
        raise _problem(response.status, text, response.headers.get("Retry-After"))

    def _take(self) -> http.client.HTTPConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < _IDLE_MAX:
                self._idle.append(connection)
                return
        connection.close()

    def _new(self, timeout: float) -> http.client.HTTPConnection:
        if self._secure:
            return http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._context)
        return http.client.HTTPConnection(self._host, self._port, timeout=timeout)


def _query_text(query: Mapping[str, object] | None) -> str:
    said = {name: _query_value(value) for name, value in (query or {}).items() if value is not None}
    return "?" + urlencode(said) if said else ""


def _query_value(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _may_repeat(error: ApiError, safe: bool) -> bool:
    if safe:
        return error.status in _RETRYABLE
    return error.status in _NOT_DONE and error.code != _MAY_BE_DONE


def _unreachable(method: str, target: str, failure: Exception, *, unsent: bool = False) -> Unreachable:
    return Unreachable(f"{method} {target}: {failure or type(failure).__name__}", unsent=unsent)


def _decoded(text: bytes) -> Any:
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        # a proxy's page with status 200 is no answer of the service
        raise Unreachable("the answer is not JSON") from None


def _problem(status: int, text: bytes, retry_after: str | None) -> ApiError:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    body: dict[str, Any] = found if isinstance(found, dict) else {}
    error = error_of(status, str(body.get("code", "unknown")), str(body.get("detail", "")), body)
    if retry_after is not None and retry_after.isdigit():
        error.retry_after_s = float(retry_after)
    return error
