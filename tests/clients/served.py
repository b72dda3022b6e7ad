"""The product in memory behind the HTTP server of ``scripts/dev``: real requests, and nothing else to start."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic

from chalicelib import bootstrap, settings
from chalicelib.api.http import edge
from chalicelib.api.http.operations import Table
from chalicelib.server.server import Server
from chalicelib.workers import sweep
from tests.kit.house import House

SWEEP_EVERY_S = 30.0


class RecordingEdge(edge.Edge):
    """The edge, and what was asked of it: method, path and the status that it answered."""

    def __init__(self, house: House) -> None:
        super().__init__(house.app)
        self.calls: list[tuple[str, str, int]] = []
        self.before_call: Callable[[], None] = self._sweep_now_and_then
        self._house, self._swept = house, monotonic()

    def _sweep_now_and_then(self) -> None:
        """Without a worker the service calls itself unhealthy, with reason, after three minutes."""
        if monotonic() - self._swept > SWEEP_EVERY_S:
            self._swept = monotonic()
            sweep.run(self._house.services)

    def handle(
        self,
        method: str,
        raw_path: str,
        query: str,
        headers: Mapping[str, str],
        body: bytes | Callable[[], bytes] = b"",
    ) -> edge.Answer:
        self.before_call()
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
    edge: RecordingEdge

    @property
    def calls(self) -> list[tuple[str, str, int]]:
        """What was asked of it and answered."""
        return self.edge.calls


@contextmanager
def serve(env: Mapping[str, str] | None = None, operations: Table | None = None) -> Iterator[Served]:
    """Serve an empty deployment whose shards were swept, so that it is healthy, until the block ends. ``env`` says
    which credentials it asks for (KEYS_ASKED); without it, for none. ``operations`` are others than the service's."""
    house = House(operations)
    if env is not None:
        house.authenticator = bootstrap.identity(settings.load(env), house.services)
    sweep.run(house.services)
    recording = RecordingEdge(house)
    server = Server(recording, "127.0.0.1", 0, house.clock.now_ms)
    thread = server.start()
    try:
        yield Served(f"http://127.0.0.1:{server.port}", house, recording)
    finally:
        server.stop()
        thread.join(5)
