"""What an operator watches: alarms and a dashboard, once, for CloudFormation and for Terraform.

An alarm says that firings are late or lost, or soon will be. What is merely interesting is on the dashboard.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from chalicelib.adapters.aws.clients import resource_name
from infra.state import State

Json = dict[str, Any]

LAMBDA, SQS, GATEWAY = "AWS/Lambda", "AWS/SQS", "AWS/ApiGateway"
FUNCTIONS: Final = ("api", "deliver", "sweep", "reconcile", "feed", "declare", "workflow", "script", "subscribe")
WORK_AGE_MOST_S: Final = 1_200  # a message waits 900 s of its own will
FEED_AGE_MOST_MS: Final = 60_000
_WIDE, _HIGH = 12, 6


@dataclass(frozen=True, slots=True)
class Alarm:
    """A metric is, for ``periods`` minutes, above (or ``below``) a threshold. ``silence``: what no data means."""

    logical: str
    name: str
    description: str
    namespace: str
    metric: str
    dimensions: dict[str, str] = field(default_factory=dict)
    statistic: str = "Sum"
    threshold: int = 0
    periods: int = 1
    below: bool = False
    silence: str = "notBreaching"

    @property
    def comparison(self) -> str:
        return "LessThanThreshold" if self.below else "GreaterThanThreshold"


def alarms(state: State) -> tuple[Alarm, ...]:
    """All alarms of a stage."""
    stage = state.stage

    def named(word: str) -> tuple[str, str]:
        return word.title().replace("-", "") + "Alarm", resource_name(stage, word)

    def queue(word: str, name: str, metric: str, most: int, why: str) -> Alarm:
        dimensions = {"QueueName": state.queue(name).name}
        return Alarm(*named(word), why, SQS, metric, dimensions, statistic="Maximum", threshold=most)

    def function(word: str, name: str, metric: str, why: str, **more: Any) -> Alarm:
        return Alarm(*named(word), why, LAMBDA, metric, {"FunctionName": resource_name(stage, name)}, **more)

    found = [
        queue("dead", "dead", "ApproximateNumberOfMessagesVisible", 0, "Firings ran out of attempts"),
        queue("poison", "poison", "ApproximateNumberOfMessagesVisible", 0, "Messages that no worker could handle"),
        queue("work-age", "work", "ApproximateAgeOfOldestMessage", WORK_AGE_MOST_S, "Firings wait for workers"),
        queue("steps-age", "steps", "ApproximateAgeOfOldestMessage", WORK_AGE_MOST_S, "Runs of workflows stand still"),
        function(
            "sweep-silent",
            "sweep",
            "Invocations",
            "Nothing looks for due schedules",
            threshold=1,
            periods=3,
            below=True,
            silence="breaching",
        ),
        function(
            "feed-age",
            "feed",
            "IteratorAge",
            "Changes, policies and counts are late",
            statistic="Maximum",
            threshold=FEED_AGE_MOST_MS,
            periods=5,
        ),
    ]
    for name in FUNCTIONS:
        found.append(function(f"{name}-errors", name, "Errors", f"Calls of {name} fail", periods=3))
        found.append(function(f"{name}-throttles", name, "Throttles", f"Calls of {name} are refused", periods=3))
    return tuple(found)


def dashboard_name(state: State) -> str:
    """One a stage."""
    return f"chronowatch-{state.stage}"


def dashboard(state: State, region: str) -> Json:
    """The body of a CloudWatch dashboard; ``region`` may be a reference that the template resolves."""
    functions = [resource_name(state.stage, name) for name in FUNCTIONS]
    queues = [queue.name for queue in state.queues]
    rows = [
        ("Calls", "Sum", [[LAMBDA, "Invocations", "FunctionName", name] for name in functions]),
        ("Errors", "Sum", [[LAMBDA, "Errors", "FunctionName", name] for name in functions]),
        ("Duration p99 (ms)", "p99", [[LAMBDA, "Duration", "FunctionName", name] for name in functions]),
        ("At once", "Maximum", [[LAMBDA, "ConcurrentExecutions", "FunctionName", name] for name in functions]),
        (
            "Messages that can be received",
            "Maximum",
            [[SQS, "ApproximateNumberOfMessagesVisible", "QueueName", name] for name in queues],
        ),
        (
            "Firings held back",
            "Maximum",
            [[SQS, "ApproximateNumberOfMessagesDelayed", "QueueName", state.queue("work").name]],
        ),
        (
            "Capacity that tables used",
            "Sum",
            [
                ["AWS/DynamoDB", metric, "TableName", table.name]
                for table in state.tables
                for metric in ("ConsumedReadCapacityUnits", "ConsumedWriteCapacityUnits")
            ],
        ),
        (
            "Requests",
            "Sum",
            [[GATEWAY, metric, "ApiName", "chronowatch"] for metric in ("Count", "4XXError", "5XXError")],
        ),
    ]
    widgets = [
        {
            "type": "metric",
            "x": place % 2 * _WIDE,
            "y": place // 2 * _HIGH,
            "width": _WIDE,
            "height": _HIGH,
            "properties": {"title": title, "region": region, "stat": stat, "period": 60, "metrics": metrics},
        }
        for place, (title, stat, metrics) in enumerate(rows)
    ]
    return {"widgets": widgets}
