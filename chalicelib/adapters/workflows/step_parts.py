"""What steps of workflows need, each loaded by the first expression, call or script that comes."""

from __future__ import annotations

from functools import partial
from typing import Any

from chalicelib.adapters.machine.lazy import Lazy
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.ports.work_queue import WorkQueue
from chalicelib.ports.workflow_steps import WorkflowParts


def make_parts(parts: TargetParts, queue: WorkQueue) -> WorkflowParts:
    """The parts of a process, over the queue of steps."""
    calls: Any = Lazy(partial(_calls, parts))
    expressions: Any = Lazy(_expressions)
    scripts: Any = Lazy(_scripts)
    return WorkflowParts(queue, expressions, calls, scripts)


def _expressions() -> Any:
    from chalicelib.adapters.workflows.cel_expressions import CelExpressions

    return CelExpressions()


def _calls(parts: TargetParts) -> Any:
    from chalicelib.adapters.workflows.http_calls import StepCalls

    return StepCalls(parts)


def _scripts() -> Any:
    from chalicelib.adapters.workflows.sandboxed_scripts import SandboxedScripts

    return SandboxedScripts()
