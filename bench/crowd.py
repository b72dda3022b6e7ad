"""Many ``rate:1s`` schedules at once, their phases spread evenly over the second: by the product, and by peers."""

from __future__ import annotations

import json
import subprocess
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from bench import arrivals, rate, redis_server
from bench import peer as apscheduler
from bench.arrivals import Receiver
from bench.firing import RUN_UP_MS, WEBHOOK, now_ms, target_of
from bench.product import Product, cpu_of
from bench.report import spread
from bench.root import ROOT

PERIOD_MS = 1000
CREATED_PER_S = 40  # what a busy machine creates for certain
IN_TIME_MS = 3000  # after the last instant; what has not come by then counts as not delivered in time
QUIET_S = 90.0  # an expired claim comes again within this; what is missing after it is lost
WRITTEN_S = 30.0  # what arrived is in the journal after this
UNANSWERED = frozenset({"missing", "lost", "pending", "in_progress"})
DRAIN_S = 60.0  # how long a backlog may take before what is missing counts as lost
PEER_ADDS_MS = 12  # what a peer may take to add a job
CELERY_STARTS_MS = 20_000  # what its worker and its beat may take to start
CELERY_SCRIPT = ROOT / "bench" / "peers" / "celery_peer.py"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Crowd:
    """What became of ``asked`` instants. ``late`` in milliseconds, one for each that came, however late; ``missing``
    had not come ``IN_TIME_MS`` after the last instant. ``busy`` is the share of one core that each process used.
    ``again`` came more than once."""

    label: str
    schedules: int
    asked: int
    late: list[float]
    missing: int
    faults: list[str]
    busy: dict[str, float]
    again: int = 0

    def as_json(self) -> Json:
        """Plain numbers."""
        return {
            "schedules": self.schedules,
            "asked": self.asked,
            "late_ms": spread(self.late),
            "not_delivered_in_time": self.missing,
            "came_again": self.again,
            "faults": len(self.faults),
            "busy_percent_of_a_core": {name: round(share * 100, 1) for name, share in self.busy.items()},
        }


def phases(count: int, first_ms: int) -> list[int]:
    """The first instants of ``count`` schedules, evenly over one period."""
    return [first_ms + number * PERIOD_MS // count for number in range(count)]


def fire(product: Product, receiver: Receiver, kind: str, count: int, seconds: int) -> Crowd:
    """Let ``count`` schedules run for so many seconds, then wait for every instant and judge the whole journal."""
    made = Made(product, receiver, kind, count, seconds)
    busy = made.watch()
    in_time = receiver.take()
    found = made.journal()
    later = receiver.take()
    faults = made.faults + made.judge(found)
    if kind == WEBHOOK:
        arrived = merged(in_time, later)
        late = list(arrivals.lateness_ms(arrived).values())
        faults += made.judge_arrivals(arrived)
        missing = made.asked - len(in_time)
    else:
        late = [
            float(e["attempts"][0]["started_unix_ms"] - e["firing_time_unix_ms"])
            for several in found.values()
            for e in several
            if e["attempts"]
        ]
        missing = sum(late_ms > IN_TIME_MS for late_ms in late) + max(0, made.asked - len(late))
    return Crowd(f"chronowatch → {kind}", count, made.asked, late, missing, faults, busy)


class Made:
    """Schedules that were created to run ``seconds`` times each, a second apart."""

    def __init__(self, product: Product, receiver: Receiver, kind: str, count: int, seconds: int) -> None:
        receiver.take()
        self._product = product
        self.seconds = seconds
        self.firsts = phases(count, now_ms() + RUN_UP_MS + 2000 + count * 1000 // CREATED_PER_S)
        target = target_of(kind, receiver)
        bodies = [_body(first_ms, seconds, target) for first_ms in self.firsts]
        self.ids = [str(answer["id"]) for answer in product.create(bodies)]
        late_ms = now_ms() + RUN_UP_MS - 2000 - self.firsts[0]
        self.faults = [f"created {late_ms} ms too late to be measured: use fewer"] if late_ms > 0 else []

    @property
    def asked(self) -> int:
        """How many instants are owed."""
        return len(self.ids) * self.seconds

    @property
    def last_ms(self) -> int:
        """The last instant."""
        return self.firsts[-1] + (self.seconds - 1) * PERIOD_MS

    def owed(self, number: int) -> list[int]:
        """The instants of one of them."""
        return [self.firsts[number] + k * PERIOD_MS for k in range(self.seconds)]

    def watch(self) -> dict[str, float]:
        """Sleep until ``IN_TIME_MS`` after the last instant. The share of a core that each process used meanwhile,
        between the first instant and the last, and ``machine``: of all cores together."""
        sleep_until_ms(self.firsts[0])
        before, begun = self._product.cpu_by_process(), time.monotonic()
        sleep_until_ms(self.last_ms)
        after, took_s = self._product.cpu_by_process(), time.monotonic() - begun
        sleep_until_ms(self.last_ms + IN_TIME_MS)
        return {name: (after[name] - before[name]) / took_s for name in after if name in before}

    def drain(self, receiver: Receiver, arrived: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
        """What arrived, once all has, or when none has come for ``QUIET_S``."""
        found, quiet_from = merged(arrived, {}), time.monotonic()
        while len(found) < self.asked and time.monotonic() - quiet_from < QUIET_S:
            time.sleep(0.5)
            if more := receiver.take():
                found, quiet_from = merged(found, more), time.monotonic()
        return found

    def judge_ledger(self, number: int, arrived: Mapping[str, Sequence[int]]) -> list[str]:
        """The ledger of one schedule agrees with what arrived of it; what of an overload was shed, it must explain."""
        until = time.monotonic() + WRITTEN_S
        path = f"/api/v1/schedules/{self.ids[number]}/ledger?from_unix_ms={self.firsts[number]}&to_unix_ms={now_ms()}"
        came = {at_ms for at_ms in self.owed(number) if f"{self.ids[number]}-{at_ms}" in arrived}
        while True:
            faults = judge_lines(self._product.want("GET", path)["items"], self.owed(number), came)
            if not faults or time.monotonic() > until:
                return [f"ledger of {self.ids[number]}: {fault}" for fault in faults]
            time.sleep(0.5)

    def short_of(self, arrived: Mapping[str, Sequence[int]]) -> list[int]:
        """The numbers of the schedules of which something did not arrive."""
        return [
            number
            for number in range(len(self.ids))
            if any(f"{self.ids[number]}-{at_ms}" not in arrived for at_ms in self.owed(number))
        ]

    def _names(self) -> set[str]:
        return {f"{self.ids[n]}-{at_ms}" for n in range(len(self.ids)) for at_ms in self.owed(n)}

    def journal(self) -> dict[str, list[Json]]:
        """Every execution, once all have ended or the time for that is over."""
        return self._product.ended(self.firsts[0] - 60_000, self.last_ms + 60_000, self.ids, self.asked, DRAIN_S)

    def judge(self, found: Mapping[str, Sequence[Json]]) -> list[str]:
        """Each instant has one completed execution with one attempt: what is otherwise."""
        return [
            f"{schedule_id}: {fault}"
            for number, schedule_id in enumerate(self.ids)
            for fault in rate.judge(found.get(schedule_id, []), self.owed(number))
        ]

    def judge_arrivals(self, arrived: Mapping[str, Sequence[int]]) -> list[str]:
        """Each instant arrived once, and nothing else did: what is otherwise."""
        never = [f"never arrived: {name}" for name in sorted(self._names() - arrived.keys())]
        return never + self.judge_owed(arrived) + [f"arrived twice: {name}" for name in arrivals.doubled(arrived)]

    def judge_owed(self, arrived: Mapping[str, Sequence[int]]) -> list[str]:
        """Nothing arrived that is not owed: what is otherwise."""
        return [f"arrived and was not owed: {name}" for name in sorted(arrived.keys() - self._names())]


def judge_tokens(tokens: Mapping[str, Sequence[int]]) -> list[str]:
    """What arrived more than once did so each time with a higher fencing token: what is otherwise."""
    return [
        f"arrived under the tokens {list(several)}: {name}"
        for name, several in tokens.items()
        if not all(earlier < later for earlier, later in pairwise(several))
    ]


def judge_lines(lines: Sequence[Json], owed: Sequence[int], came: Collection[int]) -> list[str]:
    """What is wrong in a ledger: an owed instant without an answer, an answer that what arrived belies, a line that is
    not owed. An instant that did not come is right when the ledger says what became of it."""
    outcomes = {line["firing_unix_ms"]: line["outcome"] for line in lines}
    faults = [f"not owed: {at_ms}" for at_ms in outcomes if at_ms not in owed]
    for at_ms in owed:
        outcome = outcomes.get(at_ms, "missing")
        if outcome in UNANSWERED:
            faults.append(f"{at_ms}: {outcome}")
        elif (outcome == "completed") != (at_ms in came):
            faults.append(f"{at_ms}: {outcome}, and it {'arrived' if at_ms in came else 'did not arrive'}")
    return faults


def _body(first_ms: int, seconds: int, target: Json) -> Json:
    return {
        "type": "RATE",
        "expr": "rate:1s",
        "start_at_unix_ms": first_ms,
        "end_at_unix_ms": first_ms + (seconds - 1) * PERIOD_MS,
        "target": target,
    }


def merged(one: Mapping[str, Sequence[int]], other: Mapping[str, Sequence[int]]) -> dict[str, list[int]]:
    """The arrivals of both."""
    found: dict[str, list[int]] = defaultdict(list)
    for arrived in (one, other):
        for name, times in arrived.items():
            found[name] += times
    return dict(found)


# -- peers


def peer(receiver: Receiver, count: int, seconds: int) -> Crowd:
    """APScheduler's interval jobs at the same phases, each posting to the receiver."""
    receiver.take()
    first_ms = now_ms() + 4000 + count * PEER_ADDS_MS
    ran = apscheduler.run(
        firsts_unix_ms=phases(count, first_ms), every_s=PERIOD_MS // 1000, count=seconds, post_port=receiver.port
    )
    in_time_ns = (phases(count, first_ms)[-1] + (seconds - 1) * PERIOD_MS + IN_TIME_MS) * 1_000_000
    busy = {"apscheduler": ran.cpu_firing_s / seconds}
    late, missing = by_turn(receiver.take(), phases(count, first_ms), seconds, in_time_ns)
    faults = [] if ran.added_unix_ms <= first_ms else [f"added {ran.added_unix_ms - first_ms} ms too late: use fewer"]
    return Crowd("apscheduler + sqlite → http post", count, count * seconds, late, missing, faults, busy)


def celery(receiver: Receiver, count: int, seconds: int) -> Crowd:
    """Celery's beat and worker over Redis, with the same phases. Raises NoRedis."""
    receiver.take()
    with redis_server.running() as (port, pid):
        firsts = phases(count, now_ms() + CELERY_STARTS_MS)
        order: Json = {
            "broker": f"redis://127.0.0.1:{port}/0",
            "post_port": receiver.port,
            "firsts_unix_ms": firsts,
            "every_s": PERIOD_MS // 1000,
            "count": seconds,
        }
        used = cpu_of(pid) or 0.0
        ran = subprocess.run(  # noqa: S603
            [apscheduler.environment("celery"), CELERY_SCRIPT],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=CELERY_STARTS_MS / 1000 + seconds + 60,
            check=False,
        )
        redis_s = (cpu_of(pid) or used) - used
    if ran.returncode != 0:
        raise RuntimeError(f"the peer failed: {ran.stderr.strip().splitlines()[-1:]}")
    cpu_s = {**json.loads(ran.stdout)["cpu_s"], "redis": redis_s}
    in_time_ns = (firsts[-1] + (seconds - 1) * PERIOD_MS + IN_TIME_MS) * 1_000_000
    late, missing = by_turn(receiver.take(), firsts, seconds, in_time_ns)
    busy = {name: each / seconds for name, each in cpu_s.items()}
    faults = [] if late else ["nothing arrived: its worker or its beat did not start in time"]
    return Crowd("celery + redis → http post", count, count * seconds, late, missing, faults, busy)


def by_turn(
    arrived: Mapping[str, Sequence[int]], firsts: Sequence[int], seconds: int, in_time_ns: int
) -> tuple[list[float], int]:
    """Lateness of a system that gives its runs no instant, and how many were missing in time.

    The k-th arrival of a job (its name is what stands before the last ``-``) is held against its k-th instant.
    """
    times: dict[str, list[int]] = defaultdict(list)
    for name, several in arrived.items():
        times[name.rpartition("-")[0]] += several
    late: list[float] = []
    in_time = 0
    for number, first_ms in enumerate(firsts):
        for k, at_ns in enumerate(sorted(times.get(f"peer{number}", []))[:seconds]):
            late.append(at_ns / 1e6 - first_ms - k * PERIOD_MS)
            in_time += at_ns <= in_time_ns
    return late, len(firsts) * seconds - in_time


def rows(crowds: Iterable[Crowd]) -> list[list[object]]:
    """Of a table: who, how many, p50, p99, the longest, not delivered in time."""
    found: list[list[object]] = []
    for crowd in crowds:
        s = spread(crowd.late)
        found.append([crowd.label, crowd.schedules, s["p50"], s["p99"], s["max"], crowd.missing])
    return found


def sleep_until_ms(unix_ms: float) -> None:
    """Sleep in steps, so that a clock that is set does not leave us behind."""
    while (left_s := unix_ms / 1000 - time.time()) > 0:
        time.sleep(min(left_s, 1.0))
