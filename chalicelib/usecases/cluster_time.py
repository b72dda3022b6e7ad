"""Stamps in one order for all instances: each is written before it is given out, on the condition that it is the next.

The last stamp is one record under optimistic concurrency. Each writer puts a stamp above it there. So a stamp is
greater than every one given out before it was asked for, by whichever instance, whatever their clocks say.
"""

from __future__ import annotations

from contextlib import suppress

from chalicelib.core.clock import hlc
from chalicelib.core.clock.hlc import Stamp
from chalicelib.core.errors import InvalidField, TooMany
from chalicelib.ports.services import Services
from chalicelib.ports.stores.cursors import Cursor

CURSOR = "cluster-time"
CHANGE_ATTEMPTS = 64


class ClusterClock:
    """Remembers what this process wrote last, so that a stamp costs one write while no other instance asks."""

    def __init__(self) -> None:
        self._known: Cursor | None = None

    def stamp(self, s: Services) -> Stamp:
        """A stamp greater than every earlier one of any instance.

        Later stamps of this instance are greater too, unless another instance's clock is too far ahead to be followed.
        Raises TooMany (``contended``) when others were faster time and again; Unavailable, OutcomeUnknown.
        """
        with s.signals.turn(CURSOR):
            known, self._known = self._known, None
            for _ in range(CHANGE_ATTEMPTS):
                cursor = known or s.stores.cursors.load(CURSOR)
                stamp = _following(s, cursor)
                values = {"physical_nanos": stamp.physical_nanos, "logical": stamp.logical}
                if s.stores.cursors.save(CURSOR, values, cursor.rev):
                    self._known = Cursor(cursor.rev + 1, values)
                    return stamp
                known = None
        raise TooMany("too many callers ask for the cluster time at once", code="contended")


def _following(s: Services, cursor: Cursor) -> Stamp:
    """A stamp of this instance, if that is above the last one of the cluster; else the next after that."""
    last = Stamp(cursor.values.get("physical_nanos", 0), cursor.values.get("logical", 0))
    mine = hlc.parse(s.ids.hlc())
    if mine > last:
        return mine
    stamp = hlc.tick(last, mine.physical_nanos)
    with suppress(InvalidField):  # clock_skew: an instance's clock is far ahead; the cluster's order holds all the same
        s.ids.observe(stamp.encode())
    return stamp
