"""The receiver's side in one decorator: verified, fenced, and once for each execution.

A service delivers at least once. A repeated delivery has the same id. A later attempt has a higher fencing token. An
older one may still arrive, from a worker that was stopped and went on.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import update_wrapper
from typing import Any, Final

from chronowatch.errors import Gone, InvalidSignature, NotAFiring, RetryLater, StaleToken
from chronowatch.memories import DONE, NEW, MemoryStore, ReceiverStore
from chronowatch.webhooks import BODY_MAX_BYTES, TOLERANCE_S, Firing, Secret, firing_of, read, verify

Handler = Callable[[Firing], Any]


class _Accepted:
    def __repr__(self) -> str:
        return "ACCEPTED"


ACCEPTED: Final = _Accepted()  # what a handler returns that will report by :complete or :fail


@dataclass(frozen=True, slots=True)
class Answer:
    """What a web framework answers: a status, headers, and a body that may be empty."""

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Receiver:
    """A handler of firings, ready for AWS Lambda, WSGI, or a framework that calls ``receive``."""

    def __init__(
        self,
        handler: Handler,
        secret: Secret | None,
        store: ReceiverStore,
        tolerance_s: float,
        on_cancel: Handler | None,
    ) -> None:
        update_wrapper(self, handler)
        self._handler = handler
        self._on_cancel = on_cancel
        self._secret = secret
        self._store = store
        self._tolerance_s = tolerance_s

    def __call__(self, event: Any, context: object = None) -> Any:
        """As a function of AWS Lambda: a request of API Gateway or a function URL, a batch of SQS or SNS, an event of
        EventBridge, or the firing itself, which the target ``lambda`` sends.

        Requests are answered with ``statusCode``, batches of SQS with ``batchItemFailures``. Otherwise the handler's
        value is returned, and what it raises is raised.
        """
        if not isinstance(event, dict):
            raise NotAFiring("the function was called with no event")
        if "requestContext" in event or "httpMethod" in event:
            return self._of_gateway(event)
        if "Records" in event:
            return self._of_records(event["Records"])
        return self._once(firing_of(event.get("detail", event)))

    def receive(self, headers: Mapping[str, str], body: bytes | str) -> Answer:
        """One request, whatever the framework. Never raises for what came in; a handler's fault is a 500."""
        try:
            if self._secret is None:
                firing = read(body)
            else:
                firing = verify(body=body, headers=headers, secret=self._secret, tolerance_s=self._tolerance_s)
        except InvalidSignature as refused:
            return Answer(401, str(refused))
        except NotAFiring as refused:
            return Answer(400, str(refused))
        try:
            return _answer(self._once(firing, reports=True))
        except StaleToken as stale:
            return Answer(409, str(stale))  # where it was overtaken in good faith, it comes again with a higher token
        except RetryLater as later:
            return Answer(503, str(later), {"Retry-After": str(later.after_s)})
        except Gone as gone:
            return Answer(410, str(gone))
        except Exception as fault:  # the service shall try again, and its journal shall say why
            return Answer(500, f"{type(fault).__name__}: {fault}"[:500])

    def wsgi(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """As a WSGI application that takes POST."""
        length = environ.get("CONTENT_LENGTH") or "0"
        if environ.get("REQUEST_METHOD") != "POST":
            answer = Answer(405, "POST a firing", {"Allow": "POST"})
        elif not length.isdecimal() or int(length) > BODY_MAX_BYTES:
            answer = Answer(413, f"the body has more than {BODY_MAX_BYTES // 1024} KiB")
        else:
            names = {key: key[5:].replace("_", "-").lower() for key in environ if key.startswith("HTTP_")}
            headers = {name: str(environ[key]) for key, name in names.items()}
            answer = self.receive(headers, environ["wsgi.input"].read(int(length)))
        content = answer.body.encode()
        sent = {"Content-Type": "text/plain; charset=utf-8", "Content-Length": str(len(content)), **answer.headers}
        start_response(f"{answer.status} {'OK' if answer.status < 300 else 'Refused'}", list(sent.items()))
        return [content]

    @property
    def asgi(self) -> Any:
        """As an ASGI application: ``app.add_route("/firings", handler.asgi, methods=["POST"])`` of FastAPI."""
        from chronowatch.frameworks import AsgiReceiver

        return AsgiReceiver(self.receive)

    @property
    def flask(self) -> Any:
        """As a view of Flask: ``app.post("/firings")(handler.flask)``."""
        from chronowatch.frameworks import flask_view

        return flask_view(self.receive)

    @property
    def django(self) -> Any:
        """As a view of Django: ``path("firings", handler.django)``."""
        from chronowatch.frameworks import django_view

        return django_view(self.receive)

    # -- one firing

    def _once(self, firing: Firing, *, reports: bool = False) -> Any:
        """The handler's value; None where it had this execution before. ``reports``: what it accepts is not done with.
        The service sends it again when no report came, or a bad one, and takes a plain success for the report."""
        begun = self._store.begin(firing.id, firing.fencing_token, time.time())
        if begun == DONE:
            return None
        if begun != NEW:
            raise RetryLater("this execution is being handled", 1)
        try:
            value = self._handle(firing)
        except BaseException:
            self._store.forget(firing.id, firing.fencing_token)
            raise
        if not (reports and value is ACCEPTED):
            self._store.finish(firing.id, firing.fencing_token, time.time())
        return value

    def _handle(self, firing: Firing) -> Any:
        if firing.is_cancellation:  # it concerns one execution, whatever has been fired since
            return None if self._on_cancel is None else self._on_cancel(firing)
        if not self._store.admit(firing.schedule_id, firing.fencing_token):
            raise StaleToken(firing.schedule_id, firing.fencing_token)
        return self._handler(firing)

    def _of_gateway(self, event: Mapping[str, Any]) -> dict[str, Any]:
        headers = {name: str(value) for name, value in (event.get("headers") or {}).items()}
        body = event.get("body") or ""
        try:
            content = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()
            answer = self.receive(headers, content)
        except ValueError:  # neither base64 nor text
            answer = Answer(400, "the body cannot be read")
        return {"statusCode": answer.status, "headers": dict(answer.headers), "body": answer.body}

    def _of_records(self, records: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, str]]]:
        """What a queue or a topic brought. A stale one is dropped: nothing would send it with a newer token."""
        failed = []
        for record in records:
            text = record["Sns"]["Message"] if "Sns" in record else record["body"]
            try:
                event = json.loads(text)
                self._once(firing_of(event.get("detail", event) if isinstance(event, dict) else event))
            except StaleToken:
                continue
            except Exception:
                if "messageId" not in record:
                    raise
                failed.append({"itemIdentifier": str(record["messageId"])})
        return {"batchItemFailures": failed}


def receiver(
    *,
    secret: Secret | None,
    store: ReceiverStore | None = None,
    tolerance_s: float = TOLERANCE_S,
    on_cancel: Handler | None = None,
) -> Callable[[Handler], Receiver]:
    """Make a handler of firings a receiver of them.

    ``secret`` is that of the target's ``secret_ref``. None takes what is not signed: for the targets that AWS itself
    protects. ``store`` remembers what was handled; by default this process does. ``on_cancel`` gets the notice that an
    execution which was ``ACCEPTED`` is cancelled.
    """

    def decorate(handler: Handler) -> Receiver:
        return Receiver(handler, secret, MemoryStore() if store is None else store, tolerance_s, on_cancel)

    return decorate


def _answer(value: Any) -> Answer:
    if value is ACCEPTED:
        return Answer(202, "", {"X-Chrono-Async": "true"})
    return Answer(204) if value is None else Answer(200, json.dumps(value), {"Content-Type": "application/json"})
