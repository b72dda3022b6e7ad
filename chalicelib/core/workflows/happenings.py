"""What can happen to a run from outside, and what a decision asks for in return."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from msgspec import Struct

from chalicelib.core.workflows.run_state import Gate, RunEvent, RunState, Then


class Begins(Struct, frozen=True):
    """A run is to begin. ``run`` are the fields of its state; the input among them. ``is_cancelled``: who waited for it
    does no more, and it must never begin."""

    run: Mapping[str, Any]
    is_cancelled: bool = False


class ClaimsStep(Struct, frozen=True):
    """A worker is about to take a step, and is believed lost after ``lease_ms``."""

    node: str
    worker: str
    lease_ms: int


class Ends(Struct, frozen=True):
    """The worker that claimed a step says how it ended. ``token`` None: a caller says it of a step that waits."""

    node: str
    token: int | None
    status: Literal["completed", "failed", "timeout"]
    output: Any = None
    case: str = ""
    error_type: str = ""
    error: str = ""
    retry_in_ms: int | None = None  # it may be tried again so much later


class Waits(Struct, frozen=True):
    """The worker that claimed a step says what the step waits for."""

    node: str
    token: int
    due_ms: int | None = None
    then: Then = ""
    gate: Gate | None = None
    child: str = ""
    output: Any = None


class Fans(Struct, frozen=True):
    """The worker that claimed a ``foreach`` says how many items there are."""

    node: str
    token: int
    count: int
    at_once: int
    tolerated: int = 0
    output: Any = None


class ItemEnds(Struct, frozen=True):
    """The run of an item has ended. ``parent_redrives``: how many redrives of its parent it has followed."""

    node: str
    index: int
    status: str
    parent_redrives: int = 0
    error: str = ""


class ChildEnds(Struct, frozen=True):
    """The run that a ``subworkflow`` waits for has ended. ``parent_redrives`` as in ``ItemEnds``."""

    node: str
    child: str
    status: str
    output: Any = None
    error: str = ""
    parent_redrives: int = 0
    error_type: str = ""  # what failed is not the run itself, but what it came to


class Decides(Struct, frozen=True):
    """A person approves or rejects at a gate."""

    node: str
    nonce: str
    approve: bool
    by: str
    comment: str = ""


class Cancels(Struct, frozen=True):
    """A caller wants the run to end."""

    by: str = ""
    reason: str = ""


class GivesUp(Struct, frozen=True):
    """All of the run ends now, what is under way as well, and nothing is undone: what became of it is not known."""

    by: str
    reason: str


class Passes(Struct, frozen=True):
    """Time has passed."""


class Redrives(Struct, frozen=True):
    """A run that ended goes on. ``again``: the generation of each node that has not ended well, or is chosen.
    ``parent_redrives``: the run that waits for it went on so often, and asks for it."""

    again: Mapping[str, int]
    by: str = ""
    version: str = ""
    input: Any = None
    deadline_ms: int | None = None
    parent_redrives: int | None = None


class GetsSlot(Struct, frozen=True):
    """The slot that the run wants since its turn ``turn`` is its own."""

    turn: int
    key: str


class CannotGoOn(Struct, frozen=True):
    """Something that no node answers for keeps the run from going on."""

    error_type: str
    error: str


class TellsLate(Struct, frozen=True):
    """It was announced that a node missed its ``sla_ms``, or the run did (empty)."""

    node: str


class SetsStops(Struct, frozen=True):
    """A session replaces its breakpoints on the live run."""

    session: str
    stops: tuple[Mapping[str, str], ...]


class StopsAt(Struct, frozen=True):
    """A condition of a breakpoint holds, as the worker found that would take this step."""

    node: str
    stop: Mapping[str, str]


class GoesOn(Struct, frozen=True):
    """A session lets the run go on; ``step``: until the next node."""

    by: str
    step: bool = False


Happening = (
    Begins
    | ClaimsStep
    | Ends
    | Waits
    | Fans
    | ItemEnds
    | ChildEnds
    | Decides
    | Cancels
    | GivesUp
    | Passes
    | Redrives
    | GetsSlot
    | CannotGoOn
    | TellsLate
    | SetsStops
    | StopsAt
    | GoesOn
)


class Order(Struct, frozen=True):
    """What is to be done outside: for a step, for a child or the parent, for a slot, or a miss to announce. ``item``
    is an item of a foreach, or the turn of a slot."""

    kind: Literal["step", "begin_item", "cancel_child", "tell_parent", "take_slot", "free_slot", "tell_late"]
    node: str = ""
    item: int | None = None


class Decision(Struct, frozen=True):
    """What to append, the state after it, and what to do once it is appended. ``next_due_ms`` is when time itself next
    changes something, where that is another instant than before."""

    events: tuple[RunEvent, ...]
    state: RunState
    orders: tuple[Order, ...] = ()
    next_due_ms: int | None = None
    status_changed: bool = False  # the state that callers see is another
    claimed: str = ""  # the step that the same append claims for who decided
