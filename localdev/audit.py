"""``scripts/audit``: known vulnerabilities of every package that anything here installs, by pip-audit.

Each lock file is judged as it is; nothing is installed. Without a way to the advisory database nothing is known. The
script says that loudly, and its exit code is neither that of a clean audit nor that of a finding.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from localdev.environments import TOOLS, EnvironmentFailed, ensure
from localdev.locks import LOCKS, ROOT, Lock

CLEAN, FOUND, SKIPPED = 0, 1, 75  # 75: EX_TEMPFAIL
# How pip-audit fails when it cannot reach its service.
_UNREACHABLE = ("ConnectionError", "ServiceError", "Max retries exceeded", "Failed to resolve", "ConnectTimeout", "403")


def judge(code: int, said: str) -> int:
    """What an exit code of pip-audit and what it printed mean."""
    if code == 0:
        return CLEAN
    found = "known vulnerabilit" in said
    return SKIPPED if not found and any(word in said for word in _UNREACHABLE) else FOUND


def audit(lock: Lock) -> tuple[int, str]:
    """The verdict on one lock file, and what was printed."""
    command = [str(TOOLS.python), "-m", "pip_audit", "--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    ran = subprocess.run(  # noqa: S603
        [*command, "--timeout", "15", "-r", str(lock.path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    said = ran.stdout + ran.stderr
    return judge(ran.returncode, said), said


def main(arguments: Sequence[str]) -> int:
    """The exit code of ``scripts/audit``."""
    argparse.ArgumentParser("scripts/audit", description=__doc__).parse_args(arguments)
    try:
        ensure((TOOLS,))
    except (EnvironmentFailed, OSError) as problem:
        print(f"scripts/audit: {problem}", file=sys.stderr)
        return FOUND
    worst = CLEAN
    for lock in LOCKS:
        verdict, said = audit(lock)
        if verdict == SKIPPED:
            print(
                f"scripts/audit: SKIPPED: the advisory database cannot be reached, so nothing is known of {lock.name}:"
            )
            print("  " + (said.strip().splitlines() or ["?"])[-1][:200])
            return SKIPPED if worst == CLEAN else worst
        print(f"{lock.name}: {'clean' if verdict == CLEAN else said.strip()}")
        worst = max(worst, verdict)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
