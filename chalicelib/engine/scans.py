"""How far reconcile has scanned the recent instants of each tenant and shard, and how many executions it found there.

One note holds up to sixteen shards of a tenant, so that a call which scans all of them writes one item. It is written
every five minutes, and at once when a scan found much. What was found since is scanned again, which costs no reads of
records (``process.done_memory``). A later owner's note of a shard is never written over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from chalicelib.core.executions import traffic
from chalicelib.engine.shards import HeldShard
from chalicelib.ports.services import Services
from chalicelib.ports.stores.cursors import Cursor

GROUP = 16  # shards of one note, which stays within a write unit
NOTED_EVERY_MS = 300_000  # how old a shard's note gets while little is found
NOTED_FROM = 100  # executions found in a shard since its note
WRITE_ATTEMPTS = 12  # nodes that share a group's shards write the same note


class _Scan(NamedTuple):
    """One shard's scan, begun from ``noted_ms``."""

    held: HeldShard
    noted_ms: int | None
    until_ms: int
    seen: Sequence[int]


class Scans:
    """The scans of one run, noted together at its end. One thread uses it."""

    def __init__(self, s: Services) -> None:
        self._s = s
        self._noted: dict[str, Cursor] = {}
        self._of_before: dict[tuple[str, int], Mapping[str, int]] = {}
        self._done: dict[tuple[str, int], list[_Scan]] = {}

    def scanned_ms(self, tenant: str, shard: int) -> int | None:
        """Up to where a shard was scanned by the note; None when it has none. Raises Unavailable."""
        name = note_name(tenant, shard // GROUP)
        if name not in self._noted:
            self._noted[name] = self._s.stores.cursors.load(name)
        noted_ms = scanned_ms(self._noted[name].values, shard)
        return self._older(tenant, shard).get("scanned_ms") if noted_ms is None else noted_ms

    def done(self, tenant: str, held: HeldShard, until_ms: int, seen: Sequence[int]) -> None:
        """A shard was scanned to the end; ``seen`` are instants of executions that no note has counted."""
        scan = _Scan(held, self.scanned_ms(tenant, held.shard), until_ms, seen)
        self._done.setdefault((tenant, held.shard // GROUP), []).append(scan)

    def note(self) -> None:
        """Write what is to be noted. Raises Unavailable, OutcomeUnknown: the next run scans the same again."""
        for (tenant, group), scans in self._done.items():
            if any(_is_due(scan) for scan in scans):
                self._write(tenant, group, scans)

    def _write(self, tenant: str, group: int, scans: Sequence[_Scan]) -> None:
        name = note_name(tenant, group)
        cursor = self._noted[name]
        for _ in range(WRITE_ATTEMPTS):
            noted = dict(cursor.values)
            for scan in scans:
                noted |= self._counted(tenant, noted, scan)
            if noted == cursor.values or self._s.stores.cursors.save(name, noted, cursor.rev):
                return
            cursor = self._s.stores.cursors.load(name)

    def _counted(self, tenant: str, noted: Mapping[str, int], scan: _Scan) -> Mapping[str, int]:
        """What a scan changes in a note: nothing where a later owner has noted the shard. What another call has
        counted meanwhile is not counted again."""
        shard, token = scan.held
        if noted.get(_token(shard), 0) > token:
            return {}
        now_noted_ms = scanned_ms(noted, shard)
        values = {_scanned(shard): scan.until_ms, _token(shard): token}
        if now_noted_ms is None:
            older = self._older(tenant, shard)
            carried = {**noted, **traffic.joined(noted, older)}
            return {**carried, **traffic.counted(carried, scan.seen), **values}
        if now_noted_ms != scan.noted_ms:
            return {}
        return {**traffic.counted(noted, scan.seen), **values}

    def _older(self, tenant: str, shard: int) -> Mapping[str, int]:
        """What a release before noted of the shard, in an item of its own. Asked for until there is a note."""
        if (tenant, shard) not in self._of_before:
            self._of_before[tenant, shard] = self._s.stores.cursors.load(f"reconcile#{tenant}#{shard}").values
        return self._of_before[tenant, shard]


def note_name(tenant: str, group: int) -> str:
    """The cursor of a group of a tenant's shards."""
    return f"scans#{tenant}#{group}"


def scanned_ms(values: Mapping[str, int], shard: int) -> int | None:
    """Up to where a shard was scanned, by its group's note."""
    return values.get(_scanned(shard))


def _is_due(scan: _Scan) -> bool:
    noted_ms = scan.noted_ms
    return noted_ms is None or scan.until_ms - noted_ms >= NOTED_EVERY_MS or len(scan.seen) >= NOTED_FROM


def _scanned(shard: int) -> str:
    return f"s{shard % GROUP}"


def _token(shard: int) -> str:
    return f"t{shard % GROUP}"
