"""The filters of the tables' streams let through what the change feed is made of, and not what each firing writes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from infra.cloudformation import FEED_STREAMS

DUE = {"due_shard": {"S": "3"}}


def record(event: str, sk: str, new: Mapping[str, Any] | None, old: Mapping[str, Any] | None) -> dict[str, Any]:
    images = {name: dict(image) for name, image in (("NewImage", new), ("OldImage", old)) if image is not None}
    return {"eventName": event, "dynamodb": {"Keys": {"pk": {"S": "t#1"}, "sk": {"S": sk}}, **images}}


def passes(pattern: Any, value: Any) -> bool:
    """Lambda's event filtering, as far as the patterns go: names, lists of values, and whether a leaf is there."""
    if isinstance(pattern, dict):
        return all(passes(part, value.get(name) if isinstance(value, dict) else None) for name, part in pattern.items())
    return any(
        (value is not None) is one["exists"] if isinstance(one, dict) and "exists" in one else value == one
        for one in pattern
    )


@pytest.mark.parametrize(
    ("what", "comes"),
    [
        (record("INSERT", "def", {}, None), True),
        (record("INSERT", "state", DUE, None), True),
        (record("MODIFY", "state", {}, DUE), True),
        (record("MODIFY", "state", DUE, DUE), False),
        (record("MODIFY", "state", {}, {}), False),
        (record("INSERT", "v#1", {}, None), False),
        (record("MODIFY", "watch", DUE, DUE), False),
    ],
)
def test_of_schedules_come_definitions_creations_and_ends(what: dict[str, Any], comes: bool) -> None:
    assert any(passes(pattern, what) for pattern in FEED_STREAMS["schedules"]) is comes
