"""One reading for all subscribers of a process; each goes on from its own position."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.changes.change_log import Arrived, Change
from chalicelib.core.changes.limits import CHANGES_TAIL_POLL_MS, HOLD_POLL_MS, TAIL_CHANGES, WHOLE_ANSWER_CHANGES
from chalicelib.core.errors import Unavailable
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.services import Services
from chalicelib.process.bell import NewsBell
from chalicelib.process.change_tail import ChangeTail, TailEntry
from chalicelib.usecases import task_feed
from chalicelib.usecases.task_feed import AWAY_MS, FeedPlace, Rest
from chalicelib.workers import changes
from tests.kit.changes import gone
from tests.kit.records import START_MS, execution
from tests.kit.services import make_services, with_stores

FOREVER = 1 << 50
KEY = Key("default", "01KB0E5T0QJ8Z3V7M4N2X9YRSC")


class CountedChanges:
    """A change store that counts its readings, and can be away."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.readings = 0
        self.is_away = False

    def __getattr__(self, name: str) -> Any:
        if self.is_away:
            raise Unavailable("away")
        self.readings += 1
        return getattr(self._inner, name)


@pytest.fixture
def store() -> CountedChanges:
    return CountedChanges(make_services().stores.changes)


@pytest.fixture
def s(store: CountedChanges) -> Services:
    return with_stores(make_services(), changes=store)


def write(s: Services, *numbers: int, tenant: str = "default") -> None:
    for number in numbers:
        found = replace(execution(KEY, START_MS + number), tenant=tenant)
        changes.record(s, tenant, [Arrived(number, tenant, Change("execution", found.id, 5, "ann", found))])


def take(feed: Any) -> list[int]:
    """The positions that a subscriber gets before it rests."""
    found = []
    for item in feed:
        if isinstance(item, Rest):
            break
        if isinstance(item, FeedPlace):
            continue
        assert isinstance(item, TailEntry)
        found.append(item.position)
    return found


def pass_ms(s: Services, ms: int) -> None:
    s.clock.advance(ms)  # type: ignore[attr-defined]


def test_a_hundred_subscribers_cost_one_reading(s: Services, store: CountedChanges) -> None:
    feeds = [task_feed.follow(s, ANONYMOUS_ADMIN, 0, FOREVER, lambda: False) for _ in range(100)]
    for feed in feeds:
        take(feed)
    pass_ms(s, CHANGES_TAIL_POLL_MS)
    for feed in feeds:
        take(feed)
    write(s, 1, 2)
    before = store.readings
    pass_ms(s, CHANGES_TAIL_POLL_MS)
    assert [take(feed) for feed in feeds] == [[1, 2]] * 100
    assert store.readings - before <= 2


def test_one_that_is_behind_reads_the_log_until_it_has_reached_the_tail(s: Services) -> None:
    write(s, *range(1, 6))
    first = task_feed.follow(s, ANONYMOUS_ADMIN, None, FOREVER, lambda: False)
    assert take(first) == []
    pass_ms(s, CHANGES_TAIL_POLL_MS)
    write(s, 6)
    pass_ms(s, CHANGES_TAIL_POLL_MS)
    late = task_feed.follow(s, ANONYMOUS_ADMIN, 2, FOREVER, lambda: False)
    assert take(late) == [3, 4, 5, 6]
    assert take(first) == [6]


def test_a_stream_that_begins_now_says_from_where_it_can_be_taken_up(s: Services) -> None:
    write(s, *range(1, 4))
    first = next(task_feed.follow(s, ANONYMOUS_ADMIN, None, FOREVER, lambda: False))
    assert first == FeedPlace(3)
    write(s, 4)
    assert take(task_feed.follow(s, ANONYMOUS_ADMIN, 3, FOREVER, lambda: False)) == [4]


def whole(s: Services, after: int | None, hold_ms: int = 0, tenant: str = "default") -> list[Any]:
    """What one answer says: positions of changes, and what else there is."""
    caller = replace(ANONYMOUS_ADMIN, tenant=tenant)
    items = task_feed.follow_whole(s, caller, after, s.clock.now_ms() + hold_ms, lambda: False)
    return [item.position if isinstance(item, TailEntry) else item for item in items]


def test_whole_answers_follow_each_other_without_loss_from_the_first_on(s: Services) -> None:
    write(s, 1)
    assert whole(s, None) == [FeedPlace(1)]
    assert whole(s, 1) == []
    write(s, 2, 3)
    assert whole(s, 1) == [2, 3]
    changes.record(s, "default", [gone(4)])
    assert whole(s, 3) == [FeedPlace(4)], "what it may not see, or is no task, it need not look at again"


def test_a_whole_answer_is_held_until_something_changes(s: Services) -> None:
    began_ms = s.clock.now_ms()
    assert whole(s, 0, hold_ms=20_000) == []
    assert s.clock.now_ms() - began_ms == 20_000
    s.tasks.at(s.clock.now_ms() + 3_000, lambda: write(s, 1))
    assert whole(s, 0, hold_ms=20_000) == [1]
    assert 3_000 <= s.clock.now_ms() - began_ms - 20_000 < 3_000 + 2 * HOLD_POLL_MS


def test_a_whole_answer_is_bounded(s: Services) -> None:
    write(s, *range(1, WHOLE_ANSWER_CHANGES + 200))
    first = whole(s, 0)
    assert WHOLE_ANSWER_CHANGES <= len(first) < WHOLE_ANSWER_CHANGES + 200
    assert whole(s, first[-1])[-1] == WHOLE_ANSWER_CHANGES + 199


def test_a_whole_answer_to_an_id_that_is_too_old_says_where_to_go_on(s: Services) -> None:
    write(s, 1, 2)
    [reset] = whole(s, 99)
    assert (reset.reason, reset.position) == ("cursor_expired", 2)


def test_tenants_are_read_by_one_job_and_hear_of_their_own(s: Services) -> None:
    feeds = {
        tenant: task_feed.follow(s, replace(ANONYMOUS_ADMIN, tenant=tenant), 0, FOREVER, lambda: False)
        for tenant in ("default", "other")
    }
    for feed in feeds.values():
        take(feed)
    write(s, 1, tenant="other")
    pass_ms(s, 2 * CHANGES_TAIL_POLL_MS)
    assert {tenant: take(feed) for tenant, feed in feeds.items()} == {"default": [], "other": [1]}


def test_the_reading_goes_on_when_the_tables_are_there_again(s: Services, store: CountedChanges) -> None:
    feed = task_feed.follow(s, ANONYMOUS_ADMIN, 0, FOREVER, lambda: False)
    take(feed)
    pass_ms(s, CHANGES_TAIL_POLL_MS)
    store.is_away = True
    pass_ms(s, 5 * AWAY_MS)
    assert take(feed) == []
    store.is_away = False
    write(s, 1)
    pass_ms(s, AWAY_MS + CHANGES_TAIL_POLL_MS)
    assert take(feed) == [1]


def test_a_tail_gives_what_follows_a_position_and_says_when_it_cannot() -> None:
    tail = ChangeTail(most=3)
    assert tail.after(0, 10) is None, "it has not begun"
    tail.begin(7)
    assert tail.after(7, 10) == []
    assert tail.after(9, 10) == [], "one that has read more waits"
    tail.extend([TailEntry(n, gone(n).change) for n in (8, 9, 10, 11)])
    assert [e.position for e in tail.after(8, 10) or []] == [9, 10, 11]
    assert [e.position for e in tail.after(8, 2) or []] == [9, 10]
    assert tail.after(7, 10) is None, "8 has fallen out"
    assert TAIL_CHANGES > 1_000


def test_a_bell_calls_its_listeners_until_they_are_taken_down() -> None:
    bell, heard = NewsBell(), list[str]()
    place = bell.hang(lambda: heard.append("a"))
    bell.hang(lambda: heard.append("b"))
    bell.ring()
    bell.take_down(place)
    bell.take_down(place)
    bell.ring()
    assert heard == ["a", "b", "b"]
    assert bell.number == 2
