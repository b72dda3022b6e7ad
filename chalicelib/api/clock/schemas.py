"""The clock as callers see it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chalicelib.api.http.requests import Query
from chalicelib.api.http.responses import ShownInstant


class NowQuery(Query, kw_only=True):
    """Which clock."""

    consistency: Annotated[
        Literal["local", "cluster"],
        Meta(description="`cluster`: the stamp is greater than every earlier such stamp of any instance."),
    ] = "local"


class NowView(msgspec.Struct):
    """This instance's time, and a stamp greater than every one it gave out or was sent."""

    wall_unix_nanos: int
    monotonic_nanos: int
    tz: str
    iso8601: str
    clock_id: str
    hlc_physical_nanos: int
    hlc_logical: int
    error_bound_nanos: int
    drift_ms: float


class StepView(msgspec.Struct):
    """A jump of the wall clock, seen at `at_unix_ms` (of the clock after it); negative is backward."""

    at_unix_ms: ShownInstant
    step_ms: float


class DriftView(msgspec.Struct, kw_only=True):
    """How far the wall clock is off, whichever is more: against the monotonic clock since this process began, or as
    sources of true time prove. `sources_agreeing` of `sources` (the deployment's own statement is one) support the
    error bound."""

    drift_ms: float
    max_drift_ms: int
    within_bound: bool
    samples: int
    steps: list[StepView]
    error_bound_nanos: int
    sources: int
    sources_agreeing: int
