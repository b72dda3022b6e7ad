"""What an operator watches is what there is: every queue, by its own name."""

from __future__ import annotations

from infra.state import state
from infra.watch import SQS, alarms, dashboard

STAGE = state("dev")


def test_every_queue_has_an_alarm() -> None:
    watched = {alarm.dimensions["QueueName"] for alarm in alarms(STAGE) if alarm.namespace == SQS}
    assert watched == {queue.name for queue in STAGE.queues}


def test_what_is_held_back_is_firings() -> None:
    [held] = [
        w["properties"] for w in dashboard(STAGE, "eu-west-1")["widgets"] if "held back" in w["properties"]["title"]
    ]
    assert held["metrics"] == [[SQS, "ApproximateNumberOfMessagesDelayed", "QueueName", STAGE.queue("work").name]]
