"""Workflows and runs as callers send them and see them. What a definition means is judged by ``core.workflows``."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib.api.http.requests import Body, Duration, Opt, PageQuery, Query
from chalicelib.core.json_schema import formed
from chalicelib.core.workflows.definition import FORMAT
from chalicelib.core.workflows.limits import (
    ERROR_MAX_CHARS,
    INLINE_LIMIT_BYTES,
    NODES_MAX_COUNT,
    OUTPUT_INLINE_MAX_BYTES,
    RUN_MAX_EVENTS,
)
from chalicelib.core.workflows.parse import NAME_PATTERN, NODE_ID_PATTERN

RUN_ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
RunId = Annotated[str, formed(pattern=r"^[A-Za-z0-9_~#-]{1,512}$")]
NodeId = Annotated[str, formed(pattern=NODE_ID_PATTERN)]
WorkflowVersion = Annotated[str, formed(pattern=r"^[a-z0-9]{1,64}$")]
WorkflowName = Annotated[str, formed(pattern=NAME_PATTERN, examples=["nightly-report"])]
RunStateWord = Literal[
    "running", "waiting", "completed", "failed", "cancelling", "cancelled", "compensating", "compensation_failed"
]  # fmt: skip
NodeStateWord = Literal["pending", "running", "waiting", "completed", "failed", "timeout", "skipped", "cancelled"]


class WorkflowBody(Body, kw_only=True):
    """A definition. The path says its `name`, which may be left out here."""

    format: Literal["chronowatch.workflow/v1"] = FORMAT
    name: Opt[WorkflowName] = UNSET
    description: Opt[str] = UNSET
    input_schema: Annotated[Opt[dict[str, Any]], Meta(description="JSON Schema of what a run is started with.")] = UNSET
    concurrency: Opt[dict[str, Any]] = UNSET
    timeout_ms: Opt[Duration] = UNSET
    sla_ms: Opt[Duration] = UNSET
    on_failure: Opt[str] = UNSET
    nodes: Annotated[
        list[dict[str, Any]],
        Meta(min_length=1, max_length=NODES_MAX_COUNT, description="Each has `id`, `type` and the fields of its type."),
    ]
    edges: Annotated[list[dict[str, Any]], Meta(description="Each has `from`, `to`, and `on` or `case`.")] = (
        msgspec.field(default_factory=list)
    )
    layout: Annotated[Opt[dict[str, Any]], Meta(description="Of a picture; not part of the version.")] = UNSET


class NewWorkflowBody(WorkflowBody, kw_only=True):
    """A workflow to publish."""

    name: WorkflowName


class StartBody(Body, kw_only=True):
    """What to start with."""

    input: Any = None
    version: Annotated[Opt[str], Meta(description="A hash or a number; left out: the live version.")] = UNSET
    run_id: Annotated[
        Opt[Annotated[str, formed(pattern=RUN_ID_PATTERN)]],
        Meta(description="A run of this id that exists is answered, and nothing starts."),
    ] = UNSET


class ForkBody(Body, kw_only=True):
    """A run, and the number of the event after which another way is tried."""

    run_id: str
    position: Annotated[Opt[Annotated[int, Meta(ge=1)]], Meta(description="Left out: the end of the log.")] = UNSET


class TestWorkflowBody(Body, kw_only=True):
    """What to try: a `definition`, or a version of a published `workflow`; of a `fork` also what its run walked."""

    __test__ = False  # no class of tests

    definition: Annotated[Opt[dict[str, Any]], Meta(description="As it is published; `name` may be left out.")] = UNSET
    workflow: Annotated[Opt[str], Meta(description="The name of a published workflow.")] = UNSET
    version: Annotated[Opt[str], Meta(description="A hash or a number; left out: the live version.")] = UNSET
    node: Annotated[Opt[str], Meta(description="Try this node alone; left out: rehearse a whole run.")] = UNSET
    input: Annotated[Any, Meta(description="What the run is started with.")] = None
    outputs: Annotated[Opt[dict[str, Any]], Meta(description="Of `node` alone: what other nodes came to, by node.")] = (
        UNSET
    )
    item: Annotated[Any, Meta(description="Of `node` alone, within a foreach: the item.")] = UNSET
    fork: Annotated[
        Opt[ForkBody], Meta(description="Go on from there: what had completed is kept, with `input` where it is given.")
    ] = UNSET
    mocks: Annotated[
        Opt[dict[str, Any]], Meta(description="What nodes that reach outside are answered: see docs/workflows.md.")
    ] = UNSET


class CancelRunBody(Body, kw_only=True):
    """Why."""

    reason: Annotated[str, Meta(max_length=ERROR_MAX_CHARS)] = ""


# ``from`` is a word of Python's own too.
RedriveBody = msgspec.defstruct(
    "RedriveBody",
    [
        (
            "from",
            Annotated[str | UnsetType, Meta(description="Run again from this node on, also what completed.")],
            UNSET,
        ),
        ("version", str | UnsetType, UNSET),
        ("patch_input", Annotated[Any, Meta(description="A merge patch (RFC 7396) of the input.")], None),
        ("dry_run", bool, False),
    ],
    bases=(Body,),
    kw_only=True,
    module=__name__,
)
RedriveBody.__doc__ = "What to run again, and under which version."


class DecisionBody(Body, kw_only=True):
    """A decision at a gate."""

    nonce: str
    comment: Annotated[str, Meta(max_length=ERROR_MAX_CHARS)] = ""


class CompleteNodeBody(Body, kw_only=True):
    """How a job ended. `result` is what executions call it, and means `output`."""

    output: Opt[Any] = UNSET
    result: Opt[Any] = UNSET


class FailNodeBody(Body, kw_only=True):
    """How a job failed."""

    error: Annotated[str, Meta(min_length=1, max_length=ERROR_MAX_CHARS)]
    error_type: Annotated[str, Meta(min_length=1, max_length=64)] = "rejected"


# ``as`` is a word of Python's own, so that no class statement can name it.
ExportQuery = msgspec.defstruct(
    "ExportQuery",
    [("as", Annotated[Literal["mermaid", "asl"], Meta(description="The form.")], "mermaid")],
    bases=(Query,),
    kw_only=True,
    module=__name__,
)
ExportQuery.__doc__ = "The form."


class RunsQuery(PageQuery, kw_only=True):
    """A page of runs."""

    workflow: Opt[WorkflowName] = UNSET
    state: Opt[RunStateWord] = UNSET


class RunQuery(Query, kw_only=True):
    """How much of one run."""

    inline_bytes: Annotated[
        int,
        Meta(
            ge=OUTPUT_INLINE_MAX_BYTES,
            le=INLINE_LIMIT_BYTES,
            description="Values of up to so many bytes are shown themselves; of larger ones 2 MiB in all.",
        ),
    ] = OUTPUT_INLINE_MAX_BYTES


class EventsQuery(Query, kw_only=True):
    """A part of the log."""

    after: Annotated[int, Meta(ge=0, le=RUN_MAX_EVENTS, description="The number of the last event known.")] = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class PublishedVersionView(msgspec.Struct, kw_only=True):
    """A version."""

    number: int
    version: str
    created_at_unix_ms: int
    created_by: str


class WorkflowSummaryView(msgspec.Struct, kw_only=True):
    """A workflow in a list."""

    name: str
    live: str
    number: int
    owner: str
    created_at_unix_ms: int
    updated_at_unix_ms: int


class WorkflowList(msgspec.Struct):
    """A page of workflows, by name."""

    items: list[WorkflowSummaryView]
    next_page_token: str | None


class WorkflowView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A workflow in one version."""

    name: str
    version: str
    number: int
    live: str
    versions: list[PublishedVersionView]
    owner: str
    created_at_unix_ms: int
    updated_at_unix_ms: int
    format: str = ""
    description: Opt[str] = UNSET
    input_schema: Opt[dict[str, Any]] = UNSET
    concurrency: Opt[dict[str, Any]] = UNSET
    timeout_ms: Opt[int] = UNSET
    sla_ms: Opt[int] = UNSET
    on_failure: Opt[str] = UNSET
    notes: Annotated[list[str], Meta(description="What its author may not have meant.")] = msgspec.field(
        default_factory=list
    )
    nodes: list[dict[str, Any]] = msgspec.field(default_factory=list)
    edges: Any = UNSET
    layout: Opt[dict[str, Any]] = UNSET


class WorkflowDeleted(msgspec.Struct):
    """What is gone."""

    name: str


class WrongField(msgspec.Struct):
    """One error of a definition."""

    field: str
    message: str


class ValidatedView(msgspec.Struct):
    """Whether a definition could be published."""

    valid: bool
    errors: list[WrongField]


class TestStoryView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An event of a rehearsed run. `run` is `run`, or a run that it began."""

    __test__ = False  # no class of tests

    after_ms: int
    run: str
    type: str
    node: Opt[str] = UNSET
    data: dict[str, Any]


class TestedView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a node, or a rehearsed run, came to. `request` is what a node would send."""

    __test__ = False  # no class of tests

    state: str
    output: Any = None
    case: Opt[str] = UNSET
    error: Opt[str] = UNSET
    error_type: Opt[str] = UNSET
    retry_in_ms: Opt[int] = UNSET
    due_unix_ms: Opt[int] = UNSET
    items: Opt[int] = UNSET
    request: Opt[dict[str, Any]] = UNSET
    took_ms: Opt[int] = UNSET
    nodes: Opt[dict[str, NodeStateWord]] = UNSET
    story: Opt[list[TestStoryView]] = UNSET


class StartedView(msgspec.Struct):
    """The run."""

    run_id: str


class ApprovalView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A gate that waits. `nonce` is shown to those who may decide."""

    approvers: list[str]
    quorum: int
    approved_by: list[str] = msgspec.field(default_factory=list)
    expires_unix_ms: int | None = None
    nonce: Opt[str] = UNSET


class RunNodeView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What became of a node."""

    state: NodeStateWord
    attempts: int
    started_unix_ms: Opt[int] = UNSET
    finished_unix_ms: Opt[int] = UNSET
    due_unix_ms: Opt[int] = UNSET
    output: Any = UNSET
    case: Opt[str] = UNSET
    error: Opt[str] = UNSET
    error_type: Opt[str] = UNSET
    reason: Opt[str] = UNSET
    child_run_id: Opt[str] = UNSET
    items: Opt[dict[str, int]] = UNSET
    late: Opt[bool] = UNSET
    approval: Opt[ApprovalView] = UNSET


class RunView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A run."""

    id: str
    workflow: str
    version: str
    state: RunStateWord
    input: Any
    nodes: dict[str, RunNodeView]
    started_unix_ms: int
    events: int
    owner: str
    started_by: str
    output: Any = UNSET
    error: Opt[str] = UNSET
    error_type: Opt[str] = UNSET
    reason: Opt[str] = UNSET
    finished_unix_ms: Opt[int] = UNSET
    late: Opt[bool] = UNSET
    parent_run_id: Opt[str] = UNSET


class RunSummaryView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A run in a list."""

    id: str
    workflow: str
    version: str
    state: RunStateWord
    owner: str
    started_unix_ms: int
    finished_unix_ms: Opt[int] = UNSET


class RunList(msgspec.Struct):
    """A page of runs, newest first."""

    items: list[RunSummaryView]
    next_page_token: str | None


class EventView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """An entry of the log."""

    number: int
    at_unix_ms: int
    type: str
    data: dict[str, Any]
    node: Opt[str] = UNSET


class EventList(msgspec.Struct):
    """A part of the log; `next_after` goes on from there, null: that is all so far."""

    items: list[EventView]
    next_after: int | None


class RedriveView(msgspec.Struct):
    """What a redrive keeps, what runs again, and what stands in its way."""

    kept: list[str]
    again: list[str]
    conflicts: list[str]
