"""The store of policies behind the gate. What is stored goes into the world's record, and when."""

from __future__ import annotations

from typing import Any

from chalicelib.ports.stores.policies import KeptPolicy
from tests.simulation.actors.tables import Gate
from tests.simulation.world import PolicyWrite


class Policies:
    """``ports.stores.PolicyStore``."""

    def __init__(self, gate: Gate, inner: Any) -> None:
        self._gate = gate
        self._inner = inner

    def load(self, tenant: str, name: str) -> KeptPolicy | None:
        fault = self._gate.enter("load_policy")
        found = self._inner.load(tenant, name)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def page(self, tenant: str, limit: int, after: str | None) -> tuple[list[KeptPolicy], str | None]:
        fault = self._gate.enter("page_policies")
        found = self._inner.page(tenant, limit, after)
        self._gate.leave(fault)
        return found  # type: ignore[no-any-return]

    def save(self, tenant: str, policy: KeptPolicy, expected_rev: int) -> bool:
        fault = self._gate.enter("save_policy")
        won = self._inner.save(tenant, policy, expected_rev)
        self._saw(won, denies=True)
        self._gate.leave(fault)
        return won  # type: ignore[no-any-return]

    def delete(self, tenant: str, name: str, expected_rev: int) -> bool:
        fault = self._gate.enter("delete_policy")
        won = self._inner.delete(tenant, name, expected_rev)
        self._saw(won, denies=False)
        self._gate.leave(fault)
        return won  # type: ignore[no-any-return]

    def _saw(self, won: bool, denies: bool) -> None:
        world = self._gate.world
        if won:
            world.record.policies.append(PolicyWrite(world.now, denies))
            world.tell(world.current.instance.name, "stored the policy" if denies else "deleted the policy")
        else:
            world.hit("race:policy lost")
