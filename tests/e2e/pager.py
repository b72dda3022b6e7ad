"""PagerDuty's Events API v2 in the test's own process: it judges each event as the real one does, and answers alike.

What it takes and how it answers is from PagerDuty's reference of ``POST /v2/enqueue``.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.e2e.receiver import Webhook

ACTIONS = ("trigger", "acknowledge", "resolve")
SEVERITIES = ("critical", "error", "warning", "info")
ROUTING_KEY_CHARS = 32
DEDUP_KEY_MAX_CHARS = 255
SUMMARY_MAX_CHARS = 1024
_KNOWN = {"routing_key", "event_action", "dedup_key", "payload", "images", "links", "client", "client_url"}


def problems(event: Any) -> list[str]:
    """What PagerDuty would say of an event; empty: it is taken."""
    if not isinstance(event, dict):
        return ["the event is not an object"]
    found = [f"unknown field {name}" for name in sorted(event.keys() - _KNOWN)]
    key = event.get("routing_key")
    if not isinstance(key, str) or len(key) != ROUTING_KEY_CHARS:
        found.append("routing_key must be a string of 32 characters")
    if event.get("event_action") not in ACTIONS:
        found.append("event_action must be trigger, acknowledge or resolve")
    dedup = event.get("dedup_key", "")
    if not isinstance(dedup, str) or len(dedup) > DEDUP_KEY_MAX_CHARS:
        found.append("dedup_key must be a string of at most 255 characters")
    payload = event.get("payload")
    if not isinstance(payload, dict):
        return [*found, "payload is missing"]
    summary = payload.get("summary")
    if not isinstance(summary, str) or not 1 <= len(summary) <= SUMMARY_MAX_CHARS:
        found.append("summary must be a string of 1 to 1024 characters")
    if not isinstance(payload.get("source"), str) or not payload["source"]:
        found.append("source is missing")
    if payload.get("severity") not in SEVERITIES:
        found.append("severity must be critical, error, warning or info")
    return found


class Pager:
    """Listens at ``url``. The first ``busy`` calls are answered 500, as when PagerDuty is away."""

    def __init__(self, busy: int = 0) -> None:
        self.asked: list[dict[str, Any]] = []
        self.refused: list[list[str]] = []
        self.incidents: dict[str, dict[str, Any]] = {}
        lock, pager = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                with lock:
                    status, body = pager._judge(self.path, self.headers.get("Content-Type", ""), raw, busy)
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = Webhook(Handler)
        self.url = f"{self._server.url}v2/enqueue"

    def close(self) -> None:
        """Stop listening."""
        self._server.stop()

    def _judge(self, path: str, media: str, raw: bytes, busy: int) -> tuple[int, dict[str, Any]]:
        event = json.loads(raw)
        self.asked.append(event)
        if len(self.asked) <= busy:
            return 500, {}
        if path != "/v2/enqueue":
            return 404, {}
        found = problems(event)
        if not media.startswith("application/json"):
            found.append("Content-Type must be application/json")
        if found:
            self.refused.append(found)
            return 400, {"status": "invalid event", "message": "Event object is invalid", "errors": found}
        self.incidents[event["dedup_key"]] = event
        return 202, {"status": "success", "message": "Event processed", "dedup_key": event["dedup_key"]}
