"""Creating calls under an Idempotency-Key: once, whatever is repeated, whoever dies."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import OutcomeUnknown, Unavailable
from chalicelib.core.policies.monitor import MonitorState
from chalicelib.core.schedules.capacity import Limits
from chalicelib.core.schedules.schedule import Schedule
from tests.kit.house import RATE, House
from tests.kit.services import with_stores

SCHEDULES = "/api/v1/schedules"
KEY = {"Idempotency-Key": "k1"}


def ids(house: House) -> list[str]:
    return [item["id"] for item in house.call("GET", SCHEDULES).json["items"]]


def test_the_first_answer_is_given_again(house: House) -> None:
    first = house.call("POST", SCHEDULES, RATE | {"payload": {"a": 1, "b": 2}}, headers=KEY)
    house.clock.advance(1000)
    spaced = b'{ "payload": {"b":2, "a":1}, "expr":"rate:5s", "type":"RATE" }'
    again = house.call("POST", SCHEDULES, raw=spaced, headers=KEY)
    assert (first.status, again.status) == (201, 201)
    assert again.body == first.body
    assert (again.headers["Location"], again.headers["ETag"]) == (first.headers["Location"], first.headers["ETag"])
    assert again.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert ids(house) == [first.json["id"]]


def test_a_key_is_for_one_request(house: House) -> None:
    made = house.call("POST", SCHEDULES, RATE, headers=KEY).json
    other = house.call("POST", SCHEDULES, RATE | {"name": "x"}, headers=KEY)
    assert (other.code, other.fields) == ("idempotency_key_reused", ["Idempotency-Key"])
    trigger = house.call("POST", f"{SCHEDULES}/{made['id']}:trigger", headers=KEY)
    assert trigger.code == "idempotency_key_reused"
    assert len(ids(house)) == 1


EURO = "\u20ac"
EURO_ON_THE_WIRE = EURO.encode().decode("latin-1")  # as WSGI servers hand on its three bytes


@pytest.mark.parametrize("key", ["", "x" * 256, "\xe9" * 256, EURO * 86, EURO_ON_THE_WIRE * 86])
def test_a_key_of_no_or_too_many_bytes_is_refused(house: House, key: str) -> None:
    refused = house.call("POST", SCHEDULES, RATE, headers={"Idempotency-Key": key})
    assert (refused.code, refused.fields) == ("invalid_field", ["Idempotency-Key"])
    assert "1 to 255 bytes" in refused.json["detail"]


@pytest.mark.parametrize("key", ["x", "x" * 255, "\xe9" * 255, EURO * 85, EURO_ON_THE_WIRE * 85])
def test_a_key_has_up_to_255_bytes(house: House, key: str) -> None:
    assert house.call("POST", SCHEDULES, RATE, headers={"Idempotency-Key": key}).status == 201


def test_a_refused_call_frees_its_key(house: House) -> None:
    house.make(name="n")
    assert house.call("POST", SCHEDULES, RATE | {"name": "n"}, headers=KEY).code == "name_taken"
    assert house.call("POST", SCHEDULES, RATE | {"name": "m"}, headers=KEY).status == 201


def test_trigger_fires_once(house: House) -> None:
    made = house.make()
    path = f"{SCHEDULES}/{made['id']}:trigger"
    first = house.call("POST", path, {"payload": 1}, headers=KEY)
    house.clock.advance(7)
    again = house.call("POST", path, {"payload": 1}, headers=KEY)
    assert again.json == first.json
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(house.all_executions()) == 1


class Dying:
    """A schedule store whose next ``create`` happens or not, and then fails as told."""

    def __init__(self, inner: Any, error: BaseException, happens: bool) -> None:
        self._inner = inner
        self._error: BaseException | None = error
        self._happens = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create(self, schedule: Schedule, limits: Limits | None = None, monitor: MonitorState | None = None) -> None:
        error, self._error = self._error, None
        if error is None or self._happens:
            self._inner.create(schedule, limits, monitor)
        if error is not None:
            raise error


class ProcessDied(BaseException):
    """Raised in the place of a crash: nothing in the product catches it."""


def fail_next_create(house: House, error: BaseException, happens: bool) -> None:
    house.services = replace(
        house.services,
        stores=replace(house.services.stores, schedules=Dying(house.services.stores.schedules, error, happens)),
    )


@pytest.mark.parametrize("happens", [True, False])
def test_after_an_unknown_outcome_the_same_call_makes_or_finds_the_same_schedule(house: House, happens: bool) -> None:
    fail_next_create(house, OutcomeUnknown("no answer"), happens)
    lost = house.call("POST", SCHEDULES, RATE | {"name": "n"}, headers=KEY)
    assert (lost.status, lost.code) == (503, "outcome_unknown")
    assert int(lost.headers["Retry-After"]) >= 1
    again = house.call("POST", SCHEDULES, RATE | {"name": "n"}, headers=KEY)
    assert again.status == 201
    assert ids(house) == [again.json["id"]]


def test_what_was_unavailable_can_be_repeated_at_once(house: House) -> None:
    fail_next_create(house, Unavailable("throttled", retry_after_s=3), happens=False)
    lost = house.call("POST", SCHEDULES, RATE, headers=KEY)
    assert (lost.status, lost.code, lost.headers["Retry-After"]) == (503, "unavailable", "3")
    assert house.call("POST", SCHEDULES, RATE, headers=KEY).status == 201


@pytest.mark.parametrize("happens", [True, False])
def test_a_call_whose_process_died_is_run_again_after_a_minute(house: House, happens: bool) -> None:
    fail_next_create(house, ProcessDied(), happens)
    at = RATE | {"type": "AT", "expr": "at:2026-11-21T09:20:30Z", "name": "n"}
    with pytest.raises(ProcessDied):
        house.call("POST", SCHEDULES, at, headers=KEY)
    house.clock.advance(20_000)
    running = house.call("POST", SCHEDULES, at, headers=KEY)
    assert (running.status, running.code) == (409, "idempotency_in_progress")
    house.clock.advance(40_000)
    again = house.call("POST", SCHEDULES, at, headers=KEY)
    if happens:  # found, although it could not be made any more: its instant has passed
        assert again.status == 201
        assert ids(house) == [again.json["id"]]
        repeated = house.call("POST", SCHEDULES, at, headers=KEY)
        assert repeated.body == again.body
        assert repeated.headers["Idempotent-Replayed"] == "true"
    else:
        assert again.fields == ["expr"]
        assert ids(house) == []


def test_a_trigger_whose_answer_was_lost_fires_no_second_time(house: House) -> None:
    made = house.make()
    path = f"{SCHEDULES}/{made['id']}:trigger"

    class Mute:
        """An idempotency store that cannot keep answers."""

        def __init__(self, inner: Any) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

        def finish(self, *_: object) -> None:
            raise Unavailable("throttled")

    house.services = with_stores(house.services, idempotency=Mute(house.services.stores.idempotency))
    first = house.call("POST", path, headers=KEY)
    house.clock.advance(60_000)
    again = house.call("POST", path, headers=KEY)
    assert (first.status, again.status) == (202, 202)
    assert again.json == first.json
    assert len(house.all_executions()) == 1
