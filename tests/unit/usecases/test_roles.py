"""A tenant's own roles: how soon they hold, and that writers do not lose each other's."""

from __future__ import annotations

from typing import Any

import pytest

from chalicelib.adapters.memory.roles import MemoryRoleStore
from chalicelib.adapters.memory.stores import open_stores
from chalicelib.core.errors import Forbidden
from chalicelib.core.security.tenant_roles import ROLES_MEMORY_MS
from chalicelib.usecases import roles
from chalicelib.usecases.roles import RoleWanted
from tests.kit.callers import who
from tests.kit.services import make_services, with_stores

ADA = who("ada", "admin")
READS = RoleWanted(permissions=("time:read",))


def test_what_a_process_remembers_is_half_a_minute_old_at_most() -> None:
    stores = open_stores()
    here, there = make_services(stores=stores), make_services(stores=stores)
    admin = who("ada", "admin")
    assert roles.granted_by(there, "default") == {}
    roles.put(here, admin, "r", roles.RoleWanted(permissions=("time:read",)))
    assert roles.granted_by(here, "default").keys() == {"r"}, "the process that wrote knows at once"
    assert roles.granted_by(there, "default") == {}
    there.clock.advance(ROLES_MEMORY_MS)  # type: ignore[attr-defined]
    assert roles.granted_by(there, "default").keys() == {"r"}


def test_a_deleted_role_grants_nothing_any_more() -> None:
    s = make_services()
    roles.put(s, ADA, "r", READS)
    assert roles.granted_by(s, "default")["r"].permissions == {"time:read"}
    roles.delete(s, ADA, "r")
    assert roles.granted_by(s, "default") == {}


def test_a_writer_that_comes_between_is_not_overwritten() -> None:
    class Meanwhile(MemoryRoleStore):
        """Another writer makes a role right before the first save."""

        came = False

        def save(self, tenant: str, document: str, rev: int, expected_rev: int) -> bool:
            if not self.came:
                self.came = True
                roles.put(s, ADA, "theirs", READS)
            return super().save(tenant, document, rev, expected_rev)

    s = with_stores(make_services(), roles=Meanwhile())
    roles.put(s, ADA, "mine", READS)
    assert roles.granted_by(s, "default").keys() == {"mine", "theirs"}


def test_a_permission_of_another_release_grants_nothing() -> None:
    s = make_services()
    s.stores.roles.save("default", '{"r":{"permissions":["time:read","moon:land"],"every_owner":false}}', 1, 0)
    assert roles.granted_by(s, "default")["r"].permissions == {"time:read"}


@pytest.mark.parametrize("role", ["operator", "user", "viewer"])
def test_roles_are_for_administrators(role: str) -> None:
    s, caller = make_services(), who("ann", role)
    calls: list[Any] = [
        lambda: roles.page(s, caller, 10, None),
        lambda: roles.get(s, caller, "admin"),
        lambda: roles.put(s, caller, "r", READS),
        lambda: roles.delete(s, caller, "r"),
    ]
    for call in calls:
        with pytest.raises(Forbidden):
            call()
