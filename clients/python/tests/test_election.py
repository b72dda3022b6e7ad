"""One leader at a time, and the next when it goes."""

from __future__ import annotations

import queue
import threading

import pytest

from chronowatch import Client, Election, Lease
from chronowatch.testing import FakeServer

WAIT = 20.0
TTL = 1.0


class Candidate:
    """Notes what it is told."""

    def __init__(self, client: Client, name: str = "leader", ttl: float = TTL) -> None:
        self.told: queue.Queue[tuple[str, int]] = queue.Queue()
        self.election = client.elect(
            name,
            lambda lease: self.told.put(("elected", lease.fencing_token)),
            lambda lease: self.told.put(("lost", lease.fencing_token)),
            ttl=ttl,
        )

    def next(self) -> tuple[str, int]:
        return self.told.get(timeout=WAIT)


def test_the_second_leads_when_the_first_stops(server: FakeServer, client: Client) -> None:
    first = Candidate(client)
    assert first.next() == ("elected", 1)
    second = Candidate(client)
    server.wait_for_call("acquire", 2)
    assert first.election.leader
    assert not second.election.leader
    first.election.stop()
    assert first.next() == ("lost", 1)
    assert second.next() == ("elected", 2)
    assert not first.election.leader
    second.election.stop()
    assert second.next() == ("lost", 2)
    assert first.told.empty()


def test_a_leader_that_loses_the_lease_is_told_and_stands_again(server: FakeServer, client: Client) -> None:
    with Candidate(client).election as election:
        pass
    assert not election.leader
    one = Candidate(client)
    assert one.next() == ("elected", 2)
    server.break_lease("leader")
    assert one.next() == ("lost", 2)
    assert one.next() == ("elected", 3)
    one.election.stop()
    assert one.next() == ("lost", 3)


def test_the_loss_is_told_while_the_leader_is_still_busy(server: FakeServer, client: Client) -> None:
    order: queue.Queue[str] = queue.Queue()
    told = threading.Event()

    def busy(lease: Lease) -> None:
        order.put("began")
        assert told.wait(WAIT)
        order.put("ended")

    def lost(lease: Lease) -> None:
        order.put("lost")
        told.set()

    election = client.elect("leader", busy, lost, ttl=TTL)
    assert order.get(timeout=WAIT) == "began"
    server.fault("acquire", "unavailable", times=1000)  # no second term
    server.break_lease("leader")
    assert order.get(timeout=WAIT) == "lost"
    assert order.get(timeout=WAIT) == "ended"
    election.stop()
    assert order.empty()


def test_an_error_of_the_leader_gives_the_lease_back_and_comes_out_of_stop(server: FakeServer, client: Client) -> None:
    lost = threading.Event()

    def fail(lease: Lease) -> None:
        raise RuntimeError("boom")

    election = client.elect("leader", fail, lambda _: lost.set(), ttl=WAIT)
    server.wait_for_call("release")
    assert lost.is_set()
    with pytest.raises(RuntimeError, match="boom"):
        election.stop()


def test_stopping_from_a_callback_does_not_deadlock(server: FakeServer, client: Client) -> None:
    ready = threading.Event()
    elections: list[Election] = []

    def elected(lease: Lease) -> None:
        assert ready.wait(WAIT)
        elections[0].stop()

    def lost(lease: Lease) -> None:
        elections[0].stop()

    elections.append(client.elect("leader", elected, lost, ttl=WAIT))
    ready.set()
    server.wait_for_call("release")
    elections[0].stop()
    assert not elections[0].leader


def test_stopping_from_the_loss_does_not_deadlock(server: FakeServer, client: Client) -> None:
    elected, stopped = threading.Event(), threading.Event()
    elections: list[Election] = []

    def lost(lease: Lease) -> None:
        elections[0].stop()
        stopped.set()

    elections.append(client.elect("leader", lambda _: elected.set(), lost, ttl=TTL))
    assert elected.wait(WAIT)
    server.break_lease("leader")
    assert stopped.wait(WAIT)
    elections[0].stop()


def test_a_candidate_that_never_led_stops_quietly(server: FakeServer, client: Client) -> None:
    with client.lease("leader", ttl=WAIT):
        loser = Candidate(client)
        server.wait_for_call("acquire", 2)
        loser.election.stop()
    assert loser.told.empty()


def test_a_refusal_of_the_service_comes_out_of_stop(client: Client) -> None:
    election = client.elect("leader", lambda _: None, lambda _: None, margin=1.0, ttl=2.0)
    election.stop()
    with pytest.raises(ValueError, match="margin"):
        client.elect("leader", lambda _: None, lambda _: None, margin=3.0, ttl=2.0)
