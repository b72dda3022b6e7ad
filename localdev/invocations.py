"""Calling a Lambda handler as Lambda would: an event, and a context that knows the time left."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

Handler = Callable[[dict[str, Any], Any], Any]

_numbers = itertools.count(1)


class LocalContext:
    """The part of Lambda's context object that handlers use."""

    def __init__(self, function_name: str, timeout_s: float) -> None:
        self.function_name = function_name
        self.function_version = "$LATEST"
        self.memory_limit_in_mb = "512"
        self.aws_request_id = f"local-{next(_numbers)}"
        self.log_group_name = f"/aws/lambda/{function_name}"
        self.log_stream_name = "local"
        self._until = time.monotonic() + timeout_s

    def get_remaining_time_in_millis(self) -> int:
        """Milliseconds until Lambda would end the invocation."""
        return max(0, int((self._until - time.monotonic()) * 1000))


def scheduled_event(name: str, region: str) -> dict[str, Any]:
    """What a schedule rule hands to its function."""
    return {
        "version": "0",
        "id": f"{name}-{time.monotonic_ns()}",
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "000000000000",
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "region": region,
        "resources": [f"arn:aws:events:{region}:000000000000:rule/{name}"],
        "detail": {},
    }
