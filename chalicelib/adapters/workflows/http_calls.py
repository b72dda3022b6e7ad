"""``HttpCalls`` over what sends webhooks: the same guard, the same secrets, the same deadline."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import Final

from chalicelib.adapters.http.answer import UNREADABLE, HttpAnswer
from chalicelib.adapters.http.connection import Connection, HttpCall, Peer
from chalicelib.adapters.secrets.webhook_secrets import ReadSecrets
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.adapters.targets.webhook import USER_AGENT, WebhookSender
from chalicelib.core.targets import loop_depth, retry_after
from chalicelib.core.targets.ssrf import WebhookUrl
from chalicelib.core.targets.webhook_signature import ref_of
from chalicelib.core.workflows.limits import OUTPUT_MAX_BYTES
from chalicelib.ports.target import COMPLETED, Delivery, Outcome
from chalicelib.ports.workflow_steps import HttpReply, HttpRequest, StepFailed

_RETRYABLE: Final = frozenset({"timeout", "connection_error", "dns_error", "internal_error"})
_HIDDEN: Final = frozenset({"set-cookie", "authorization", "proxy-authorization"})


class StepCalls(WebhookSender):
    """Sends what an author wrote, not a CloudEvent, and keeps the answer."""

    def __init__(self, parts: TargetParts) -> None:
        super().__init__(
            now_ms=parts.now_ms,
            monotonic_s=parts.monotonic_s,
            allow=parts.webhook_allow,
            secrets=parts.secrets,
            secret_policy=parts.secret_policy,
            service_key=None,
        )
        self._here = threading.local()

    def call(self, request: HttpRequest) -> HttpReply:
        """Send, and read the answer. Raises StepFailed."""
        delivery = Delivery(
            execution_id=request.key,
            tenant=request.tenant,
            schedule_id="",
            firing_unix_ms=0,
            attempt=request.attempt,
            fencing_token=0,
            target={
                "type": "webhook",
                "url": request.url,
                "headers": dict(request.headers),
                "method": request.method,
                "into_body": request.into_body,
            },
            event=request.body or b"",
            traceparent=request.traceparent,
            timeout_ms=request.timeout_ms,
            depth=request.depth,
        )
        self._here.reply = None
        [outcome] = self.dispatch([delivery])
        reply: HttpReply | None = self._here.reply
        if outcome.kind == COMPLETED and reply is not None:
            return reply
        kind = outcome.error_type or "internal_error"
        raise StepFailed(kind, outcome.error or kind, retryable=kind in _RETRYABLE and not outcome.permanent)

    def _converse(
        self,
        peer: Peer,
        connection: Connection,
        request: bytes,
        delivery: Delivery,
        call: HttpCall,
        hidden: Sequence[str],
    ) -> Outcome:
        keep = False
        try:
            connection.begin(call)
            connection.sendall(request)
            answer = _read(connection)
            keep = answer.is_complete and answer.is_kept
            wait_ms = retry_after.parse(answer.headers.get("retry-after"), self._now_ms())
            shown = {name: value for name, value in answer.headers.items() if name not in _HIDDEN}
            self._here.reply = HttpReply(answer.status, shown, answer.body, wait_ms)
            return Outcome(COMPLETED, answer.status)
        finally:
            if call.detach() and keep:
                self._dialer.put_back(peer, connection)
            else:
                connection.close()

    def _request(self, delivery: Delivery, url: WebhookUrl, secrets: ReadSecrets) -> bytes:
        own = delivery.target.get("headers")
        assert isinstance(own, dict)
        plain = {name: str(value) for name, value in own.items() if ref_of(value) is None}
        headers = {name.lower(): (name, value) for name, value in {**plain, **secrets.headers}.items()}
        headers.setdefault("user-agent", ("User-Agent", USER_AGENT))
        body = delivery.event
        into = delivery.target.get("into_body")
        if into:
            assert isinstance(into, Mapping)
            moved = {field: headers.pop(name.lower())[1] for name, field in into.items() if name.lower() in headers}
            body = json.dumps({**json.loads(body), **moved}, ensure_ascii=False).encode()
        if body:
            headers.setdefault("content-type", ("Content-Type", "application/json"))
        for name in ("host", "content-length", "transfer-encoding", "connection", "idempotency-key"):
            headers.pop(name, None)
        lines = [f"{delivery.target['method']} {url.path} HTTP/1.1", f"Host: {url.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.values()]
        lines += [f"Idempotency-Key: {delivery.execution_id}", f"{loop_depth.HEADER}: {delivery.depth + 1}"]
        if body or delivery.target["method"] not in ("GET", "HEAD", "DELETE", "OPTIONS"):
            lines.append(f"Content-Length: {len(body)}")
        if delivery.traceparent:
            lines.append(f"traceparent: {delivery.traceparent}")
        return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + body


def _read(connection: Connection) -> HttpAnswer:
    """Read an answer whole. Raises what is UNREADABLE, and StepFailed for one that is too large."""
    answer = HttpAnswer()
    while not answer.is_complete:
        if answer.body_bytes > OUTPUT_MAX_BYTES:
            raise StepFailed("payload_too_large", f"the answer has more than {OUTPUT_MAX_BYTES} bytes")
        try:
            answer.feed(connection.receive())
        except TimeoutError:
            raise
        except UNREADABLE:
            if not answer.status:
                raise
            break
    return answer
