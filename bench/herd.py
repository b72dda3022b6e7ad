"""``herd``: a thousand firings owed at one instant: how long until the last has left, and arrived?"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from bench.arrivals import Receiver
from bench.firing import EVENTBRIDGE, WEBHOOK, Fired, fire_at, first_instant_ms, peer_at
from bench.lateness import fill
from bench.peer import python as prepare_peer
from bench.product import Product
from bench.report import Report, Target

COUNT = 1000
KINDS = (EVENTBRIDGE, WEBHOOK)
LAST_MOST_MS = {EVENTBRIDGE: 150.0, WEBHOOK: 350.0}


def run(options: Namespace) -> Report:
    """The product to EventBridge and to a webhook, then APScheduler with a plain function and with a POST."""
    count = options.count or COUNT
    report = Report("herd", {"count": count})
    kinds = (options.to,) if options.to else KINDS
    runs = herds(count, options.peer, kinds)
    fill(report, runs)
    for kind, fired in zip(kinds, runs, strict=False):
        last = max(fired.arrived or fired.started, default=None)
        report.targets.append(Target(f"{fired.label}: the last of {count}, ms", LAST_MOST_MS[kind], last))
    return report


def herds(count: int, peer: bool, kinds: Sequence[str] = KINDS) -> list[Fired]:
    """The herds, one after the other, each at an instant of its own; beside the bus a job that only runs."""
    if peer:
        prepare_peer()
    with Receiver() as receiver:
        with Product() as product:
            runs = [fire_at(product, receiver, kind, _instants(count)) for kind in kinds]
        if peer:
            runs += [peer_at(receiver, _instants(count), kind == WEBHOOK) for kind in kinds]
    return runs


def _instants(count: int) -> list[int]:
    return [first_instant_ms(count)] * count
