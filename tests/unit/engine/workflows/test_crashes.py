"""A run comes to its one end whatever dies on the way: at every port call, before it and after it; with calls that
fail, answers that are lost, messages that come twice and in any order.

Each walk is compared with the one in which nothing went wrong: the same ends of nodes, the same keys outside.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from chalicelib.adapters.memory.stores import open_stores
from chalicelib.core.errors import ChronoError, OutcomeUnknown, Unavailable
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.workflow_steps import HttpReply
from chalicelib.usecases import runs
from chalicelib.workers import workflow
from tests.kit.services import make_services
from tests.kit.workflow_play import Play

SEEDS = int(os.environ.get("CHRONO_TEST_SEEDS", "60"))
PATIENCE_MS = 60 * 60_000


class Died(BaseException):
    """The worker is gone."""


class Faults:
    """What goes wrong at which call of a port. ``judge`` is asked with the number of the call, before and after it."""

    def __init__(self, judge: Callable[[int, str], None]) -> None:
        self.calls = 0
        self.judge = judge
        self.on = False

    def around(self, inner: Any, errors: type[BaseException] = BaseException) -> Any:
        """``errors``: what may go wrong there."""
        return _Around(self, inner, errors)


class _Around:
    def __init__(self, faults: Faults, inner: Any, errors: type[BaseException]) -> None:
        self._faults, self._inner, self._errors = faults, inner, errors

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        faults = self._faults

        def called(*args: Any, **kwargs: Any) -> Any:
            if not faults.on:
                return method(*args, **kwargs)
            faults.calls += 1
            number = faults.calls
            self._judge(number, "before")
            answer = method(*args, **kwargs)
            self._judge(number, "after")
            return answer

        return called

    def _judge(self, number: int, side: str) -> None:
        try:
            self._faults.judge(number, side)
        except self._errors:
            raise
        except BaseException:
            return  # nothing of that kind happens here


def refused(request: Any) -> HttpReply:
    return HttpReply(400, {}, b"")


TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}


def http(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "http", "method": "POST", "url": f"https://example.com/{name}", **more}


INNER: tuple[list[dict[str, Any]], list[tuple[str, str]]] = ([TRIGGER, http("i")], [("t", "i")])
ALERT: tuple[list[dict[str, Any]], list[tuple[str, str]]] = ([TRIGGER, http("alert")], [("t", "alert")])
NODES: list[dict[str, Any]] = [
    TRIGGER,
    http("a", compensate="ua"),
    {"id": "p", "type": "parallel", "foreach": {"items": {"cel": "input"}, "max_concurrency": 2}},
    http("b"),
    {"id": "j", "type": "join"},
    {"id": "d", "type": "delay", "for_ms": 1_500_000},
    {"id": "s", "type": "subworkflow", "workflow": "inner"},
    {"id": "any", "type": "join", "mode": "any", "others": "cancel"},
    http("bad", retry={"max_attempts": 2, "base_ms": 5000, "jitter": False}),
    http("ua"),
]
EDGES = [
    ("t", "a"),
    ("a", "p"),
    ("p", "b"),
    ("b", "j"),
    ("t", "d"),
    ("d", "any"),
    ("j", "s"),
    ("s", "any"),
    ("any", "bad"),
]


class Walk:
    """One run of the workflow under faults."""

    def __init__(self, judge: Callable[[int, str], None], seed: int | None = None) -> None:
        self.faults = Faults(judge)
        self.random = None if seed is None else random.Random(seed)
        base = make_services(stores=open_stores())
        self.play = Play(base)
        self.play.publish("inner", *INNER)
        self.play.publish("handler", *ALERT)
        self.play.publish("w", NODES, EDGES, concurrency={"key": {"cel": "'all'"}, "limit": 1}, on_failure="handler")
        s, around = self.play.s, self.faults.around
        stores = msgspec.structs.replace(s.stores, runs=around(s.stores.runs), workflows=around(s.stores.workflows))
        assert s.workflows is not None
        parts = msgspec.structs.replace(s.workflows, queue=around(self.play.queue), calls=around(self.play.calls, Died))
        self.play.calls.answers["https://example.com/bad"] = refused
        self.play.s = msgspec.structs.replace(s, stores=stores, workflows=parts)

    def safely(self, work: Callable[[], Any]) -> Any:
        self.faults.on = True
        try:
            return work()
        except (Died, ChronoError):
            return None
        finally:
            self.faults.on = False

    def run(self, name: str = "w") -> Play:
        play, clock = self.play, self.play.s.clock
        for _ in range(20):  # a caller without an answer asks again, with the id that it chose
            if self.safely(lambda: play.start(name, ["x", "y", "z"], run_id="r")) is not None:
                break
        else:
            raise AssertionError("it never began")
        until = clock.now_ms() + PATIENCE_MS
        while clock.now_ms() < until:
            self._receive()
            visible = play.queue.next_visible_ms()
            clock.sleep_until(max(clock.now_ms() + 1, min(play.next_minute_ms, visible or play.next_minute_ms)))
            if clock.now_ms() >= play.next_minute_ms:
                self.safely(lambda: workflow.reconcile(play.s))
                play.next_minute_ms = clock.now_ms() + 60_000
        return play

    def _receive(self) -> None:
        play = self.play
        while batch := play.queue.receive(10):
            if self.random is not None:
                self.random.shuffle(batch)
            for incoming in batch:
                one = [incoming]
                again = self.safely(lambda one=one: workflow.run(play.s, one))  # type: ignore[misc]
                twice = self.random is not None and self.random.random() < 0.1
                if again == [] and not twice:
                    play.queue.delete(incoming.receipt)


def nothing(number: int, side: str) -> None:
    """All goes well."""


def outcome(play: Play) -> tuple[str, dict[str, str], set[str], dict[str, str]]:
    state = play.state("r")
    children = {child: play.state(child).status for child in ("r~p~0", "r~p~1", "r~p~2", "r~s")}
    return state.status, play.statuses("r"), set(play.calls.keys), children


@pytest.fixture(scope="module")
def expected() -> Any:
    play = Walk(nothing).run()
    found = outcome(play)
    assert found[0] == "failed"
    alert = "r~on_failure~0/alert"
    assert found[2] == {"r/a", "r/b/0", "r/b/1", "r/b/2", "r~s/i", "r/bad", "r/a/comp", alert}
    assert len(play.calls.keys) == 8, "where nothing dies, everything is done once"
    return found


def check(play: Play, expected: Any) -> None:
    assert outcome(play) == expected
    assert not play.s.stores.runs.woken(1 << 60, 100), "nobody looks at what has ended"
    events = play.s.stores.runs.events("default", "r", 0, 10_000)
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    for kind in ("run_started", "run_compensating", "run_failed"):
        assert [event.type for event in events].count(kind) == 1
    ends = [e.node for e in events if e.type in ("node_completed", "node_failed", "node_skipped", "node_cancelled")]
    assert len(ends) == len(set(ends)), "a node ends once"
    claims = [(e.node, e.data["token"]) for e in events if e.type == "node_claimed"]
    assert len(claims) == len(set(claims)), "a token is given once"


def count_calls() -> int:
    walk = Walk(nothing)
    walk.run()
    return walk.faults.calls


@pytest.mark.long
@pytest.mark.parametrize("side", ["before", "after"])
def test_a_death_at_any_port_call_changes_no_end(expected: Any, side: str) -> None:
    total = count_calls()
    assert total > 150
    for number in range(1, total + 1):

        def die(call: int, when: str, at: int = number) -> None:
            if call == at and when == side:
                raise Died

        check(Walk(die).run(), expected)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SEEDS))
def test_faults_duplicates_and_disorder_change_no_end(expected: Any, seed: int) -> None:
    chance = random.Random(seed)

    def fail(number: int, side: str) -> None:
        draw = chance.random()
        if draw < 0.01:
            raise Died
        if draw < 0.02 and side == "before":
            raise Unavailable("throttled")
        if draw < 0.02:
            raise OutcomeUnknown("no answer")

    check(Walk(fail, seed).run(), expected)


@pytest.mark.parametrize("side", ["before", "after"])
def test_what_fails_as_it_begins_is_handled_whoever_dies(side: str) -> None:
    """Its first append is its last: nothing comes after it that could tell of the failure."""
    nodes = [
        TRIGGER,
        http("slow"),
        {"id": "one", "type": "join", "mode": "any", "others": "cancel"},
        {"id": "two", "type": "join", "mode": "n_of", "n": 2},
    ]
    edges: list[Any] = [("t", "slow"), ("slow", "one"), ("t", "one"), ("t", "two"), ("one", "two", {"on": "skipped"})]
    died: set[int] = set()
    for number in range(40):

        def die(call: int, when: str, at: int = number) -> None:
            if call == at and when == side:
                died.add(at)
                raise Died

        walk = Walk(die)
        walk.play.publish("w2", nodes, edges, on_failure="handler")
        play = walk.run("w2")
        assert [event.type for event in play.s.stores.runs.events("default", "r", 0, 100)][-1] == "run_failed"
        assert set(play.calls.keys) == {"r~on_failure~0/alert"}
        assert not play.s.stores.runs.woken(1 << 60, 100), "nobody looks at what has ended"
    assert len(died) > 20, "a death that falls on no call shows nothing"


def test_a_cancel_in_the_middle_lets_nothing_begin_afterwards() -> None:
    for after in range(1, 12):
        walk = Walk(nothing)
        play = walk.play
        play.start("w", ["x"], run_id="r")
        for _ in range(after):
            for incoming in play.queue.receive(1):
                workflow.run(play.s, [incoming])
                play.queue.delete(incoming.receipt)
        if play.state("r").is_ended or play.state("r").status == "compensating":
            continue
        cancelled_ms = play.s.clock.now_ms()
        runs.cancel(play.s, ANONYMOUS_ADMIN, "r", "")
        walk._receive()  # children hear of it by messages, which wait behind those that are there
        assert play.s.clock.now_ms() < cancelled_ms + 1000
        done = len(play.calls.keys)
        walk.run()
        assert play.state("r").status == "cancelled"
        assert len(play.calls.keys) == done


class _AnotherWasFirst:
    """Runs whose next append ends without an answer: another's went in, which begins with the same event."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.armed = inner, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def append(self, tenant: str, run_id: str, events: Any) -> bool:
        claims = [place for place, event in enumerate(events) if event.type == "node_claimed"]
        if not (self.armed and claims and claims[0]):
            return bool(self._inner.append(tenant, run_id, events))
        self.armed = False
        claim = events[claims[0]]
        others = msgspec.structs.replace(claim, data={**claim.data, "worker": "another"})
        assert self._inner.append(tenant, run_id, [*events[: claims[0]], others, *events[claims[0] + 1 :]])
        raise OutcomeUnknown("no answer")


def test_an_append_without_an_answer_is_not_that_of_another_which_begins_alike() -> None:
    base = make_services()
    watched = _AnotherWasFirst(base.stores.runs)
    play = Play(msgspec.structs.replace(base, stores=msgspec.structs.replace(base.stores, runs=watched)))
    call = {"type": "http", "method": "POST", "url": "https://out.example/"}
    nodes = [{"id": "t", "type": "trigger", "on": "manual"}, {**call, "id": "a"}, {**call, "id": "b"}]
    play.publish("line", nodes, [("t", "a"), ("a", "b")])
    run_id = play.start("line")
    watched.armed = True
    play.settle()
    assert play.calls.keys == [f"{run_id}/a"], "the other claimed b, and will take it"
    assert play.state(run_id).nodes["b"].worker == "another"
    play.advance(120_000)
    assert play.state(run_id).status == "completed"
