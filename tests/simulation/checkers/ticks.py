"""Ticks: numbers without holes or doubles, one boundary each, every skipped boundary accounted for, every number
published under one id, and a past that shows each once. A stream that is stopped ends soon, and takes back no number
that was seen. Boundaries are counted here by other means than the product's.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from chalicelib.core.limits import SWEEP_PERIOD_MS
from chalicelib.core.ticks.frequencies import FREQUENCIES, Frequency
from chalicelib.core.ticks.limits import TICK_CLOCK_AHEAD_MAX_MS, TICK_GRACE_MS, TICK_RESERVE_AHEAD_MS, TICK_START_MS
from chalicelib.core.ticks.numbering import Gap, Tick, TickCursor
from chalicelib.core.ticks.tick_book import Maker, Skipped, Stream, TickRun
from chalicelib.usecases.tick_feed import Dropped
from tests.simulation.actors.tick_clients import TickWrite

NANOS_PER_MS = 1_000_000
NANOS_PER_S = 1_000_000_000
HOUR_S = 3600
SLACK_MS = 5_000  # for the proof that a clock is wrong, which is looked at before the clock is read
ON_TIME_MS = 1_500  # how late a tick may be while all is well: messages come a second early at the least
END_MS = 2_000  # a stream that is stopped ends so soon
DRIFT_MS = 2 * 20  # clocks that were not stepped differ by no more


class Numbered(NamedTuple):
    """What a number was first given to, and when."""

    boundary: int
    caught_up: bool
    maker: Maker
    at_ms: int


class _Ledger:
    """All that was numbered in one stream, put together from the writes of the book."""

    def __init__(self, frequency: Frequency, wall: Sequence[int]) -> None:
        self.frequency = frequency
        self.wall = wall  # the boundaries that there are, unix nanoseconds
        self.numbered: dict[int, Numbered] = {}
        self.gaps: dict[int, Gap] = {}
        self.excused: list[tuple[int, int]] = []  # (after, until]: nothing was owed there

    def between(self, after: int, until: int) -> list[int]:
        """The boundaries in (after, until]."""
        return list(self.wall[bisect_right(self.wall, after) : bisect_right(self.wall, until)])


def check(play: Any) -> Iterable[str]:
    """What broke."""
    walls = _walls(play)
    ledgers = {frequency: _Ledger(frequency, walls[frequency]) for frequency in FREQUENCIES}
    for write in play.ticks.writes:
        for frequency, ledger in ledgers.items():
            old, new = write.before.stream(frequency), write.after.stream(frequency)
            if old != new:
                yield from (f"{frequency} at {write.at_ms}: {text}" for text in _write(play, ledger, write, old, new))
    for ledger in ledgers.values():
        yield from (f"{ledger.frequency}: {text}" for text in _accounts(ledger))
    yield from _published(play, ledgers)
    yield from _lively(play, ledgers)
    yield from _readers(play, ledgers)
    yield from _past(play, ledgers)


def _walls(play: Any) -> dict[Frequency, list[int]]:
    """The boundaries of every frequency around the world's time, by the standard library's zones."""
    zone = ZoneInfo(play.plan.zone)
    start_s, end_s = play.plan.start_ms // 1000 - HOUR_S, play.world.now // 1000 + HOUR_S
    minutes = range(start_s - start_s % 60, end_s, 60)
    walls: dict[Frequency, list[int]] = {"second": [], "minute": [], "hour": [], "day": []}
    walls["second"] = [s * NANOS_PER_S for s in range(start_s, end_s)]
    walls["minute"] = [s * NANOS_PER_S for s in minutes]
    newest = datetime.fromtimestamp(minutes[0] - 60, UTC).astimezone(zone).date()
    for minute_s in minutes:
        local = datetime.fromtimestamp(minute_s, UTC).astimezone(zone)
        if local.minute == 0:
            walls["hour"].append(minute_s * NANOS_PER_S)
        if local.date() > newest:
            newest = local.date()
            walls["day"].append(minute_s * NANOS_PER_S)
    return walls


# -- numbering


def _write(play: Any, ledger: _Ledger, write: TickWrite, old: Stream, new: Stream) -> Iterator[str]:
    """One write of one stream."""
    stopped = play.runs(ledger.frequency, old.enabled) and not play.runs(ledger.frequency, new.enabled)
    if stopped:
        yield from _stop(play, ledger, write, new)
    fresh = list[Numbered]()
    # What stands as it stood was judged when it was written, unless a stop took numbers back.
    runs = new.runs if stopped else [run for run in new.runs if run not in old.runs]
    for sequence, numbered in _ticks(runs, write.at_ms):
        known = ledger.numbered.get(sequence)
        if known is not None:
            if known[:3] != numbered[:3]:
                yield f"number {sequence} was {known} and became {numbered}"
            continue
        last = ledger.numbered.get(sequence - 1)
        if sequence != len(ledger.numbered) + 1:
            yield f"number {sequence} came after {len(ledger.numbered)}"
        if last is not None and numbered.boundary <= last.boundary:
            yield f"number {sequence} has {numbered.boundary}, and the one before {last.boundary}"
        ledger.numbered[sequence] = numbered
        fresh.append(numbered)
    if new.cursor.sequence != len(ledger.numbered):
        yield f"the cursor says {new.cursor.sequence} of {len(ledger.numbered)} numbers"
    if new.cursor.boundary_nanos < old.cursor.boundary_nanos and not (
        stopped and new.cursor.sequence < old.cursor.sequence
    ):
        yield f"the cursor went back from {old.cursor} to {new.cursor}"
    if fresh and not play.runs(ledger.frequency, old.enabled):
        yield "a stream that stands still gave numbers"
    gaps = [gap for gap in new.gaps if gap not in old.gaps]
    ledger.gaps |= {gap.after_sequence: gap.gap for gap in gaps}
    if gaps:
        play.world.hit("tick: gap")
    yield from _jump(play, ledger, write, old, new, fresh)
    if not write.stepped:
        yield from _times(play, write, gaps, fresh)


def _stop(play: Any, ledger: _Ledger, write: TickWrite, new: Stream) -> Iterator[str]:
    """A stream that is stopped ends at once: what lies ahead loses its number, and what had passed by then keeps it.

    That nobody had seen a number that was taken back is judged by what it is given to afterwards, if to anything.
    """
    last = new.cursor.sequence
    taken = {sequence: n for sequence, n in ledger.numbered.items() if sequence > last}
    for sequence, numbered in taken.items():
        del ledger.numbered[sequence]
        if not write.stepped and numbered.boundary <= write.look_ms * NANOS_PER_MS:
            yield f"number {sequence} was taken back although {numbered.boundary} had passed"
    if taken:
        play.world.hit("tick: taken back")
        boundaries = [n.boundary for n in taken.values()]
        ledger.excused.append((min(boundaries) - 1, max(boundaries)))
        ledger.gaps = {after: gap for after, gap in ledger.gaps.items() if after <= last}
    kept = ledger.numbered.get(last)
    latest_ms = write.clock_ms + END_MS + DRIFT_MS
    are_well = not any(play.world.hits.get(f"fault:{kind}") for kind in ("clock_forward", "clock_backward"))
    if kept is not None and are_well and kept.boundary > latest_ms * NANOS_PER_MS:
        yield f"a stream that was stopped goes on for {kept.boundary // NANOS_PER_MS - write.clock_ms} ms"


def _ticks(runs: Iterable[TickRun], at_ms: int) -> Iterator[tuple[int, Numbered]]:
    for run in runs:
        for i in range(run.count):
            boundary = (run.first_s + i * run.step_s) * NANOS_PER_S
            yield run.first_sequence + i, Numbered(boundary, run.caught_up, run.maker, at_ms)


def _jump(
    play: Any, ledger: _Ledger, write: TickWrite, old: Stream, new: Stream, fresh: Sequence[Numbered]
) -> Iterator[str]:
    """A stream that begins, or goes on after a pause, owes nothing up to a moment after it was told to."""
    resumed = bool(new.enabled) and not play.runs(ledger.frequency, old.enabled)
    if resumed:
        play.world.hit("tick: resumed")
    if not resumed and old.cursor != TickCursor():
        return
    until = fresh[0].boundary - 1 if fresh else new.cursor.boundary_nanos
    if until <= old.cursor.boundary_nanos:
        return
    ledger.excused.append((old.cursor.boundary_nanos, until))
    allowed = (write.clock_ms + TICK_START_MS) * NANOS_PER_MS
    if not write.stepped and (lost := ledger.between(max(allowed, old.cursor.boundary_nanos), until)):
        yield f"began after {lost[0]}, which was still to come"


def _times(play: Any, write: TickWrite, gaps: Sequence[Skipped], fresh: Sequence[Numbered]) -> Iterator[str]:
    """What is late was late by the writer's clock, and what is not was not."""
    grace = TICK_GRACE_MS
    earliest, latest = (write.look_ms - grace) * NANOS_PER_MS, (write.clock_ms - grace) * NANOS_PER_MS
    late = [n for n in fresh if n.caught_up]
    if late:
        play.world.hit("tick: caught up")
    if len(late) > play.plan.catch_up or (gaps and len(late) != play.plan.catch_up):
        yield f"{len(late)} were caught up instead of {play.plan.catch_up}"
    for boundary in [*(g.gap.to_nanos for g in gaps), *(n.boundary for n in late)]:
        if boundary > latest:
            yield f"{boundary} was given up or caught up when it was not late"
    for numbered in fresh:
        if not numbered.caught_up and numbered.boundary <= earliest:
            yield f"{numbered.boundary} was late and does not say so"
        if numbered.boundary > (write.clock_ms + TICK_RESERVE_AHEAD_MS) * NANOS_PER_MS:
            yield f"{numbered.boundary} was numbered too far ahead"
    reach_ms = TICK_CLOCK_AHEAD_MAX_MS + TICK_RESERVE_AHEAD_MS + SLACK_MS
    if play.plan.proven and fresh and fresh[-1].boundary > (write.at_ms + reach_ms) * NANOS_PER_MS:
        yield f"{fresh[-1].boundary} was numbered by a clock that was known to be far ahead"
    if not fresh and not gaps and write.clock_ms < max(_reserved_ms(write)) - TICK_RESERVE_AHEAD_MS:
        play.world.hit("tick: silent behind the cursor")


def _reserved_ms(write: TickWrite) -> list[int]:
    return [s.cursor.boundary_nanos // NANOS_PER_MS for s in write.before.streams.values()] or [0]


def _accounts(ledger: _Ledger) -> Iterator[str]:
    """Each boundary is a tick's, in a declared gap, or was not owed; nothing is two of these."""
    at = [0, *(n.boundary for n in ledger.numbered.values())]
    wall = set(ledger.wall)
    yield from (f"{b} is no boundary" for b in at[1:] if b not in wall)
    for sequence, (before, after) in enumerate(pairwise(at)):
        skipped = [b for b in ledger.between(before, after - 1) if not _is_excused(ledger, b)]
        gap = ledger.gaps.get(sequence)
        declared = ledger.between(gap.from_nanos - 1, gap.to_nanos) if gap else []
        if [b for b in declared if not before < b < after]:
            yield f"the gap {gap} after number {sequence} covers a tick"
        if gap and (gap.count != len(declared) or declared[:1] != [gap.from_nanos] or declared[-1:] != [gap.to_nanos]):
            yield f"the gap {gap} after number {sequence} holds {len(declared)} boundaries"
        if missing := sorted(set(skipped) - set(declared)):
            yield f"{missing[0]} and {len(missing) - 1} more after number {sequence} have no tick and are in no gap"


def _is_excused(ledger: _Ledger, boundary: int) -> bool:
    return any(after < boundary <= until for after, until in ledger.excused)


# -- publishing


def _published(play: Any, ledgers: dict[Frequency, _Ledger]) -> Iterator[str]:
    """Each number is published, at its instant and not before, as nothing but what it was given to."""
    first: dict[str, int] = {}
    for sent in play.ticks.published:
        event = sent.event
        numbered = ledgers[event["frequency"]].numbered.get(event["sequence"])
        if numbered is None or sent.at_ms < numbered.at_ms:
            yield f"{sent.id} was published before its number was given"
            continue
        if event != _wire(event["frequency"], event["sequence"], numbered) or event["id"] != sent.id:
            yield f"{sent.id} was published as {event}, and is {numbered}"
        if sent.clock_ms * NANOS_PER_MS < numbered.boundary:
            yield f"{sent.id} was published {numbered.boundary // NANOS_PER_MS - sent.clock_ms} ms early"
        if sent.id in first:
            play.world.hit("tick: published twice")
        first.setdefault(sent.id, sent.at_ms)
    if not play.has_ended:
        yield f"not at rest: {len(play.mailroom.letters)} messages are left"
        return
    for frequency, ledger in ledgers.items():
        for sequence, numbered in ledger.numbered.items():
            yield from _arrived(play, f"{frequency}-{numbered.boundary}-{sequence}", numbered, first)


def _arrived(play: Any, tick_id: str, numbered: Numbered, first: dict[str, int]) -> Iterator[str]:
    due_ms = numbered.boundary // NANOS_PER_MS
    if tick_id not in first:
        if tick_id in play.world.record.dead and tick_id in play.ticks.refused:
            play.world.hit("tick: dead letter")
        else:
            yield f"{tick_id} was never published"
        return
    is_well = numbered.at_ms > play.plan.end_ms + SLACK_MS and due_ms > numbered.at_ms + SLACK_MS
    if is_well and first[tick_id] > due_ms + ON_TIME_MS:
        yield f"{tick_id} was published {first[tick_id] - due_ms} ms late while all was well"


def _wire(frequency: str, sequence: int, numbered: Numbered) -> dict[str, object]:
    wire: dict[str, object] = {
        "id": f"{frequency}-{numbered.boundary}-{sequence}",
        "timestamp": numbered.boundary,
        "frequency": frequency,
        "sequence": sequence,
        "seed": numbered.boundary ^ sequence,
        "schema_version": 1,
        "producer_version": numbered.maker.producer_version,
        "instance_id": numbered.maker.instance_id,
    }
    return {**wire, "caught_up": True} if numbered.caught_up else wire


def _lively(play: Any, ledgers: dict[Frequency, _Ledger]) -> Iterator[str]:
    """A stream that runs once all is well has numbers for the next minutes; in calm worlds it never skips anything."""
    before = [w for w in play.ticks.writes if w.at_ms < play.closing_ms]
    if not before:
        return
    book = before[-1].after
    for frequency, ledger in ledgers.items():
        stream = book.stream(frequency)
        ahead = (play.closing_ms + SWEEP_PERIOD_MS) * NANOS_PER_MS
        left = ledger.between(stream.cursor.boundary_nanos, ahead)
        if play.runs(frequency, stream.enabled) and stream.cursor != TickCursor() and left:
            yield f"{frequency} stands still before {left[0]}: {stream.cursor}"
        late = [n for n in ledger.numbered.values() if n.caught_up]
        if play.plan.mood == "calm" and (ledger.gaps or late):
            yield f"{frequency} has {len(ledger.gaps)} gaps and {len(late)} late ticks although nothing went wrong"


# -- reading


def _readers(play: Any, ledgers: dict[Frequency, _Ledger]) -> Iterator[str]:
    """Readers get each tick once and in order, as it is."""
    for got in play.ticks.read:
        yield from (f"a reader {text}" for text in _in_order(got, ledgers, 0))
    for after, items in play.ticks.followed:
        yield from (f"a follower {text}" for text in _in_order(items, ledgers, after))


def _in_order(got: Sequence[Tick | Dropped], ledgers: dict[Frequency, _Ledger], last: int | None) -> Iterator[str]:
    for item in got:
        first = item.after_sequence + 1 if isinstance(item, Dropped) else item.sequence
        if last is not None and first != last + 1:
            yield f"got {first} after {last}"
        last = item.until_sequence if isinstance(item, Dropped) else item.sequence
        if isinstance(item, Tick):
            numbered = ledgers[item.frequency].numbered.get(item.sequence)
            if numbered is None or item.as_json() != _wire(item.frequency, item.sequence, numbered):
                yield f"got {item}, which is {numbered}"


def _past(play: Any, ledgers: dict[Frequency, _Ledger]) -> Iterator[str]:
    """At the end the past holds every tick once, and every gap before the last of them."""
    shown: dict[Frequency, dict[int, Gap]] = defaultdict(dict)
    for frequency, (found, gaps) in play.ticks.past.items():
        ledger = ledgers[frequency]
        if [t.sequence for t in found] != list(ledger.numbered):
            yield f"{frequency}: the past shows {len(found)} of {len(ledger.numbered)} ticks"
        yield from (f"{frequency}: the past {text}" for text in _in_order(found, ledgers, 0))
        shown[frequency] = {gap.after_sequence: gap.gap for gap in gaps}
        if shown[frequency] != ledger.gaps:
            yield f"{frequency}: the past shows the gaps {shown[frequency]} and not {ledger.gaps}"
