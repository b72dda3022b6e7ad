"""The firings that a change adds, removes and moves, within the days ahead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chronosctl.session import Session

DAY_MS: Final = 86_400_000
DECIDING: Final = frozenset(
    ("type", "expr", "timezone", "start_at_unix_ms", "end_at_unix_ms", "exclude", "dst_gap", "dst_overlap", "enabled")
) | {"max_runs"}
_PREVIEW_MAX: Final = 1000
_CALLS_MAX: Final = 5  # previews of one form of a schedule; denser ones are compared up to there
_HOT_MINUTE: Final = 10
_HOT_SHOWN: Final = 10


@dataclass(slots=True)
class Ahead:
    """The runs of one form of a schedule, known up to ``until_ms``."""

    runs: list[int] = field(default_factory=list)
    until_ms: int = 0
    dst: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class Firings:
    """What the changes of a plan do to firings."""

    added: list[dict[str, Any]] = field(default_factory=list)
    removed: list[dict[str, Any]] = field(default_factory=list)
    moved: list[dict[str, Any]] = field(default_factory=list)
    dst: list[dict[str, Any]] = field(default_factory=list)
    minutes: Counter[int] = field(default_factory=Counter)
    complete: bool = True


class Outlook:
    """Asks the service for runs, and compares them."""

    def __init__(self, session: Session, days: int) -> None:
        """The days count from the service's present: a clock that is wrong here changes nothing."""
        self._session = session
        self.from_ms = session.call("GET", "/api/v1/time/now")["wall_unix_nanos"] // 1_000_000
        self.to_ms = self.from_ms + days * DAY_MS
        self.found = Firings()

    def compare(self, called: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> dict[str, int]:
        """Take in one changed schedule; how many firings it adds, removes and moves."""
        old, new = self._ahead(before), self._ahead(after)
        until = min(old.until_ms, new.until_ms)
        self.found.complete = self.found.complete and until >= self.to_ms
        had, has = ({run for run in each.runs if run <= until} for each in (old, new))
        moved = _moved(sorted(had - has), sorted(has - had))
        gone, come = {pair[0] for pair in moved}, {pair[1] for pair in moved}
        removed, added = sorted(had - has - gone), sorted(has - had - come)
        f = self.found
        f.moved += [{"schedule": called, "from_unix_ms": a, "to_unix_ms": b} for a, b in moved]
        f.removed += [{"schedule": called, "at_unix_ms": at} for at in removed]
        f.added += [{"schedule": called, "at_unix_ms": at} for at in added]
        f.dst += [{"schedule": called, **each} for each in new.dst]
        f.minutes.update(run // 60_000 for run in has)
        f.minutes.subtract(run // 60_000 for run in had)
        return {"added": len(added), "removed": len(removed), "moved": len(moved)}

    def hot_minutes(self) -> list[dict[str, int]]:
        """The minutes of the next day that get more crowded, the fullest first."""
        if not any(count > 0 for count in self.found.minutes.values()):
            return []
        query = {"from_unix_ms": self.from_ms, "to_unix_ms": min(self.to_ms, self.from_ms + DAY_MS)}
        answer = self._session.call("GET", "/api/v1/upcoming", query=query)
        now = {each["at_unix_ms"] // 60_000: each["count"] for each in answer["minutes"]}
        then = [(now.get(m, 0) + more, m, more) for m, more in self.found.minutes.items() if more > 0]
        hot = sorted((each for each in then if each[0] >= _HOT_MINUTE), key=lambda each: (-each[0], each[1]))
        return [{"at_unix_ms": m * 60_000, "count": count, "added": more} for count, m, more in hot[:_HOT_SHOWN]]

    def _ahead(self, form: Mapping[str, Any] | None) -> Ahead:
        if form is None or not form.get("enabled", True):
            return Ahead(until_ms=self.to_ms)
        if form["type"] == "DELAY":  # each run follows the end of the one before: only the next is known
            upcoming = form.get("next_run_unix_ms")
            return Ahead([upcoming] if upcoming and upcoming <= self.to_ms else [], self.to_ms)
        return self._previewed(form)

    def _previewed(self, form: Mapping[str, Any]) -> Ahead:
        from chronosctl import previews

        found, after = Ahead(until_ms=self.to_ms), self.from_ms
        left = form["max_runs"] - form.get("run_count", 0) if form.get("max_runs") else None
        body = {**previews.recurrence(form), "count": _PREVIEW_MAX}
        for _ in range(_CALLS_MAX):
            answer = self._session.call("POST", "/api/v1/schedules:preview", {**body, "after_unix_ms": after})
            runs = answer["runs_unix_ms"]
            found.runs += [run for run in runs if run <= self.to_ms]
            found.dst += [each for each in answer["dst"] if each["run_unix_ms"] <= self.to_ms]
            if len(runs) < _PREVIEW_MAX or runs[-1] > self.to_ms:
                break
            after = runs[-1]
        else:
            found.until_ms = after
        if left is not None and len(found.runs) > max(0, left):
            del found.runs[max(0, left) :]
        return found


def _moved(removed: Sequence[int], added: Sequence[int]) -> list[tuple[int, int]]:
    """Pairs of a removed firing and the added one nearest to it, at most a day away, each used once."""
    pairs, at = [], 0
    for n, old in enumerate(removed):
        following = removed[n + 1] if n + 1 < len(removed) else None
        while at < len(added) and added[at] < old - DAY_MS:
            at += 1
        best = None
        while at < len(added) and added[at] <= old + DAY_MS:
            nearer = best is None or abs(added[at] - old) <= abs(best - old)
            # What is nearer to the next removed one is left for that.
            for_next = following is not None and abs(added[at] - following) < abs(added[at] - old) and best is not None
            if not nearer or for_next:
                break
            best = added[at]
            at += 1
        if best is not None:
            pairs.append((old, best))
    return pairs
