"""The unary calls of ``proto/chronowatch/v1``: each asks the REST API, so that all faces give one answer.

A call names the operation that it stands for, what that is asked, and how its answer reads as a message. Rights,
quotas, policies, audit and errors are those of the operation.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Struct

from chalicelib.api.rpc.chronowatch_pb2 import (
    AcquireLeaseRequest,
    AcquireLeaseResponse,
    CancelExecutionRequest,
    Change,
    CreateScheduleRequest,
    Execution,
    ExecutionId,
    ListExecutionsRequest,
    ListExecutionsResponse,
    ListSchedulesRequest,
    ListSchedulesResponse,
    NowRequest,
    NowResponse,
    ReleaseLeaseRequest,
    RenewLeaseRequest,
    RetryExecutionRequest,
    Schedule,
    ScheduleId,
)
from chalicelib.core.errors import InvalidField

PACKAGE: Final = "chronowatch.v1"
_SCHEDULE = "/api/v1/schedules/{schedule_id}"
_EXECUTION = "/api/v1/executions/{execution_id}"

Json = dict[str, Any]


class RestCall(NamedTuple):
    """What the REST API is asked: parameters of the path, query, and body (None: none)."""

    params: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    body: Json | None = None


class Method(NamedTuple):
    """One call: its messages, and the REST operation behind it. ``held``: it may wait."""

    service: str
    name: str
    request: type[Message]
    response: type[Message]
    rest_method: str
    rest_path: str
    ask: Callable[[Any], RestCall]
    answer: Callable[[Any, Json], Message]
    held: bool = False

    @property
    def path(self) -> str:
        return f"/{PACKAGE}.{self.service}/{self.name}"

    @property
    def reads(self) -> bool:
        return self.rest_method == "GET"


def _now(_asked: NowRequest, said: Json) -> NowResponse:
    return NowResponse(**{f.name: said[f.name] for f in NowResponse.DESCRIPTOR.fields})


def _create(m: CreateScheduleRequest) -> RestCall:
    texts = {n: v for n in ("owner", "shard_key", "name", "timezone") if (v := getattr(m, n))}
    body: Json = {"type": m.type, "expr": m.expr, "enabled": m.enabled, **texts}
    if m.payload:
        body["payload"] = _payload(m.payload)
    if m.sla_ms:
        body["sla_ms"] = m.sla_ms
    if m.HasField("target"):
        body["target"] = _plain(m.target)
    return RestCall(body=body)


def _payload(raw: bytes) -> Any:
    """JSON; text that is none as a string, as clients of the seed send it. Raises InvalidField."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise InvalidField.of("payload", "must be text in UTF-8; encode bytes, in base64 for example") from None
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return text


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _plain(struct: Struct) -> Json:
    """The JSON that a Struct is. It has no integers: numbers without a fraction are taken for such."""
    plain: Json = _whole(json_format.MessageToDict(struct))
    return plain


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _whole(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _struct(value: Mapping[str, Any] | None) -> Struct | None:
    if value is None:
        return None
    made = Struct()
    made.update(dict(value))
    return made


def _schedule_id(_asked: Message, said: Json) -> ScheduleId:
    return ScheduleId(id=said["id"])


def _schedule(_asked: Message, said: Json) -> Schedule:
    payload = said.get("payload")
    return Schedule(
        id=said["id"],
        type=said["type"],
        expr=said["expr"],
        enabled=said["enabled"],
        owner=said["owner"],
        next_run_unix_ms=said["next_run_unix_ms"] or 0,
        sla_ms=said["sla_ms"] or 0,
        shard_key=said["shard_key"] or "",
        name=said["name"] or "",
        timezone=said["timezone"],
        target=_struct(said["target"]),
        payload=b"" if payload is None else json.dumps(payload, ensure_ascii=False).encode(),
    )


def _schedules(asked: Message, said: Json) -> ListSchedulesResponse:
    items = [_schedule(asked, item) for item in said["items"]]
    return ListSchedulesResponse(items=items, next_page_token=said["next_page_token"] or "")


def _page(m: ListSchedulesRequest) -> RestCall:
    return RestCall(query=_query(m, "limit", "page_token"))


def _query(m: Any, *names: str) -> dict[str, str]:
    """The fields that are set."""
    return {name: str(value) for name in names if (value := getattr(m, name))}


def _of_schedule(m: ScheduleId) -> RestCall:
    return RestCall({"schedule": m.id})


def _verb_of_schedule(m: ScheduleId) -> RestCall:
    return RestCall({"schedule": m.id}, body={})


def _of_execution(m: ExecutionId) -> RestCall:
    return RestCall({"execution": m.id})


def _verb_of_execution(m: RetryExecutionRequest | CancelExecutionRequest) -> RestCall:
    return RestCall({"execution": m.id}, body={})


def _acquire(m: AcquireLeaseRequest) -> RestCall:
    wait = {"wait_ms": m.wait_ms} if m.wait_ms else {}
    return RestCall(body={"name": m.name, "holder_id": m.holder_id, "ttl_ms": m.ttl_ms, **wait})


def _acquired(_asked: Message, said: Json) -> AcquireLeaseResponse:
    return AcquireLeaseResponse(**{name: value for name, value in said.items() if value is not None})


def _renew(m: RenewLeaseRequest) -> RestCall:
    ttl = {"ttl_ms": m.ttl_ms} if m.ttl_ms else {}
    return RestCall(body={"name": m.name, "holder_id": m.holder_id, "fencing_token": m.fencing_token, **ttl})


def _release(m: ReleaseLeaseRequest) -> RestCall:
    return RestCall(body={"name": m.name, "holder_id": m.holder_id, "fencing_token": m.fencing_token})


def _released(asked: ReleaseLeaseRequest, said: Json) -> ScheduleId:
    return ScheduleId(id=asked.name if said["released"] else "")


def _execution(_asked: Message, said: Json) -> Execution:
    return Execution(
        id=said["id"],
        schedule_id=said["schedule_id"],
        owner=said["owner"],
        delivery_state=said["delivery_state"],
        firing_time_unix_ms=said["firing_time_unix_ms"],
        attempt=said["attempt"],
        fencing_token=said["fencing_token"],
        detail=_struct(said),
    )


def _executions(asked: Message, said: Json) -> ListExecutionsResponse:
    items = [_execution(asked, item) for item in said["items"]]
    return ListExecutionsResponse(items=items, next_page_token=said["next_page_token"] or "")


def _executions_page(m: ListExecutionsRequest) -> RestCall:
    return RestCall(query=_query(m, "limit", "page_token", "schedule_id", "state"))


def change(item: Json) -> Change:
    """One entry of ``/api/v1/changes``."""
    return Change(**{**item, "data": _struct(item["data"])})


METHODS: Final = (
    Method("TimeService", "Now", NowRequest, NowResponse, "GET", "/api/v1/time/now", lambda _: RestCall(), _now),
    Method(
        "ScheduleService", "Create", CreateScheduleRequest, ScheduleId,
        "POST", "/api/v1/schedules", _create, _schedule_id,
    ),
    Method("ScheduleService", "Get", ScheduleId, Schedule, "GET", _SCHEDULE, _of_schedule, _schedule),
    Method(
        "ScheduleService", "List", ListSchedulesRequest, ListSchedulesResponse,
        "GET", "/api/v1/schedules", _page, _schedules,
    ),
    Method(
        "ScheduleService", "Pause", ScheduleId, Schedule,
        "POST", f"{_SCHEDULE}:pause", _verb_of_schedule, _schedule,
    ),
    Method(
        "ScheduleService", "Resume", ScheduleId, Schedule,
        "POST", f"{_SCHEDULE}:resume", _verb_of_schedule, _schedule,
    ),
    Method("ScheduleService", "Delete", ScheduleId, ScheduleId, "DELETE", _SCHEDULE, _of_schedule, _schedule_id),
    Method(
        "LeaseService", "Acquire", AcquireLeaseRequest, AcquireLeaseResponse,
        "POST", "/api/v1/leases:acquire", _acquire, _acquired, held=True,
    ),
    Method(
        "LeaseService", "Renew", RenewLeaseRequest, AcquireLeaseResponse,
        "POST", "/api/v1/leases:renew", _renew, _acquired,
    ),
    Method(
        "LeaseService", "Release", ReleaseLeaseRequest, ScheduleId,
        "POST", "/api/v1/leases:release", _release, _released,
    ),
    Method("ExecutionService", "Get", ExecutionId, Execution, "GET", _EXECUTION, _of_execution, _execution),
    Method(
        "ExecutionService", "List", ListExecutionsRequest, ListExecutionsResponse,
        "GET", "/api/v1/executions", _executions_page, _executions,
    ),
    Method(
        "ExecutionService", "Retry", RetryExecutionRequest, Execution,
        "POST", f"{_EXECUTION}:retry", _verb_of_execution, _execution,
    ),
    Method(
        "ExecutionService", "Cancel", CancelExecutionRequest, Execution,
        "POST", f"{_EXECUTION}:cancel", _verb_of_execution, _execution,
    ),
)  # fmt: skip
BY_PATH: Final[Mapping[str, Method]] = {method.path: method for method in METHODS}
