"""Which route a path means: Chalice's matcher, which compares a path with a few routes and not with all of them."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qs, urlparse

from chalice.local import MatchResult, RouteMatcher

_NOUN = 3  # the part of a path that names what it is about, as in /api/v1/schedules/{id}

_Candidate = tuple[str, Sequence[str]]


class IndexedMatcher(RouteMatcher):
    """Answers as the matcher that it extends, but captures nothing of routes that do not match."""

    def __init__(self, route_urls: list[str]) -> None:
        super().__init__(route_urls)
        split = [(route, route.split("/")) for route in self.route_urls]
        self._of_any_noun: dict[int, list[_Candidate]] = {len(parts): [] for _, parts in split}
        for each in split:
            if _is_captured(_noun(each[1])):
                self._of_any_noun[len(each[1])].append(each)
        named = {(len(parts), _noun(parts)) for _, parts in split if not _is_captured(_noun(parts))}
        self._of_noun: dict[tuple[int, str], list[_Candidate]] = {
            (size, noun): [
                (route, parts)
                for route, parts in split
                if len(parts) == size and (_noun(parts) == noun or _is_captured(_noun(parts)))
            ]
            for size, noun in named
        }

    def match_route(self, url: str) -> MatchResult:
        """The route of a path, what it captures, and its query. Raises ValueError when there is none."""
        asked = urlparse(url)
        path = asked.path[:-1] if asked.path != "/" and asked.path.endswith("/") else asked.path
        parts = path.split("/")
        known = self._of_noun.get((len(parts), _noun(parts)))
        for route, names in self._of_any_noun.get(len(parts), ()) if known is None else known:
            if all(name == part or _is_captured(name) for name, part in zip(names, parts, strict=True)):
                captured = {n[1:-1]: part for n, part in zip(names, parts, strict=True) if _is_captured(n)}
                return MatchResult(route, captured, parse_qs(asked.query, keep_blank_values=True))
        raise ValueError(f"No matching route found for: {url}")


def _noun(parts: Sequence[str]) -> str:
    return parts[_NOUN] if len(parts) > _NOUN else ""


def _is_captured(name: str) -> bool:
    return name.startswith("{") and name.endswith("}")
