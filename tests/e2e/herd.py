"""Many schedules for chosen instants, and when what they fired arrived."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chalicelib.core.instants import to_rfc3339
from tests.e2e.busy import StallMeter
from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.paced_receiver import PacedReceiver

BATCH = 100


def create_all(server: DevServer, owner: str, target: dict[str, str], instants: Sequence[int]) -> list[str]:
    """AT schedules, one for each instant; their ids."""
    ids, one = [], {"type": "AT", "owner": owner, "target": target}
    for start in range(0, len(instants), BATCH):
        new = [
            {"op": "create", "schedule": {**one, "expr": f"at:{to_rfc3339(at_ms)}"}}
            for at_ms in instants[start : start + BATCH]
        ]
        status, answer = server.call("POST", "/api/v1/schedules:batch", {"operations": new})
        assert status == 200, answer
        ids += [item["id"] for item in answer["items"]]
    return ids


def lateness(told: dict[str, Any], ids: Sequence[str], stalls: StallMeter) -> list[float]:
    """How long after its instant each firing arrived, in the order of instants; without stalls of the machine."""
    wanted = set(ids)
    found = [(int(event.split("-")[1]), at_ms) for event, at_ms in told["arrived"] if event.split("-")[0] in wanted]
    return [at_ms - instant - stalls.stalled_ms(instant, at_ms) for instant, at_ms in sorted(found)]


def arrived(receiver: PacedReceiver, count: int, timeout_s: float) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        told = receiver.told()
        return told if len(told["arrived"]) >= count else None

    found = wait_for(f"{count} firings", look, timeout_s)
    assert found is not None
    return found
