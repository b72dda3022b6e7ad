"""Calls to the services that we use most, answered past what the emulator does for every call of any service.

The emulator asks some thirty questions of each call: is it for a load balancer, a hosted login, a custom domain? On a
machine at rest the processor's caches are cold, and these cost more than the service itself. A call whose header names
its operation needs none of them.

Runs in the emulator's own environment, beside ``ministack_extended``, which loads it by path.
"""

from __future__ import annotations

import contextvars
import json
import logging
import re
import time
import uuid
from collections.abc import Callable
from email.utils import formatdate
from functools import lru_cache, partial
from types import SimpleNamespace
from typing import Any

SERVICES = {
    b"AmazonSQS": "sqs",
    b"AWSEvents": "events",
    b"DynamoDB_20120810": "dynamodb",
    b"DynamoDBStreams_20120810": "dynamodbstreams",
}
# A body that is packed, in pieces or still to be asked for is the emulator's business.
OTHERWISE = frozenset({b"content-encoding", b"transfer-encoding", b"expect", b"upgrade"})
PLAIN_HOST = re.compile(r"(\[[0-9a-fA-F:]+\]|[\d.]+|[^.:]+)(:\d+)?")  # others may name a bucket or an API
# As the emulator gives them with every answer of these services.
SHARED = (
    b"Access-Control-Allow-Origin: *\r\n"
    b"Access-Control-Allow-Methods: GET, POST, PUT, DELETE, HEAD, OPTIONS, PATCH\r\n"
    b"Access-Control-Allow-Headers: *\r\n"
    b"Access-Control-Expose-Headers: *\r\n"
)

SIGNED = b"AWS4-HMAC-SHA256 Credential="
HOLD = b"x-chronowatch-hold"
NO_WAIT = re.compile(rb'"WaitTimeSeconds": ?0\b')

log = logging.getLogger("ministack_calls")


class Services:
    """The emulator's services, as calls reach them. Raises AttributeError when the emulator is another."""

    def __init__(self, app: Any, responses: Any) -> None:
        self._app = app
        self._handlers = app.SERVICE_HANDLERS
        self._fix = SimpleNamespace(error=responses.fix_error_content_type, success=responses.fix_success_content_type)
        self._record, self._reset = app._maybe_record_cloudtrail, app._get_reset_lock
        self._caller = lru_cache(maxsize=64)(partial(_caller, app.extract_access_key_id, app.extract_region))
        self._set_account, self._set_region = app.set_request_account_id, app.set_request_region
        self._set_client = app.set_request_client_ip

    def find(self, url: bytes, named: dict[bytes, bytes]) -> str | None:
        """The service that a call with these headers is for; None when the emulator has to find out."""
        service = SERVICES.get(named.get(b"x-amz-target", b"").partition(b".")[0])
        is_signed = named.get(b"authorization", b"").startswith(SIGNED)
        if service is None or not is_signed or url != b"/" or self._app.AUTH or not OTHERWISE.isdisjoint(named):
            return None
        return service if _is_plain_host(named.get(b"host", b"")) and not self._reset().locked() else None

    async def answer(self, service: str, named: dict[bytes, bytes], body: bytes, client: str) -> tuple[int, bytes]:
        """The status of a call's answer, and what follows the status line."""
        headers = {name.decode("latin-1"): _text(value) for name, value in named.items()}
        access_key_id, region = self._caller(headers["authorization"].partition(",")[0])
        self._set_client(client)
        if access_key_id:
            self._set_account(access_key_id)
        self._set_region(region)
        request_id = str(uuid.uuid4())
        try:
            status, more, text = await self._handlers[service]("POST", "/", headers, body, {})
        except Exception as problem:  # as the emulator says it
            log.exception("a call of %s failed", service)
            failure = json.dumps({"__type": "InternalError", "message": str(problem)})
            status, more, text = 500, {"Content-Type": "application/json"}, failure
        (self._fix.error if status >= 400 else self._fix.success)(service, status, more)
        self._record(service, "POST", "/", headers, body, {}, request_id, region)
        content = text if isinstance(text, bytes) else text.encode()
        own = "".join(f"{name}: {value}\r\n" for name, value in more.items() if name.lower() != "content-length")
        head = (
            f"x-amzn-requestid: {request_id}\r\nx-amz-request-id: {request_id}\r\nx-amz-id-2: {request_id}\r\n"
            f"date: {_date(int(time.time()))}\r\nContent-Length: {len(content)}\r\n"
        )
        return status, b"".join((own.encode("latin-1"), SHARED, head.encode(), b"\r\n", content))


def _caller(access_key_id_of: Callable[..., str], region_of: Callable[..., str], credential: str) -> tuple[str, str]:
    """The key and the region that a call was signed with, as the emulator reads them."""
    headers = {"authorization": credential}
    return access_key_id_of(headers, {}), region_of(headers, {})


@lru_cache(maxsize=64)
def _is_plain_host(host: bytes) -> bool:
    return PLAIN_HOST.fullmatch(host.decode("latin-1")) is not None


@lru_cache(maxsize=4)
def _date(unix_s: int) -> str:
    return formatdate(unix_s, usegmt=True)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def protocol(services: Services) -> Any:
    """The server's protocol. It answers calls of ``services`` at once, in one write; others go the emulator's way."""
    from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

    class Calls(HttpToolsProtocol):
        """One connection."""

        def on_message_begin(self) -> None:
            self._service: str | None = None
            self._body: list[bytes] = []
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            named = dict(self.headers)
            is_free = self.cycle is None or self.cycle.response_complete  # else an answer is owed before this one
            is_plain = len(named) == len(self.headers) and self.parser.get_method() == b"POST"
            if is_free and is_plain and self.parser.should_keep_alive():
                self._service = services.find(self.url, named)
            if self._service is None:
                super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            if self._service is None:
                super().on_body(body)
            else:
                self._body.append(body)

        def on_message_complete(self) -> None:
            service, named, body = self._service, dict(self.headers), b"".join(self._body)
            if service is not None and may_wait(named, body):
                self._service = None
                super().on_headers_complete()
                super().on_body(body)
            if self._service is None:
                super().on_message_complete()
                return
            answering = services.answer(self._service, named, body, self.client[0] if self.client else "127.0.0.1")
            try:
                contextvars.copy_context().run(answering.send, None)
            except StopIteration as end:
                status, rest = end.value
                self.transport.write(STATUS_LINE[status] + rest)
                self.on_response_complete()
            except Exception:
                self._give_up("failed")
            else:
                answering.close()
                self._give_up("waits, which no such call did before")

        def _give_up(self, what: str) -> None:
            """Let the caller see that it is not known what became of its call."""
            log.exception("a call %s: %s", what, dict(self.headers).get(b"x-amz-target"))
            self.transport.close()

    return Calls


def may_wait(named: dict[bytes, bytes], body: bytes) -> bool:
    """Whether a call may wait for messages or records; such a one must be able to end before it is answered."""
    action = named[b"x-amz-target"].rpartition(b".")[2]
    return HOLD in named if action == b"GetRecords" else action == b"ReceiveMessage" and not NO_WAIT.search(body)
