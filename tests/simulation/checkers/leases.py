"""Invariants 3 and 4 for leases: tokens only grow and belong to one holder each, at most one client believes, waiters
are served in order, and what was released stays so.

Exclusion and order are judged while clocks keep within the margin, exclusion only where nobody breaks leases. What the
tokens promise, and so what the fenced resource relies on, is judged always.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from chalicelib.core.leases.lease_item import LeaseItem


def check(play: Any) -> Iterable[str]:
    """What broke."""
    record = play.leases
    yield from record.faults
    yield from _tokens(record)
    yield from _resource(record)
    if play.within_margin:
        yield from _order(record, play.margin_ms)
    if play.within_margin and play.plan.mood != "breaks":
        yield from _exclusion(record)
    if play.plan.quiet:
        yield from _fairness(record)
        served = {turn.client for turn in record.turns}
        yield from (f"{client.name} was never served" for client in play.clients if client.name not in served)


def _tokens(record: Any) -> Iterator[str]:
    """Each write keeps the token or grants the next; only a grant makes a holder of one who was none."""
    for at_ms, before, after in record.written:
        old = before or LeaseItem(after.tenant, after.name)
        what = f"{after.name} rev {after.rev} at {at_ms}"
        if after.rev != old.rev + 1:
            yield f"{what}: follows rev {old.rev}"
        if after.fencing_token not in (old.fencing_token, old.fencing_token + 1):
            yield f"{what}: token {old.fencing_token} became {after.fencing_token}"
        granted = after.fencing_token != old.fencing_token
        if not granted and after.holder_id not in (old.holder_id, None):
            yield f"{what}: {after.holder_id} holds under the token of {old.holder_id}"
        if not granted and after.holder_id == old.holder_id and after.expires_at_unix_ms < old.expires_at_unix_ms:
            yield f"{what}: what {after.holder_id} was promised was shortened"


def _resource(record: Any) -> Iterator[str]:
    """No two clients ever wrote under one token, and none after a later one."""
    writers: dict[tuple[str, int], str] = {}
    highest: dict[str, int] = defaultdict(int)
    for name, client, token in record.accepted:
        writer = writers.setdefault((name, token), client)
        if writer != client:
            yield f"{name}: {writer} and {client} both wrote under token {token}"
        if token < highest[name]:
            yield f"{name}: token {token} was accepted after {highest[name]}"
        highest[name] = max(highest[name], token)


def _exclusion(record: Any) -> Iterator[str]:
    """No two clients believed at the same true time."""
    by_name = defaultdict(list)
    for belief in record.beliefs:
        by_name[belief.name].append(belief)
    for name, beliefs in by_name.items():
        latest = None
        for belief in sorted(beliefs, key=lambda b: b.from_ms):
            if latest is not None and belief.from_ms < latest.until_ms and belief.client != latest.client:
                yield f"{name}: {latest} and {belief} both believed"
            if latest is None or belief.until_ms > latest.until_ms:
                latest = belief


def _order(record: Any, margin_ms: int) -> Iterator[str]:
    """Nobody was granted before someone who had asked first and was still asking, by any clock within the margin."""
    for at_ms, before, after in record.written:
        if before is None or after.fencing_token == before.fencing_token:
            continue
        mine = next((w.ticket for w in before.waiters if w.holder_id == after.holder_id), None)
        for waiter in before.waiters:
            still_asks = at_ms < waiter.asks_until_ms - margin_ms
            if waiter.holder_id != after.holder_id and still_asks and (mine is None or waiter.ticket < mine):
                yield f"{after.name} at {at_ms}: {after.holder_id} overtook {waiter.holder_id}"


def _fairness(record: Any) -> Iterator[str]:
    """Where nothing goes wrong, whoever had its place before another asked was granted before it. Judged by the
    clients' own times, not by what the product wrote of its queue."""
    first = {(turn.name, turn.token): turn for turn in record.turns[::-1]}  # asking again as the holder is no turn
    for mine in first.values():
        for later in first.values():
            if later.name == mine.name and mine.known_ms < later.asked_ms and later.token < mine.token:
                yield f"{mine.name}: {later} was served before {mine}"
