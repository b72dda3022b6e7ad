"""The answer that CloudFormation waits for, at an address that it gave: a PUT to a signed URL of S3."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from chalicelib.adapters.http.client import HttpClient
from chalicelib.adapters.machine.system import SystemClock

REASON_MAX_CHARS: Final = 1000  # the whole answer may have 4 KB


def answer(event: Mapping[str, Any], physical_id: str, data: Mapping[str, str], reason: str | None) -> None:
    """Say that a request of CloudFormation's is done, or with ``reason`` that it failed. Raises NoAnswer."""
    body = {
        "Status": "FAILED" if reason else "SUCCESS",
        "PhysicalResourceId": physical_id,
        "StackId": event["StackId"],
        "RequestId": event["RequestId"],
        "LogicalResourceId": event["LogicalResourceId"],
        "Data": dict(data),
    }
    if reason:
        body["Reason"] = reason[:REASON_MAX_CHARS]
    parts = urlsplit(str(event["ResponseURL"]))
    client = HttpClient(
        f"{parts.scheme}://{parts.netloc}", monotonic_s=lambda: SystemClock().read().monotonic_nanos / 1e9
    )
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    client.call("PUT", path, {}, json.dumps(body).encode())
