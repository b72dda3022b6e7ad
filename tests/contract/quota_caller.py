"""A process that calls as fast as it may for a while and prints how many calls passed: see test_quota_processes.

It says too from when to when it called, and how long it was held up: on a busy machine both vary.
"""

from __future__ import annotations

import json
import sys
import time

from msgspec.structs import replace

from chalicelib import bootstrap, settings
from chalicelib.usecases.quotas import charge
from tests.kit.callers import who

PAUSE_S = 0.004
BRIDGED_S = 0.25  # half of what the bucket holds when it is full: who waits less for the table loses nothing


def main() -> None:
    endpoint, stage, per_s, seconds = sys.argv[1:]
    chosen = settings.load({"AWS_ENDPOINT_URL": endpoint, "CHRONO_STAGE": stage, "CHRONO_RATE_READS_PER_S": per_s})
    services = bootstrap.build(chosen)
    charge(services, who("warm-up", "viewer"), "reads")
    store = services.stores.quotas
    asked: list[float] = []

    class Watched:
        def swap(self, *arguments: object) -> object:
            begun = time.monotonic()
            try:
                return store.swap(*arguments)  # type: ignore[arg-type]
            finally:
                asked.append(time.monotonic() - begun)

    services = replace(services, stores=replace(services.stores, quotas=Watched()))
    print("ready", flush=True)
    sys.stdin.readline()
    passed = refused = 0
    began = time.monotonic()
    while time.monotonic() < began + float(seconds):
        standing = charge(services, who("anna", "viewer"), "reads")
        assert standing is not None
        passed, refused = passed + standing.allowed, refused + (not standing.allowed)
        time.sleep(PAUSE_S)
    ended, held_up = time.monotonic(), sum(max(0.0, took - BRIDGED_S) for took in asked)
    told = {"passed": passed, "refused": refused, "asked": len(asked)}
    print(json.dumps({**told, "began": began, "ended": ended, "held_up": held_up}), flush=True)


if __name__ == "__main__":
    main()
