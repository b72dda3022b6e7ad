"""The change feed: each change once, each item's in order, contiguous positions, and to each reader its own."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from chalicelib.core.changes.change_log import Change


def check(play: Any) -> Iterable[str]:
    """What broke."""
    for tenant in sorted({*play.written, *play.watched.log}):
        segments = play.watched.log.get(tenant, [])
        yield from _contiguous(tenant, segments)
        log = [change for segment in segments for change in segment.changes]
        yield from _each_once(tenant, play.written.get(tenant, []), log)
        yield from _in_order(f"the log of {tenant}", log)
    for reader in play.readers:
        yield from _reader(play, reader)


def _contiguous(tenant: str, segments: Any) -> Iterator[str]:
    last = 0
    for segment in segments:
        if segment.first != last + 1:
            yield f"{tenant}: a segment begins at {segment.first}, after {last}"
        last = segment.last


def _each_once(tenant: str, written: list[Change], log: list[Change]) -> Iterator[str]:
    wanted, found = (Counter((c.id, c.at_ms) for c in some) for some in (written, log))
    for change, times in sorted((found - wanted).items()):
        yield f"{tenant}: {change} is logged {times} times too often"
    for change in sorted(wanted - found):
        yield f"{tenant}: {change} is not logged"


def _in_order(what: str, changes: Iterable[Change]) -> Iterator[str]:
    revs: dict[str, int] = defaultdict(int)
    for change in changes:
        if change.at_ms <= revs[change.id]:
            yield f"{what}: {change.id} is at {change.at_ms} after {revs[change.id]}"
        revs[change.id] = change.at_ms


def _reader(play: Any, reader: Any) -> Iterator[str]:
    """Each run is the log from where it began, without what is another owner's."""
    segments = play.watched.log.get(reader.tenant, [])
    log = [(place, change) for s in segments for place, change in enumerate(s.changes, s.first)]
    visible = [(p, c) for p, c in log if reader.owner is None or c.owner in (None, reader.owner)]
    for number, (began, found) in enumerate(reader.runs):
        if any(placed.change.owner not in (None, reader.owner) for placed in found) and reader.owner is not None:
            yield f"{reader.name} of {reader.owner} sees another owner's"
        is_last = number == len(reader.runs) - 1
        wanted = [(p, c) for p, c in visible if p > began]
        got = [tuple(placed) for placed in found]
        if got != (wanted if is_last and play.world.over else wanted[: len(got)]):
            yield f"{reader.name} began after {began} and got {len(got)} changes, which are not the next in the log"
    if not play.world.over:
        yield f"{reader.name} did not come to the end of the log"
