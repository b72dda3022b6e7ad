"""The store of large values behind the gate, and the record of what is in it."""

from __future__ import annotations

from typing import Any

from tests.simulation.actors.tables import Gate


class WatchedValues:
    """``ports.stores.LargeValueStore``. ``kept`` are run and name of what was ever put."""

    def __init__(self, gate: Gate, inner: Any) -> None:
        self._gate = gate
        self._inner = inner
        self.kept: set[tuple[str, str]] = set()

    def put(self, tenant: str, run_id: str, name: str, content: bytes) -> None:
        fault = self._gate.enter("value_put")
        self._inner.put(tenant, run_id, name, content)
        self.kept.add((run_id, name))
        self._gate.world.hit("value: kept")
        self._gate.leave(fault)

    def get(self, tenant: str, run_id: str, name: str) -> bytes | None:
        fault = self._gate.enter("value_get")
        found: bytes | None = self._inner.get(tenant, run_id, name)
        self._gate.world.hit("value: read")
        self._gate.leave(fault)
        return found
