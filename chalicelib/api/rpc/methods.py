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

from chalicelib.api.rpc import chronowatch_pb2 as pb
from chalicelib.core.errors import InvalidField

PACKAGE: Final = "chronowatch.v1"
_SCHEDULE = "/api/v1/schedules/{schedule_id}"
_EXECUTION = "/api/v1/executions/{execution_id}"

Json = dict[str, Any]


class Asked(NamedTuple):
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
    ask: Callable[[Any], Asked]
    answer: Callable[[Any, Json], Message]
    held: bool = False

    @property
    def path(self) -> str:
        return f"/{PACKAGE}.{self.service}/{self.name}"

    @property
    def reads(self) -> bool:
        return self.rest_method == "GET"


def _now(_asked: pb.NowRequest, said: Json) -> pb.NowResponse:
    return pb.NowResponse(**{f.name: said[f.name] for f in pb.NowResponse.DESCRIPTOR.fields})


def _create(m: pb.CreateScheduleRequest) -> Asked:
    texts = {n: v for n in ("owner", "shard_key", "name", "timezone") if (v := getattr(m, n))}
    body: Json = {"type": m.type, "expr": m.expr, "enabled": m.enabled, **texts}
    if m.payload:
        body["payload"] = _payload(m.payload)
    if m.sla_ms:
        body["sla_ms"] = m.sla_ms
    if m.HasField("target"):
        body["target"] = _plain(m.target)
    return Asked(body=body)


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


def _schedule_id(_asked: Message, said: Json) -> pb.ScheduleId:
    return pb.ScheduleId(id=said["id"])


def _schedule(_asked: Message, said: Json) -> pb.Schedule:
    payload = said.get("payload")
    return pb.Schedule(
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


def _schedules(asked: Message, said: Json) -> pb.ListSchedulesResponse:
    items = [_schedule(asked, item) for item in said["items"]]
    return pb.ListSchedulesResponse(items=items, next_page_token=said["next_page_token"] or "")


def _page(m: pb.ListSchedulesRequest) -> Asked:
    return Asked(query=_query(m, "limit", "page_token"))


def _query(m: Any, *names: str) -> dict[str, str]:
    """The fields that are set."""
    return {name: str(value) for name in names if (value := getattr(m, name))}


def _of_schedule(m: pb.ScheduleId) -> Asked:
    return Asked({"schedule": m.id})


def _verb_of_schedule(m: pb.ScheduleId) -> Asked:
    return Asked({"schedule": m.id}, body={})


def _of_execution(m: pb.ExecutionId) -> Asked:
    return Asked({"execution": m.id})


def _verb_of_execution(m: pb.RetryExecutionRequest | pb.CancelExecutionRequest) -> Asked:
    return Asked({"execution": m.id}, body={})


def _acquire(m: pb.AcquireLeaseRequest) -> Asked:
    wait = {"wait_ms": m.wait_ms} if m.wait_ms else {}
    return Asked(body={"name": m.name, "holder_id": m.holder_id, "ttl_ms": m.ttl_ms, **wait})


def _acquired(_asked: Message, said: Json) -> pb.AcquireLeaseResponse:
    return pb.AcquireLeaseResponse(**{name: value for name, value in said.items() if value is not None})


def _renew(m: pb.RenewLeaseRequest) -> Asked:
    ttl = {"ttl_ms": m.ttl_ms} if m.ttl_ms else {}
    return Asked(body={"name": m.name, "holder_id": m.holder_id, "fencing_token": m.fencing_token, **ttl})


def _release(m: pb.ReleaseLeaseRequest) -> Asked:
    return Asked(body={"name": m.name, "holder_id": m.holder_id, "fencing_token": m.fencing_token})


def _released(asked: pb.ReleaseLeaseRequest, said: Json) -> pb.ScheduleId:
    return pb.ScheduleId(id=asked.name if said["released"] else "")


def _execution(_asked: Message, said: Json) -> pb.Execution:
    return pb.Execution(
        id=said["id"],
        schedule_id=said["schedule_id"],
        owner=said["owner"],
        delivery_state=said["delivery_state"],
        firing_time_unix_ms=said["firing_time_unix_ms"],
        attempt=said["attempt"],
        fencing_token=said["fencing_token"],
        detail=_struct(said),
    )


def _executions(asked: Message, said: Json) -> pb.ListExecutionsResponse:
    items = [_execution(asked, item) for item in said["items"]]
    return pb.ListExecutionsResponse(items=items, next_page_token=said["next_page_token"] or "")


def _executions_page(m: pb.ListExecutionsRequest) -> Asked:
    return Asked(query=_query(m, "limit", "page_token", "schedule_id", "state"))


def change(item: Json) -> pb.Change:
    """One entry of ``/api/v1/changes``."""
    return pb.Change(**{**item, "data": _struct(item["data"])})


METHODS: Final = (
    Method("TimeService", "Now", pb.NowRequest, pb.NowResponse, "GET", "/api/v1/time/now", lambda _: Asked(), _now),
    Method(
        "ScheduleService", "Create", pb.CreateScheduleRequest, pb.ScheduleId,
        "POST", "/api/v1/schedules", _create, _schedule_id,
    ),
    Method("ScheduleService", "Get", pb.ScheduleId, pb.Schedule, "GET", _SCHEDULE, _of_schedule, _schedule),
    Method(
        "ScheduleService", "List", pb.ListSchedulesRequest, pb.ListSchedulesResponse,
        "GET", "/api/v1/schedules", _page, _schedules,
    ),
    Method(
        "ScheduleService", "Pause", pb.ScheduleId, pb.Schedule,
        "POST", f"{_SCHEDULE}:pause", _verb_of_schedule, _schedule,
    ),
    Method(
        "ScheduleService", "Resume", pb.ScheduleId, pb.Schedule,
        "POST", f"{_SCHEDULE}:resume", _verb_of_schedule, _schedule,
    ),
    Method("ScheduleService", "Delete", pb.ScheduleId, pb.ScheduleId, "DELETE", _SCHEDULE, _of_schedule, _schedule_id),
    Method(
        "LeaseService", "Acquire", pb.AcquireLeaseRequest, pb.AcquireLeaseResponse,
        "POST", "/api/v1/leases:acquire", _acquire, _acquired, held=True,
    ),
    Method(
        "LeaseService", "Renew", pb.RenewLeaseRequest, pb.AcquireLeaseResponse,
        "POST", "/api/v1/leases:renew", _renew, _acquired,
    ),
    Method(
        "LeaseService", "Release", pb.ReleaseLeaseRequest, pb.ScheduleId,
        "POST", "/api/v1/leases:release", _release, _released,
    ),
    Method("ExecutionService", "Get", pb.ExecutionId, pb.Execution, "GET", _EXECUTION, _of_execution, _execution),
    Method(
        "ExecutionService", "List", pb.ListExecutionsRequest, pb.ListExecutionsResponse,
        "GET", "/api/v1/executions", _executions_page, _executions,
    ),
    Method(
        "ExecutionService", "Retry", pb.RetryExecutionRequest, pb.Execution,
        "POST", f"{_EXECUTION}:retry", _verb_of_execution, _execution,
    ),
    Method(
        "ExecutionService", "Cancel", pb.CancelExecutionRequest, pb.Execution,
        "POST", f"{_EXECUTION}:cancel", _verb_of_execution, _execution,
    ),
)  # fmt: skip
BY_PATH: Final[Mapping[str, Method]] = {method.path: method for method in METHODS}
