"""The lease decisions, first by example, then under a random walk that must also catch six tempting shortcuts."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.errors import Conflict, InvalidField, NotFound, TooMany
from chalicelib.core.leases.lease import (
    Broken,
    Granted,
    HeldOpen,
    LeaseDecision,
    Released,
    Validity,
    Waiting,
    decide_acquire,
    decide_break,
    decide_release,
    decide_renew,
    decide_validate,
    live_waiters,
    next_check_ms,
)
from chalicelib.core.leases.lease_item import LeaseItem, Party
from chalicelib.core.leases.lease_requests import AcquireRequest, ReleaseRequest, RenewRequest, ValidateRequest
from chalicelib.core.leases.limits import LEASE_WAITERS_MAX

MARGIN = 20
TTL = 1000


class Lease:
    """One lease at an instance whose clock the test moves."""

    def __init__(self) -> None:
        self.item: LeaseItem | None = None
        self.now = 1_000_000
        self.writes = 0

    def _write(self, decision: LeaseDecision[Any]) -> Any:
        new = decision.item_to_write
        if new is not None:
            assert new.rev == (self.item.rev if self.item else 0) + 1
            assert new.fencing_token >= (self.item.fencing_token if self.item else 0)
            self.item = new
            self.writes += 1
        return decision.answer

    def acquire(
        self, who: str, ttl_ms: int = TTL, subject: str = "s", held: HeldOpen | None = None, **more: Any
    ) -> Any:
        request = AcquireRequest("t", "n", who, subject, ttl_ms, **more)
        return self._write(decide_acquire(self.item, request, self.now, MARGIN, held))

    def look_again(self, who: str, ttl_ms: int = TTL) -> int:
        assert self.item is not None
        return next_check_ms(self.item, Party(who, "s"), ttl_ms, self.now, MARGIN)

    def renew(self, who: str, token: int, ttl_ms: int | None = None, subject: str = "s") -> Any:
        return self._write(decide_renew(self.item, RenewRequest("t", "n", who, subject, token, ttl_ms), self.now))

    def release(self, who: str, token: int, subject: str = "s") -> Any:
        return self._write(decide_release(self.item, ReleaseRequest("t", "n", who, subject, token)))

    def validate(self, token: int) -> Validity:
        return decide_validate(self.item, ValidateRequest("t", "n", token), self.now)

    def break_(self) -> Any:
        return self._write(decide_break(self.item, "n"))


@pytest.fixture
def lease() -> Lease:
    return Lease()


def refused(call: Callable[[], Any], lease: Lease) -> None:
    """``call`` is a conflict and writes nothing."""
    before = lease.item
    with pytest.raises(Conflict) as conflict:
        call()
    assert conflict.value.code == "lease_not_held"
    assert lease.item is before


def test_the_first_grant_has_token_one_and_ends_a_ttl_from_now(lease: Lease) -> None:
    assert lease.acquire("a") == Granted(1, lease.now + TTL)
    assert lease.item is not None
    assert lease.item.acquired_at_unix_ms == lease.now


def test_asking_again_as_the_holder_gives_the_same_token_renewed(lease: Lease) -> None:
    lease.acquire("a")
    lease.now += 300
    assert lease.acquire("a") == Granted(1, lease.now + TTL)


def test_a_repeat_at_the_same_instant_writes_nothing(lease: Lease) -> None:
    lease.acquire("a", metadata={"host": "h1"})
    assert lease.acquire("a") == Granted(1, lease.now + TTL)
    assert lease.writes == 1
    assert lease.item is not None
    assert lease.item.metadata == {"host": "h1"}


def test_another_waits_until_expiry_and_margin_have_passed(lease: Lease) -> None:
    until = lease.acquire("a").expires_at_unix_ms
    lease.now = until - 500
    assert lease.acquire("b") == Waiting(1, "a", until)
    lease.now = until + MARGIN - 1
    assert lease.acquire("b") == Waiting(1, "a", until)
    lease.now = until + MARGIN
    assert lease.acquire("b") == Granted(2, lease.now + TTL)


def test_waiters_are_served_in_the_order_of_their_first_asking(lease: Lease) -> None:
    lease.acquire("a")
    assert [lease.acquire(w).queue_position for w in "bcdbcd"] == [1, 2, 3, 1, 2, 3]
    lease.release("a", 1)
    assert lease.acquire("c") == Waiting(2, None, None)
    assert lease.acquire("b").fencing_token == 2
    assert lease.acquire("a").queue_position == 3
    lease.release("b", 2)
    assert [lease.acquire(w).queue_position for w in "da"] == [2, 3]
    assert lease.acquire("c").fencing_token == 3


def test_one_that_is_silent_for_longer_than_its_own_ttl_loses_its_place(lease: Lease) -> None:
    lease.acquire("a", ttl_ms=60_000)
    lease.acquire("b", ttl_ms=400)
    lease.acquire("c", ttl_ms=10_000)
    lease.now += 400
    assert lease.acquire("c", ttl_ms=10_000).queue_position == 2  # b's place is kept for a whole ttl
    lease.now += 100 + MARGIN  # the ticket's spare quarter, and the clocks' margin
    assert lease.acquire("c", ttl_ms=10_000).queue_position == 1
    assert lease.acquire("b", ttl_ms=400).queue_position == 2  # it begins again, at the end


def test_a_waiters_spare_time_is_at_most_a_second(lease: Lease) -> None:
    lease.acquire("a", ttl_ms=600_000)
    lease.acquire("b", ttl_ms=60_000)
    lease.acquire("c", ttl_ms=600_000)
    lease.now += 61_000 + MARGIN
    assert lease.acquire("c", ttl_ms=600_000).queue_position == 1


def test_polling_writes_only_when_the_ticket_needs_it(lease: Lease) -> None:
    lease.acquire("a", ttl_ms=60_000)
    lease.acquire("b", ttl_ms=4000)
    before, began = lease.writes, lease.now
    for _ in range(100):
        lease.now += 100
        assert lease.acquire("b", ttl_ms=4000).queue_position == 1
        assert lease.item is not None
        assert lease.item.waiters[0].asks_until_ms >= lease.now + 4000  # a whole ttl
    assert lease.writes - before <= (lease.now - began) // 1000


def test_a_place_on_the_line_is_moved_on_when_half_its_ttl_is_used_up(lease: Lease) -> None:
    line = HeldOpen("127.0.0.1:7")
    lease.acquire("a", ttl_ms=10 * TTL)
    lease.acquire("b", held=line)
    written, asked_until = lease.writes, lease.item.waiters[0].asks_until_ms  # type: ignore[union-attr]
    lease.now = asked_until - TTL // 2
    assert lease.acquire("b", held=line).queue_position == 1
    assert lease.writes == written
    lease.now += 1
    lease.acquire("b", held=line)
    assert lease.writes == written + 1
    lease.acquire("b", held=HeldOpen("127.0.0.1:8"))
    assert lease.item.waiters[0].wake_at == "127.0.0.1:8"  # type: ignore[union-attr]
    lease.now += TTL // 2
    lease.acquire("b")
    assert lease.item.waiters[0].asks_until_ms >= lease.now + TTL  # type: ignore[union-attr]


def test_a_waiter_looks_again_when_its_turn_may_come_or_its_place_grows_old(lease: Lease) -> None:
    line = HeldOpen()
    expiry = lease.acquire("a", ttl_ms=300).expires_at_unix_ms
    lease.acquire("b", held=line)
    assert lease.look_again("b") == expiry + MARGIN
    lease.acquire("c", ttl_ms=10 * TTL, held=line)
    ahead = lease.item.waiters[0].asks_until_ms  # type: ignore[union-attr]
    assert lease.look_again("c", 10 * TTL) == ahead + MARGIN
    lease.release("a", 1)
    assert lease.look_again("b") == lease.now + MARGIN
    assert lease.look_again("nobody") == lease.now
    lease.acquire("b", ttl_ms=10 * TTL)
    mine = lease.item.waiters[0].asks_until_ms  # type: ignore[union-attr]
    assert lease.look_again("c", 10 * TTL) == mine - 5 * TTL + 1


def test_a_free_lease_is_kept_for_the_first_waiter_but_not_for_ever(lease: Lease) -> None:
    lease.acquire("a")
    lease.acquire("b")
    lease.release("a", 1)
    assert lease.acquire("c", ttl_ms=5000) == Waiting(2, None, None)
    lease.now += 2 * TTL
    assert lease.acquire("c", ttl_ms=5000).fencing_token == 2


def test_a_full_queue_says_so_and_keeps_serving_its_members(lease: Lease) -> None:
    lease.acquire("a")
    for i in range(LEASE_WAITERS_MAX):
        lease.acquire(f"w{i}")
    with pytest.raises(TooMany) as full:
        lease.acquire("one-more")
    assert full.value.code == "too_many_waiters"
    assert lease.acquire("w0").queue_position == 1


def test_a_renewal_never_shortens(lease: Lease) -> None:
    until = lease.acquire("a", ttl_ms=10_000).expires_at_unix_ms
    assert lease.renew("a", 1, ttl_ms=100) == Granted(1, until)
    assert lease.acquire("a", ttl_ms=100) == Granted(1, until)


def test_a_renewal_without_ttl_uses_the_leases_own(lease: Lease) -> None:
    lease.acquire("a", ttl_ms=700)
    lease.now += 600
    assert lease.renew("a", 1) == Granted(1, lease.now + 700)


def test_an_expired_lease_is_renewed_only_while_nobody_took_it(lease: Lease) -> None:
    lease.acquire("a")
    lease.now += 5 * TTL
    assert lease.renew("a", 1) == Granted(1, lease.now + TTL)
    lease.now += 5 * TTL
    assert lease.acquire("b").fencing_token == 2
    refused(lambda: lease.renew("a", 1), lease)
    refused(lambda: lease.release("a", 1), lease)


def test_only_the_holder_with_its_token_renews_and_releases(lease: Lease) -> None:
    refused(lambda: lease.renew("a", 1), lease)
    refused(lambda: lease.release("a", 1), lease)
    lease.acquire("a")
    for who, token in [("a", 2), ("b", 1)]:
        refused(lambda who=who, token=token: lease.renew(who, token), lease)  # type: ignore[misc]
        refused(lambda who=who, token=token: lease.release(who, token), lease)  # type: ignore[misc]


def test_releasing_twice_succeeds_and_a_late_heartbeat_resurrects_nothing(lease: Lease) -> None:
    lease.acquire("a")
    assert lease.release("a", 1) == Released()
    writes = lease.writes
    assert lease.release("a", 1) == Released()
    refused(lambda: lease.renew("a", 1), lease)
    assert lease.writes == writes
    assert lease.acquire("b").fencing_token == 2


def test_a_repeated_release_succeeds_also_when_the_next_holder_is_there_and_leaves_it_alone(lease: Lease) -> None:
    lease.acquire("a")
    lease.release("a", 1)
    lease.acquire("b")
    held = lease.item
    assert lease.release("a", 1) == Released()
    assert lease.item is held


def test_the_token_survives_release_break_and_expiry(lease: Lease) -> None:
    assert lease.acquire("a").fencing_token == 1
    lease.release("a", 1)
    assert lease.acquire("a").fencing_token == 2
    lease.break_()
    assert lease.acquire("a").fencing_token == 3
    lease.now += TTL + MARGIN
    assert lease.acquire("a").fencing_token == 4


def test_validity_ends_at_release_break_and_expiry(lease: Lease) -> None:
    assert lease.validate(0) == lease.validate(1) == Validity(valid=False, highest_fencing_token=0)
    lease.acquire("a")
    assert lease.validate(1) == Validity(valid=True, highest_fencing_token=1)
    assert lease.validate(2) == Validity(valid=False, highest_fencing_token=1)
    lease.now += TTL
    assert lease.validate(1) == Validity(valid=False, highest_fencing_token=1)
    lease.renew("a", 1)
    assert lease.validate(1).valid
    lease.break_()
    assert lease.validate(1) == Validity(valid=False, highest_fencing_token=1)
    lease.acquire("b")
    lease.release("b", 2)
    assert lease.validate(2) == Validity(valid=False, highest_fencing_token=2)


def test_breaking_frees_the_lease_for_the_first_waiter(lease: Lease) -> None:
    with pytest.raises(NotFound):
        lease.break_()
    lease.acquire("a")
    lease.acquire("b")
    assert lease.break_() == lease.break_() == Broken()
    refused(lambda: lease.renew("a", 1), lease)
    refused(lambda: lease.release("a", 1), lease)
    assert lease.acquire("a").queue_position == 2
    assert lease.acquire("b").fencing_token == 2


def test_another_subject_is_not_the_holder_whatever_it_calls_itself(lease: Lease) -> None:
    lease.acquire("a", subject="alice")
    refused(lambda: lease.renew("a", 1, subject="mallory"), lease)
    refused(lambda: lease.release("a", 1, subject="mallory"), lease)
    assert lease.acquire("a", subject="mallory") == Waiting(1, "a", lease.now + TTL)
    lease.release("a", 1, subject="alice")
    refused(lambda: lease.release("a", 1, subject="mallory"), lease)
    assert lease.acquire("a", subject="alice").queue_position == 2


@pytest.mark.parametrize(
    ("wrong", "fields"),
    [
        ({"name": ""}, ["name"]),
        ({"name": "a b"}, ["name"]),
        ({"name": "ü"}, ["name"]),
        ({"name": "a\n"}, ["name"]),
        ({"name": "n" * 129}, ["name"]),
        ({"name": 5}, ["name"]),
        ({"holder_id": ""}, ["holder_id"]),
        ({"holder_id": "h" * 129}, ["holder_id"]),
        ({"holder_id": "a\nb"}, ["holder_id"]),
        ({"ttl_ms": 99}, ["ttl_ms"]),
        ({"ttl_ms": 86_400_001}, ["ttl_ms"]),
        ({"ttl_ms": True}, ["ttl_ms"]),
        ({"ttl_ms": 1000.0}, ["ttl_ms"]),
        ({"wait_ms": -1}, ["wait_ms"]),
        ({"wait_ms": 25_001}, ["wait_ms"]),
        ({"metadata": []}, ["metadata"]),
        ({"metadata": {"x": "y" * 5000}}, ["metadata"]),
        ({"metadata": {"x": float("nan")}}, ["metadata"]),
        ({"name": "", "ttl_ms": 0}, ["name", "ttl_ms"]),
    ],
)
def test_a_wrong_field_is_named(wrong: dict[str, Any], fields: list[str]) -> None:
    good = {"tenant": "t", "name": "n", "holder_id": "h", "subject": "s", "ttl_ms": 1000}
    with pytest.raises(InvalidField) as invalid:
        AcquireRequest(**{**good, **wrong})
    assert [e.field for e in invalid.value.errors] == fields


@pytest.mark.parametrize("token", [-1, "1", True, 1 << 53])
def test_a_wrong_token_is_named(token: Any) -> None:
    for request in (RenewRequest, ReleaseRequest):
        with pytest.raises(InvalidField) as invalid:
            request("t", "n", "h", "s", token)
        assert [e.field for e in invalid.value.errors] == ["fencing_token"]


@pytest.mark.parametrize("field", [{"name": "A.b_c:/-9"}, {"name": "n" * 128}, {"ttl_ms": 100}, {"ttl_ms": 86_400_000}])
def test_the_edges_are_allowed(field: dict[str, Any]) -> None:
    AcquireRequest(**{"tenant": "t", "name": "n", "holder_id": "h", "subject": "s", "ttl_ms": 1000, **field})


# -- the random walk: instances with skewed clocks, clients that stall, lose answers and repeat calls, a resource that
# keeps the highest token. One step of the walk's time is ten milliseconds.

STEP_MS = 10
SKEW_STEPS = 2  # each instance is at most this far from the true time, so two differ by at most twice this
WALK_MARGIN_MS = 2 * SKEW_STEPS * STEP_MS
WALK_STEPS = 1500
Coroutine = Generator[int, None, Any]


@dataclass(frozen=True)
class Rules:
    """The decisions a walk uses; a mutant replaces one of them."""

    acquire: Callable[[LeaseItem | None, AcquireRequest, int, int], LeaseDecision[Any]] = decide_acquire
    renew: Callable[[LeaseItem | None, RenewRequest, int], LeaseDecision[Any]] = decide_renew
    release: Callable[[LeaseItem | None, ReleaseRequest], LeaseDecision[Any]] = decide_release
    belief_from_answer: bool = False


class World:
    """The one stored item, the true time, and what everybody believes."""

    def __init__(self, seed: int, rules: Rules) -> None:
        self.rules, self.random, self.now = rules, random.Random(seed), 0
        self.item: LeaseItem | None = None
        self.skews = [self.random.randint(-SKEW_STEPS, SKEW_STEPS) for _ in range(3)]
        self.beliefs: dict[str, tuple[int, int]] = {}
        self.tokens: list[int] = []
        self.fault: str | None = None

    def clock_ms(self) -> int:
        """The time as some instance sees it."""
        return (1000 + self.now + self.random.choice(self.skews)) * STEP_MS

    def note_grant(self, who: str, seen: LeaseItem | None, token: int) -> None:
        """Remember a new token, and whether its holder overtook a waiter whom every instance counts as waiting."""
        self.tokens.append(token)
        now_ms = (1000 + self.now) * STEP_MS + WALK_MARGIN_MS
        waiters = live_waiters(seen, now_ms, -WALK_MARGIN_MS) if seen else ()
        ahead = [w for w in waiters if w.holder_id != who]
        mine = [w for w in (seen.waiters if seen else ()) if w.holder_id == who]
        if ahead and (not mine or ahead[0].ticket < mine[0].ticket):
            self.fault = f"{who} overtook {ahead[0].holder_id}"

    def check(self) -> None:
        """At most one believer, and no token given twice or out of order."""
        believers = [who for who, (until, _) in self.beliefs.items() if self.now < until]
        if len(believers) > 1:
            self.fault = f"{believers} all believe they hold it"
        if self.tokens != sorted(set(self.tokens)):
            self.fault = f"tokens not strictly increasing: {self.tokens[-2:]}"


def call(w: World, decide: Callable[[LeaseItem | None], LeaseDecision[Any]], who: str) -> Coroutine:
    """One service call: read, decide, write if nobody wrote meanwhile. Answers None when the answer is lost."""
    while True:
        seen = w.item
        yield 0
        try:
            decision = decide(seen)
        except Conflict:
            return False
        yield 0
        if (w.item.rev if w.item else 0) != (seen.rev if seen else 0):
            continue
        if decision.item_to_write is not None:
            if decision.item_to_write.fencing_token != (seen.fencing_token if seen else 0):
                w.note_grant(who, seen, decision.item_to_write.fencing_token)
            w.item = decision.item_to_write
        yield 0
        return None if w.random.random() < 0.05 else decision.answer


def acquire(w: World, who: str, ttl: int) -> Coroutine:
    """Ask until granted: (the moment before the successful call, the token)."""
    request = AcquireRequest("t", "n", who, "s", ttl * STEP_MS)
    while True:
        asked = w.now
        got = yield from call(w, lambda item: w.rules.acquire(item, request, w.clock_ms(), WALK_MARGIN_MS), who)
        if isinstance(got, Granted):
            return (w.now if w.rules.belief_from_answer else asked), got.fencing_token
        yield w.random.randint(1, 5)


def renew(w: World, who: str, token: int, ttl: int) -> Coroutine:
    request = RenewRequest("t", "n", who, "s", token, ttl * STEP_MS)
    return (yield from call(w, lambda item: w.rules.renew(item, request, w.clock_ms()), who))


def hold(w: World, who: str, token: int) -> Coroutine:
    """Work and renew a few times, now and then stalling; end early when told that the lease is lost."""
    for _ in range(w.random.randint(1, 8)):
        yield w.random.choice((1, 3, 5, 60)) if w.random.random() < 0.2 else w.random.randint(1, 4)
        asked, ttl = w.now, w.random.choice((10, 20, 40))
        got = yield from renew(w, who, token, ttl)
        if got is False:
            return
        if got is not None:
            until = (w.now if w.rules.belief_from_answer else asked) + ttl
            w.beliefs[who] = (max(w.beliefs[who][0], until), token)


def client(w: World, who: str) -> Coroutine:
    while True:
        ttl = w.random.choice((20, 40))
        asked, token = yield from acquire(w, who, ttl)
        w.beliefs[who] = (asked + ttl, token)
        yield from hold(w, who, token)
        w.beliefs.pop(who)
        for _ in range(2):
            request = ReleaseRequest("t", "n", who, "s", token)
            if (yield from call(w, lambda item, request=request: w.rules.release(item, request), who)) is not None:  # type: ignore[misc]
                break
        if w.random.random() < 0.3 and isinstance((yield from renew(w, who, token, ttl)), Granted):
            w.fault = f"{who}'s heartbeat revived token {token} after its release"
        yield w.random.randint(0, 30)


def walk(seed: int, rules: Rules) -> World:
    """One walk of four clients until the end of time or the first fault."""
    w = World(seed, rules)
    actors = [client(w, f"c{i}") for i in range(4)]
    wakes = [0] * len(actors)
    while w.now < WALK_STEPS and not w.fault:
        ready = [i for i, wake in enumerate(wakes) if wake <= w.now]
        if not ready or w.random.random() < 0.25:
            w.now += 1
            continue
        i = w.random.choice(ready)
        wakes[i] = w.now + next(actors[i])
        w.check()
    return w


def no_margin(item: LeaseItem | None, request: AcquireRequest, now_ms: int, _: int) -> LeaseDecision[Any]:
    return decide_acquire(item, request, now_ms, 0)


def barge(item: LeaseItem | None, request: AcquireRequest, now_ms: int, margin_ms: int) -> LeaseDecision[Any]:
    """Whoever finds it free takes it."""
    alone = decide_acquire(replace(item, waiters=()) if item else None, request, now_ms, margin_ms)
    if item is None or not isinstance(alone.answer, Granted) or alone.item_to_write is None:
        return decide_acquire(item, request, now_ms, margin_ms)
    others = tuple(x for x in item.waiters if x.holder_id != request.holder_id)
    return LeaseDecision(replace(alone.item_to_write, waiters=others), alone.answer)


def shorten(item: LeaseItem | None, request: RenewRequest, now_ms: int) -> LeaseDecision[Any]:
    """A renewal counts from now, whatever was promised before."""
    decide_renew(item, request, now_ms)
    assert item is not None
    until = now_ms + (request.ttl_ms or item.ttl_ms)
    return LeaseDecision(
        replace(item, rev=item.rev + 1, expires_at_unix_ms=until),
        Granted(item.fencing_token, until),
    )


def resurrect(item: LeaseItem | None, request: RenewRequest, now_ms: int) -> LeaseDecision[Any]:
    """The right token is enough."""
    if item is not None and item.fencing_token == request.fencing_token:
        item = replace(item, holder_id=request.holder_id, subject=request.subject)
    return decide_renew(item, request, now_ms)


def forget_token(item: LeaseItem | None, request: ReleaseRequest) -> LeaseDecision[Any]:
    """A released lease that nobody waits for begins anew."""
    decision = decide_release(item, request)
    new = decision.item_to_write
    if new is None or new.waiters:
        return decision
    return LeaseDecision(replace(new, fencing_token=0), decision.answer)


def test_the_walk_finds_no_fault() -> None:
    grants = 0
    for seed in range(60):
        w = walk(seed, Rules())
        assert w.fault is None, f"seed {seed}: {w.fault}"
        grants += len(w.tokens)
    assert grants > 1000, "the walk must get somewhere"


@pytest.mark.slow
def test_a_long_walk_finds_no_fault() -> None:
    faults = [(seed, w.fault) for seed in range(60, 400) if (w := walk(seed, Rules())).fault]
    assert not faults


@pytest.mark.parametrize(
    ("rules", "fault"),
    [
        pytest.param(Rules(acquire=no_margin), "all believe", id="no-margin"),
        pytest.param(Rules(renew=shorten), "all believe", id="shorten"),
        pytest.param(Rules(renew=resurrect), "revived", id="resurrect"),
        pytest.param(Rules(release=forget_token), "strictly increasing", id="forget-token"),
        pytest.param(Rules(acquire=barge), "overtook", id="barge"),
        pytest.param(Rules(belief_from_answer=True), "all believe", id="belief-from-answer"),
    ],
)
def test_the_walk_catches_the_shortcut(rules: Rules, fault: str) -> None:
    faults = [w.fault for seed in range(100) if (w := walk(seed, rules)).fault]
    assert any(f is not None and fault in f for f in faults)
