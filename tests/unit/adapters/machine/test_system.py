"""This machine's clock, ids and tasks."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest

from chalicelib.adapters.machine.hlc_clock import HlcClock
from chalicelib.adapters.machine.system import SystemClock, SystemIds, SystemTasks, pause, token
from chalicelib.core.errors import InvalidField
from chalicelib.ports.tasks import Handle

WITHIN_S = 10
NOW_MS = 1_795_252_800_000
ALPHABET = set("0123456789ABCDEFGHJKMNPQRSTVWXYZ")


class SteppedClock(SystemClock):
    """The system's clock, off by an amount that a test changes."""

    def __init__(self) -> None:
        self.offset_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.offset_ms

    def sleep_until(self, unix_ms: int) -> None:
        while self.now_ms() < unix_ms:
            time.sleep(0.001)


@pytest.fixture
def clock() -> SystemClock:
    return SystemClock()


@pytest.fixture
def tasks(clock: SystemClock) -> SystemTasks:
    return SystemTasks(clock)


@pytest.fixture
def ids() -> SystemIds:
    return SystemIds(HlcClock(lambda: NOW_MS * 1_000_000, 20))


class TestClock:
    def test_tells_the_time_in_milliseconds(self, clock: SystemClock) -> None:
        before = time.time_ns() // 1_000_000
        assert before <= clock.now_ms() <= time.time_ns() // 1_000_000

    def test_never_wakes_early(self, clock: SystemClock) -> None:
        for _ in range(20):
            due_ms = clock.now_ms() + 2
            clock.sleep_until(due_ms)
            assert clock.now_ms() >= due_ms

    def test_does_not_sleep_for_the_past(self, clock: SystemClock) -> None:
        began = time.perf_counter()
        clock.sleep_until(clock.now_ms() - 60_000)
        assert time.perf_counter() - began < 30

    def test_reads_both_clocks(self, clock: SystemClock) -> None:
        first, second = clock.read(), clock.read()
        assert abs(first.wall_unix_nanos - time.time_ns()) < 60_000_000_000
        assert second.monotonic_nanos >= first.monotonic_nanos


class TestIds:
    def test_a_ulid_has_26_characters_of_crockfords_alphabet(self, ids: SystemIds) -> None:
        made = ids.ulid(NOW_MS)
        assert len(made) == 26
        assert set(made) <= ALPHABET

    def test_grow_within_a_millisecond_and_through_a_clock_that_steps_back(self, ids: SystemIds) -> None:
        times = [NOW_MS, NOW_MS, NOW_MS, NOW_MS + 5, NOW_MS + 1, NOW_MS - 9_000, NOW_MS + 5, NOW_MS + 6]
        made = [ids.ulid(t) for t in times]
        assert made == sorted(made)
        assert len(set(made)) == len(made)

    def test_are_unique_between_threads(self, ids: SystemIds) -> None:
        made: list[list[str]] = [[] for _ in range(8)]

        def make(into: list[str]) -> None:
            into.extend(ids.ulid(NOW_MS + n % 3) for n in range(500))

        threads = [threading.Thread(target=make, args=(into,)) for into in made]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WITHIN_S)
        assert len({one for into in made for one in into}) == 8 * 500
        assert all(into == sorted(into) for into in made)

    def test_of_two_processes_differ(self, ids: SystemIds) -> None:
        other = SystemIds(HlcClock(lambda: 0, 20))
        assert ids.ulid(NOW_MS) != other.ulid(NOW_MS)

    def test_stamps_grow_and_pass_what_was_seen(self, ids: SystemIds) -> None:
        def stamp() -> tuple[int, ...]:
            return tuple(int(part) for part in ids.hlc().split("."))

        first, second = stamp(), stamp()
        assert second > first
        ahead = f"{NOW_MS * 1_000_000 + 400_000_000}.7"
        ids.observe(ahead)
        assert stamp() > (NOW_MS * 1_000_000 + 400_000_000, 7)

    def test_refuses_what_is_no_stamp_or_too_far_ahead(self, ids: SystemIds) -> None:
        with pytest.raises(InvalidField) as malformed:
            ids.observe("soon")
        assert malformed.value.code == "invalid_field"
        assert malformed.value.errors[0].field == "X-Chrono-HLC"
        with pytest.raises(InvalidField) as skewed:
            ids.observe(f"{NOW_MS * 1_000_000 + 10**12}.0")
        assert skewed.value.code == "clock_skew"
        for beyond in ("9223372036854775808.0", "9" * 19 + ".0", "9" * 39 + ".0"):
            with pytest.raises(InvalidField) as refused:
                ids.observe(beyond)
            assert refused.value.code == "clock_skew"

    def test_tokens_differ(self) -> None:
        assert len({token() for _ in range(100)}) == 100
        assert len(token()) == 32


class TestTasks:
    def test_runs_a_job_beside_the_caller(self, tasks: SystemTasks) -> None:
        go = threading.Event()
        threads: list[threading.Thread] = []

        def job() -> None:
            threads.append(threading.current_thread())
            assert go.wait(WITHIN_S)

        handle = tasks.start(job)
        assert handle.wait(0) is False
        go.set()
        assert handle.wait() is True
        assert threads[0] is not threading.current_thread()
        assert threads[0].daemon

    def test_runs_jobs_at_their_times_and_never_before(self, clock: SystemClock) -> None:
        # With one thread: after a delay several are due at once, and threads of their own may overtake each other.
        tasks = SystemTasks(clock, threads_max=1)
        ran: list[tuple[int, int]] = []
        now_ms = clock.now_ms()
        dues = [now_ms + offset for offset in (600, 200, 400, 0, -500, 200)]
        handles = [tasks.at(due, lambda due=due: ran.append((due, clock.now_ms()))) for due in dues]
        for handle in handles:
            assert handle.wait(clock.now_ms() + WITHIN_S * 1000)
        assert sorted(due for due, _ in ran) == sorted(dues)
        assert all(at_ms >= due for due, at_ms in ran)
        in_time = [due for due, _ in ran if due > now_ms]
        assert in_time == sorted(in_time)

    def test_an_earlier_job_given_later_runs_first(self, tasks: SystemTasks, clock: SystemClock) -> None:
        far = tasks.at(clock.now_ms() + 3_600_000, lambda: None)
        assert tasks.at(clock.now_ms() + 20, lambda: None).wait(clock.now_ms() + WITHIN_S * 1000)
        assert far.wait(clock.now_ms()) is False

    def test_a_handle_waits_no_longer_than_asked(self, tasks: SystemTasks, clock: SystemClock) -> None:
        until_ms = clock.now_ms() + 20
        assert tasks.at(clock.now_ms() + 3_600_000, lambda: None).wait(until_ms) is False
        assert clock.now_ms() >= until_ms - 1

    def test_a_handle_raises_what_its_job_raised_every_time(self, tasks: SystemTasks) -> None:
        def job() -> None:
            raise KeyError("lost")

        handle = tasks.start(job)
        for _ in range(2):
            with pytest.raises(KeyError, match="lost"):
                handle.wait()
        assert tasks.start(lambda: None).wait() is True  # its thread lives on

    def test_slow_jobs_hold_back_no_other(self, tasks: SystemTasks, clock: SystemClock) -> None:
        go = threading.Event()
        slow = [tasks.start(lambda: _blocked(go)) for _ in range(50)]
        quick = tasks.at(clock.now_ms() + 5, lambda: None)
        assert quick.wait(clock.now_ms() + WITHIN_S * 1000)
        go.set()
        assert all(handle.wait() for handle in slow)

    def test_beyond_the_bound_jobs_wait_their_turn_and_none_is_lost(self, clock: SystemClock) -> None:
        tasks, go = SystemTasks(clock, threads_max=2), threading.Event()
        ran: list[int] = []
        both = [tasks.start(lambda: _blocked(go)) for _ in range(2)]
        waiting = [tasks.start(lambda n=n: ran.append(n)) for n in range(20)]
        assert ran == []
        go.set()
        assert all(handle.wait() for handle in [*both, *waiting])
        assert sorted(ran) == list(range(20))

    def test_a_held_job_begins_when_it_is_told_to(self, clock: SystemClock) -> None:
        tasks, ran = SystemTasks(clock), list[int]()
        held = tasks.hold(lambda: ran.append(clock.now_ms()))
        assert not held.wait(clock.now_ms() + 20)
        assert ran == []
        held.go()
        assert held.wait(clock.now_ms() + WITHIN_S * 1000)
        assert len(ran) == 1

    def test_a_held_job_gets_a_thread_though_all_others_wait_for_it(self, clock: SystemClock) -> None:
        tasks = SystemTasks(clock, threads_max=2)
        held = [tasks.hold(lambda: None) for _ in range(2)]
        waiting = [tasks.start(lambda one=one: one.wait(clock.now_ms() + WITHIN_S * 1000)) for one in held]
        for one in held:
            one.go()
        assert all(handle.wait(clock.now_ms() + WITHIN_S * 1000) for handle in [*held, *waiting])

    def test_a_held_job_raises_what_went_wrong_where_it_is_waited_for(self, clock: SystemClock) -> None:
        held = SystemTasks(clock).hold(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
        held.go()
        with pytest.raises(ZeroDivisionError):
            held.wait(clock.now_ms() + WITHIN_S * 1000)

    def test_jobs_that_wait_for_jobs_they_started_never_wait_for_each_other(self, clock: SystemClock) -> None:
        tasks, ended = SystemTasks(clock, threads_max=2), list[int]()

        def nested(depth: int) -> None:
            if depth == 3:
                ended.append(depth)
            else:
                tasks.start(lambda: nested(depth + 1)).wait()

        handles = [tasks.start(lambda: nested(0)) for _ in range(20)]
        deadline_ms = clock.now_ms() + 10_000
        assert all(handle.wait(deadline_ms) for handle in handles)
        assert len(ended) == 20

    def test_threads_are_used_again(self, tasks: SystemTasks) -> None:
        used: set[int] = set()
        for _ in range(200):
            tasks.start(lambda: used.add(threading.get_ident())).wait()
        assert len(used) < 20

    def test_many_jobs_of_many_threads_all_run(self, tasks: SystemTasks, clock: SystemClock) -> None:
        lock, ran, handles = threading.Lock(), [0], list[Handle]()

        def count() -> None:
            with lock:
                ran[0] += 1

        def give() -> None:
            mine = [tasks.at(clock.now_ms() + n % 30, count) for n in range(200)]
            with lock:
                handles.extend(mine)

        threads = [threading.Thread(target=give) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WITHIN_S)
        assert all(handle.wait(clock.now_ms() + WITHIN_S * 1000) for handle in handles)
        assert ran[0] == 800

    def test_a_clock_that_is_stepped_forward_wakes_what_became_due(self) -> None:
        clock = SteppedClock()
        tasks = SystemTasks(clock)
        handle = tasks.at(clock.now_ms() + 3_600_000, lambda: None)
        clock.offset_ms = 3_600_001
        assert handle.wait(clock.now_ms() + WITHIN_S * 1000)


def _blocked(go: threading.Event) -> None:
    assert go.wait(WITHIN_S)


def test_a_pause_is_between_half_and_all_of_what_was_asked() -> None:
    began = time.perf_counter()
    for _ in range(10):
        pause(4)
    assert time.perf_counter() - began >= 0.02


class Holder:
    """What a job works for, and holds the job's handle itself, as the ticket of a call does."""

    handle: Handle

    def __init__(self) -> None:
        self.ran = threading.Event()

    def run(self) -> None:
        self.ran.set()


def test_what_a_job_worked_for_does_not_wait_for_a_collection(tasks: SystemTasks) -> None:
    gc.disable()
    try:
        holder = Holder()
        held = tasks.hold(holder.run)
        holder.handle = held
        held.go()
        assert held.wait()
        left = weakref.ref(holder)
        del holder, held
        until = time.monotonic() + WITHIN_S
        while left() is not None:  # its thread is about to let it go
            assert time.monotonic() < until
            time.sleep(0.001)
    finally:
        gc.enable()
