"""Leases over HTTP: the answers to holders, waiters, strangers and repeated calls."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.machine.signals import ThreadSignals
from chalicelib.adapters.machine.system import SystemClock
from chalicelib.api.http import connection
from chalicelib.api.http.connection import CallerConnection
from chalicelib.core.leases.limits import LEASE_TTL_MAX_MS, LEASE_WAITERS_MAX
from chalicelib.core.security.caller import system_caller
from chalicelib.process.memory import ProcessMemory
from chalicelib.process.permits import Permits
from chalicelib.usecases import leases
from chalicelib.usecases.leases import AcquireLease
from tests.kit.callers import Everybody, who
from tests.kit.house import Answer, House

TTL = 1000
MARGIN = 20


def post(house: House, verb: str, headers: dict[str, str] | None = None, **body: Any) -> Answer:
    return house.call("POST", f"/api/v1/leases:{verb}", {"name": "n"} | body, headers=headers)


def acquire(house: House, holder_id: str, **body: Any) -> dict[str, Any]:
    answer = post(house, "acquire", **({"holder_id": holder_id, "ttl_ms": TTL} | body))
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json
    return found


def not_held(answer: Answer) -> None:
    assert (answer.status, answer.code) == (409, "lease_not_held")


def test_granted_queued_and_granted_in_turn(house: House) -> None:
    until = house.clock.now_ms() + TTL
    assert acquire(house, "a") == {"acquired": True, "fencing_token": 1, "expires_at_unix_ms": until}
    first = {"acquired": False, "queue_position": 1, "holder_id": "a", "expires_at_unix_ms": until}
    assert acquire(house, "b") == first
    assert acquire(house, "c") == first | {"queue_position": 2}
    assert post(house, "release", holder_id="a", fencing_token=1).json == {"released": True}
    # Free, but kept for b.
    assert acquire(house, "c") == {
        "acquired": False,
        "queue_position": 2,
        "holder_id": None,
        "expires_at_unix_ms": None,
    }
    assert acquire(house, "b")["fencing_token"] == 2
    assert acquire(house, "c")["queue_position"] == 1


def test_asking_again_as_the_holder_renews_under_the_same_token(house: House) -> None:
    acquire(house, "a")
    house.clock.advance(500)
    again = acquire(house, "a")
    assert again == {"acquired": True, "fencing_token": 1, "expires_at_unix_ms": house.clock.now_ms() + TTL}


def test_an_expired_lease_goes_to_the_next_after_the_margin(house: House) -> None:
    acquire(house, "a")
    house.clock.advance(TTL)
    assert not acquire(house, "b")["acquired"]
    house.clock.advance(MARGIN)
    assert acquire(house, "b")["fencing_token"] == 2
    not_held(post(house, "renew", holder_id="a", fencing_token=1))
    not_held(post(house, "release", holder_id="a", fencing_token=1))


def test_an_expired_lease_is_renewed_while_nobody_took_it(house: House) -> None:
    acquire(house, "a")
    house.clock.advance(10 * TTL)
    renewed = post(house, "renew", holder_id="a", fencing_token=1).json
    assert renewed == {"acquired": True, "fencing_token": 1, "expires_at_unix_ms": house.clock.now_ms() + TTL}


def test_a_renewal_never_shortens(house: House) -> None:
    until = acquire(house, "a", ttl_ms=60_000)["expires_at_unix_ms"]
    assert post(house, "renew", holder_id="a", fencing_token=1, ttl_ms=100).json["expires_at_unix_ms"] == until


def test_only_the_holder_with_its_token(house: House) -> None:
    not_held(post(house, "renew", holder_id="a", fencing_token=1))
    not_held(post(house, "release", holder_id="a", fencing_token=1))
    acquire(house, "a")
    for verb in ("renew", "release"):
        not_held(post(house, verb, holder_id="a", fencing_token=2))
        not_held(post(house, verb, holder_id="b", fencing_token=1))
    assert post(house, "validate", fencing_token=1).json == {"valid": True, "highest_fencing_token": 1}


def test_a_repeated_release_succeeds_and_a_late_heartbeat_resurrects_nothing(house: House) -> None:
    acquire(house, "a")
    for _ in range(2):
        assert post(house, "release", holder_id="a", fencing_token=1).json == {"released": True}
    not_held(post(house, "renew", holder_id="a", fencing_token=1))
    assert post(house, "validate", fencing_token=1).json == {"valid": False, "highest_fencing_token": 1}


def test_the_token_increases_for_ever(house: House) -> None:
    tokens = []
    for _ in range(3):
        tokens.append(acquire(house, "a")["fencing_token"])
        post(house, "release", holder_id="a", fencing_token=tokens[-1])
        tokens.append(acquire(house, "a")["fencing_token"])
        assert post(house, "break").json == {"name": "n", "broken": True}
        tokens.append(acquire(house, "a")["fencing_token"])
        house.clock.advance(2 * TTL)
    assert tokens == list(range(1, 10))


def test_validate_knows_the_live_token_and_the_highest(house: House) -> None:
    assert post(house, "validate", fencing_token=0).json == {"valid": False, "highest_fencing_token": 0}
    for verb in ("renew", "release"):
        refused = post(house, verb, holder_id="a", fencing_token=0)
        assert (refused.status, refused.code) == (409, "lease_not_held"), "nobody was ever granted 0"
    acquire(house, "a")
    assert post(house, "validate", fencing_token=1).json == {"valid": True, "highest_fencing_token": 1}
    assert post(house, "validate", fencing_token=2).json == {"valid": False, "highest_fencing_token": 1}
    house.clock.advance(TTL)
    assert post(house, "validate", fencing_token=1).json == {"valid": False, "highest_fencing_token": 1}


def test_break_frees_for_the_next_and_knows_no_unknown_lease(house: House) -> None:
    assert post(house, "break").code == "lease_not_found"
    acquire(house, "a", ttl_ms=LEASE_TTL_MAX_MS)
    acquire(house, "b")
    for _ in range(2):
        assert post(house, "break").status == 200
    not_held(post(house, "renew", holder_id="a", fencing_token=1))
    assert acquire(house, "b")["fencing_token"] == 2


def test_break_is_for_admins(house: House) -> None:
    from chalicelib.core.errors import Forbidden

    acquire(house, "a")
    with pytest.raises(Forbidden):
        leases.break_(house.services, who("olga", "operator"), "n")


def test_the_edges_of_the_bounds_are_allowed(house: House) -> None:
    assert acquire(house, "h" * 128, name="x" * 128, ttl_ms=100, metadata={})["acquired"]
    assert acquire(house, "é", name="A-z0.9_:/", ttl_ms=86_400_000, wait_ms=25_000, metadata=None)["acquired"]


def test_several_wrong_fields_are_named_one_at_least(house: House) -> None:
    answer = post(house, "acquire", holder_id="", ttl_ms=1, wait_ms=25_001)
    assert answer.status == 422
    assert set(answer.fields) <= {"holder_id", "ttl_ms", "wait_ms"}


# -- reading


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("reports/nightly", "reports%2Fnightly"),
        ("reports/nightly", "reports/nightly"),
        ("a/b/c", "a/b%2Fc"),
        ("/a//", "/a//"),
        ("a:b", "a:b"),
        ("a:b", "a%3Ab"),
        ("a:b", "a%3ab"),
        ("a/b:renew", "a%2fb%3Arenew"),
        (".", "%2E"),
        ("x", "%78"),
    ],
)
def test_a_name_in_the_path_is_decoded_once(house: House, name: str, path: str) -> None:
    acquire(house, "a", name=name)
    answer = house.call("GET", f"/api/v1/leases/{path}")
    assert (answer.status, answer.json["name"]) == (200, name)
    twice = path.replace("%", "%25")
    assert house.call("GET", f"/api/v1/leases/{twice}").status == (404 if "%" in path else 200)


@pytest.mark.parametrize("path", ["nobody", "a%20b", "x" * 129, "a%00"])
def test_an_unknown_lease_is_not_found(house: House, path: str) -> None:
    answer = house.call("GET", f"/api/v1/leases/{path}")
    assert (answer.status, answer.code) == (404, "lease_not_found")


def test_a_lease_is_shown_while_held_when_expired_and_when_free(house: House) -> None:
    now_ms = house.clock.now_ms()
    acquire(house, "a", metadata={"host": "h1"})
    acquire(house, "b")
    held = house.call("GET", "/api/v1/leases/n")
    assert held.headers["ETag"] == '"2"'
    assert held.json == {
        "name": "n",
        "held": True,
        "holder_id": "a",
        "fencing_token": 1,
        "ttl_ms": TTL,
        "acquired_at_unix_ms": now_ms,
        "expires_at_unix_ms": now_ms + TTL,
        "metadata": {"host": "h1"},
        "waiters": [{"holder_id": "b", "asks_until_unix_ms": now_ms + TTL + 250}],
        "version": "2",
    }
    house.clock.advance(2 * TTL)
    expired = house.call("GET", "/api/v1/leases/n").json
    assert (expired["held"], expired["holder_id"], expired["waiters"]) == (False, "a", [])
    post(house, "release", holder_id="a", fencing_token=1)
    free = house.call("GET", "/api/v1/leases/n").json
    assert (free["held"], free["holder_id"], free["fencing_token"]) == (False, None, 1)
    assert (free["ttl_ms"], free["expires_at_unix_ms"], free["metadata"]) == (None, None, {})


def test_leases_are_listed_by_name_over_pages(house: House) -> None:
    names = sorted(["a", "a/b", "a:b", "b", "Z"])
    for name in names:
        acquire(house, "h", name=name)
    first = house.call("GET", "/api/v1/leases", query="limit=3").json
    rest = house.call("GET", "/api/v1/leases", query=f"limit=3&page_token={first['next_page_token']}").json
    assert [i["name"] for i in first["items"] + rest["items"]] == names
    assert rest["next_page_token"] is None


def test_another_tenant_has_leases_of_its_own(house: House) -> None:
    acquire(house, "a")
    elsewhere = system_caller("other")
    granted = leases.acquire(house.services, elsewhere, AcquireLease(name="n", holder_id="b", ttl_ms=TTL))
    assert granted == leases.Granted(1, house.clock.now_ms() + TTL)
    assert len(house.call("GET", "/api/v1/leases").json["items"]) == 1


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("acquire", {"holder_id": "a", "ttl_ms": 2 * TTL}),
        ("renew", {"holder_id": "a", "fencing_token": 1, "ttl_ms": 2 * TTL}),
        ("release", {"holder_id": "a", "fencing_token": 1}),
        ("break", {}),
    ],
)
def test_a_lease_of_another_version_is_left_alone(house: House, verb: str, body: dict[str, Any]) -> None:
    acquire(house, "a")
    stale = post(house, verb, headers={"If-Match": '"7"'}, **body)
    assert (stale.status, stale.code) == (412, "precondition_failed")
    tag = house.call("GET", "/api/v1/leases/n").headers["ETag"]
    assert tag == '"1"'
    assert post(house, verb, headers={"If-Match": tag}, **body).status == 200


# -- calls that are held


def later(house: House, ms: int, what: Callable[[], Any]) -> None:
    house.services.tasks.at(house.clock.now_ms() + ms, lambda: (what(), None)[1])


def test_a_held_call_is_granted_at_the_release(house: House) -> None:
    acquire(house, "a", ttl_ms=60_000)
    begun_ms = house.clock.now_ms()
    later(house, 7000, lambda: post(house, "release", holder_id="a", fencing_token=1))
    assert acquire(house, "b", wait_ms=20_000)["fencing_token"] == 2
    assert house.clock.now_ms() - begun_ms == 7000


def test_a_held_call_is_granted_when_the_holder_expires(house: House) -> None:
    acquire(house, "a", ttl_ms=3000)
    begun_ms = house.clock.now_ms()
    assert acquire(house, "b", wait_ms=20_000)["fencing_token"] == 2
    assert house.clock.now_ms() - begun_ms == 3000 + MARGIN


def test_a_held_call_ends_with_its_wait_and_leaves_a_place_for_a_whole_ttl(house: House) -> None:
    acquire(house, "a", ttl_ms=60_000)
    begun_ms = house.clock.now_ms()
    answer = acquire(house, "b", wait_ms=5000, ttl_ms=100)
    assert (answer["acquired"], answer["queue_position"], answer["holder_id"]) == (False, 1, "a")
    assert house.clock.now_ms() - begun_ms == 5000
    waiters = house.call("GET", "/api/v1/leases/n").json["waiters"]
    assert waiters[0]["asks_until_unix_ms"] >= house.clock.now_ms() + 100


def test_a_held_call_keeps_its_place_however_short_its_ttl(house: House) -> None:
    acquire(house, "a", ttl_ms=60_000)
    later(house, 2000, lambda: acquire(house, "c"))
    later(house, 10_000, lambda: post(house, "release", holder_id="a", fencing_token=1))
    assert acquire(house, "b", wait_ms=20_000, ttl_ms=100)["fencing_token"] == 2


def test_a_step_of_the_wall_clock_does_not_prolong_a_held_call(house: House) -> None:
    acquire(house, "a", ttl_ms=86_400_000)
    begun = house.clock.read().monotonic_nanos
    later(house, 1000, lambda: house.clock.step(-3_600_000))
    assert not acquire(house, "b", wait_ms=5000)["acquired"]
    assert (house.clock.read().monotonic_nanos - begun) // 1_000_000 <= 5300


def test_beyond_its_places_a_process_answers_at_once(house: House) -> None:
    house.services = replace(house.services, process=ProcessMemory(held_calls=Permits(0)))
    acquire(house, "a", ttl_ms=60_000)
    begun_ms = house.clock.now_ms()
    assert acquire(house, "b", wait_ms=25_000)["queue_position"] == 1
    assert house.clock.now_ms() == begun_ms


def test_one_caller_has_at_most_half_of_the_places(house: House) -> None:
    permits = Permits(2)
    house.services = replace(house.services, process=ProcessMemory(held_calls=permits))
    acquire(house, "a", ttl_ms=60_000)
    house.authenticator = Everybody(who("ann", "user"))
    assert permits.take(("default", "ann"))
    begun_ms = house.clock.now_ms()
    assert acquire(house, "b", wait_ms=1000)["acquired"] is False
    assert house.clock.now_ms() == begun_ms, "ann holds a call already, so that this one is answered at once"
    house.authenticator = Everybody(who("bob", "user"))
    assert acquire(house, "c", wait_ms=1000)["acquired"] is False
    assert house.clock.now_ms() == begun_ms + 1000


def test_places_are_given_back(house: House) -> None:
    house.services = replace(house.services, process=ProcessMemory(held_calls=Permits(1)))
    acquire(house, "a", ttl_ms=60_000)
    for wait_ms in (1000, 2000):
        begun_ms = house.clock.now_ms()
        acquire(house, "b", wait_ms=wait_ms)
        assert house.clock.now_ms() - begun_ms == wait_ms


def test_a_caller_that_hung_up_is_granted_nothing(house: House) -> None:
    acquire(house, "a", ttl_ms=60_000)
    hung_up = threading.Event()
    with connection.serving(CallerConnection(hung_up.is_set)):
        later(house, 1000, hung_up.set)
        later(house, 1100, lambda: post(house, "release", holder_id="a", fencing_token=1))
        assert not acquire(house, "b", wait_ms=20_000)["acquired"]
    house.clock.advance(2 * TTL)
    assert acquire(house, "c")["fencing_token"] == 2


def test_a_full_queue_says_so(house: House) -> None:
    acquire(house, "a", ttl_ms=60_000)
    for number in range(LEASE_WAITERS_MAX):
        acquire(house, f"w{number}", ttl_ms=60_000)
    answer = post(house, "acquire", holder_id="one too many", ttl_ms=TTL)
    assert (answer.status, answer.code) == (429, "too_many_waiters")
    assert answer.headers["Retry-After"]


def test_threads_that_wait_are_served_in_order(house: House) -> None:
    """On real threads and the real clock: each waiter is woken by the release before it, none by a poll."""
    clock = SystemClock()
    house.services = replace(house.services, clock=clock, signals=ThreadSignals(clock.now_ms))
    token = acquire(house, "first", ttl_ms=60_000)["fencing_token"]
    served: list[tuple[str, int]] = []

    def wait(who: str) -> None:
        mine = acquire(house, who, ttl_ms=60_000, wait_ms=20_000)["fencing_token"]
        served.append((who, mine))
        post(house, "release", holder_id=who, fencing_token=mine)

    threads = []
    for number in range(6):
        threads.append(threading.Thread(target=wait, args=(f"w{number}",)))
        threads[-1].start()
        while len(house.call("GET", "/api/v1/leases/n").json["waiters"]) <= number:
            pass
    post(house, "release", holder_id="first", fencing_token=token)
    for thread in threads:
        thread.join(timeout=20)
    assert served == [(f"w{number}", number + 2) for number in range(6)]
