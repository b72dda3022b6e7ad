"""The services of a deployment in memory, and services with parts exchanged."""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.machine.lazy import Lazy
from chalicelib.adapters.memory.machine import MemoryQueue
from chalicelib.adapters.memory.stores import open_stores
from chalicelib.adapters.workflows.stage import MemoryStage
from chalicelib.ports.services import Config, Machine, Services, Stores, assemble
from chalicelib.ports.workflow_steps import HttpReply, HttpRequest, StepFailed, WorkflowParts
from tests.kit.machine import NOW_MS, MovableClock, manual_machine


def make_services(
    machine: Machine | None = None, stores: Stores | None = None, config: Config | None = None
) -> Services:
    """An empty deployment that delivers nowhere, with a clock that only tests move."""
    machine = machine or manual_machine(MovableClock(NOW_MS))
    queue = MemoryQueue(machine.clock.now_ms)
    made = assemble(config or Config(webhook_allow=("127.0.0.1",)), machine, stores or open_stores(), queue, {})
    steps: Any = MemoryQueue(machine.clock.now_ms)
    expressions, scripts = (
        lazy("cel_expressions", "CelExpressions"),
        lazy("sandboxed_scripts", "SandboxedScripts"),
    )
    parts = WorkflowParts(steps, expressions, NoCalls(), scripts, partial(MemoryStage, expressions, scripts))
    return replace(made, workflows=parts)


def lazy(module: str, name: str) -> Any:
    """What evaluates expressions or runs scripts, loaded by the first test that needs it."""
    return Lazy(lambda: getattr(import_module(f"chalicelib.adapters.workflows.{module}"), name)())


class NoCalls:
    """``HttpCalls`` that reach nothing."""

    def call(self, request: HttpRequest) -> HttpReply:
        raise StepFailed("connection_error", "nothing is called here")


def with_stores(s: Services, **stores: Any) -> Services:
    """``s`` with other stores, by name."""
    return replace(s, stores=replace(s.stores, **stores))
