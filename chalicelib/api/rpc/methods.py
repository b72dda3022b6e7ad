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
from google.protobuf.struct_pb2 import Struct, Value

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
from chalicelib.api.rpc.paths import REST, RPC_PREFIX
from chalicelib.core.errors import InvalidField

Json = dict[str, Any]
_STRUCTS: Final = frozenset({"target", "retry_policy", "monitor"})


class RestCall(NamedTuple):
    """What the REST API is asked: parameters of the path, query, and body (None: none)."""

    params: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    body: Json | None = None


class Method(NamedTuple):
    """One call: its messages, what it asks of the REST operation behind it, and how that answers."""

    service: str
    name: str
    request: type[Message]
    response: type[Message]
    ask: Callable[[Any], RestCall]
    answer: Callable[[Any, Json], Message]

    @property
    def path(self) -> str:
        return f"{RPC_PREFIX}{self.service}/{self.name}"

    @property
    def rest(self) -> tuple[str, str]:
        """Method and path of the operation, as the table of operations spells them."""
        return REST[self.path]

    @property
    def reads(self) -> bool:
        return self.rest[0] == "GET"


def _now(_asked: NowRequest, said: Json) -> NowResponse:
    return NowResponse(**{f.name: said[f.name] for f in NowResponse.DESCRIPTOR.fields})


def _create(m: CreateScheduleRequest) -> RestCall:
    """What is zero or empty is left out, so that it is the default: the wire makes no difference between them."""
    given = {field.name: _given(value) for field, value in m.ListFields()}
    if "payload" in given:
        given["payload"] = _payload(m.payload)
    return RestCall(body={**given, "type": m.type, "expr": m.expr, "enabled": m.enabled})


def _given(value: Any) -> Any:
    if isinstance(value, Struct):
        return _plain(value)
    if isinstance(value, str | bytes | int):
        return value
    return [_whole(json_format.MessageToDict(each)) if isinstance(each, Value) else each for each in value]


def _payload(raw: bytes) -> Any:
    """The JSON that the bytes are. Raises InvalidField."""
    try:
        value = json.loads(raw.decode())
        json.dumps(value, allow_nan=False)  # NaN and 1e999 are no JSON, though the reader takes them
    except (ValueError, RecursionError):
        raise InvalidField.of("payload", 'must be JSON in UTF-8: a text stands in quotes, as "hello" does') from None
    return value


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
    shown = {f.name: said[f.name] for f in Schedule.DESCRIPTOR.fields if said.get(f.name) is not None}
    for name in _STRUCTS & shown.keys():
        shown[name] = _struct(shown[name])
    if "payload" in shown:
        shown["payload"] = json.dumps(shown["payload"], ensure_ascii=False).encode()
    shown["exclude"] = [json_format.ParseDict(each, Value()) for each in shown.get("exclude", ())]
    return Schedule(**shown)


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
    Method("TimeService", "Now", NowRequest, NowResponse, lambda _: RestCall(), _now),
    Method("ScheduleService", "Create", CreateScheduleRequest, ScheduleId, _create, _schedule_id),
    Method("ScheduleService", "Get", ScheduleId, Schedule, _of_schedule, _schedule),
    Method("ScheduleService", "List", ListSchedulesRequest, ListSchedulesResponse, _page, _schedules),
    Method("ScheduleService", "Pause", ScheduleId, Schedule, _verb_of_schedule, _schedule),
    Method("ScheduleService", "Resume", ScheduleId, Schedule, _verb_of_schedule, _schedule),
    Method("ScheduleService", "Delete", ScheduleId, ScheduleId, _of_schedule, _schedule_id),
    Method("LeaseService", "Acquire", AcquireLeaseRequest, AcquireLeaseResponse, _acquire, _acquired),
    Method("LeaseService", "Renew", RenewLeaseRequest, AcquireLeaseResponse, _renew, _acquired),
    Method("LeaseService", "Release", ReleaseLeaseRequest, ScheduleId, _release, _released),
    Method("ExecutionService", "Get", ExecutionId, Execution, _of_execution, _execution),
    Method("ExecutionService", "List", ListExecutionsRequest, ListExecutionsResponse, _executions_page, _executions),
    Method("ExecutionService", "Retry", RetryExecutionRequest, Execution, _verb_of_execution, _execution),
    Method("ExecutionService", "Cancel", CancelExecutionRequest, Execution, _verb_of_execution, _execution),
)
BY_PATH: Final[Mapping[str, Method]] = {method.path: method for method in METHODS}
