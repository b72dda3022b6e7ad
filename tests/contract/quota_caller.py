"""A process that calls as fast as it may for a while and prints how many calls passed: see test_quota_processes."""

from __future__ import annotations

import json
import sys
import time

from msgspec.structs import replace

from chalicelib import bootstrap, settings
from chalicelib.usecases.quotas import charge
from tests.kit.callers import who

PAUSE_S = 0.004


def main() -> None:
    endpoint, stage, per_s, seconds = sys.argv[1:]
    chosen = settings.load({"AWS_ENDPOINT_URL": endpoint, "CHRONO_STAGE": stage, "CHRONO_RATE_READS_PER_S": per_s})
    services = bootstrap.build(chosen)
    charge(services, who("warm-up", "viewer"), "reads")
    store = services.stores.quotas
    asked: list[float] = []

    class Watched:
        def swap(self, *arguments: object) -> object:
            asked.append(time.monotonic())
            return store.swap(*arguments)  # type: ignore[arg-type]

    services = replace(services, stores=replace(services.stores, quotas=Watched()))
    print("ready", flush=True)
    sys.stdin.readline()
    passed = refused = 0
    until = time.monotonic() + float(seconds)
    while time.monotonic() < until:
        standing = charge(services, who("anna", "viewer"), "reads")
        assert standing is not None
        passed, refused = passed + standing.allowed, refused + (not standing.allowed)
        time.sleep(PAUSE_S)
    print(json.dumps({"passed": passed, "refused": refused, "asked": len(asked)}), flush=True)


if __name__ == "__main__":
    main()
