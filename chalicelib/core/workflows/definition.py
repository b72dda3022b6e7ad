"""A workflow as its author wrote it: nodes, edges, and the version that names this form of it.

The version is the hash of the canonical form without ``layout``. Moving a box on a picture makes no new version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from msgspec import Struct, field

from chalicelib.core.schedules.schedule import RetryPolicy

FORMAT: Final = "chronowatch.workflow/v1"
VERSION_CHARS: Final = 32

NodeType = Literal[
    "trigger", "job", "condition", "parallel", "join", "delay", "approval", "notification", "script", "http",
    "transform", "subworkflow",
]  # fmt: skip
EdgeOn = Literal["success", "failure", "timeout", "rejected", "skipped", "always"]
JoinMode = Literal["all", "any", "n_of", "all_settled"]
OnOthers = Literal["cancel", "let_run"]


class WorkflowEdge(Struct, frozen=True):
    """That ``target`` may follow ``source``. With a ``case`` it is live when the condition chose that case."""

    source: str
    target: str
    on: EdgeOn = "success"
    case: str = ""

    def __str__(self) -> str:
        return f"{self.source} -> {self.target} ({self.case or self.on})"


class WorkflowNode(Struct, frozen=True):
    """A step. ``fields`` are those that only its type has; ``join`` says when a node with several parents runs."""

    id: str
    type: NodeType
    name: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    retry: RetryPolicy = RetryPolicy(max_attempts=1)
    timeout_ms: int | None = None
    sla_ms: int | None = None
    input: Any = None
    compensate: str = ""

    @property
    def is_foreach(self) -> bool:
        """Whether what follows it runs once an item."""
        return self.type == "parallel" and "foreach" in self.fields

    @property
    def mode(self) -> JoinMode:
        """When it runs, of its parents. A node that is no join waits for all."""
        mode: JoinMode = self.fields.get("mode", "all") if self.type == "join" else "all"
        return mode

    @property
    def needed(self) -> int:
        """How many live edges an ``n_of`` needs, and an ``any``."""
        return int(self.fields["n"]) if self.mode == "n_of" else 1

    @property
    def cancels_others(self) -> bool:
        """Whether what leads only to this join ends when it runs."""
        return self.fields.get("others") == "cancel" and self.type == "join"


class Concurrency(Struct, frozen=True):
    """How many runs of one key may be under way. ``key`` is an expression over the input. A run that only waits at
    gates and delays counts with ``hold_while_waiting`` alone."""

    key: str
    limit: int
    on_limit: Literal["queue", "skip", "cancel_oldest"] = "queue"
    hold_while_waiting: bool = False


class WorkflowDefinition(Struct, frozen=True):
    """One version of a workflow. ``document`` is what its author wrote."""

    name: str
    version: str
    document: Mapping[str, Any]
    nodes: tuple[WorkflowNode, ...]
    edges: tuple[WorkflowEdge, ...]
    input_schema: Mapping[str, Any] | None = None
    concurrency: Concurrency | None = None
    timeout_ms: int | None = None
    sla_ms: int | None = None
    on_failure: str = ""


def canonical(document: Mapping[str, Any]) -> str:
    """The form that the version is the hash of: sorted keys, no white space, no ``layout``."""
    said = {name: value for name, value in document.items() if name != "layout"}
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def version_of(document: Mapping[str, Any]) -> str:
    """The version of a document: hexadecimal."""
    return hashlib.sha256(canonical(document).encode()).hexdigest()[:VERSION_CHARS]
