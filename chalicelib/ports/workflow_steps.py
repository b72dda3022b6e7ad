"""What the steps of a workflow need from outside: expressions, calls by HTTP, scripts, and a queue of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from msgspec import Struct

from chalicelib.ports.work_queue import WorkQueue

if TYPE_CHECKING:
    from chalicelib.core.queue_messages import RunHint
    from chalicelib.core.workflows.run_state import RunEvent
    from chalicelib.ports.services import Services
    from chalicelib.ports.target import Delivery, Outcome


class StepFailed(Exception):
    """Raised when a step comes to nothing. ``retryable``: another attempt may do better."""

    def __init__(
        self, error_type: str, error: str, *, retryable: bool = False, retry_after_ms: int | None = None
    ) -> None:
        super().__init__(error)
        self.error_type = error_type
        self.error = error
        self.retryable = retryable
        self.retry_after_ms = retry_after_ms


class Expressions(Protocol):
    """Evaluates expressions of CEL. Never raises but StepFailed: what cannot be evaluated is an error, never false."""

    def check(self, text: str, names: Mapping[str, str]) -> str | None:
        """What is wrong with an expression, and where; None: nothing. ``names`` are its variables and their types."""
        ...

    def evaluate(self, text: str, values: Mapping[str, Any]) -> Any:
        """The value, as JSON has it. Raises StepFailed (``expression_error``)."""
        ...


class HttpRequest(Struct, frozen=True):
    """One call. ``headers`` may hold references to secrets; ``body`` is what is sent as it is. ``into_body`` names
    headers whose values go into fields of a JSON body instead."""

    key: str  # goes out as Idempotency-Key
    tenant: str
    attempt: int
    method: str
    url: str
    headers: Mapping[str, Any]
    body: bytes | None
    timeout_ms: int
    traceparent: str
    depth: int = 0
    into_body: Mapping[str, str] = {}


class HttpReply(Struct, frozen=True):
    """What was answered, whatever the status."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    retry_after_ms: int | None = None


class HttpCalls(Protocol):
    """Calls by HTTP through the guard that webhooks go through."""

    def call(self, request: HttpRequest) -> HttpReply:
        """Send, and read the answer. Raises StepFailed."""
        ...


class Mail(Struct, frozen=True):
    """One e-mail of text. ``key`` goes along as the header Idempotency-Key."""

    key: str
    sender: str
    to: tuple[str, ...]
    subject: str
    text: str


class Mailer(Protocol):
    """Sends e-mails."""

    def send(self, mail: Mail) -> str:
        """Hand an e-mail to who delivers it; the id that it has there. Raises StepFailed."""
        ...


class Scripts(Protocol):
    """Runs what authors write, where it can harm nothing: no network, no files, no clock, bounded time and memory."""

    def check(self, language: str, code: str) -> str | None:
        """What is wrong with the code, and where; None: nothing."""
        ...

    def run(self, language: str, code: str, value: Any, timeout_ms: int) -> Any:
        """The value of the last expression (``python``), or of the whole (``jsonata``). Raises StepFailed."""
        ...


class Cast(Protocol):
    """Who plays the world outside in a rehearsal. All are called as jobs of the stage's time."""

    def call(self, request: HttpRequest) -> HttpReply:
        """Answer a call. Raises StepFailed."""
        ...

    def dispatch(self, delivery: Delivery) -> Outcome:
        """Take what goes to a target."""
        ...

    def take(self, hint: RunHint) -> None:
        """Do what a hint points at."""
        ...

    def appended(self, run_id: str, events: Sequence[RunEvent]) -> None:
        """A log has grown."""
        ...


class Stage(Protocol):
    """A deployment in memory in which time passes when nothing is left to do: runs are rehearsed there."""

    @property
    def services(self) -> Services:
        """All of it."""
        ...

    def next_ms(self) -> int | None:
        """When the next job goes on; None: there is none."""
        ...

    def run_next(self) -> None:
        """Let it go on, until it waits or ends."""
        ...

    def close(self) -> None:
        """End what still waits."""
        ...


class WorkflowParts(Struct, frozen=True):
    """All of it. ``queue`` carries hints to the function ``workflow``. ``open_stage`` gives an empty stage as of an
    instant, for this cast. ``mailer`` None: this deployment sends no e-mail."""

    queue: WorkQueue
    expressions: Expressions
    calls: HttpCalls
    scripts: Scripts
    open_stage: Callable[[Cast, int], Stage] | None = None
    mailer: Mailer | None = None
