"""Keeping policies: their number, their order among writers, and when a change is acknowledged."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import Conflict, Forbidden, InvalidField, PreconditionFailed
from chalicelib.core.executions.limits import RECHECK_AHEAD_MAX_MS
from chalicelib.core.rules.limits import POLICIES_MAX_COUNT
from chalicelib.core.rules.policy import Rule, WrittenPolicy
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.services import Services
from chalicelib.ports.stores.policies import KeptPolicy
from chalicelib.usecases import policies, policy_dry_run
from tests.kit.callers import who
from tests.kit.services import make_services, with_stores
from tests.kit.watched import Watched

TEXT = {"field": "name", "operator": "exists"}


@pytest.fixture
def services() -> Services:
    return make_services()


def named(name: str, message: str = "m") -> WrittenPolicy:
    return WrittenPolicy(name=name, rules=(Rule(name="r", condition=TEXT, action="deny", message=message),))


def test_a_change_is_acknowledged_when_every_firing_that_did_not_see_it_has_begun(services: Services) -> None:
    began_ms = services.clock.now_ms()
    policies.create(services, ANONYMOUS_ADMIN, named("p"))
    assert services.clock.now_ms() == began_ms + RECHECK_AHEAD_MAX_MS + 1


def test_a_change_that_comes_between_is_not_lost(services: Services) -> None:
    policies.create(services, ANONYMOUS_ADMIN, named("p", "first"))
    between = [lambda: policies.put(services, ANONYMOUS_ADMIN, "p", named("p", "second"))]

    def act(*_: object) -> None:
        if between:
            between.pop()()

    racing = with_stores(services, policies=Watched(services.stores.policies, "load", act))
    policies.put(racing, ANONYMOUS_ADMIN, "p", named("p", "third"))
    messages = [p.policy.rules[0].message for p in policies.versions(services, ANONYMOUS_ADMIN, "p")]
    assert messages == ["third", "second", "first"]


def test_a_call_that_ran_before_finds_what_it_made_and_nothing_else(services: Services) -> None:
    made = policies.create(services, ANONYMOUS_ADMIN, named("p"))
    assert policies.create(services, ANONYMOUS_ADMIN, named("p"), again=True) == made
    for wanted, again in ((named("p"), False), (named("p", "other"), True)):
        with pytest.raises(Conflict):
            policies.create(services, ANONYMOUS_ADMIN, wanted, again)


def test_a_version_that_moved_meanwhile_is_refused(services: Services) -> None:
    made = policies.create(services, ANONYMOUS_ADMIN, named("p"))
    policies.put(services, ANONYMOUS_ADMIN, "p", named("p", "other"), [made.version])
    with pytest.raises(PreconditionFailed):
        policies.delete(services, ANONYMOUS_ADMIN, "p", [made.version])


def test_a_tenant_has_a_bounded_number(services: Services) -> None:
    for n in range(POLICIES_MAX_COUNT):
        services.stores.policies.save("default", KeptPolicy(f"p{n}", "{}", 1), 0)
    with pytest.raises(InvalidField, match="at most"):
        policies.create(services, ANONYMOUS_ADMIN, named("one-more"))


@pytest.mark.parametrize("role", ["operator", "user", "viewer"])
def test_only_administrators_change_and_try_them(services: Services, role: str) -> None:
    policies.create(services, ANONYMOUS_ADMIN, named("p"))
    caller = who("bob", role)
    assert policies.get(services, caller, "p").policy.name == "p"
    for wish in (
        lambda: policies.create(services, caller, named("q")),
        lambda: policies.put(services, caller, "p", named("p")),
        lambda: policies.delete(services, caller, "p"),
        lambda: policies.evaluate(services, caller, {}, "schedules:create"),
        lambda: policy_dry_run.run_one(services, caller, "p", None, None),
        lambda: policy_dry_run.run_all(services, caller, None),
    ):
        with pytest.raises(Forbidden):
            wish()
