"""DynamoDB over the wire: the same calls as botocore's client, at a third of its CPU time, for what must be quick.

botocore spends 0.4 to 0.8 ms on a call: it validates, resolves endpoints, emits a dozen events, builds a user agent and
parses generically. DynamoDB's protocol is the arguments as JSON, signed (AWS Signature Version 4), with JSON in answer.
Credentials, region, endpoint and certificates are botocore's, and errors leave as its exceptions.

Requests go over kept connections. One that the server has closed meanwhile is noticed before use; whatever fails after
the first byte was sent leaves as an error that says so, and is never repeated here.

Source: docs.aws.amazon.com/general/latest/gr/sigv4-create-canonical-request.html.
"""

from __future__ import annotations

import hashlib
import hmac
import select
import socket
import ssl
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

CONNECTIONS_MAX = 64  # kept open while idle
_CONTENT_TYPE = "application/x-amz-json-1.0"
_PROTOCOL = "20120810"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where DynamoDB is and how to be let in. ``credentials`` answers botocore's frozen ones, refreshed when due;
    ``ca_bundle`` is a file of certificates."""

    url: str
    region: str
    credentials: Callable[[], Any]
    ca_bundle: str
    connect_timeout_s: float
    read_timeout_s: float


class WireClient:
    """The calls of a botocore DynamoDB client that take and give plain JSON: ``put_item(**arguments)`` and the like.

    Safe to share between threads. Raises what botocore raises.
    """

    def __init__(self, endpoint: Endpoint, now_s: Callable[[], float] = time.time) -> None:
        self._endpoint = endpoint
        self._now_s = now_s
        parts = urlsplit(endpoint.url)
        assert parts.hostname is not None
        self._address = (parts.hostname, parts.port or (443 if parts.scheme == "https" else 80))
        self._host = parts.netloc.rpartition("@")[2]
        self._path = parts.path or "/"
        self._context = ssl.create_default_context(cafile=endpoint.ca_bundle) if parts.scheme == "https" else None
        self._idle: deque[socket.socket] = deque()
        self._signing = _SigningKey()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop().close()

    def __del__(self) -> None:
        if "_idle" in self.__dict__:
            self.close()

    def __getattr__(self, method: str) -> Callable[..., dict[str, Any]]:
        if method.startswith("_"):
            raise AttributeError(method)
        operation = "".join(word.capitalize() for word in method.split("_"))

        def call(**arguments: object) -> dict[str, Any]:
            return self._call(operation, arguments)

        setattr(self, method, call)
        return call

    def _call(self, operation: str, arguments: Mapping[str, object]) -> dict[str, Any]:
        request = self._request(operation, _encode(arguments))
        connection = self._take_connection()
        try:
            answer = _exchange(connection, request)
        except (OSError, HTTPException, ValueError) as problem:
            connection.close()
            raise _interrupted(problem, self._endpoint.url) from problem
        if answer.keep and len(self._idle) < CONNECTIONS_MAX:
            self._idle.append(connection)
        else:
            connection.close()
        if answer.status != 200:
            raise _refused(operation, answer)
        content: dict[str, Any] = answer.content
        return content

    # -- requests

    def _request(self, operation: str, body: bytes) -> bytes:
        credentials = self._endpoint.credentials()
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(self._now_s()))
        headers = {
            "content-type": _CONTENT_TYPE,
            "host": self._host,
            "x-amz-date": stamp,
            "x-amz-target": f"DynamoDB_{_PROTOCOL}.{operation}",
        }
        if credentials.token:
            headers = dict(sorted({**headers, "x-amz-security-token": credentials.token}.items()))
        signed = ";".join(headers)
        lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
        canonical = f"POST\n{self._path}\n\n{lines}\n{signed}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{stamp[:8]}/{self._endpoint.region}/dynamodb/aws4_request"
        to_sign = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = self._signing.of(credentials.secret_key, stamp[:8], self._endpoint.region)
        signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
        authorization = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}"
        )
        sent = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = (
            f"POST {self._path} HTTP/1.1\r\n{sent}authorization: {authorization}\r\n"
            f"accept-encoding: identity\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode("latin-1") + body  # in one piece: the server wakes once

    # -- connections

    def _take_connection(self) -> socket.socket:
        """An idle connection that still stands, or a new one. Raises botocore's errors for what was never sent."""
        while True:
            try:
                kept = self._idle.pop()
            except IndexError:
                return self._connect()
            if not _was_closed(kept):
                return kept
            kept.close()

    def _connect(self) -> socket.socket:
        from botocore import exceptions

        url = self._endpoint.url
        try:
            made = socket.create_connection(self._address, timeout=self._endpoint.connect_timeout_s)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if self._context is not None:
                made = self._context.wrap_socket(made, server_hostname=self._address[0])
        except TimeoutError as problem:
            raise exceptions.ConnectTimeoutError(endpoint_url=url, error=problem) from problem
        except OSError as problem:
            raise exceptions.EndpointConnectionError(endpoint_url=url, error=problem) from problem
        made.settimeout(self._endpoint.read_timeout_s)
        return made


class _SigningKey:
    """The day's key, derived once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: tuple[tuple[str, str, str], bytes] | None = None

    def of(self, secret: str, day: str, region: str) -> bytes:
        wanted = (secret, day, region)
        known = self._known
        if known is not None and known[0] == wanted:
            return known[1]
        key = f"AWS4{secret}".encode()
        for part in (day, region, "dynamodb", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        with self._lock:
            self._known = (wanted, key)
        return key


def _was_closed(connection: socket.socket) -> bool:
    """Whether the server has closed an idle connection (or said something unasked): it is readable then."""
    if isinstance(connection, ssl.SSLSocket) and connection.pending():
        return True
    poller = select.poll()
    poller.register(connection, select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poller.poll(0))


class _Answer(NamedTuple):
    """What came back; ``keep``: the connection can be used again."""

    status: int
    request_id: str
    content: Any
    keep: bool


def _exchange(connection: socket.socket, request: bytes) -> _Answer:
    """Send and read. Whatever goes wrong in here leaves open what the server has done."""
    connection.sendall(request)
    response = HTTPResponse(connection, method="POST")
    try:
        response.begin()
        body = response.read()
        checksum = response.headers.get("x-amz-crc32")
        if checksum is not None and int(checksum) != zlib.crc32(body):
            raise HTTPException("the answer's checksum is wrong")
        request_id = response.headers.get("x-amzn-requestid", "")
        return _Answer(response.status, request_id, _content(response.status, body), not response.will_close)
    finally:
        response.close()


def _content(status: int, body: bytes) -> Any:
    """The JSON object of an answer. An error may come without one, from something in between."""
    try:
        found = _decode(body)
    except msgspec.DecodeError:
        found = None
    if isinstance(found, dict):
        return found
    if status == 200:
        raise HTTPException("the answer is no JSON object")
    return {}


def _interrupted(problem: Exception, url: str) -> Exception:
    """The error for a call that was sent, at least in part, and got no answer."""
    from botocore import exceptions

    if isinstance(problem, TimeoutError):
        error: Exception = exceptions.ReadTimeoutError(endpoint_url=url, error=problem)
    else:
        error = exceptions.ConnectionClosedError(endpoint_url=url, error=problem)
    return error


def _refused(operation: str, answer: _Answer) -> Exception:
    """DynamoDB's error as botocore's ClientError."""
    from botocore.exceptions import ClientError

    said = answer.content
    code = str(said.get("__type", answer.status)).rpartition("#")[2]
    response = {
        "Error": {"Code": code, "Message": str(said.get("message") or said.get("Message") or "")},
        "ResponseMetadata": {"HTTPStatusCode": answer.status, "RequestId": answer.request_id},
        **{name: said[name] for name in ("CancellationReasons", "Item") if name in said},
    }
    error: Exception = ClientError(response, operation)
    return error
