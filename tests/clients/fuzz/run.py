"""Fuzzes the API from its document: schemathesis with all checks against the product in memory.

    scripts/fuzz --seconds 150 --seed 7 --auth apikey

Prints what schemathesis found, and which excuses of ``unsaid`` it needed. The exit status tells whether it found
anything.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from localdev import environments
from localdev.environments import CLIENTS
from tests.clients.served import KEY, KEYS_ASKED, serve

HERE = Path(__file__).parent
# Ours takes its place: it calls it, and knows the excuses.
REPLACED = "positive_data_acceptance"


class Outcome(NamedTuple):
    """What a run came to. ``excused`` counts the refusals that no schema can foresee."""

    clean: bool
    printed: str
    excused: dict[str, int]


CASES_TIMEOUT_S = 840  # a tenth of it is enough where nothing else runs


def fuzz(url: str, seconds: int | None, seed: int | None, folder: Path, key: str | None = None) -> Outcome:
    """Fuzz the service at ``url`` for so long, with ``key`` as the credentials. Files go to ``folder``.

    Without seconds it ends when each operation had all that the document suggests, and one case more. Then no clock
    decides what is tried. Without a seed it tries what every run tries.
    """
    told = folder / "excused.json"
    command: list[str | Path] = [CLIENTS.python.with_name("st"), "--config-file", HERE / "schemathesis.toml", "run"]
    command += [f"{url}/api/v1/openapi.json", *(("-n", "1") if seconds is None else ("--max-time", str(seconds)))]
    command += (
        ["--generation-deterministic"] if seed is None else ["--seed", str(seed), "--generation-database", "none"]
    )
    command += ["--checks", "all", "--exclude-checks", REPLACED, "--continue-on-failure"]
    command += ["--output-sanitize", "false", "--no-color"]
    command += [] if key is None else ["--header", f"Authorization: Bearer {key}"]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "FUZZ_EXCUSED": str(told)}
    within_s = CASES_TIMEOUT_S if seconds is None else seconds + 900
    ran = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=within_s, check=False
    )
    excused = json.loads(told.read_text()) if told.exists() else {}
    return Outcome(ran.returncode == 0, ran.stdout + ran.stderr, excused)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        "scripts/fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=150)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--auth", choices=("off", "apikey"), default="off", help="what the service asks of callers")
    given = parser.parse_args()
    environments.ensure([CLIENTS])
    env, key = (None, None) if given.auth == "off" else (KEYS_ASKED, KEY)
    with tempfile.TemporaryDirectory() as folder, serve(env) as served:
        outcome = fuzz(served.url, given.seconds, given.seed, Path(folder), key)
        broken = sorted({f"{status} {method} {path}" for method, path, status in served.calls if status >= 500})
    print(outcome.printed)
    print("Refused, and no schema can foresee it:")
    for excuse, count in sorted(outcome.excused.items(), key=lambda item: -item[1]):
        print(f"{count:6}  {excuse}")
    print(f"Answered with 5xx: {', '.join(broken[:20]) or 'none'}")
    sys.exit(not outcome.clean or bool(broken))


if __name__ == "__main__":
    main()
