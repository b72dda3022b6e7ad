"""Calls of steps and of notifications: a secret that belongs into the body goes there, and into no header."""

from __future__ import annotations

import json
import time
from typing import Any

from chalicelib.adapters.secrets.kept_secrets import KeptSecrets
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.adapters.workflows.http_calls import StepCalls
from chalicelib.core.secrets.secret_policy import SecretPolicy
from chalicelib.core.secrets.secret_ref import SecretRef
from chalicelib.ports.workflow_steps import HttpRequest
from tests.e2e.receiver import Receiver


class _Store:
    def read(self, ref: SecretRef) -> tuple[str, ...]:
        return ("R0UT1NGKEY-é",)


def _no_client(_: str) -> Any:
    raise AssertionError("no service of AWS is asked")


def test_a_value_for_the_body_is_in_no_header() -> None:
    receiver = Receiver()
    parts = TargetParts(
        client=_no_client,
        now_ms=lambda: 0,
        monotonic_s=time.monotonic,
        webhook_allow=("127.0.0.1",),
        event_bus="b",
        secrets=KeptSecrets({"vault": _Store}, monotonic_s=time.monotonic),
        secret_policy=SecretPolicy(header_refs=("*",)),
    )
    calls = StepCalls(parts)
    request = HttpRequest(
        key="k",
        tenant="t",
        attempt=1,
        method="POST",
        url=receiver.url,
        headers={"X-Routing-Key": {"secret_ref": "vault:secret/data/pagerduty#key"}},
        body=json.dumps({"specversion": "1.0", "event_action": "trigger"}).encode(),
        timeout_ms=10_000,
        traceparent="",
        into_body={"X-Routing-Key": "routing_key"},
    )
    try:
        assert calls.call(request).status < 300
        [got] = receiver.all()
    finally:
        calls.close()
        receiver.close()
    assert got.event["routing_key"] == "R0UT1NGKEY-é"
    assert "x-routing-key" not in {name.lower() for name in got.headers}
