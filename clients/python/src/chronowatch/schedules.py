"""Schedules: create them without doubles, read them, list them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from chronowatch.paging import pages
from chronowatch.transport import Transport

_PATH = "/api/v1/schedules"


class Schedules:
    """The calls; fields are those of the HTTP API, instants in unix milliseconds."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, type: str, expr: str, *, idempotency_key: str | None = None, **fields: Any) -> dict[str, Any]:
        """The schedule created. Retries within this call never make a second one; pass ``idempotency_key`` to say the
        same of calls that your program repeats. Raises ApiError (422 with ``errors`` for wrong fields)."""
        key = idempotency_key or uuid.uuid4().hex
        body = {"type": type, "expr": expr, **fields}
        made: dict[str, Any] = self._transport.call("POST", _PATH, body, headers={"Idempotency-Key": key})
        return made

    def get(self, schedule_id: str) -> dict[str, Any]:
        """One schedule. Raises ApiError 404."""
        found: dict[str, Any] = self._transport.call("GET", f"{_PATH}/{quote(schedule_id, safe='')}")
        return found

    def list(self, **filters: object) -> Iterator[dict[str, Any]]:
        """Every schedule that matches, for instance ``name_prefix="nightly-"``."""
        return pages(self._transport, _PATH, filters)

    def delete(self, schedule_id: str) -> None:
        """Delete one; its firings that are under way are not delivered. A second delete raises ApiError 404."""
        self._transport.call("DELETE", f"{_PATH}/{quote(schedule_id, safe='')}")
