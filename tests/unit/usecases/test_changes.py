"""Reading the log of changes while it grows."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.core.changes.limits import PAGE_QUERIES, PAGE_SEGMENTS
from chalicelib.core.errors import Gone
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.ports.services import Services
from chalicelib.usecases import changes as usecase
from chalicelib.workers import changes
from tests.kit.changes import gone
from tests.kit.services import make_services


class GrowsMeanwhile:
    """A log that is appended to between the first reading of its segments and the next."""

    def __init__(self, s: Services) -> None:
        self._inner = s.stores.changes
        self._s = s
        self._has_grown = False

    def segments(self, *asked: Any) -> Any:
        found = self._inner.segments(*asked)
        if not self._has_grown:
            self._has_grown = True
            changes.record(self._s, "s", [gone(99)])
        return found

    def head(self, tenant: str) -> Any:
        return self._inner.head(tenant)


def test_a_log_that_grows_while_its_end_is_read_has_not_expired() -> None:
    s = make_services()
    changes.record(s, "s", [gone(1)])
    growing: Any = GrowsMeanwhile(s)
    watched = replace(s, stores=replace(s.stores, changes=growing))
    assert usecase.page(watched, ANONYMOUS_ADMIN, 1, 10, None).changes == []
    assert len(usecase.page(watched, ANONYMOUS_ADMIN, 1, 10, None).changes) == 1


def test_a_page_of_what_is_not_shown_goes_on() -> None:
    s = make_services()
    read = PAGE_QUERIES * PAGE_SEGMENTS
    for number in range(read + 1):
        changes.record(s, "s", [gone(number)])
    page = usecase.page(s, ANONYMOUS_ADMIN, 0, 10, ["lease"])
    assert page == ([], read)


def test_a_cursor_beyond_the_end_is_gone() -> None:
    s = make_services()
    with pytest.raises(Gone):
        usecase.page(s, ANONYMOUS_ADMIN, 1, 10, None)
