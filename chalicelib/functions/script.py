"""``script``: runs what authors of workflows wrote. Its role may write its log and nothing else.

It is invoked, one script a call. What it answers is the value, or what went wrong as a step's error has it.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from chalice.app import Blueprint

from chalicelib.ports.workflow_steps import Scripts, StepFailed

blueprint = Blueprint(__name__)


@cache
def _scripts() -> Scripts:
    from chalicelib.adapters.workflows.sandboxed_scripts import SandboxedScripts

    return SandboxedScripts()


@blueprint.lambda_function(name="script")
def handle(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Check or run one script: ``{"check": bool, "language", "code", "input", "timeout_ms"}``."""
    try:
        if event.get("check"):
            return {"problem": _scripts().check(event["language"], event["code"])}
        return {"value": _scripts().run(event["language"], event["code"], event["input"], event["timeout_ms"])}
    except StepFailed as problem:
        return {"error_type": problem.error_type, "error": problem.error}
