from google.protobuf import struct_pb2 as _struct_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class NowRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class NowResponse(_message.Message):
    __slots__ = ("wall_unix_nanos", "monotonic_nanos", "tz", "iso8601", "clock_id", "hlc_physical_nanos", "hlc_logical", "error_bound_nanos")
    WALL_UNIX_NANOS_FIELD_NUMBER: _ClassVar[int]
    MONOTONIC_NANOS_FIELD_NUMBER: _ClassVar[int]
    TZ_FIELD_NUMBER: _ClassVar[int]
    ISO8601_FIELD_NUMBER: _ClassVar[int]
    CLOCK_ID_FIELD_NUMBER: _ClassVar[int]
    HLC_PHYSICAL_NANOS_FIELD_NUMBER: _ClassVar[int]
    HLC_LOGICAL_FIELD_NUMBER: _ClassVar[int]
    ERROR_BOUND_NANOS_FIELD_NUMBER: _ClassVar[int]
    wall_unix_nanos: int
    monotonic_nanos: int
    tz: str
    iso8601: str
    clock_id: str
    hlc_physical_nanos: int
    hlc_logical: int
    error_bound_nanos: int
    def __init__(self, wall_unix_nanos: _Optional[int] = ..., monotonic_nanos: _Optional[int] = ..., tz: _Optional[str] = ..., iso8601: _Optional[str] = ..., clock_id: _Optional[str] = ..., hlc_physical_nanos: _Optional[int] = ..., hlc_logical: _Optional[int] = ..., error_bound_nanos: _Optional[int] = ...) -> None: ...

class CreateScheduleRequest(_message.Message):
    __slots__ = ("type", "expr", "payload", "enabled", "owner", "sla_ms", "shard_key", "name", "timezone", "target", "start_at_unix_ms", "end_at_unix_ms", "max_runs", "overlap", "catch_up_window_ms", "jitter_ms", "dst_gap", "dst_overlap", "exclude", "retry_policy", "timeout_ms", "tags", "pause_after_failures", "monitor")
    TYPE_FIELD_NUMBER: _ClassVar[int]
    EXPR_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    SLA_MS_FIELD_NUMBER: _ClassVar[int]
    SHARD_KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TIMEZONE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    START_AT_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    END_AT_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNS_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    CATCH_UP_WINDOW_MS_FIELD_NUMBER: _ClassVar[int]
    JITTER_MS_FIELD_NUMBER: _ClassVar[int]
    DST_GAP_FIELD_NUMBER: _ClassVar[int]
    DST_OVERLAP_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    RETRY_POLICY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    PAUSE_AFTER_FAILURES_FIELD_NUMBER: _ClassVar[int]
    MONITOR_FIELD_NUMBER: _ClassVar[int]
    type: str
    expr: str
    payload: bytes
    enabled: bool
    owner: str
    sla_ms: int
    shard_key: str
    name: str
    timezone: str
    target: _struct_pb2.Struct
    start_at_unix_ms: int
    end_at_unix_ms: int
    max_runs: int
    overlap: str
    catch_up_window_ms: int
    jitter_ms: int
    dst_gap: str
    dst_overlap: str
    exclude: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Value]
    retry_policy: _struct_pb2.Struct
    timeout_ms: int
    tags: _containers.RepeatedScalarFieldContainer[str]
    pause_after_failures: int
    monitor: _struct_pb2.Struct
    def __init__(self, type: _Optional[str] = ..., expr: _Optional[str] = ..., payload: _Optional[bytes] = ..., enabled: _Optional[bool] = ..., owner: _Optional[str] = ..., sla_ms: _Optional[int] = ..., shard_key: _Optional[str] = ..., name: _Optional[str] = ..., timezone: _Optional[str] = ..., target: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., start_at_unix_ms: _Optional[int] = ..., end_at_unix_ms: _Optional[int] = ..., max_runs: _Optional[int] = ..., overlap: _Optional[str] = ..., catch_up_window_ms: _Optional[int] = ..., jitter_ms: _Optional[int] = ..., dst_gap: _Optional[str] = ..., dst_overlap: _Optional[str] = ..., exclude: _Optional[_Iterable[_Union[_struct_pb2.Value, _Mapping]]] = ..., retry_policy: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., timeout_ms: _Optional[int] = ..., tags: _Optional[_Iterable[str]] = ..., pause_after_failures: _Optional[int] = ..., monitor: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ScheduleId(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Schedule(_message.Message):
    __slots__ = ("id", "type", "expr", "enabled", "owner", "next_run_unix_ms", "sla_ms", "shard_key", "name", "timezone", "target", "payload", "state", "start_at_unix_ms", "end_at_unix_ms", "max_runs", "overlap", "catch_up_window_ms", "jitter_ms", "dst_gap", "dst_overlap", "exclude", "retry_policy", "timeout_ms", "tags", "pause_after_failures", "monitor", "last_run_unix_ms", "run_count", "version", "created_at_unix_ms", "updated_at_unix_ms", "description")
    ID_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    EXPR_FIELD_NUMBER: _ClassVar[int]
    ENABLED_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    NEXT_RUN_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    SLA_MS_FIELD_NUMBER: _ClassVar[int]
    SHARD_KEY_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    TIMEZONE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    START_AT_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    END_AT_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNS_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    CATCH_UP_WINDOW_MS_FIELD_NUMBER: _ClassVar[int]
    JITTER_MS_FIELD_NUMBER: _ClassVar[int]
    DST_GAP_FIELD_NUMBER: _ClassVar[int]
    DST_OVERLAP_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    RETRY_POLICY_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_MS_FIELD_NUMBER: _ClassVar[int]
    TAGS_FIELD_NUMBER: _ClassVar[int]
    PAUSE_AFTER_FAILURES_FIELD_NUMBER: _ClassVar[int]
    MONITOR_FIELD_NUMBER: _ClassVar[int]
    LAST_RUN_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    RUN_COUNT_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    UPDATED_AT_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    id: str
    type: str
    expr: str
    enabled: bool
    owner: str
    next_run_unix_ms: int
    sla_ms: int
    shard_key: str
    name: str
    timezone: str
    target: _struct_pb2.Struct
    payload: bytes
    state: str
    start_at_unix_ms: int
    end_at_unix_ms: int
    max_runs: int
    overlap: str
    catch_up_window_ms: int
    jitter_ms: int
    dst_gap: str
    dst_overlap: str
    exclude: _containers.RepeatedCompositeFieldContainer[_struct_pb2.Value]
    retry_policy: _struct_pb2.Struct
    timeout_ms: int
    tags: _containers.RepeatedScalarFieldContainer[str]
    pause_after_failures: int
    monitor: _struct_pb2.Struct
    last_run_unix_ms: int
    run_count: int
    version: str
    created_at_unix_ms: int
    updated_at_unix_ms: int
    description: str
    def __init__(self, id: _Optional[str] = ..., type: _Optional[str] = ..., expr: _Optional[str] = ..., enabled: _Optional[bool] = ..., owner: _Optional[str] = ..., next_run_unix_ms: _Optional[int] = ..., sla_ms: _Optional[int] = ..., shard_key: _Optional[str] = ..., name: _Optional[str] = ..., timezone: _Optional[str] = ..., target: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., payload: _Optional[bytes] = ..., state: _Optional[str] = ..., start_at_unix_ms: _Optional[int] = ..., end_at_unix_ms: _Optional[int] = ..., max_runs: _Optional[int] = ..., overlap: _Optional[str] = ..., catch_up_window_ms: _Optional[int] = ..., jitter_ms: _Optional[int] = ..., dst_gap: _Optional[str] = ..., dst_overlap: _Optional[str] = ..., exclude: _Optional[_Iterable[_Union[_struct_pb2.Value, _Mapping]]] = ..., retry_policy: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., timeout_ms: _Optional[int] = ..., tags: _Optional[_Iterable[str]] = ..., pause_after_failures: _Optional[int] = ..., monitor: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ..., last_run_unix_ms: _Optional[int] = ..., run_count: _Optional[int] = ..., version: _Optional[str] = ..., created_at_unix_ms: _Optional[int] = ..., updated_at_unix_ms: _Optional[int] = ..., description: _Optional[str] = ...) -> None: ...

class ListSchedulesRequest(_message.Message):
    __slots__ = ("limit", "page_token")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    limit: int
    page_token: str
    def __init__(self, limit: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListSchedulesResponse(_message.Message):
    __slots__ = ("items", "next_page_token")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Schedule]
    next_page_token: str
    def __init__(self, items: _Optional[_Iterable[_Union[Schedule, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class AcquireLeaseRequest(_message.Message):
    __slots__ = ("name", "holder_id", "ttl_ms", "wait_ms")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDER_ID_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    name: str
    holder_id: str
    ttl_ms: int
    wait_ms: int
    def __init__(self, name: _Optional[str] = ..., holder_id: _Optional[str] = ..., ttl_ms: _Optional[int] = ..., wait_ms: _Optional[int] = ...) -> None: ...

class AcquireLeaseResponse(_message.Message):
    __slots__ = ("acquired", "fencing_token", "expires_at_unix_ms", "queue_position", "holder_id")
    ACQUIRED_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_POSITION_FIELD_NUMBER: _ClassVar[int]
    HOLDER_ID_FIELD_NUMBER: _ClassVar[int]
    acquired: bool
    fencing_token: int
    expires_at_unix_ms: int
    queue_position: int
    holder_id: str
    def __init__(self, acquired: _Optional[bool] = ..., fencing_token: _Optional[int] = ..., expires_at_unix_ms: _Optional[int] = ..., queue_position: _Optional[int] = ..., holder_id: _Optional[str] = ...) -> None: ...

class RenewLeaseRequest(_message.Message):
    __slots__ = ("name", "holder_id", "ttl_ms", "fencing_token")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDER_ID_FIELD_NUMBER: _ClassVar[int]
    TTL_MS_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    holder_id: str
    ttl_ms: int
    fencing_token: int
    def __init__(self, name: _Optional[str] = ..., holder_id: _Optional[str] = ..., ttl_ms: _Optional[int] = ..., fencing_token: _Optional[int] = ...) -> None: ...

class ReleaseLeaseRequest(_message.Message):
    __slots__ = ("name", "holder_id", "fencing_token")
    NAME_FIELD_NUMBER: _ClassVar[int]
    HOLDER_ID_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    name: str
    holder_id: str
    fencing_token: int
    def __init__(self, name: _Optional[str] = ..., holder_id: _Optional[str] = ..., fencing_token: _Optional[int] = ...) -> None: ...

class ExecutionId(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class Execution(_message.Message):
    __slots__ = ("id", "schedule_id", "owner", "delivery_state", "firing_time_unix_ms", "attempt", "fencing_token", "detail")
    ID_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_ID_FIELD_NUMBER: _ClassVar[int]
    OWNER_FIELD_NUMBER: _ClassVar[int]
    DELIVERY_STATE_FIELD_NUMBER: _ClassVar[int]
    FIRING_TIME_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    FENCING_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    id: str
    schedule_id: str
    owner: str
    delivery_state: str
    firing_time_unix_ms: int
    attempt: int
    fencing_token: int
    detail: _struct_pb2.Struct
    def __init__(self, id: _Optional[str] = ..., schedule_id: _Optional[str] = ..., owner: _Optional[str] = ..., delivery_state: _Optional[str] = ..., firing_time_unix_ms: _Optional[int] = ..., attempt: _Optional[int] = ..., fencing_token: _Optional[int] = ..., detail: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...

class ListExecutionsRequest(_message.Message):
    __slots__ = ("limit", "page_token", "schedule_id", "state")
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    SCHEDULE_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    limit: int
    page_token: str
    schedule_id: str
    state: str
    def __init__(self, limit: _Optional[int] = ..., page_token: _Optional[str] = ..., schedule_id: _Optional[str] = ..., state: _Optional[str] = ...) -> None: ...

class ListExecutionsResponse(_message.Message):
    __slots__ = ("items", "next_page_token")
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    items: _containers.RepeatedCompositeFieldContainer[Execution]
    next_page_token: str
    def __init__(self, items: _Optional[_Iterable[_Union[Execution, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class RetryExecutionRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class CancelExecutionRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class WatchRequest(_message.Message):
    __slots__ = ("after", "types")
    AFTER_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    after: str
    types: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, after: _Optional[str] = ..., types: _Optional[_Iterable[str]] = ...) -> None: ...

class Change(_message.Message):
    __slots__ = ("position", "type", "at_unix_ms", "id", "data")
    POSITION_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    AT_UNIX_MS_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    position: str
    type: str
    at_unix_ms: int
    id: str
    data: _struct_pb2.Struct
    def __init__(self, position: _Optional[str] = ..., type: _Optional[str] = ..., at_unix_ms: _Optional[int] = ..., id: _Optional[str] = ..., data: _Optional[_Union[_struct_pb2.Struct, _Mapping]] = ...) -> None: ...
