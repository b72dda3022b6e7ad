"""Policies of tenants. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from typing import Final, Protocol

from msgspec import Struct

from chalicelib.core.schedules.schedule import Key

EPOCH_ID: Final = "policies"  # never a schedule's id, which is a ULID


def epoch_key(tenant: str) -> Key:
    """Under this key ``ScheduleStore.epochs`` has the epoch of a tenant's policies and of the pause of its queue.
    Every change of them raises that number. It is left out where there never was one."""
    return Key(tenant, EPOCH_ID)


class KeptPolicy(Struct, frozen=True):
    """A policy as stored: its document, by core.rules.policy, under its rev."""

    name: str
    document: str
    rev: int


class PolicyStore(Protocol):
    """One record a policy. A change also keeps the new form as a version, and raises the epoch, all at once."""

    def load(self, tenant: str, name: str) -> KeptPolicy | None:
        """One policy."""
        ...

    def page(self, tenant: str, limit: int, after: str | None) -> tuple[list[KeptPolicy], str | None]:
        """A tenant's policies by name, after a name, and the name to go on after (None: the end)."""
        ...

    def save(self, tenant: str, policy: KeptPolicy, expected_rev: int) -> bool:
        """Write a policy if its stored rev still is ``expected_rev`` (0: if there is none). Its own rev is higher."""
        ...

    def delete(self, tenant: str, name: str, expected_rev: int) -> bool:
        """Delete a policy if its stored rev still is ``expected_rev``. Its versions stay."""
        ...

    def versions(self, tenant: str, name: str, limit: int) -> list[KeptPolicy]:
        """The newest versions of a policy, newest first, also of one that is deleted."""
        ...
