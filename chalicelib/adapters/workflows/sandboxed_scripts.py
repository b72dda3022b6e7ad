"""``Scripts``: Python by Monty, in worker processes that know no world outside; JSONata in a child of one call.

Both end within twice their limit: the limit holds inside, and what is over it is killed from outside.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess  # nosec B404 -- ruff's S603 judges each call
import sys
import tempfile
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from chalicelib.core.workflows.limits import OUTPUT_MAX_BYTES
from chalicelib.ports.workflow_steps import StepFailed

MEMORY_MAX_BYTES: Final = 64 * 1024 * 1024
CHILD_MEMORY_BYTES: Final = 2 * 1024 * 1024 * 1024  # of address space: the engine maps a stack of over a gigabyte
VALUE_MAX_BYTES: Final = 256 * 1024
TIMEOUT_MAX_MS: Final = 10_000
# The same input gives the same output, also when a run is replayed: no clock, no chance.
_FROZEN: Final[Any] = {"datetime": datetime(1970, 1, 1, tzinfo=UTC), "sleep": "zero", "random_start": {"seed": 0}}
_CHILD: Final = Path(__file__).with_name("jsonata_child.py")


class SandboxedScripts:
    """Loads its engines when the first script comes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pools: dict[int, Any] = {}

    def check(self, language: str, code: str) -> str | None:
        """What is wrong with the code, and where; None: nothing."""
        try:
            if language == "jsonata":
                import jlens

                jlens.Expression(code)
                return None
            self._python(f"def __checked__(input):\n{_indented(code)}\n", None, 1000)
        except StepFailed as problem:
            return problem.error
        except Exception as problem:  # jlens has one error for all that it cannot read
            return str(problem)[:500]
        return None

    def run(self, language: str, code: str, value: Any, timeout_ms: int) -> Any:
        """The value of the last expression, or of the whole. Raises StepFailed."""
        limit_ms = min(timeout_ms, TIMEOUT_MAX_MS)
        size = len(json.dumps(value))
        if size > VALUE_MAX_BYTES:
            raise StepFailed("payload_too_large", f"the input has {size} bytes; a script takes {VALUE_MAX_BYTES}")
        return self._jsonata(code, value, limit_ms) if language == "jsonata" else self._python(code, value, limit_ms)

    def close(self) -> None:
        """End all workers."""
        with self._lock:
            for pool in self._pools.values():
                pool.__exit__(None, None, None)
            self._pools.clear()

    def _python(self, code: str, value: Any, limit_ms: int) -> Any:
        import pydantic_monty

        limits = {
            "max_feed_duration_secs": limit_ms / 1000,
            "max_memory": MEMORY_MAX_BYTES,
            "max_recursion_depth": 200,
            "max_suspensions": 1,
            "max_total_sleep_secs": 0.0,
        }
        printed = pydantic_monty.CollectString(64 * 1024)
        try:
            with self._pool(limit_ms).checkout(limits=limits, os_policy=_FROZEN) as session:
                found = session.feed_run(code, inputs={"input": value}, print_callback=printed)
        except pydantic_monty.MontySyntaxError as problem:
            raise StepFailed("script_error", str(problem)[:500]) from None
        except pydantic_monty.MontyCrashedError as problem:
            kind = "timeout" if problem.timed_out else "script_error"
            said = f"the script was ended after {limit_ms} ms" if problem.timed_out else "the script crashed"
            raise StepFailed(kind, said) from None
        except pydantic_monty.MontyError as problem:
            inner = problem.exception()
            if isinstance(inner, TimeoutError):
                raise StepFailed("timeout", f"the script took longer than {limit_ms} ms") from None
            raise StepFailed("script_error", str(problem)[:500]) from None
        return _plain(found)

    def _pool(self, limit_ms: int) -> Any:
        """Workers that are killed when a script takes so long, rounded up so that few pools serve all limits."""
        import pydantic_monty

        step = next(s for s in (500, 2_000, TIMEOUT_MAX_MS) if limit_ms <= s)
        with self._lock:
            if step not in self._pools:
                pool = pydantic_monty.Monty(
                    binary_path=worker_beside(Path(pydantic_monty.__file__)),
                    request_timeout=2 * step / 1000,
                    min_processes=1,
                    max_checkouts_per_worker=100,
                )
                self._pools[step] = pool.__enter__()
            return self._pools[step]

    def _jsonata(self, code: str, value: Any, limit_ms: int) -> Any:
        import jlens

        site = str(Path(jlens.__file__).parents[1])
        asked = {"code": code, "input": value, "timeout_s": limit_ms / 1000, "most": OUTPUT_MAX_BYTES}
        command = [sys.executable, "-I", "-S", str(_CHILD), str(limit_ms // 1000 + 1), str(CHILD_MEMORY_BYTES), site]
        try:
            ran = subprocess.run(  # noqa: S603  # nosec B603 -- our own interpreter and file
                command,
                input=json.dumps(asked).encode(),
                capture_output=True,
                timeout=2 * limit_ms / 1000,
                env={},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise StepFailed("timeout", f"the transform took longer than {limit_ms} ms") from None
        try:
            answer = json.loads(ran.stdout)
        except ValueError:
            raise StepFailed("script_error", "the transform took more time or memory than it may") from None
        if "error" in answer:
            raise StepFailed("script_error", answer["error"])
        return answer["value"]


def _indented(code: str) -> str:
    return "\n".join(f"  {line}" for line in code.split("\n")) or "  pass"


def _plain(value: Any, depth: int = 0) -> Any:
    """A value as JSON has it. Raises StepFailed."""
    if depth > 64:
        raise StepFailed("invalid_output", "the value is nested deeper than 64")
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(one, depth + 1) for one in value]
    if isinstance(value, dict) and all(isinstance(name, str) for name in value):
        return {name: _plain(one, depth + 1) for name, one in value.items()}
    raise StepFailed("invalid_output", f"the value is a {type(value).__name__}, which JSON does not have")


def worker_beside(library: Path) -> Path | None:
    """The program of the workers in a layer, which lies beside the library there; None: where it was installed.

    A layer's files may come without the right to be run, and cannot be given it: then a copy is.
    """
    packed = library.parents[1] / "bin" / "monty"
    if not packed.is_file() or os.access(packed, os.X_OK):
        return packed if packed.is_file() else None
    copy = Path(tempfile.mkdtemp(prefix="monty-")) / "monty"
    shutil.copyfile(packed, copy)
    copy.chmod(0o500)
    return copy
