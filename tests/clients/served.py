"""The product in memory behind the HTTP server of ``scripts/dev``: real requests, and nothing else to start."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from chalicelib import bootstrap, settings
from chalicelib.api.http import edge
from chalicelib.server.server import Server
from chalicelib.workers import sweep
from tests.kit.house import House


class RecordingEdge(edge.Edge):
    """The edge, and what was asked of it: method, path and the status that it answered."""

    def __init__(self, house: House) -> None:
        super().__init__(house.app)
        self.calls: list[tuple[str, str, int]] = []

    def handle(
        self,
        method: str,
        raw_path: str,
        query: str,
        headers: Mapping[str, str],
        body: bytes | Callable[[], bytes] = b"",
    ) -> edge.Answer:
        answer = super().handle(method, raw_path, query, headers, body)
        self.calls.append((method, raw_path, answer[0]))
        return answer


# An admin key that no call can end: a caller that tries every operation keeps its rights.
KEY = "an-admin-key-that-only-this-test-knows"
KEYS_ASKED: Mapping[str, str] = {"CHRONO_AUTH": "apikey", "CHRONO_BOOTSTRAP_KEY": KEY}


@dataclass
class Served:
    """A running service."""

    url: str
    house: House
    calls: list[tuple[str, str, int]] = field(default_factory=list)


@contextmanager
def serve(env: Mapping[str, str] | None = None) -> Iterator[Served]:
    """Serve an empty deployment whose shards were swept, so that it is healthy, until the block ends. ``env`` says
    which credentials it asks for (KEYS_ASKED); without it, for none."""
    house = House()
    if env is not None:
        house.authenticator = bootstrap.identity(settings.load(env), house.services)
    sweep.run(house.services)
    recording = RecordingEdge(house)
    server = Server(recording, "127.0.0.1", 0, house.clock.now_ms)
    thread = server.start()
    try:
        yield Served(f"http://127.0.0.1:{server.port}", house, recording.calls)
    finally:
        server.stop()
        thread.join(5)
