"""The texts of an execution that are stored sealed: its payload, its result, what targets answered."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from chalicelib.core.executions.execution import Attempt, Execution
from chalicelib.core.secrets import envelope


def with_texts(execution: Execution, change: Callable[[str, str, str], str]) -> Execution:
    """The record with these texts sealed, or unsealed. Most have none."""
    changed: dict[str, object] = {
        field: change(execution.tenant, envelope.execution_place(execution.id, field), value)
        for field, value in (("payload", execution.payload), ("result", execution.result))
        if value is not None
    }
    if any(a.answer is not None for a in execution.attempts):
        changed["attempts"] = tuple(_attempt(execution, attempt, change) for attempt in execution.attempts)
    return replace(execution, **changed) if changed else execution


def _attempt(execution: Execution, attempt: Attempt, change: Callable[[str, str, str], str]) -> Attempt:
    if attempt.answer is None:
        return attempt
    place = envelope.execution_place(execution.id, f"answer {attempt.number}")
    return replace(attempt, answer=change(execution.tenant, place, attempt.answer))
