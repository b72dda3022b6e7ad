"""The function ``script`` and what invokes it: the value, or what went wrong as a step's error has it."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from chalicelib.adapters.workflows import sandboxed_scripts
from chalicelib.adapters.workflows.script_function import ScriptFunction
from chalicelib.core.errors import Unavailable
from chalicelib.functions import script
from chalicelib.ports.workflow_steps import StepFailed

LIMIT_MS = 10_000  # what is tried here is quick: only a busy machine comes near it


class Lambda:
    """Invokes the handler as Lambda does, or fails as told."""

    def __init__(self, error: Exception | None = None, crash: bool = False) -> None:
        self.error, self.crash = error, crash

    def invoke(self, FunctionName: str, Payload: bytes) -> dict[str, Any]:
        assert FunctionName == "chronowatch-x-script"
        if self.error is not None:
            raise self.error
        if self.crash:
            return {"FunctionError": "Unhandled", "Payload": io.BytesIO(b'{"errorType": "Runtime.ExitError"}')}
        answer = script.handle(json.loads(Payload), None)
        return {"Payload": io.BytesIO(json.dumps(answer).encode())}


def through(client: Lambda) -> ScriptFunction:
    return ScriptFunction(lambda: client, "chronowatch-x-script")


def test_a_script_is_run_and_checked_there() -> None:
    scripts = through(Lambda())
    assert scripts.run("python", "input['n'] + 1", {"n": 1}, LIMIT_MS) == 2
    assert scripts.run("jsonata", "$sum(n)", {"n": [1, 2]}, LIMIT_MS) == 3
    assert scripts.check("python", "x = 1") is None
    assert scripts.check("jsonata", "$sum(n") is not None


def test_what_goes_wrong_there_is_a_steps_error_here() -> None:
    with pytest.raises(StepFailed) as failed:
        through(Lambda()).run("python", "1 / 0", None, LIMIT_MS)
    assert (failed.value.error_type, failed.value.retryable) == ("script_error", False)
    with pytest.raises(StepFailed) as failed:
        through(Lambda(crash=True)).run("python", "1", None, 1000)
    assert "ExitError" in failed.value.error
    with pytest.raises(StepFailed) as failed:
        through(Lambda(OSError("away"))).run("python", "1", None, 1000)
    assert (failed.value.error_type, failed.value.retryable) == ("internal_error", True)
    with pytest.raises(Unavailable):
        through(Lambda(OSError("away"))).check("python", "1")


def test_a_worker_that_came_without_the_right_to_be_run_is_copied(tmp_path: Path) -> None:
    library = tmp_path / "pydantic_monty" / "__init__.py"
    assert sandboxed_scripts.worker_beside(library) is None, "it was installed: the library finds it"
    packed = tmp_path / "bin" / "monty"
    packed.parent.mkdir()
    packed.write_bytes(b"#!")
    packed.chmod(0o644)
    found = sandboxed_scripts.worker_beside(library)
    assert found is not None
    assert found.stat().st_mode & stat.S_IXUSR
    packed.chmod(0o755)
    assert sandboxed_scripts.worker_beside(library) == packed
