"""The packaged zip, deployed: API Gateway to Lambda, Lambda from the zip, the queue's and the rule's events."""

from __future__ import annotations

import pytest

from tests.e2e.dev_server import DevServer, wait_for
from tests.e2e.receiver import Receiver

pytestmark = pytest.mark.slow


def test_a_deployed_schedule_fires_each_instant_once(deployed: DevServer, receiver: Receiver) -> None:
    beat = deployed.create(type="RATE", expr="rate:1s", payload={"hello": "world"}, target=receiver.target())
    first = beat["created_at_unix_ms"] + 1000
    owed = [first + 1000 * k for k in range(5)]
    # The first ones wait for Lambda's cold starts, on a busy machine for seconds; so the order is not asked for.
    wait_for("five firings", lambda: receiver.counts(beat).keys() >= set(owed), 60)
    came = receiver.of(beat)
    assert [receiver.counts(beat)[instant] for instant in owed] == [1] * len(owed)
    assert came[0].event["data"] == {"hello": "world"}
    status, execution = deployed.call("GET", f"/api/v1/executions/{came[0].event['id']}")
    assert (status, execution["delivery_state"]) == (200, "completed")
    assert deployed.call("DELETE", f"/api/v1/schedules/{beat['id']}")[0] == 200


def test_colons_in_paths_arrive_either_way(deployed: DevServer) -> None:
    yearly = deployed.create(type="CRON", expr="@yearly")
    assert deployed.call("POST", f"/api/v1/schedules/{yearly['id']}:pause", {})[0] == 200
    status, resumed = deployed.call("POST", f"/api/v1/schedules/{yearly['id']}%3Aresume", {})
    assert (status, resumed["state"]) == (200, "active")


@pytest.mark.parametrize(
    ("method", "path", "expected", "code"),
    [("GET", "/nope", 404, "not_found"), ("PUT", "/api/v1/schedules", 405, "method_not_allowed")],
)
def test_what_is_not_there_is_said_as_locally(
    deployed: DevServer, method: str, path: str, expected: int, code: str
) -> None:
    status, problem = deployed.call(method, path)
    assert (status, problem["status"], problem["code"]) == (expected, expected, code)
