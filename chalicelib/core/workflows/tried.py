"""What a test of a definition came to: of a whole run in virtual time, or of one node."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from chalicelib.core.workflows.run_state import RunEvent, RunState


class StoryEvent(Struct, frozen=True):
    """An event of a rehearsal, with the run that it is of."""

    run_id: str
    event: RunEvent


class Rehearsed(Struct, frozen=True):
    """What a rehearsal came to. ``outputs`` are by node."""

    state: RunState
    output: Any
    outputs: Mapping[str, Any]
    story: tuple[StoryEvent, ...]
    began_ms: int


class TriedStep(Struct, frozen=True):
    """What a node came to. ``request`` is what it would send. It waits until ``due_ms``, or for ``items``."""

    status: str
    output: Any = None
    case: str = ""
    error_type: str = ""
    error: str = ""
    retry_in_ms: int | None = None
    due_ms: int | None = None
    items: int | None = None
    request: Mapping[str, Any] | None = None
