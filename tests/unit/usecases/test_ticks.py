"""Ticks end to end in virtual time: numbering, the queue, publication, crashes, two producers, wrong clocks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.memory.machine import MemoryQueue
from chalicelib.core.clock.clock_bound import Interval, Observation
from chalicelib.core.errors import Unavailable
from chalicelib.core.instants import parse_rfc3339
from chalicelib.core.ticks.frequencies import FREQUENCIES
from chalicelib.core.ticks.limits import TICK_END_MAX_MS, TICK_TARGET_TIMEOUT_MS
from chalicelib.ports.clock import Reading
from chalicelib.ports.services import Services
from chalicelib.ports.target import Delivery, Outcome
from chalicelib.ports.tasks import Handle, Held
from chalicelib.ports.work_queue import Outgoing
from chalicelib.process.memory import ProcessMemory
from chalicelib.usecases import ticks
from chalicelib.workers import sweep, tick_gate
from tests.kit.callers import who
from tests.kit.plant import CALLER, Plant
from tests.kit.services import with_stores
from tests.kit.virtual_time import VirtualTime

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z
S = 1000
NANOS = 1_000_000_000
SECONDS = ("second",)


def tick(delivery: Delivery) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(delivery.event)
    return found


def published(plant: Plant, frequency: str = "second") -> list[tuple[int, dict[str, Any]]]:
    """(when it was sent, the tick), in the order of sending."""
    sent = [(ms, tick(d)) for ms, d in plant.bus.sent if d.event_type == "chronowatch.ticks.v1"]
    return [(ms, t) for ms, t in sent if t["frequency"] == frequency]


def clock_events(plant: Plant) -> list[dict[str, Any]]:
    return [tick(d) for _, d in plant.bus.sent if d.event_type == "chronowatch.clock.v1"]


def check_stream(sent: Sequence[tuple[int, dict[str, Any]]]) -> list[dict[str, Any]]:
    """What holds of every stream, whatever happened; the ticks once each, in order."""
    by_id: dict[str, dict[str, Any]] = {}
    for _, t in sent:
        assert by_id.setdefault(t["id"], t) == t, "an id that comes again brings the same tick"
        assert t["id"] == f"{t['frequency']}-{t['timestamp']}-{t['sequence']}"
        assert t["seed"] == t["timestamp"] ^ t["sequence"]
        assert t["timestamp"] % NANOS == 0
    found = sorted(by_id.values(), key=lambda t: t["sequence"])
    assert [t["sequence"] for t in found] == list(range(1, len(found) + 1)), "numbers have no holes and no doubles"
    boundaries = [t["timestamp"] for t in found]
    assert boundaries == sorted(set(boundaries)), "no boundary has two ticks"
    return found


class TestInOrder:
    def test_ten_minutes_of_seconds_are_on_time_and_without_a_hole(self) -> None:
        plant = Plant(T0, ticks=SECONDS)
        plant.run_until(T0 + 602 * S)
        sent = published(plant)
        assert len(check_stream(sent)) == len(sent) >= 600
        assert [t["timestamp"] for _, t in sent] == [(T0 + k * S) * 1_000_000 for k in range(2, len(sent) + 2)]
        assert all(ms * 1_000_000 == t["timestamp"] for ms, t in sent), "nothing is late, and nothing drifts"

    def test_the_boundaries_of_all_frequencies_leave_in_one_call(self) -> None:
        midnight = parse_rfc3339("2026-11-22T00:00:00Z")
        plant = Plant(midnight - 90 * S, ticks=FREQUENCIES)
        calls: list[list[str]] = []
        inner = plant.bus.dispatch

        def dispatch(deliveries: Sequence[Delivery]) -> list[Outcome]:
            calls.append([tick(d)["id"] for d in deliveries if d.firing_unix_ms == midnight])
            return inner(deliveries)

        plant.bus.dispatch = dispatch  # type: ignore[method-assign]
        plant.run_until(midnight + S)
        [together] = [c for c in calls if c]
        assert sorted(i.partition("-")[0] for i in together) == ["day", "hour", "minute", "second"]
        assert [t["timestamp"] for _, t in published(plant, "day")] == [midnight * 1_000_000]

    @pytest.mark.parametrize(("date", "hours"), [("2026-03-29", 23), ("2026-10-25", 25)])
    def test_a_day_has_the_hours_that_it_has(self, date: str, hours: int) -> None:
        plant = Plant(
            parse_rfc3339(f"{date}T00:00:00Z") - 3 * 3600 * S, ticks=("hour", "day"), default_timezone="Europe/Paris"
        )
        plant.run_until(parse_rfc3339(f"{date}T00:00:00Z") + 26 * 3600 * S)
        days = [t["timestamp"] for _, t in published(plant, "day")]
        within = [t for _, t in published(plant, "hour") if days[0] <= t["timestamp"] < days[1]]
        assert len(within) == hours

    def test_history_pages_hold_every_tick_once(self) -> None:
        plant = Plant(T0, ticks=SECONDS)
        plant.run_until(T0 + 3000 * S)
        assert plant.services.stores.ticks.pages("second", 0, 10), "long ago means: no longer in the book"
        for limit in (1000, 7):
            after, found = 0, list[Any]()
            while (page := ticks.history(plant.services, CALLER, "second", after, limit)).ticks:
                found += page.ticks
                after = found[-1].sequence
                assert page.more == (after < 2999)
            assert [t.as_json() for t in found] == [t for _, t in published(plant)]

    def test_ticks_of_the_future_are_not_history(self) -> None:
        plant = Plant(T0, ticks=SECONDS)
        plant.run_until(T0 + 10_500)
        found = ticks.history(plant.services, CALLER, "second", 0, 100)
        assert [t.timestamp for t in found.ticks] == [(T0 + k * S) * 1_000_000 for k in range(2, 11)]
        assert not found.more
        view = ticks.view(plant.services, CALLER, "second")
        assert (view.last_sequence, view.last_nanos, view.next_nanos) == (
            9,
            (T0 + 10 * S) * 1_000_000,
            (T0 + 11 * S) * 1_000_000,
        )
        assert view.reserved_sequence > 100


class TestSwitching:
    def test_a_stream_runs_from_enable_to_disable_and_owes_nothing_between(self) -> None:
        plant = Plant(T0)
        plant.run_until(T0 + 500)
        assert not published(plant)
        ticks.enable(plant.services, CALLER, "second")
        plant.run_until(T0 + 30_500)
        stopped = ticks.disable(plant.services, CALLER, "second")
        plant.run_until(T0 + 1_000_000)
        found = check_stream(published(plant))
        assert [t["timestamp"] for t in found] == [(T0 + k * S) * 1_000_000 for k in range(2, len(found) + 2)]
        assert len(found) == stopped.reserved_sequence, "what nobody had seen was taken back"
        assert found[-1]["timestamp"] <= (T0 + 30_500 + TICK_END_MAX_MS) * 1_000_000
        ticks.enable(plant.services, CALLER, "second")
        plant.run_until(T0 + 1_010_500)
        after = check_stream(published(plant))[len(found) :]
        assert after[0]["timestamp"] == (T0 + 1002 * S) * 1_000_000
        assert not any("caught_up" in t for t in after)
        assert ticks.history(plant.services, CALLER, "second", 0, 1).gaps == ()

    @pytest.mark.parametrize("pause_ms", [0, 1, 400, 900, 3_000, 70_000])
    def test_a_number_that_was_taken_back_means_one_tick_only_however_soon_it_goes_on(self, pause_ms: int) -> None:
        plant = Plant(T0)
        ticks.enable(plant.services, CALLER, "second")
        for stop_ms in (20_300, 130_900, 250_000, 330_700):
            plant.run_until(T0 + stop_ms)
            ticks.disable(plant.services, CALLER, "second")
            plant.run_until(T0 + stop_ms + pause_ms)
            ticks.enable(replace_instance(plant, f"after {stop_ms}"), CALLER, "second")
        plant.run_until(T0 + 600_000)
        found = check_stream(published(plant))
        assert not any("caught_up" in t for t in found)
        assert len({t["instance_id"] for t in found}) == 5, "messages of before, of the same numbers, were dropped"
        history = ticks.history(plant.services, CALLER, "second", 0, 1000)
        assert [t.as_json() for t in history.ticks] == found

    def test_a_worker_that_stands_still_between_opening_and_sending_loses_nothing(self) -> None:
        plant = Plant(T0)
        ticks.enable(plant.services, CALLER, "second")
        plant.run_until(T0 + 20_700)
        taken = plant.bus.answer
        plant.bus.answer = lambda _: Outcome("failed", error_type="connection_error")
        plant.run_until(T0 + 21_200)
        ticks.disable(plant.services, CALLER, "second")
        ticks.enable(plant.services, CALLER, "second")
        plant.run_until(T0 + 24_500)
        plant.bus.answer = taken
        plant.run_until(T0 + 120_000)
        found = check_stream(published(plant))
        assert [t.as_json() for t in ticks.history(plant.services, CALLER, "second", 0, 1000).ticks] == found

    def test_a_message_of_minutes_ago_is_judged_by_its_page(self) -> None:
        plant = Plant(T0, ticks=SECONDS)
        plant.run_until(T0 + 1500 * S)
        [old] = ticks.history(plant.services, CALLER, "second", 9, 1).ticks
        assert plant.services.stores.ticks.pages("second", 9, 1)
        false = replace(old, id=f"second-{old.timestamp + NANOS}-10", timestamp=old.timestamp + NANOS)
        assert tick_gate.open_ticks(plant.services, [old, false], []) == {old}

    def test_ticks_cannot_be_judged_without_the_book_and_come_when_it_is_back(self) -> None:
        plant = Plant(T0, ticks=SECONDS)
        plant.run_until(T0 + 10_100)
        store = plant.services.stores.ticks

        class Away:
            def __getattr__(self, name: str) -> Any:
                return getattr(store, name)

            def load(self) -> Any:
                if plant.clock.now_ms() < T0 + 15 * S:
                    raise Unavailable("away")
                return store.load()

        plant.services = with_stores(plant.services, ticks=Away())
        plant.run_until(T0 + 60 * S)
        sent = published(plant)
        assert len(check_stream(sent)) >= 58
        assert not plant.queue.dead

    def test_a_stream_of_seconds_writes_the_book_every_other_second_and_seldom_reads_it(self) -> None:
        plant = Plant(T0, ticks=SECONDS)
        plant.run_until(T0 + 100 * S)
        gate = Gate(lambda: None, 0, False)
        plant.services = gate.services(plant.services)
        plant.run_until(T0 + 119 * S)
        assert len([ms for ms, _ in published(plant) if ms > T0 + 100 * S]) == 19
        assert gate.calls <= 11 + 2, "a read and a write more when the minute's producer wrote the book in between"

    def test_the_book_that_a_worker_wrote_last_does_not_stand_for_what_others_changed(self) -> None:
        plant = Plant(T0)
        ticks.enable(plant.services, CALLER, "second")
        plant.run_until(T0 + 20_700)
        other = replace_instance(plant, "other")
        ticks.disable(other, CALLER, "second")
        ticks.enable(other, CALLER, "second")
        plant.run_until(T0 + 40_000)
        found = check_stream(published(plant))
        assert found[-1]["timestamp"] >= (T0 + 39 * S) * 1_000_000
        assert [t.as_json() for t in ticks.history(other, CALLER, "second", 0, 1000).ticks] == found

    def test_enabling_twice_changes_nothing(self) -> None:
        plant = Plant(T0)
        first = ticks.enable(plant.services, CALLER, "minute")
        assert ticks.enable(plant.services, CALLER, "minute") == first

    def test_an_explicit_choice_outlasts_the_configuration(self) -> None:
        plant = Plant(T0, ticks=SECONDS)
        ticks.disable(plant.services, CALLER, "second")
        plant.run_until(T0 + 70 * S)
        assert not published(plant)

    def test_only_an_admin_switches(self) -> None:
        plant = Plant(T0)
        with pytest.raises(Exception, match="do not permit ticks:write"):
            ticks.enable(plant.services, who("olga", "operator"), "second")
        with pytest.raises(Exception, match="no such tick stream"):
            ticks.enable(plant.services, CALLER, "fortnight")


class TestOutages:
    def test_after_an_outage_the_newest_come_late_and_the_rest_is_a_gap(self) -> None:
        plant = Plant(T0, ticks=SECONDS)
        plant.run_until(T0 + 30_500)
        before = ticks.view(plant.services, CALLER, "second").reserved_sequence
        plant.skip(T0 + 1000 * S)
        plant.run_until(T0 + 1100 * S)
        found = check_stream(published(plant))
        late = [t for t in found if "caught_up" in t]
        assert [t["sequence"] for t in late] == list(range(before + 1, before + 61))
        history = ticks.history(plant.services, CALLER, "second", before - 1, 100)
        [(after, gap)] = history.gaps
        assert after == before
        assert found[before - 1]["timestamp"] + NANOS == gap.from_nanos
        assert gap.to_nanos + NANOS == late[0]["timestamp"]
        assert gap.count == (gap.to_nanos - gap.from_nanos) // NANOS + 1

    def test_with_nothing_caught_up_all_of_it_is_a_gap(self) -> None:
        plant = Plant(T0, ticks=SECONDS, tick_catch_up=0)
        plant.run_until(T0 + 30_500)
        before = ticks.view(plant.services, CALLER, "second").reserved_sequence
        plant.skip(T0 + 1000 * S)
        plant.run_until(T0 + 1100 * S)
        found = check_stream(published(plant))
        assert not any("caught_up" in t for t in found)
        [(_, gap)] = ticks.history(plant.services, CALLER, "second", before - 1, 100).gaps
        assert found[before]["timestamp"] == gap.to_nanos + NANOS

    def test_one_missed_sweep_makes_nothing_late(self) -> None:
        plant = Plant(T0, ticks=SECONDS)
        plant.run_until(T0 + 61 * S)
        plant._minute_ms += 60 * S  # the rule's next call does not come
        plant.run_until(T0 + 400 * S)
        sent = published(plant)
        check_stream(sent)
        assert all(ms * 1_000_000 == t["timestamp"] for ms, t in sent)


class Killed(BaseException):
    """What ends a process from outside: nothing catches it."""


class Gate:
    """Counts the calls of some ports, and does something at one of them."""

    def __init__(self, action: Callable[[], None], at: int, after: bool) -> None:
        self.calls, self._action, self._at, self._after = 0, action, at, after

    def wrap(self, port: Any, names: Sequence[str]) -> Any:
        gate = self

        class Wrapped:
            def __getattr__(self, name: str) -> Any:
                method = getattr(port, name)
                return gate._guarded(method) if name in names else method

        return Wrapped()

    def _guarded(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.calls += 1
            mine = self.calls == self._at
            if mine and not self._after:
                self._action()
            answer = method(*arguments)
            if mine and self._after:
                self._action()
            return answer

        return call

    def services(self, s: Services) -> Services:
        return replace(
            with_stores(s, ticks=self.wrap(s.stores.ticks, ("load", "save"))), queue=self.wrap(s.queue, ("send",))
        )


def kill() -> None:
    raise Killed


CALLS = 8  # load, save, three batches of messages, load, save; and one more than there are
POINTS = [(0, at, after) for at in range(1, CALLS + 1) for after in (False, True)]
POINTS += [(900, 2, False), (900, 2, True), (900, 3, False)]  # the write that also turns a page


class TestCrashes:
    @pytest.mark.parametrize(("in_s", "at", "after"), POINTS)
    def test_wherever_a_producer_dies_the_next_finishes_in_time(self, at: int, after: bool, in_s: int) -> None:
        plant = Plant(T0, ticks=FREQUENCIES)
        plant.run_until(T0 + in_s * S + 10)
        plant.run_until(T0 + (in_s + 60) * S - 1)
        gate = Gate(kill, at, after)
        with suppress(Killed):
            ticks.produce(gate.services(replace_instance(plant, "doomed")))
        assert gate.calls < CALLS, "there are further points to die at"
        plant.run_until(T0 + (in_s + 250) * S)
        sent = published(plant)
        check_stream(sent)
        assert len({t["id"] for _, t in sent}) >= in_s + 248
        assert all(ms * 1_000_000 == t["timestamp"] for ms, t in sent)
        check_stream(published(plant, "minute"))

    @pytest.mark.parametrize(("in_s", "at", "after"), POINTS)
    def test_of_two_producers_one_decides_wherever_they_meet(self, at: int, after: bool, in_s: int) -> None:
        plant = Plant(T0, ticks=FREQUENCIES)
        plant.run_until(T0 + in_s * S + 10)
        plant.run_until(T0 + (in_s + 60) * S - 1)
        other = replace_instance(plant, "other")
        gate = Gate(lambda: ticks.produce(other), at, after)
        ticks.produce(gate.services(replace_instance(plant, "first")))
        plant.run_until(T0 + (in_s + 250) * S)
        sent = published(plant)
        check_stream(sent)
        assert all(ms * 1_000_000 == t["timestamp"] for ms, t in sent)

    def test_a_producer_that_meets_another_in_the_middle_leaves_its_work_to_it(self) -> None:
        plant = Plant(T0, ticks=SECONDS)
        plant.run_until(T0 + 59 * S)
        other = replace_instance(plant, "other")
        gate = Gate(lambda: ticks.produce(other), at=2, after=True)  # reserved, not yet queued
        ticks.produce(gate.services(replace_instance(plant, "first")))
        plant.run_until(T0 + 400 * S)
        ids = [t["id"] for _, t in published(plant)]
        assert len(ids) == len(set(ids))


def replace_instance(plant: Plant, name: str) -> Services:
    return replace(plant.services, config=replace(plant.services.config, instance=name))


class Skewed:
    """Another clock over the same virtual time: wrong by ``off_ms``, which may change. Its monotonic side is right."""

    def __init__(self, true: VirtualTime) -> None:
        self._true = true
        self.off_ms = 0

    def now_ms(self) -> int:
        return self._true.now_ms() + self.off_ms

    def sleep_until(self, unix_ms: int) -> None:
        while (left := unix_ms - self.now_ms()) > 0:
            self._true.sleep_until(self._true.now_ms() + min(left, 500))

    def read(self) -> Reading:
        return Reading(self.now_ms() * 1_000_000, self._true.now_ms() * 1_000_000)

    def after(self, ms: int, job: Callable[[], object]) -> Handle:
        return self._true.after(ms, job)

    def at(self, unix_ms: int, job: Callable[[], object]) -> Handle:
        def wait_and_run() -> None:
            self.sleep_until(unix_ms)
            job()

        return self._true.start(wait_and_run)

    def start(self, job: Callable[[], object]) -> Handle:
        return self._true.start(job)

    def hold(self, job: Callable[[], object]) -> Held:
        return self._true.hold(job)


class Sources:
    """One source of true time, which knows the virtual time."""

    def __init__(self, true: VirtualTime) -> None:
        self._true = true

    def observations(self) -> tuple[Observation, ...]:
        now_nanos = self._true.now_ms() * 1_000_000
        return (Observation("oracle", Interval(-NANOS, NANOS), now_nanos),)


def skewed_plant(**config: Any) -> tuple[Plant, Skewed]:
    plant = Plant(T0, **config)
    plant.queue = MemoryQueue(plant.clock.now_ms, visibility_ms=600_000)  # hidden for as long as an invocation runs
    clock = Skewed(plant.clock)
    plant.services = replace(plant.services, clock=clock, tasks=clock, queue=plant.queue)
    return plant, clock


class TestClocks:
    def test_a_step_back_of_90_seconds_repeats_nothing_and_uses_no_number_twice(self) -> None:
        plant, clock = skewed_plant(ticks=SECONDS)
        plant.run_until(T0 + 300 * S)
        clock.off_ms = -90 * S
        plant.run_until(T0 + 900 * S)
        sent = published(plant)
        found = check_stream(sent)
        assert len(found) == len(sent), "nothing came twice"
        assert not any("caught_up" in t for t in found)
        history = ticks.history(plant.services, CALLER, "second", 0, 10_000)
        assert history.gaps == ()
        assert all(ms == t["timestamp"] // 1_000_000 for ms, t in sent[:290])
        assert all(ms == t["timestamp"] // 1_000_000 + 90 * S for ms, t in sent if ms > T0 + 400 * S)
        [event] = clock_events(plant)
        assert (event["direction"], event["step_nanos"], event["seen"]) == ("backward", -90 * NANOS, "monotonic")

    def test_a_step_forward_within_what_is_numbered_leaves_no_gap(self) -> None:
        plant, clock = skewed_plant(ticks=SECONDS)
        plant.run_until(T0 + 300 * S + 1)
        clock.off_ms = 60 * S
        plant.run_until(T0 + 600 * S)
        check_stream(published(plant))
        assert ticks.history(plant.services, CALLER, "second", 0, 10_000).gaps == ()
        [event] = clock_events(plant)
        assert event["direction"] == "forward"

    def test_a_step_far_forward_is_caught_up_and_a_gap(self) -> None:
        plant, clock = skewed_plant(ticks=SECONDS)
        plant.run_until(T0 + 300 * S + 1)
        clock.off_ms = 3600 * S
        plant.run_until(T0 + 600 * S)
        found = check_stream(published(plant))
        late = [t for t in found if "caught_up" in t]
        assert len(late) == 60
        [(after, gap)] = ticks.history(plant.services, CALLER, "second", late[0]["sequence"] - 2, 100).gaps
        assert after == late[0]["sequence"] - 1
        assert gap.count == (late[0]["timestamp"] - found[after - 1]["timestamp"]) // NANOS - 1

    def test_a_clock_that_is_proven_to_be_years_ahead_numbers_nothing(self) -> None:
        plant, clock = skewed_plant(ticks=SECONDS)
        plant.services = replace(plant.services, time_sources=Sources(plant.clock))
        plant.run_until(T0 + 300 * S)
        clock.off_ms = 10 * 365 * 86_400 * S
        plant.run_until(T0 + 600 * S)
        reserved = ticks.view(plant.services, CALLER, "second").reserved_sequence
        clock.off_ms = 0
        plant.run_until(T0 + 800 * S)
        found = check_stream(published(plant))
        assert max(t["timestamp"] for t in found) < (T0 + 1000 * S) * 1_000_000
        assert 290 < reserved < 600
        assert found[-1]["timestamp"] >= (T0 + 790 * S) * 1_000_000

    def test_another_process_behind_the_tables_is_told_once(self) -> None:
        plant, clock = skewed_plant(ticks=SECONDS)
        plant.run_until(T0 + 100 * S)
        clock.off_ms = -3600 * S
        reborn = replace(plant.services, process=ProcessMemory())
        sweep.run(reborn)
        sweep.run(reborn)
        [event] = clock_events(plant)
        assert (event["direction"], event["seen"]) == ("backward", "tables")

    def test_a_jump_that_the_bus_did_not_take_is_told_by_the_next_sweep(self) -> None:
        plant, clock = skewed_plant(ticks=SECONDS)
        plant.run_until(T0 + 100 * S)
        taken = plant.bus.answer
        plant.bus.answer = lambda _: Outcome("failed", error_type="connection_error")
        clock.off_ms = 5 * S
        sweep.run(plant.services)
        assert len(plant.services.process.clock.unsent()) == 1
        plant.bus.answer = taken
        sweep.run(plant.services)
        assert plant.services.process.clock.unsent() == []


class TestDestinations:
    def test_a_stream_has_a_target_of_its_own_beside_the_bus(self) -> None:
        plant = Plant(T0)
        hook = {"type": "webhook", "url": "http://127.0.0.1:9/", "method": "POST", "timeout_ms": 30_000}
        ticks.enable(plant.services, CALLER, "second", hook)
        plant.run_until(T0 + 10_500)
        assert len(check_stream(published(plant))) == 9
        events = [tick(d) for _, d in plant.hook.sent]
        assert [e["data"] for e in events] == [t for _, t in published(plant)]
        assert {(e["specversion"], e["type"], e["subject"]) for e in events} == {
            ("1.0", "chronowatch.ticks.v1", "second")
        }
        assert events[0]["id"] == events[0]["data"]["id"]
        assert events[0]["time"] == "2026-11-21T09:20:02.000Z"
        assert all(d.timeout_ms == TICK_TARGET_TIMEOUT_MS for _, d in plant.hook.sent)

    def test_what_one_destination_refuses_comes_again_there_alone_under_the_same_id(self) -> None:
        plant = Plant(T0)
        refused: list[str] = []

        def answer(delivery: Delivery) -> Outcome:
            if len(refused) < 3:
                refused.append(delivery.execution_id)
                return Outcome("failed", error_type="http_error", http_status=503)
            return Outcome("completed")

        plant.hook.answer = answer
        ticks.enable(plant.services, CALLER, "second", {"type": "webhook", "url": "http://127.0.0.1:9/"})
        plant.run_until(T0 + 60 * S)
        sent = published(plant)
        assert len(sent) == len(check_stream(sent))
        hooked = [d.execution_id for _, d in plant.hook.sent]
        assert sorted(set(hooked)) == sorted(t["id"] for _, t in sent)
        assert all(hooked.count(i) == 2 for i in refused)

    def test_a_bus_that_is_away_gets_the_ticks_when_it_is_back(self) -> None:
        plant = Plant(T0, ticks=SECONDS)
        plant.bus.answer = lambda _: Outcome("failed", error_type="connection_error")
        plant.run_until(T0 + 20 * S)
        plant.bus.answer = lambda _: Outcome("completed")
        plant.bus.sent.clear()
        plant.run_until(T0 + 200 * S)
        check_stream(published(plant))
        assert not plant.queue.dead

    def test_what_nobody_takes_for_ten_minutes_is_a_dead_letter(self) -> None:
        plant = Plant(T0)
        ticks.enable(plant.services, CALLER, "minute")
        plant.bus.answer = lambda _: Outcome("failed", error_type="connection_error", error="refused")
        plant.run_until(T0 + 61 * S)
        ticks.disable(plant.services, CALLER, "minute")
        plant.run_until(T0 + 1200 * S)
        first = plant.queue.dead[0]
        assert first.execution_id == f"minute-{(T0 + 60 * S) * 1_000_000}-1"
        assert json.loads(first.event)["sequence"] == 1
        assert {letter.execution_id for letter in plant.queue.dead} == {t["id"] for _, t in published(plant, "minute")}

    def test_the_queue_away_brings_the_messages_again(self) -> None:
        plant = Plant(T0, ticks=SECONDS)
        plant.run_until(T0 + 100)
        plant.bus.answer = lambda d: Outcome("failed") if plant.clock.now_ms() < T0 + 10 * S else Outcome("completed")
        queue = plant.services.queue

        class Away:
            def send(self, messages: Sequence[Outgoing]) -> None:
                if plant.clock.now_ms() < T0 + 20 * S:
                    raise Unavailable("away")
                queue.send(messages)

        plant.services = replace(plant.services, queue=Away())  # type: ignore[arg-type]
        plant.run_until(T0 + 100 * S)
        done = {t["id"] for ms, t in published(plant) if ms >= T0 + 10 * S}
        assert done == {t["id"] for _, t in published(plant)}
