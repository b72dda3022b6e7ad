"""Events of the service itself on a bus: all tenants' come there, and a trigger hears of what its owner may see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from chalicelib.core.limits import INSTANT_MAX_MS
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.triggers.trigger import Trigger
from chalicelib.engine import heartbeats, notices
from chalicelib.ports.services import Services

_OURS: Final = "/chronowatch/"
_OF_THE_DEPLOYMENT: Final = frozenset({"ticks"})


def is_heard(s: Services, trigger: Trigger, source: str) -> bool:
    """Whether a trigger takes an event of ours. One about what is not there in its tenant is another tenant's, or
    another deployment's. Raises Unavailable."""
    if not source.startswith(_OURS):
        return True  # of the deployment itself, as of its clock
    noun, _, name = source.removeprefix(_OURS).partition("/")
    if noun in _OF_THE_DEPLOYMENT:
        return True
    find = _OWNERS.get(noun)
    owner = None if find is None else find(s, trigger.tenant, name)
    if owner is None:
        return False
    return trigger.every_owner is not False or owner == _of_schedule(s, trigger.tenant, trigger.id)


def _of_schedule(s: Services, tenant: str, schedule_id: str) -> str | None:
    """The owner; of a deleted one that of its executions."""
    key = Key(tenant, schedule_id)
    found = s.stores.schedules.definitions([key]).get(key)
    if found is not None:
        return found.owner
    some, _ = s.stores.executions.of_schedule(key, 0, INSTANT_MAX_MS, 1, None)
    return some[0].owner if some else None


def _of_run(s: Services, tenant: str, run_id: str) -> str | None:
    found = s.stores.runs.load(tenant, run_id)
    return None if found is None else found.owner


def _of_monitor(s: Services, tenant: str, monitor_id: str) -> str | None:
    found = s.stores.alerts.load(tenant, "monitor", monitor_id)
    return None if found is None else heartbeats.read_record(found).owner


def _of_rule(s: Services, tenant: str, rule_id: str) -> str | None:
    found = s.stores.alerts.load(tenant, "rule", rule_id)
    return None if found is None else notices.read_rule(found).owner


_OWNERS: Final[Mapping[str, Callable[[Services, str, str], str | None]]] = {
    "schedules": _of_schedule,
    "runs": _of_run,
    "monitors": _of_monitor,
    "notification-rules": _of_rule,
}
