"""The index of routes answers as Chalice's own matcher."""

from __future__ import annotations

import pytest
from chalice.local import RouteMatcher

from app import app
from chalicelib.api.http.route_matcher import IndexedMatcher

OURS, THEIRS = IndexedMatcher(list(app.routes)), RouteMatcher(list(app.routes))
OTHERS = [
    "",
    "/",
    "/api",
    "/api/v1/none",
    "/api/v1/none/x",
    "/a/b/c/d/e/f/g/h",
    "/console/x",
    "/console//y",
    "//",
    "/ping",
    "/[",
]


def test_every_route_is_found_with_what_it_captures() -> None:
    for route in app.routes:
        names = route.split("/")
        parts = [f"x{n}%2F:" if name.startswith("{") else name for n, name in enumerate(names)]
        captured = {n[1:-1]: part for n, part in zip(names, parts, strict=True) if n.startswith("{")}
        for url in ("/".join(parts), "/".join(parts) + "?a=1&a=2&b="):
            found, theirs = OURS.match_route(url), THEIRS.match_route(url)
            assert (found.route, found.query_params) == (theirs.route, theirs.query_params)
            assert (found.route, found.captured) == (route, captured)
        if route != "/":
            assert OURS.match_route("/".join(parts) + "/").route == route


@pytest.mark.parametrize("url", OTHERS)
def test_what_is_no_route_is_none_for_both(url: str) -> None:
    try:
        theirs = THEIRS.match_route(url).route
    except ValueError:
        with pytest.raises(ValueError, match="No matching route"):
            OURS.match_route(url)
    else:
        assert OURS.match_route(url).route == theirs


def test_a_route_with_a_name_goes_before_one_that_captures() -> None:
    routes = ["/a/b/{x}", "/a/b/c", "/a/{y}/c", "/{z}/b/c", "/q/w/e/{x}", "/q/w/e/r", "/{a}/w/e/r"]
    for url in ("/a/b/c", "/a/b/d", "/a/q/c", "/q/b/c", "/q/w/e/r", "/q/w/e/x", "/s/w/e/r"):
        assert IndexedMatcher(routes).match_route(url).route == RouteMatcher(routes).match_route(url).route
    assert IndexedMatcher(["/a/b/{x}/d", "/a/{y}/c/{z}"]).match_route("/a/b/c/e").captured == {"y": "b", "z": "e"}
