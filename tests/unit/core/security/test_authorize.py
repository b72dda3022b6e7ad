"""Who may do what: each role, each permission, on one's own things, another owner's and another tenant's."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import ChronoError, Forbidden, NotFound
from chalicelib.core.security.authorize import Resource, authorize, authorize_owner, missing, only_owner
from chalicelib.core.security.caller import ANONYMOUS_ADMIN, Caller, system_caller
from chalicelib.core.security.permissions import PERMISSIONS, ROLES, Permission, Role
from tests.kit.callers import who

OK, NO, HIDDEN = None, Forbidden, NotFound
NOUNS = ("schedules", "executions", "leases", "ticks", "health", "time", "docs", "policies", "workflows", "triggers")
NOUNS += ("monitors", "notifications")
READS = {f"{noun}:read" for noun in NOUNS}
WRITES = {"schedules:write", "schedules:trigger", "executions:retry", "executions:cancel", "executions:report"}
WRITES |= {"leases:acquire", "workflows:write", "workflows:start", "workflows:approve", "triggers:write"}
WRITES |= {"monitors:write", "notifications:write"}
ADMIN_CALLS = {"leases:break", "ticks:write", "keys:read", "keys:write", "roles:read", "roles:write"}
ADMIN_CALLS |= {"policies:write", "audit:read", "subjects:read", "subjects:write", "queue:pause"}
CLUSTER = {"cluster:read", "cluster:write"}

# role: what becomes of a read, a write, an admin call, a look at the cluster and a join, by whose the thing is
TABLE = {
    "admin": {"own": (OK, OK, OK, OK, OK), "foreign": (OK, OK, OK, OK, OK)},
    "operator": {"own": (OK, OK, NO, OK, OK), "foreign": (OK, OK, NO, OK, OK)},
    "user": {"own": (OK, OK, NO, NO, NO), "foreign": (HIDDEN, HIDDEN, NO, NO, NO)},
    "viewer": {"own": (OK, NO, NO, OK, NO), "foreign": (OK, NO, NO, OK, NO)},
    "nobody": {"own": (NO, NO, NO, NO, NO), "foreign": (NO, NO, NO, NO, NO)},
}
OWNER = {"own": "ann", "foreign": "bob", "other tenant": "ann"}


def _column(permission: str) -> int:
    kinds: list[set[str]] = [READS, WRITES, ADMIN_CALLS, {"cluster:read"}, {"cluster:write"}]
    [column] = [n for n, kind in enumerate(kinds) if permission in kind]
    return column


def _judged(caller: Caller, permission: Permission, resource: Resource | None) -> type[ChronoError] | None:
    try:
        authorize(caller, permission, resource)
    except ChronoError as refused:
        return type(refused)
    return None


@pytest.mark.parametrize("permission", sorted(PERMISSIONS))
@pytest.mark.parametrize("role", TABLE)
@pytest.mark.parametrize("whose", ["own", "foreign", "other tenant"])
def test_every_role_may_do_what_the_table_says(role: str, permission: Permission, whose: str) -> None:
    caller = who("ann", role, tenant="acme")
    tenant = "other" if whose == "other tenant" else "acme"
    found = _judged(caller, permission, Resource(tenant, OWNER[whose], "schedule 1"))
    granted = TABLE[role]["own"][_column(permission)]
    wanted = TABLE[role].get(whose, ())[_column(permission)] if whose != "other tenant" else granted or HIDDEN
    assert found is wanted
    assert _judged(caller, permission, None) is granted


def test_the_table_knows_every_role_and_every_permission() -> None:
    assert set(TABLE) - {"nobody"} == set(ROLES)
    assert READS | WRITES | ADMIN_CALLS | CLUSTER == PERMISSIONS


def test_what_is_hidden_is_answered_as_what_is_missing() -> None:
    with pytest.raises(NotFound) as hidden:
        authorize(who("ann", "user", tenant="t"), "schedules:read", Resource("t", "bob", "schedule 1"))
    assert (hidden.value.detail, hidden.value.code) == (missing("schedule 1").detail, missing("schedule 1").code)


def test_roles_add_up_and_what_a_caller_can_see_is_forbidden_rather_than_hidden() -> None:
    both = who("ann", "user", "viewer", tenant="t")
    assert _judged(both, "schedules:read", Resource("t", "bob", "schedule 1")) is None
    assert _judged(both, "schedules:write", Resource("t", "ann", "schedule 1")) is None
    assert _judged(both, "schedules:write", Resource("t", "bob", "schedule 1")) is Forbidden


@pytest.mark.parametrize(
    ("role", "owner", "owner_now", "refused"),
    [
        ("user", "ann", None, False),
        ("user", "bob", None, True),
        ("user", "bob", "ann", True),
        ("operator", "bob", None, True),
        ("operator", "bob", "bob", False),
        ("operator", "ann", "bob", True),
        ("admin", "bob", None, False),
        ("admin", "bob", "ann", False),
    ],
)
def test_only_an_admin_gives_to_another_owner(role: str, owner: str, owner_now: str | None, refused: bool) -> None:
    caller = who("ann", role, tenant="t")
    if refused:
        with pytest.raises(Forbidden):
            authorize_owner(caller, owner, owner_now)
    else:
        authorize_owner(caller, owner, owner_now)


@pytest.mark.parametrize(
    ("roles", "own"),
    [({"user"}, True), ({"viewer"}, False), ({"operator"}, False), ({"admin", "user"}, False), (set(), True)],
)
def test_lists_show_a_user_their_own(roles: set[str], own: bool) -> None:
    assert only_owner(who("ann", *roles, tenant="t"), "schedules:read") == ("ann" if own else None)


def test_a_caller_has_no_defaults() -> None:
    with pytest.raises(TypeError):
        Caller()  # type: ignore[call-arg]
    assert ANONYMOUS_ADMIN.tenant == "default"
    assert system_caller("acme").tenant == "acme"


def test_a_role_of_a_tenants_own_grants_what_it_lists() -> None:
    retrier = {"retrier": Role(frozenset({"executions:retry"}), every_owner=True)}
    caller = who("ann", "retrier", custom_roles=retrier)
    assert caller.permissions == caller.on_every_owner == {"executions:retry"}
    assert _judged(caller, "executions:retry", Resource("default", "bob", "execution 1")) is None
    assert _judged(caller, "executions:read", None) is Forbidden


def test_a_built_in_name_cannot_be_taken_by_a_role_of_a_tenants_own() -> None:
    taken = {"viewer": Role(PERMISSIONS, every_owner=True)}
    assert who("ann", "viewer", custom_roles=taken).permissions == ROLES["viewer"].permissions


def test_permissions_of_a_key_reach_its_owners_things_only() -> None:
    caller = who("ann", permissions=("schedules:read",))
    assert not caller.on_every_owner
    assert _judged(caller, "schedules:read", Resource("default", "ann", "schedule 1")) is None
    assert _judged(caller, "schedules:read", Resource("default", "bob", "schedule 1")) is NotFound
    assert not caller.is_admin
