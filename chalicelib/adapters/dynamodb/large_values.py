"""``LargeValueStore`` in the table of runs, for deployments that name no bucket: chunks of 90 KiB, an item each."""

from __future__ import annotations

from chalicelib.ports.stores.runs import RunStore


class TableLargeValueStore:
    """``LargeValueStore``: payloads of a run, which are deleted with the run."""

    def __init__(self, runs: RunStore) -> None:
        self._runs = runs

    def put(self, tenant: str, run_id: str, name: str, content: bytes) -> None:
        """Keep a value."""
        self._runs.put_payload(tenant, run_id, name, content)

    def get(self, tenant: str, run_id: str, name: str) -> bytes | None:
        """A value that was kept; None: there is none."""
        return self._runs.payloads(tenant, run_id, [name]).get(name)

    def purge(self, tenant: str, run_id: str) -> bool:
        """Leave them to the purge of the run: they lie among all else that is kept of it."""
        return True
