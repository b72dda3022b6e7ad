"""``Scripts`` by the function ``script``, which has no permissions: what runs there can reach nothing of ours."""

from __future__ import annotations

import json
from typing import Any, Final

from chalicelib.adapters.aws.clients import ClientFactory
from chalicelib.core.errors import Unavailable
from chalicelib.ports.workflow_steps import StepFailed

CALL_TIMEOUT_S: Final = 30.0  # twice the longest script, and a cold start
CHECK_TIMEOUT_MS: Final = 1_000


class ScriptFunction:
    """One invocation a script. The function's own limits hold there."""

    def __init__(self, client: ClientFactory, function: str) -> None:
        """``client`` waits CALL_TIMEOUT_S for an answer, and does not try again."""
        self._client = client
        self._function = function

    def check(self, language: str, code: str) -> str | None:
        """What is wrong with the code, and where; None: nothing. Raises Unavailable."""
        try:
            answer = self._ask({"check": True, "language": language, "code": code})
        except StepFailed as problem:
            raise Unavailable(f"the code was not checked: {problem.error}") from None
        return None if answer["problem"] is None else str(answer["problem"])

    def run(self, language: str, code: str, value: Any, timeout_ms: int) -> Any:
        """The value of the last expression, or of the whole. Raises StepFailed."""
        return self._ask({"language": language, "code": code, "input": value, "timeout_ms": timeout_ms})["value"]

    def _ask(self, asked: dict[str, Any]) -> dict[str, Any]:
        payload = json.dumps(asked, separators=(",", ":"), ensure_ascii=False).encode()
        try:
            reply = self._client().invoke(FunctionName=self._function, Payload=payload)
            content = reply["Payload"].read()
        except Exception as problem:
            raise StepFailed("internal_error", f"the function of scripts: {problem}"[:500], retryable=True) from None
        if "FunctionError" in reply:
            # It was ended from outside: an answer over 6 MB, memory, or the time of the function.
            said = content[:300].decode("utf-8", "replace")
            raise StepFailed("script_error", f"the script took more time, memory or output than it may: {said}")
        answer: dict[str, Any] = json.loads(content)
        if "error_type" in answer:
            raise StepFailed(answer["error_type"], answer["error"])
        return answer
