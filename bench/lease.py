"""``lease``: acquire and release, as fast as one caller can; and 32 threads that all want the same lease.

Cycles a second through the use case in this process, through HTTP, and by python-dynamodb-lock in an environment of its
own. All run against one emulator and in turns, so that a busy machine slows all of them. A cycle of ours stores a fair
queue, a fencing token that never goes back, and clock margins; the peer has none of these.

AWS calls are counted on the wire. For the 32 threads, every document that is written is kept and judged: tokens grow by
one, each grant goes to the first in line, and no thread is inside while another is.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import threading
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from bench import peer
from bench.counting_proxy import CountingProxy
from bench.product import Product
from bench.report import Report, Target, spread, table
from bench.root import ROOT
from chalicelib.core.leases import lease, lease_document
from chalicelib.core.leases.lease import Granted
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.services import Services
from chalicelib.ports.stores.leases import LeaseStore
from tests.kit.services import with_stores

CYCLES = 400
ROUNDS = 3
COUNTED_CYCLES = 50
THREADS = 32
CONTENDED_S = 10.0
TTL_MS = 30_000
CONTENDED_TTL_MS = 5_000
PEER_RETRY_MS = 20
PEER_SCRIPT = ROOT / "bench" / "peers" / "dynamodb_lock_peer.py"
# Requests that left this process so long apart reach the service in that order.
IN_ORDER_S = 0.1

Ask = Callable[[str, str, int, int], "int | None"]
GiveBack = Callable[[str, str, int], None]


@dataclass(frozen=True, slots=True)
class Way:
    """One way to the leases: ``acquire(name, holder_id, ttl_ms, wait_ms)`` gives a token, or None."""

    acquire: Ask
    release: GiveBack


def run(options: Namespace) -> Report:
    """Cycles of one caller, calls a cycle, and the crowd."""
    cycles, crowd_s = options.count or CYCLES, CONTENDED_S if options.count is None else 2.0
    report = Report("lease", {"cycles": cycles, "rounds": ROUNDS, "threads": THREADS, "contended_s": crowd_s})
    if options.peer:
        peer.environment("dynamodb_lock")
    with Product() as product:
        services = _services(product.endpoint)
        ways = {"use case": _use_case(services), "HTTP": _http(product)}
        rates: dict[str, list[float]] = {name: [] for name in ways}
        if options.peer:
            rates["python-dynamodb-lock"] = []
        for way in ways.values():
            _cycles(way, 20)
        for _ in range(ROUNDS):
            for name, way in ways.items():
                rates[name].append(_cycles(way, cycles))
            if options.peer:
                rates["python-dynamodb-lock"].append(_peer_cycles(product.endpoint, cycles))
        calls = _calls(product, options.peer)
        _report_rates(report, rates, calls)
        for name in ways:
            _report_crowd(report, name, _crowd(name, product, crowd_s))
        if options.peer:
            _report_peer_crowd(report, product, crowd_s)
    return report


# -- one caller


def _cycles(way: Way, count: int) -> float:
    """Cycles a second of one caller on one lease."""
    begun = time.monotonic()
    for _ in range(count):
        token = way.acquire("bench", "alone", TTL_MS, 0)
        assert token is not None
        way.release("bench", "alone", token)
    return count / (time.monotonic() - begun)


def _peer_cycles(endpoint: str, count: int) -> float:
    return count / float(_ask_peer({"endpoint": endpoint, "cycles": count})["took_s"])


def _ask_peer(what: dict[str, Any]) -> dict[str, Any]:
    ran = subprocess.run(  # noqa: S603
        [peer.environment("dynamodb_lock"), PEER_SCRIPT],
        input=json.dumps(what),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if ran.returncode != 0:
        raise RuntimeError(f"the peer failed: {ran.stderr.strip().splitlines()[-1:]}")
    answer: dict[str, Any] = json.loads(ran.stdout)
    return answer


def _calls(product: Product, with_peer: bool) -> dict[str, float]:
    """AWS calls of one uncontended cycle, counted on the wire between the caller and the emulator."""
    found = {}
    with _proxy(product) as proxy:
        way = _use_case(_services(proxy.endpoint))
        _cycles(way, 2)
        before = proxy.ledger.copy()
        _cycles(way, COUNTED_CYCLES)
        found["use case"] = proxy.ledger.since(before).calls.total() / COUNTED_CYCLES
        if with_peer:
            before = proxy.ledger.copy()
            _peer_cycles(proxy.endpoint, COUNTED_CYCLES)
            spent = proxy.ledger.since(before).calls
            item_calls = [n for (_, operation, _), n in spent.items() if operation.endswith("Item")]
            found["python-dynamodb-lock"] = sum(item_calls) / (COUNTED_CYCLES + 10)  # ten to warm up
    return {name: round(value, 2) for name, value in found.items()}


@contextmanager
def _proxy(product: Product) -> Iterator[CountingProxy]:
    from infra import state

    port = int(product.endpoint.rpartition(":")[2])
    with CountingProxy(port, state.state("local", "chronowatch"), lambda _: {}) as proxy:
        yield proxy


def _report_rates(report: Report, rates: dict[str, list[float]], calls: dict[str, float]) -> None:
    medians = {name: statistics.median(values) for name, values in rates.items()}
    report.results["cycles_per_s"] = {name: round(value, 1) for name, value in medians.items()}
    report.results["cycles_per_s_rounds"] = {name: [round(v, 1) for v in values] for name, values in rates.items()}
    report.results["aws_calls_per_cycle"] = calls
    rows = [[name, round(value, 1), calls.get(name)] for name, value in medians.items()]
    report.tables.append(table(["one caller, one lease", "cycles/s", "AWS calls a cycle"], rows))
    report.targets.append(Target("use case: AWS calls of an uncontended cycle", 2, calls["use case"]))
    if "python-dynamodb-lock" in medians:
        ratio = round(medians["python-dynamodb-lock"] / medians["use case"], 3)
        report.targets.append(Target("one caller: python-dynamodb-lock's cycles/s as a part of ours", 0.5, ratio))
    report.notes.append("HTTP makes the AWS calls of the use case, in the server")


# -- 32 threads


class Holding(NamedTuple):
    """One thread's turn: when its request left, when the grant came, when it let go, in seconds of one clock."""

    token: int
    who: str
    asked: float
    granted: float
    left: float


@dataclass(slots=True)
class Crowd:
    """What 32 threads on one lease saw, and what was written meanwhile."""

    seconds: float = 0.0
    holdings: list[Holding] = field(default_factory=list)
    inside: int = 0
    together: int = 0
    documents: list[LeaseItem] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Keeping:
    """A ``LeaseStore`` that keeps what it has written, in order of revision."""

    def __init__(self, inner: LeaseStore) -> None:
        self._inner = inner
        self.load, self.list = inner.load, inner.list
        self.documents: dict[int, str] = {}

    def save(self, tenant: str, name: str, document: str, rev: int, expected_rev: int) -> bool:
        saved = self._inner.save(tenant, name, document, rev, expected_rev)
        if saved:
            self.documents[rev] = document
        return saved


def _crowd(name: str, product: Product, seconds: float) -> Crowd:
    """Let them all at it, each taking turns with all the others."""
    crowd, keeping = Crowd(), None
    way = _http(product)
    if name == "use case":
        services = _services(product.endpoint)
        keeping = Keeping(services.stores.leases)
        way = _use_case(with_stores(services, leases=keeping))
    lock = threading.Lock()
    begun = time.monotonic()
    threads = [
        threading.Thread(target=_member, args=(crowd, lock, way, f"{name.replace(' ', '-')}", f"t{n}", begun + seconds))
        for n in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    crowd.seconds = time.monotonic() - begun
    if keeping is not None:
        crowd.documents = [lease_document.read(keeping.documents[rev]) for rev in sorted(keeping.documents)]
    _judge(crowd)
    return crowd


def _member(crowd: Crowd, lock: threading.Lock, way: Way, name: str, me: str, until: float) -> None:
    try:
        while time.monotonic() < until:
            asked = time.monotonic()
            token = way.acquire(name, me, CONTENDED_TTL_MS, 20_000)
            if token is None:
                continue
            granted = time.monotonic()
            with lock:
                crowd.inside += 1
                crowd.together = max(crowd.together, crowd.inside)
            with lock:
                crowd.inside -= 1
                crowd.holdings.append(Holding(token, me, asked, granted, time.monotonic()))
            way.release(name, me, token)
    except Exception as problem:
        crowd.problems.append(f"{me}: {type(problem).__name__}: {problem}")


def _judge(crowd: Crowd) -> None:
    """What the threads saw, and what the documents say."""
    held = crowd.holdings
    tokens = [h.token for h in held]
    if crowd.together > 1:
        crowd.problems.append(f"{crowd.together} holders at once")
    if tokens != sorted(set(tokens)):
        crowd.problems.append("tokens not strictly increasing in the order of holding")
    latest = 0.0
    overtaken = 0
    for each in held:  # in order of holding: none may come after another that asked well later
        overtaken += each.asked < latest - IN_ORDER_S
        latest = max(latest, each.asked)
    if overtaken:
        crowd.problems.append(f"{overtaken} of {len(held)} were overtaken by someone who asked {IN_ORDER_S} s later")
    for before, after in pairwise(crowd.documents):
        crowd.problems += _broken_rules(before, after)


def _broken_rules(before: LeaseItem, after: LeaseItem) -> Iterator[str]:
    """What one write did that it must not do; the margin is not judged, since all threads share one clock."""
    if after.fencing_token not in (before.fencing_token, before.fencing_token + 1):
        yield f"rev {after.rev}: token {before.fencing_token} became {after.fencing_token}"
    if after.fencing_token == before.fencing_token:
        return
    if before.holder_id is not None and lease.is_taken(before, after.acquired_at_unix_ms, margin_ms=0):
        yield f"rev {after.rev}: granted to {after.holder_id} while {before.holder_id} held it"
    waiting = lease.live_waiters(before, after.acquired_at_unix_ms, margin_ms=0)
    if waiting and waiting[0].holder_id != after.holder_id:
        yield f"rev {after.rev}: granted to {after.holder_id} before {waiting[0].holder_id}"


def _report_crowd(report: Report, name: str, crowd: Crowd) -> None:
    waits = [(h.granted - h.asked) * 1000 for h in crowd.holdings]
    handovers = [(later.granted - earlier.left) * 1000 for earlier, later in pairwise(crowd.holdings)]
    turns = Counter(h.who for h in crowd.holdings)
    handed_over = sum(earlier.who != later.who for earlier, later in pairwise(crowd.holdings))
    report.results[f"{THREADS} threads, {name}"] = {
        "holdings": len(crowd.holdings),
        "holdings_per_s": round(len(crowd.holdings) / crowd.seconds, 1),
        "handovers_per_s": round(handed_over / crowd.seconds, 1),
        "holders_at_once": crowd.together,
        "tokens_strictly_increasing": not any("token" in p for p in crowd.problems),
        "first_come_first_served": not any("before" in p or "overtaken" in p for p in crowd.problems),
        "documents_judged": len(crowd.documents),
        "wait_ms": spread(waits),
        "handover_ms": spread(handovers),
        "turns_of_a_thread": [min(turns.values(), default=0), max(turns.values(), default=0)],
    }
    rows = [
        [
            name,
            len(crowd.holdings),
            round(len(crowd.holdings) / crowd.seconds, 1),
            round(handed_over / crowd.seconds, 1),
            crowd.together,
            spread(waits)["p50"],
            spread(handovers)["p50"],
            spread(handovers)["p99"],
        ]
    ]
    columns = [f"{THREADS} threads", "holdings", "per s", "handed over per s", "at once", "wait p50 ms"]
    columns += ["handover p50 ms", "p99 ms"]
    report.tables.append(table(columns, rows))
    report.faults += [f"{name}: {problem}" for problem in crowd.problems[:5]]


def _report_peer_crowd(report: Report, product: Product, seconds: float) -> None:
    """The same crowd with the peer: its waiters look again after a pause, by default 5 s; also with a short one.

    With the long pause the thread that lets go takes the lock again while the others sleep. That is one caller's speed
    and no waiting, so the turns that came after another thread's are compared.
    """
    rates, rows = [], []
    for label, retry_ms in (
        ("python-dynamodb-lock", None),
        (f"the same, looking every {PEER_RETRY_MS} ms", PEER_RETRY_MS),
    ):
        asked = {"endpoint": product.endpoint, "threads": THREADS, "seconds": seconds, "retry_ms": retry_ms}
        answer = _ask_peer(asked)
        per_s, handed_over = (round(answer[what] / answer["took_s"], 1) for what in ("holdings", "handovers"))
        rates.append(handed_over)
        report.results[f"{THREADS} threads, {label}"] = {
            **answer,
            "holdings_per_s": per_s,
            "handovers_per_s": rates[-1],
        }
        rows.append([label, answer["holdings"], per_s, handed_over, answer["gave_up"]])
    columns = [f"{THREADS} threads", "holdings", "per s", "handed over per s", "gave up"]
    report.tables.append(table(columns, rows))
    ours = report.results[f"{THREADS} threads, use case"]["handovers_per_s"]
    ratio = round(max(rates) / ours, 3)
    report.targets.append(
        Target(f"{THREADS} threads: python-dynamodb-lock's handovers/s as a part of ours", 0.5, ratio)
    )


# -- ways to the leases


def _services(endpoint: str) -> Services:
    from chalicelib import bootstrap, settings

    chosen = settings.load({"AWS_ENDPOINT_URL": endpoint, "LOG_LEVEL": "WARNING"})
    return bootstrap.build(chosen)


def _use_case(s: Services) -> Way:
    from chalicelib.usecases import leases

    caller = ANONYMOUS_ADMIN

    def acquire(name: str, holder_id: str, ttl_ms: int, wait_ms: int) -> int | None:
        wanted = leases.AcquireLease(name=name, holder_id=holder_id, ttl_ms=ttl_ms, wait_ms=wait_ms)
        answer = leases.acquire(s, caller, wanted)
        return answer.fencing_token if isinstance(answer, Granted) else None

    def release(name: str, holder_id: str, token: int) -> None:
        leases.release(s, caller, leases.ReleaseLease(name=name, holder_id=holder_id, fencing_token=token))

    return Way(acquire, release)


def _http(product: Product) -> Way:
    def acquire(name: str, holder_id: str, ttl_ms: int, wait_ms: int) -> int | None:
        body = {"name": name, "holder_id": holder_id, "ttl_ms": ttl_ms, "wait_ms": wait_ms}
        token = product.want("POST", "/api/v1/leases:acquire", body).get("fencing_token")
        return None if token is None else int(token)

    def release(name: str, holder_id: str, token: int) -> None:
        product.want("POST", "/api/v1/leases:release", {"name": name, "holder_id": holder_id, "fencing_token": token})

    return Way(acquire, release)
