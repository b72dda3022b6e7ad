"""What callers may do with monitors, beside what the API's tests show."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import CapacityExhausted, Forbidden, NotFound
from chalicelib.core.heartbeats.limits import MONITORS_MAX_COUNT
from chalicelib.core.security.caller import ANONYMOUS_ADMIN, guest
from chalicelib.engine.heartbeats import record_of
from chalicelib.usecases import heartbeats
from tests.kit.alert_play import AlertPlay


def test_a_tenant_has_so_many_monitors() -> None:
    play = AlertPlay()
    made = play.monitor()
    for n in range(MONITORS_MAX_COUNT - 1):
        play.s.stores.alerts.save(record_of(replace(made, id=f"{n:026d}")), 0)
    with pytest.raises(CapacityExhausted):
        play.monitor()


def test_the_same_call_again_finds_what_it_made() -> None:
    play = AlertPlay()
    made = play.monitor()
    wish = heartbeats.MonitorWish(name="other", type="RATE", expr="rate:1m", grace_ms=1_000)
    assert heartbeats.create(play.s, ANONYMOUS_ADMIN, wish, made.id, again=True) == made


def test_who_may_not_is_refused_and_a_deleted_one_cannot_be_pinged() -> None:
    play = AlertPlay()
    made = play.monitor()
    with pytest.raises(Forbidden):
        heartbeats.get(play.s, guest([]), made.id)
    heartbeats.delete(play.s, ANONYMOUS_ADMIN, made.id, None)
    with pytest.raises(NotFound):
        heartbeats.ping(play.s, made.ping_token, "", "")
