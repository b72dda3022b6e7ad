"""What steps of workflows need, each loaded by the first expression, call or script that comes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from chalicelib.adapters.aws.clients import ClientFactory, resource_name
from chalicelib.adapters.machine.lazy import Lazy
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.ports.work_queue import WorkQueue
from chalicelib.ports.workflow_steps import Cast, Stage, WorkflowParts

Clientele = Callable[[str, float], ClientFactory]  # by service, and how long a call may take in seconds


def make_parts(parts: TargetParts, queue: WorkQueue, stage: str, slow_client: Clientele | None = None) -> WorkflowParts:
    """The parts of a process, over the queue of steps. With a ``slow_client`` scripts run in a function of their own,
    which it waits for. Else they run in children of this process."""
    calls: Any = Lazy(partial(_calls, parts))
    expressions: Any = Lazy(_expressions)
    scripts: Any = Lazy(_scripts if slow_client is None else partial(_elsewhere, slow_client, stage))
    mailer: Any = Lazy(partial(_mailer, parts))
    return WorkflowParts(queue, expressions, calls, scripts, partial(_stage, expressions, scripts), mailer)


def _stage(expressions: Any, scripts: Any, cast: Cast, now_ms: int) -> Stage:
    from chalicelib.adapters.workflows.stage import MemoryStage

    return MemoryStage(expressions, scripts, cast, now_ms)


def _expressions() -> Any:
    from chalicelib.adapters.workflows.cel_expressions import CelExpressions

    return CelExpressions()


def _calls(parts: TargetParts) -> Any:
    from chalicelib.adapters.workflows.http_calls import StepCalls

    return StepCalls(parts)


def _mailer(parts: TargetParts) -> Any:
    from chalicelib.adapters.aws.ses_mail import SesMailer

    return SesMailer(parts.client("sesv2"))


def _elsewhere(client: Clientele, stage: str) -> Any:
    from chalicelib.adapters.workflows.script_function import CALL_TIMEOUT_S, ScriptFunction

    return ScriptFunction(client("lambda", CALL_TIMEOUT_S), resource_name(stage, "script"))


def _scripts() -> Any:
    from chalicelib.adapters.workflows.sandboxed_scripts import SandboxedScripts

    return SandboxedScripts()
