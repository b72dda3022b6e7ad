"""Values of runs that are too large for the tables. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from typing import Protocol


class LargeValueStore(Protocol):
    """Bytes by tenant, run and name. A name is the hash of what it names, so nothing is ever replaced."""

    def put(self, tenant: str, run_id: str, name: str, content: bytes) -> None:
        """Keep a value; the same again changes nothing. It can be read once this has returned."""
        ...

    def get(self, tenant: str, run_id: str, name: str) -> bytes | None:
        """A value that was kept; None: there is none."""
        ...

    def purge(self, tenant: str, run_id: str) -> bool:
        """Delete a part of all that is kept of a run. True once nothing is left."""
        ...
