"""What a caller can do with triggers, where a worker dies or two change one."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import Conflict, NotFound, PreconditionFailed
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.services import Services
from chalicelib.usecases import schedules, trigger_settings
from chalicelib.usecases.trigger_settings import TriggerRequest
from tests.kit.services import make_services

ID = "01KB" + "0" * 22


@pytest.fixture
def s() -> Services:
    return make_services()


def made(s: Services, trigger_id: str = ID, **fields: Any) -> trigger_settings.ShownTrigger:
    wanted = TriggerRequest(**{"name": "t", "source": {"type": "webhook"}, **fields})
    return trigger_settings.create(s, ANONYMOUS_ADMIN, wanted, trigger_id)


def test_half_a_trigger_is_none(s: Services) -> None:
    """A worker died between its two records."""
    whole = made(s)
    s.stores.triggers.save(replace(whole.trigger, id="0" * 26), 0)
    found, _ = trigger_settings.page(s, ANONYMOUS_ADMIN, 10, None)
    assert [one.trigger.id for one in found] == [ID]
    with pytest.raises(NotFound, match="there is no trigger"):
        trigger_settings.get(s, ANONYMOUS_ADMIN, "0" * 26)
    with pytest.raises(NotFound, match="there is no schedule"):
        schedules.get(s, ANONYMOUS_ADMIN, ID)


def test_the_same_creation_goes_on_with_what_it_wrote(s: Services) -> None:
    whole = made(s)
    again = made(s)
    assert again.trigger == whole.trigger
    assert again.schedule.definition.version == whole.schedule.definition.version


def test_a_name_that_is_taken_leaves_nothing_behind(s: Services) -> None:
    made(s)
    with pytest.raises(Conflict, match="a trigger named t"):
        made(s, "0" * 26)
    assert s.stores.triggers.load("default", "0" * 26) is None


def test_a_changed_trigger_has_another_version(s: Services) -> None:
    first = made(s)
    changed = trigger_settings.edit(s, ANONYMOUS_ADMIN, ID, TriggerRequest(debounce_ms=5), [first.version])
    assert changed.version != first.version
    with pytest.raises(PreconditionFailed):
        trigger_settings.delete(s, ANONYMOUS_ADMIN, ID, [first.version])
    trigger_settings.delete(s, ANONYMOUS_ADMIN, ID, [changed.version])
    assert s.stores.triggers.load("default", ID) is None


def test_only_its_own_inlet_leads_to_it(s: Services) -> None:
    whole = made(s)
    assert trigger_settings.at_inlet(s, ID, whole.trigger.token) == whole.trigger
    for wrong in ("", "é", "A" * 22, whole.trigger.token[1:], whole.trigger.token + "A"):
        with pytest.raises(NotFound):
            trigger_settings.at_inlet(s, ID, wrong)
