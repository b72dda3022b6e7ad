"""Holding a lease: what the holder may believe, and when it learns of the loss."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest

from chronowatch import Client, Lease, LeaseLost, LeaseNotHeld, NotAcquired, Retries, Unreachable
from chronowatch.leases import Answer, Grant, Leases, Terms, default_margin, wait_for
from chronowatch.testing import FakeServer
from chronowatch.transport import Transport

SHORT = 0.3  # seconds; for leases that are meant to run out
LONG = 20.0


def test_a_lease_is_held_in_its_block_and_free_after_it(server: FakeServer, client: Client) -> None:
    with client.lease("job", ttl=LONG) as lease:
        assert lease.held
        assert lease.fencing_token == 1
        assert client.leases.validate("job", 1).valid
        lease.raise_if_lost()
    assert not lease.held
    assert lease.remaining == 0
    with pytest.raises(LeaseLost, match="released"):
        lease.raise_if_lost()
    assert not client.leases.validate("job", 1).valid
    with client.lease("job", ttl=LONG, wait=0) as again:
        assert again.fencing_token == 2


def test_it_is_renewed_in_the_background_well_past_its_ttl(server: FakeServer, client: Client) -> None:
    with client.lease("job", ttl=1.0) as lease:
        server.wait_for_call("renew", 6)
        assert lease.held
    assert not [t for t in threading.enumerate() if t.name == "renew job"], "a released lease is not renewed"


def test_asking_once_fails_at_once_and_says_who_holds_it(client: Client) -> None:
    with client.lease("job", ttl=LONG, holder_id="first"), pytest.raises(NotAcquired) as busy:
        client.lease("job", ttl=LONG, wait=0)
    assert (busy.value.holder_id, busy.value.queue_position) == ("first", 1)


def test_waiting_ends_with_the_release_of_the_holder(server: FakeServer, client: Client) -> None:
    tokens: list[int] = []

    def second() -> None:
        with client.lease("job", ttl=LONG, wait=LONG) as lease:
            tokens.append(lease.fencing_token)

    with client.lease("job", ttl=LONG):
        waiter = threading.Thread(target=second)
        waiter.start()
        server.wait_for_call("acquire", 2)
        assert not tokens
    waiter.join(LONG)
    assert tokens == [2]


def test_waiting_has_an_end(client: Client) -> None:
    with client.lease("job", ttl=LONG):
        began = time.monotonic()
        with pytest.raises(NotAcquired):
            client.lease("job", ttl=LONG, wait=0.3)
        assert 0.3 <= time.monotonic() - began < 5


def test_a_lost_answer_is_asked_for_again_and_gives_the_same_token(server: FakeServer, client: Client) -> None:
    server.fault("acquire", "lose_answer")
    server.fault("release", "lose_answer")
    with client.lease("job", ttl=LONG, wait=0) as lease:
        assert lease.fencing_token == 1
    assert [verb for verb, _ in server.calls].count("release") == 2
    assert not client.leases.validate("job", 1).valid


def test_a_busy_service_is_asked_again(server: FakeServer, client: Client) -> None:
    server.fault("acquire", "unavailable", times=2)
    with client.lease("job", ttl=LONG, wait=0) as lease:
        assert lease.fencing_token == 1


def test_an_absent_service_is_reported_when_asked_once_and_waited_for_otherwise(
    server: FakeServer, client: Client
) -> None:
    server.fault("acquire", "refuse_connection", times=8)
    with pytest.raises(Unreachable):
        client.lease("job", ttl=LONG, wait=0)
    with client.lease("job", ttl=LONG) as lease:
        assert lease.fencing_token == 1


def test_some_failed_renewals_do_not_lose_it(server: FakeServer, client: Client) -> None:
    server.fault("renew", "unavailable", times=2)
    server.fault("renew", "refuse_connection")
    with client.lease("job", ttl=3.0) as lease:
        server.wait_for_call("renew", 5)
        assert lease.held


def test_a_service_that_is_gone_costs_the_lease_before_the_service_lets_another_in(
    server: FakeServer, client: Client
) -> None:
    server.fault("renew", "unavailable", times=1000)
    lost = threading.Event()
    began = time.monotonic()
    lease = client.lease("job", ttl=1.0, margin=0.2, on_lost=lambda _: lost.set())
    assert lost.wait(LONG)
    assert time.monotonic() - began >= 0.8
    assert not lease.held
    with pytest.raises(LeaseLost, match="not renewed in time"):
        lease.raise_if_lost()
    with pytest.raises(LeaseLost, match="before its end"), lease:
        pass


def test_a_broken_lease_is_lost_at_the_next_renewal(server: FakeServer, client: Client) -> None:
    lost: list[Lease] = []
    told = threading.Event()

    def on_lost(lease: Lease) -> None:
        lost.append(lease)
        told.set()

    lease = client.lease("job", ttl=1.0, on_lost=on_lost)
    server.break_lease("job")
    assert told.wait(LONG)
    assert lost == [lease]
    with pytest.raises(LeaseLost, match="the service says"):
        lease.raise_if_lost()
    lease.release()


def test_the_bodys_own_error_is_not_hidden_by_the_loss(server: FakeServer, client: Client) -> None:
    def body(lease: Lease) -> None:
        with lease:
            server.break_lease("job")
            assert lease.wait_until_lost(LONG)
            raise KeyError("the body's")

    with pytest.raises(KeyError, match="the body's"):
        body(client.lease("job", ttl=1.0))


def test_on_lost_is_not_called_for_a_release(client: Client) -> None:
    called: list[Lease] = []
    with client.lease("job", ttl=SHORT, on_lost=called.append) as lease:
        pass
    assert lease.wait_until_lost(0)
    assert not called


def test_a_suspended_machine_wakes_up_without_the_lease(server: FakeServer) -> None:
    """The clock jumps as it does over a suspend; no thread had a chance to run meanwhile."""
    jumped = [0.0]
    with Client(server.url, clock=lambda: time.monotonic() + jumped[0]) as client:
        lease = client.lease("job", ttl=LONG)
        assert lease.held
        jumped[0] = LONG
        assert not lease.held
        lease.release()


def test_nobody_waits_for_a_lease_that_is_there(client: Client) -> None:
    with client.lease("job", ttl=LONG) as lease:
        assert lease.wait_until_lost(0.05) is False


@pytest.mark.parametrize(("ttl", "margin"), [(0.5, 0.05), (5.0, 0.5), (60.0, 1.0)])
def test_the_default_margin(ttl: float, margin: float) -> None:
    assert default_margin(ttl) == pytest.approx(margin)


@pytest.mark.parametrize("margin", [0.0, 1.0, 2.0])
def test_a_margin_that_leaves_nothing_is_refused(client: Client, margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        client.lease("job", ttl=1.0, margin=margin)


# -- what may be believed, without threads or a network: the clock moves during the calls


class SlowLeases(Leases):
    """Answers from a script; each call takes its time."""

    def __init__(self, script: list[tuple[str, float, Any]]) -> None:
        super().__init__(Transport("http://127.0.0.1:9", {}, 1.0, Retries()))
        self.now = 100.0
        self.script = script

    def acquire(
        self,
        name: str,
        holder_id: str,
        ttl: float,
        *,
        wait: float = 0,
        metadata: Mapping[str, Any] | None = None,
        attempts: int | None = None,
    ) -> Answer:
        return self._play("acquire")

    def renew(
        self,
        name: str,
        holder_id: str,
        fencing_token: int,
        ttl: float | None = None,
        *,
        timeout: float | None = None,
        attempts: int | None = None,
    ) -> Answer:
        return self._play("renew")

    def _play(self, verb: str) -> Answer:
        expected, took, answer = self.script.pop(0)
        assert verb == expected
        self.now += took
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Answer)
        return answer


TERMS = Terms("job", "me", ttl=10.0, margin=1.0)
YES = Answer(acquired=True, fencing_token=7)


def granted(*script: tuple[str, float, Any]) -> tuple[Grant | None, SlowLeases]:
    leases = SlowLeases(list(script))
    grant = wait_for(leases, TERMS, lambda: leases.now, wait=None)
    assert not leases.script
    return grant, leases


def test_belief_counts_from_before_the_request() -> None:
    assert granted(("acquire", 3.0, YES))[0] == Grant(7, 100.0 + 10.0 - 1.0)


def test_a_call_that_was_held_for_long_is_renewed_before_it_is_believed() -> None:
    grant, _ = granted(("acquire", 9.5, YES), ("renew", 0.5, YES))
    assert grant == Grant(7, 109.5 + 10.0 - 1.0)


def test_a_grant_that_another_took_meanwhile_is_not_believed() -> None:
    gone = LeaseNotHeld(409, "lease_not_held", "gone")
    again = Answer(acquired=True, fencing_token=9)
    grant, _ = granted(("acquire", 30.0, YES), ("renew", 0.1, gone), ("acquire", 0.0, again))
    assert grant == Grant(9, 130.1 + 10.0 - 1.0)


def test_a_renewal_that_took_too_long_is_not_believed_either() -> None:
    grant, _ = granted(("acquire", 6.0, YES), ("renew", 9.5, YES), ("acquire", 0.0, YES))
    assert grant == Grant(7, 115.5 + 10.0 - 1.0)


def test_a_renewal_counts_from_before_its_request_and_never_shortens() -> None:
    leases = SlowLeases([("renew", 3.0, YES), ("renew", 1.0, YES)])
    lease = Lease(leases, TERMS, Grant(7, 100.0 + 8.0), lambda: leases.now)
    assert lease._renew_once()
    assert lease.remaining == pytest.approx(100.0 + 10.0 - 1.0 - 103.0)
    lease._until = 200.0
    assert lease._renew_once()
    assert lease.remaining == pytest.approx(200.0 - 104.0)
    leases.now = 300.0  # its end, so that the threads in the background go home
    assert not lease.held


def test_a_renewal_that_comes_after_the_end_does_not_bring_it_back() -> None:
    leases = SlowLeases([("renew", 8.5, YES)])
    lease = Lease(leases, TERMS, Grant(7, 100.0 + 8.0), lambda: leases.now)
    lease._renew_once()
    assert not lease.held
    leases.now = 100.0
    assert not lease.held
