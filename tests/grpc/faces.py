"""One call by each face of the service: what came back, as REST would say it."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from chalicelib.api.rpc.methods import Method
from tests.kit.house import House

NAMES = {code.value[0]: code.value[1].replace(" ", "_") for code in grpc.StatusCode}


class Said(NamedTuple):
    """An answer: the message as JSON, or the code's name, the reason and the wrong fields."""

    message: dict[str, Any] | None
    code: str = ""
    reason: str = ""
    fields: tuple[str, ...] = ()


def by_grpc(address: str, method: Method, message: Message, metadata: Mapping[str, str], timeout: float = 20) -> Said:
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(
            method.path,
            request_serializer=type(message).SerializeToString,
            response_deserializer=method.response.FromString,
        )
        try:
            return _said(call(message, timeout=timeout, metadata=tuple(metadata.items())))
        except grpc.RpcError as error:
            trailing = dict(error.trailing_metadata() or ())
            status = Status.FromString(trailing.get("grpc-status-details-bin", b""))
            return _failed(
                NAMES[error.code().value[0]], {d.type_url.rpartition("/")[2]: d.value for d in status.details}
            )


def by_connect(house: House, method: Method, message: Message, headers: Mapping[str, str], kind: str) -> Said:
    raw = json_format.MessageToJson(message).encode() if kind == "json" else message.SerializeToString()
    sent = {"content-type": f"application/{kind}", "connect-protocol-version": "1", **headers}
    status, told, body = house.edge.handle("POST", method.path, "", sent, raw)
    if status == 200:
        assert told["Content-Type"] == f"application/{kind}"
        read = method.response()
        if kind == "json":
            json_format.Parse(body, read)
        else:
            read.ParseFromString(body)
        return _said(read)
    error = json.loads(body)
    details = {d["type"]: base64.b64decode(d["value"] + "==") for d in error["details"]}
    return _failed(error["code"], details)


def by_web(house: House, method: Method, message: Message, headers: Mapping[str, str], text: bool) -> Said:
    raw = message.SerializeToString()
    framed = b"\0" + len(raw).to_bytes(4) + raw
    kind = "application/grpc-web-text" if text else "application/grpc-web+proto"
    sent = {"content-type": kind, **headers}
    status, _, body = house.edge.handle("POST", method.path, "", sent, base64.b64encode(framed) if text else framed)
    assert status == 200
    frames = _frames(base64.b64decode(body) if text else body)
    trailers = dict(line.split(": ", 1) for line in frames[0x80].decode().strip().split("\r\n"))
    if trailers["grpc-status"] == "0":
        return _said(method.response.FromString(frames[0]))
    assert 0 not in frames
    details = Status.FromString(base64.b64decode(trailers["grpc-status-details-bin"] + "=="))
    by_type = {d.type_url.rpartition("/")[2]: d.value for d in details.details}
    return _failed(NAMES[int(trailers["grpc-status"])], by_type)


def _frames(body: bytes) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while body:
        length = int.from_bytes(body[1:5])
        found[body[0]], body = body[5 : 5 + length], body[5 + length :]
    return found


def _said(message: Message) -> Said:
    return Said(json_format.MessageToDict(message, preserving_proto_field_name=True))


def _failed(code: str, details: Mapping[str, bytes]) -> Said:
    reason = ErrorInfo.FromString(details.get("google.rpc.ErrorInfo", b"")).reason
    wrong = BadRequest.FromString(details.get("google.rpc.BadRequest", b""))
    return Said(None, code, reason, tuple(v.field for v in wrong.field_violations))
