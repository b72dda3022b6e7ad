"""Executions that are known to be completed."""

from __future__ import annotations

from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.process.done_memory import DoneMemory

A, B, C = (ExecutionKey("t", "I" * 26, at_ms) for at_ms in (1, 2, 3))


def test_what_is_done_is_left_out_in_order() -> None:
    memory = DoneMemory()
    memory.keep([B])
    assert memory.without([A, B, C]) == [A, C]


def test_it_is_bounded_and_forgets_the_oldest() -> None:
    memory = DoneMemory(max_executions=2)
    memory.keep([A, B, C])
    assert memory.without([A, B, C]) == [A]
