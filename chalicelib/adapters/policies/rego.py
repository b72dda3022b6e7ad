"""Rego by regorus, in a process beside this one that is ended when it takes too long: see ``rego_child``."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import select
import subprocess  # nosec B404
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from chalicelib.core.errors import FieldError, InvalidField, NotSupported
from chalicelib.core.rules import rego_module
from chalicelib.ports.rego import NOT_OFFERED, RegoAnswer

log = logging.getLogger("chronowatch.policies")

REGO_TIMEOUT_MS: Final = 200
START_TIMEOUT_MS: Final = 5_000  # of a new process, whose interpreter must start first
ANSWER_MAX_BYTES: Final = 4 * 1024 * 1024
PACKAGE: Final = "regorus"
# The engine's allocator takes a gibibyte of addresses at once, in which the child's limit of memory would not hold. In
# place of that it takes parts of 64 MiB.
_ENVIRONMENT: Final = {"MIMALLOC_ARENA_RESERVE": "65536"}
_CHILD: Final = Path(__file__).with_name("rego_child.py")
_PROBE: Final = {
    "tenant": "default",
    "action": "schedules:create",
    "caller": {"subject": "", "roles": []},
    "subject": {"name": "", "type": "CRON", "owner": "", "tags": [], "target": {"type": "webhook", "url": ""}},
}


class RegoProcess:
    """``RegoEngine``. One process at a time; it is started by the first question."""

    def __init__(self, monotonic_s: Callable[[], float], timeout_ms: int = REGO_TIMEOUT_MS) -> None:
        self._monotonic_s = monotonic_s
        self._timeout_s = timeout_ms / 1000
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def check(self, module: str, place: str) -> None:
        """Refuse what cannot run, and what ``core.rules.rego_module`` does not take."""
        if _engine_folder() is None:
            raise NotSupported([FieldError(place, NOT_OFFERED)], code="not_offered")
        tree, problem = self._call(True, module, _PROBE)
        wrong = problem if tree is None else rego_module.problem(tree) or problem
        if wrong:
            raise InvalidField.of(place, wrong)

    def ask(self, module: str, question: Mapping[str, Any]) -> RegoAnswer:
        """Judge a question. Whatever goes wrong is a no."""
        if _engine_folder() is None:
            return RegoAnswer(False, NOT_OFFERED)
        holds, problem = self._call(False, module, question)
        if problem:
            log.warning("a module of Rego gave no answer, which denies: %s", problem)
        return RegoAnswer(holds is True, problem)

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _call(self, is_check: bool, module: str, question: Mapping[str, Any]) -> tuple[Any, str]:
        line = json.dumps([is_check, module, msgspec.json.encode(question).decode()]).encode() + b"\n"
        with self._lock:
            try:
                text = self._exchange(line)
            except OSError as problem:
                text, why = b"", f"the engine's process failed: {type(problem).__name__}"
            except EOFError:  # as by recursion, or for want of memory
                text, why = b"", "the engine's process ended"
            else:
                why = f"the engine gave no answer in {self._timeout_s * 1000:.0f} ms"
            if not text.endswith(b"\n"):
                self._end()
                return None, why
        found, problem_text = json.loads(text)
        return found, problem_text

    def _exchange(self, line: bytes) -> bytes:
        """One line there, and one back. Without its end: there was none in time. Raises EOFError, OSError."""
        fresh = self._child is None
        child = self._child = self._child or _started()
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(line)
        child.stdin.flush()
        until_s = self._monotonic_s() + self._timeout_s + (START_TIMEOUT_MS / 1000 if fresh else 0)
        text = bytearray()
        while not text.endswith(b"\n") and len(text) < ANSWER_MAX_BYTES:
            left_s = until_s - self._monotonic_s()
            if left_s <= 0 or not select.select([child.stdout], [], [], left_s)[0]:
                break
            part = os.read(child.stdout.fileno(), 65536)
            if not part:
                raise EOFError
            text += part
        return bytes(text)

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.communicate()


def _engine_folder() -> str | None:
    """Where the engine is installed, without importing it; None: it is not."""
    found = importlib.util.find_spec(PACKAGE)
    return None if found is None or found.origin is None else str(Path(found.origin).parents[1])


def _started() -> subprocess.Popen[bytes]:
    folder = _engine_folder()
    assert folder is not None
    command = [sys.executable, "-I", "-S", "-X", "utf8", str(_CHILD), folder]
    return subprocess.Popen(  # noqa: S603 -- our own script  # nosec B603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_ENVIRONMENT
    )
