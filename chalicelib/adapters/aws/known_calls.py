"""Calls that a botocore client has made before, made again without botocore's way to them.

For each call botocore walks through events, rules for endpoints, serialisers and parsers. That takes 0.4 ms of
processor time, for a batch 0.7 ms, and calls are most of what a firing costs. For the operations of a firing all of it
comes out the same each time but for the body and the signature. So the first call of an operation goes botocore's way,
and how it was sent is remembered. Later ones have their JSON written and read by msgspec, and are signed here (AWS
Signature Version 4).

All other operations go botocore's way, and so does what a proxy or a tracer is to see. Those who listen to a client's
answers are given some of these too. Botocore's parser reads every refusal, so errors are its own.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from chalicelib.adapters.aws.http_session import Address, HttpSession
from chalicelib.adapters.http.answer import HttpAnswer
from chalicelib.adapters.machine.system import SystemClock
from chalicelib.core.clock.limits import OBSERVE_EVERY_MS

if TYPE_CHECKING:
    from chalicelib.adapters.aws.clients import AnswerEar

OPERATIONS: Final = frozenset(
    {
        "BatchExecuteStatement",
        "BatchGetItem",
        "DeleteItem",
        "GetItem",
        "GetRecords",  # of the tables' streams, by scripts/dev; on AWS Lambda makes them
        "PutItem",
        "Query",
        "TransactWriteItems",
        "UpdateItem",
        "PutEvents",
        "ChangeMessageVisibilityBatch",
        "DeleteMessageBatch",
        "ReceiveMessage",
        "SendMessageBatch",
    }
)
CLIENT_TOKEN: Final = {"TransactWriteItems": "ClientRequestToken"}  # which botocore makes up when the caller does not
# Headers of a request that are the same each time, and those that are made for each. One with any other is left to
# botocore: what it would have to say is not known here.
KEPT: Final = frozenset({"content-type", "user-agent", "x-amz-target", "x-amzn-query-mode", "x-chronowatch-hold"})
MADE: Final = frozenset(
    {
        "amz-sdk-invocation-id",
        "amz-sdk-request",
        "authorization",
        "content-length",
        "host",
        "x-amz-date",
        "x-amz-security-token",
        "x-amzn-trace-id",  # of a Lambda invocation: it goes on only botocore's way, which all take when traces are on
    }
)
ALGORITHM: Final = "AWS4-HMAC-SHA256"
STAMP: Final = "x-amz-date"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class SigningCredentials(Protocol):
    """What signs a call."""

    access_key: str
    secret_key: str
    token: str | None


class Known(Struct, frozen=True):
    """An operation as it was sent once: to where, with which headers, signed for which region and service."""

    url: str
    address: Address
    headers: tuple[tuple[str, str], ...]
    region: str
    service: str


def known(request: Any) -> Known | None:
    """What is to be remembered of a request that botocore has signed; None when it holds more than is known here."""
    parts = urlsplit(request.url)
    headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    scope = headers.get("authorization", "").partition(", ")[0].split("/")
    if request.method != "POST" or parts.path != "/" or parts.query or not headers.keys() <= KEPT | MADE:
        return None
    if len(scope) != 5 or not scope[0].startswith(f"{ALGORITHM} Credential="):
        return None
    kept = tuple(sorted((name, value) for name, value in headers.items() if name in KEPT))
    return Known(request.url, Address.of(parts), kept, scope[2], scope[3])


class _Prepared(Struct, frozen=True):
    """What all requests of one operation have in common that are signed on one day with the same credentials. The
    two parts of ``canonical`` lie around the request's second."""

    day: str
    credentials: tuple[str, str, str | None]
    named: list[tuple[str, str]]
    canonical: tuple[str, str]
    scope: str
    key: bytes
    authorization: str


class Signer:
    """Signs requests. What a day's requests share is made once: a call every few seconds has to make as little as one
    of many. Safe to share between threads."""

    def __init__(self) -> None:
        self._stamp: tuple[int, str] = (-1, "")
        self._key: tuple[tuple[str, str, str, str], bytes] = (("", "", "", ""), b"")
        self._prepared: dict[Known, _Prepared] = {}

    def headers(self, what: Known, body: bytes, credentials: SigningCredentials, at_s: int) -> list[tuple[str, str]]:
        """All headers of a request with ``body``, made at ``at_s`` (unix)."""
        second, stamp = self._stamp
        if second != at_s:
            stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at_s))
            self._stamp = at_s, stamp
        mine = credentials.access_key, credentials.secret_key, credentials.token
        prepared = self._prepared.get(what)
        if prepared is None or prepared.credentials != mine or not stamp.startswith(prepared.day):
            prepared = self._prepared[what] = self._prepare(what, mine, stamp[:8])
        before, after = prepared.canonical
        canonical = f"{before}{stamp}{after}{hashlib.sha256(body).hexdigest()}"
        to_sign = f"{ALGORITHM}\n{stamp}\n{prepared.scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.digest(prepared.key, to_sign.encode(), "sha256").hex()
        return [*prepared.named, (STAMP, stamp), ("authorization", f"{prepared.authorization}{signature}")]

    def _prepare(self, what: Known, credentials: tuple[str, str, str | None], day: str) -> _Prepared:
        access_key, secret_key, token = credentials
        named = [*what.headers, ("host", what.address.host_header)]
        if token:
            named.append(("x-amz-security-token", token))
        signed = sorted([(name, value) for name, value in named if name != "user-agent"] + [(STAMP, "")])
        names = ";".join(name for name, _ in signed)
        before = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in signed if name < STAMP)
        after = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in signed if name > STAMP)
        scope = f"{day}/{what.region}/{what.service}/aws4_request"
        return _Prepared(
            day=day,
            credentials=credentials,
            named=named,
            canonical=(f"POST\n/\n\n{before}{STAMP}:", f"\n{after}\n{names}\n"),
            scope=scope,
            key=self._signing_key(secret_key, day, what.region, what.service),
            authorization=f"{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={names}, Signature=",
        )

    def _signing_key(self, *parts: str) -> bytes:
        made_for, key = self._key
        if made_for != parts:
            key = f"AWS4{parts[0]}".encode()
            for part in (*parts[1:], "aws4_request"):
                key = hmac.digest(key, part.encode(), "sha256")
            self._key = (parts[0], parts[1], parts[2], parts[3]), key
        return key


class KnownCalls:
    """The way of one client's calls. Safe to share between threads."""

    def __init__(self, client: Any, session: HttpSession, clock: SystemClock, ears: Sequence[AnswerEar] = ()) -> None:
        self._client = client
        self._ears = ears
        self._session = session
        self._clock = clock
        self._signer = Signer()
        self._botocores_own: Callable[[str, Mapping[str, Any]], Any] = client._make_api_call
        self._untraced = type(client)._make_api_call  # a tracer puts its own in this place
        self._known: dict[str, Known] = {}
        self._deaf_until_ms = 0.0
        session.on_sent = self._remember
        client._make_api_call = self.call

    def call(self, operation: str, arguments: Mapping[str, Any]) -> Any:
        """The answer, as ``client._make_api_call`` gives it. Raises what that raises."""
        what = self._known.get(operation)
        now = self._clock.read()
        if what is None or not self._is_plain(operation, arguments):
            return self._botocores_own(operation, arguments)
        credentials = self._client._request_signer._credentials
        if credentials is None:
            return self._botocores_own(operation, arguments)
        body = _encode(arguments)
        headers = self._signer.headers(what, body, credentials.get_frozen_credentials(), now.wall_unix_nanos // 10**9)
        headers.append(("content-length", str(len(body))))
        head = "\r\n".join(["POST / HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "\r\n"])
        ears = self._ears if now.steady_ms >= self._deaf_until_ms else ()
        for ear in ears:
            self._deaf_until_ms = now.steady_ms + OBSERVE_EVERY_MS
            ear.sent()
        answer = self._session.exchange(what.address, what.url, head.encode("latin-1") + body)
        for ear in ears:
            ear.received({"headers": answer.headers})
        if answer.status >= 300:
            self._raise(operation, what.url, answer)
        found = _decode(answer.body) if answer.body else {}
        return _with_bytes(found) if b'{"B":' in answer.body or b'{"B": ' in answer.body else found

    def _is_plain(self, operation: str, arguments: Mapping[str, Any]) -> bool:
        token = CLIENT_TOKEN.get(operation)
        return type(self._client)._make_api_call is self._untraced and (token is None or token in arguments)

    def _remember(self, request: Any) -> None:
        operation = _text(request.headers.get("X-Amz-Target", "")).rpartition(".")[2]
        if operation in OPERATIONS and operation not in self._known and (found := known(request)) is not None:
            self._known[operation] = found

    def _raise(self, operation: str, url: str, refusal: HttpAnswer) -> None:
        """Raise what botocore raises for an answer."""
        from botocore.endpoint import convert_to_response_dict

        model = self._client.meta.service_model.operation_model(operation)
        endpoint = self._client._endpoint
        answer = convert_to_response_dict(self._session.answer(url, refusal), model)
        parser = endpoint._response_parser_factory.create_parser(model.service_model.resolved_protocol)
        parsed = parser.parse(answer, model.output_shape)
        endpoint._add_modeled_error_fields(answer, parsed, model, parser)
        raise self._client.exceptions.from_code(parsed.get("Error", {}).get("Code"))(parsed, operation)


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _with_bytes(value: Any) -> Any:
    """An answer in which binary attributes are bytes, as botocore gives them: on the wire they are base64."""
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(value.get("B"), str):
            return {"B": b64decode(value["B"])}
        return {name: _with_bytes(inner) for name, inner in value.items()}
    return [_with_bytes(inner) for inner in value] if isinstance(value, list) else value
