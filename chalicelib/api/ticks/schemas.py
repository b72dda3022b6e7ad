"""Ticks and their streams as callers ask for them and see them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.requests import Body, Opt, PageQuery
from chalicelib.api.targets.schemas import Target
from chalicelib.core.ticks.frequencies import Frequency
from chalicelib.core.ticks.limits import SEQUENCE_MAX


class TicksQuery(PageQuery, kw_only=True):
    """Which ticks: those after a number, oldest first. With `text/event-stream`, without a number, from now on."""

    after_sequence: Opt[
        Annotated[int, Meta(ge=0, le=SEQUENCE_MAX, description="The last number that the caller has; 0 for none.")]
    ] = UNSET


class EnableTicksBody(Body, kw_only=True):
    """Where the ticks of this stream go beside the bus. Left out: as it is; null: nowhere else."""

    target: Opt[Target | None] = UNSET


class TickView(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A boundary of the calendar and its number. `timestamp` and `seed` need all 64 bits of an integer: JavaScript's
    numbers have 53. `caught_up` is there when the tick came late, after an outage."""

    id: Annotated[str, Meta(examples=["second-1795252805000000000-42"])]
    timestamp: Annotated[int, Meta(description="Unix nanoseconds of the boundary.")]
    frequency: Frequency
    sequence: Annotated[int, Meta(ge=1)]
    seed: Annotated[int, Meta(description="`timestamp` XOR `sequence`.")]
    schema_version: int
    producer_version: str
    instance_id: str
    caught_up: bool = False


class TickGap(msgspec.Struct, kw_only=True):
    """Boundaries that got no tick and no number: they lie between `after_sequence` and the next one."""

    after_sequence: int
    from_timestamp: int
    to_timestamp: int
    count: int


class TickList(msgspec.Struct):
    """Ticks, oldest first, and the gaps before or between them. Without a next page these are all by now; go on with
    the last `sequence`."""

    items: list[TickView]
    gaps: list[TickGap]
    next_page_token: str | None


class TickStreamView(msgspec.Struct, kw_only=True):
    """Where a stream stands. `sequence` and `timestamp` are its newest tick (0 and null before the first). Numbers are
    given minutes ahead, up to `reserved_sequence`. A disable takes back those that no subscriber has seen."""

    frequency: Frequency
    enabled: bool
    sequence: int
    timestamp: int | None
    next_timestamp: int | None
    reserved_sequence: int
    target: Target | None


class TickStreamList(msgspec.Struct):
    """All streams."""

    items: list[TickStreamView]
    next_page_token: str | None
