"""How the emulator runs functions, mended: by the Python that a function is for, where this machine has it.

It runs every Python function by the Python that it runs on itself. Wheels of another release do not load there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def run_by_runtime(runtimes: Any, find: Callable[[str], str | None]) -> None:
    """Let a function of runtime ``python3.13`` be run by Python 3.13. Raises AttributeError when the emulator is
    another."""
    detect = runtimes._detect_runtime_binary

    def detect_by_runtime(runtime: str) -> tuple[str, str]:
        binary, script = detect(runtime)
        own = find(runtime.removeprefix("python")) if runtime.startswith("python") else None
        return own or binary, script

    runtimes._detect_runtime_binary = detect_by_runtime


def keep_no_log_of_deleted(functions: Any) -> None:
    """Let an invocation that outlives its function write no log: its late line would make the deleted log group anew.
    Raises AttributeError when the emulator is another."""
    write, known = functions._emit_lambda_logs, functions._functions

    def write_of_known(func: dict[str, Any], *arguments: Any, **named: Any) -> None:
        if (func.get("config") or func).get("FunctionName") in known:
            write(func, *arguments, **named)

    functions._emit_lambda_logs = write_of_known
