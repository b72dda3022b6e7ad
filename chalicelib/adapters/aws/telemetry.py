"""What the service says about itself: JSON lines for logs, CloudWatch's embedded metric format for numbers.

Never a payload and never a secret: log calls name ids and counts. A line has ``ts, level, msg`` and, when the call
gives them as ``extra``, ``trace_id, span_id, schedule_id, lease_name``.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping, Sequence
from typing import IO, NamedTuple

from chalicelib.core.instants import to_rfc3339

CONTEXT_FIELDS = ("trace_id", "span_id", "schedule_id", "execution_id", "lease_name")
NAMESPACE = "ChronoWatch"
VALUES_MAX = 100  # of one metric in one line: CloudWatch ignores what follows
_CHATTY = ("botocore", "boto3", "urllib3", "pynamodb", "uvicorn", "websockets", "asyncio")


class JsonLines(logging.Formatter):
    """One JSON object a line, so that a log store can search it by field."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "ts": to_rfc3339(int(record.created * 1000)),
            "level": record.levelname,
            "msg": record.getMessage(),
            "logger": record.name,
        }
        line.update((name, value) for name in CONTEXT_FIELDS if (value := getattr(record, name, None)) is not None)
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logging(level: str, stream: IO[str] | None = None) -> None:
    """Send every record from ``level`` up to ``stream`` (standard output) as JSON lines, in the place of all handlers.

    Libraries that log each request only speak from WARNING up: what they say at DEBUG includes headers and bodies.
    """
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(JsonLines())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


class Metric(NamedTuple):
    """Values of one metric with one set of dimensions; the unit is CloudWatch's word. ``fields`` can be searched for,
    and make no metric of their own."""

    name: str
    unit: str
    values: Sequence[float]
    dimensions: Mapping[str, str] = {}
    fields: Mapping[str, str] = {}


def emf_lines(metrics: Sequence[Metric], at_ms: int) -> list[str]:
    """The metrics in CloudWatch's embedded metric format, one line for each hundred values.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
    """
    return [
        json.dumps(
            {
                "_aws": {
                    "Timestamp": at_ms,
                    "CloudWatchMetrics": [
                        {
                            "Namespace": NAMESPACE,
                            "Dimensions": [sorted(metric.dimensions)],
                            "Metrics": [{"Name": metric.name, "Unit": metric.unit}],
                        }
                    ],
                },
                **metric.dimensions,
                **metric.fields,
                metric.name: list(metric.values[start : start + VALUES_MAX]),
            }
        )
        for metric in metrics
        for start in range(0, len(metric.values), VALUES_MAX)
    ]


def emit(metrics: Sequence[Metric], at_ms: int, stream: IO[str] | None = None) -> None:
    """Write the metrics to ``stream`` (standard output, where Lambda's log agent finds them)."""
    out = stream or sys.stdout
    for line in emf_lines(metrics, at_ms):
        out.write(line + "\n")
    out.flush()


def trace_aws_calls() -> None:
    """Let X-Ray see every AWS call of this process. Its SDK takes a quarter of a second to load: only on demand."""
    from aws_xray_sdk.core import patch

    patch(("botocore",))
