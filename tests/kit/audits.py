"""The audit in tests: a deployment that signs checkpoints, and hands that change what they should not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from chalicelib.adapters.audit.file_signer import FileSigner
from chalicelib.adapters.memory.checkpoints import MemoryCheckpoints
from chalicelib.core.audit import segment
from chalicelib.core.audit.entry import Entry, full_digest
from chalicelib.core.audit.segment import AuditSegment
from chalicelib.ports.services import Services
from chalicelib.ports.stores.audit import StoredSegment

TENANT = "default"
ATTACKS = (
    "one changed",
    "one changed, its digest too",
    "the end cut",
    "all made anew",
    "one left out, made anew",
    "two swapped",
    "forked",
    "the beginning cut",
    "actors taken out",
    "emptied",
)


def signing(s: Services, directory: Path) -> Services:
    """``s``, which signs checkpoints by a key in ``directory``."""
    return replace(s, checkpoints=MemoryCheckpoints(), signer=FileSigner(str(directory / "audit-key")))


def chain(s: Services, tenant: str = TENANT) -> list[Entry]:
    """All entries as they are stored, unjudged."""
    return [e for stored in s.stores.audit.oldest(tenant, 10_000) for e in segment.read(stored.document).entries]


def overwrite(s: Services, entries: Sequence[Entry], tenant: str = TENANT) -> None:
    """Store these entries in the place of the chain, as who may write the table can."""
    for stored in s.stores.audit.oldest(tenant, 10_000):
        s.stores.audit.remove(tenant, stored.number)
    for number, entry in enumerate(entries, 1):
        s.stores.audit.append(tenant, StoredSegment(number, segment.write(AuditSegment(number, (entry,)))))
    s.process.audit.forget_tail(tenant)


def relinked(entries: Sequence[Entry], change: Callable[[Entry], Entry]) -> list[Entry]:
    """A whole chain made anew, each digest right."""
    made: list[Entry] = []
    for place, entry in enumerate(entries, 1):
        previous = made[-1].sha256 if made else None
        bare = replace(change(entry), sequence=place, previous_sha256=previous)
        made.append(replace(bare, sha256=full_digest(bare)))
    return made


def attacks(entries: Sequence[Entry]) -> dict[str, tuple[list[Entry], Any]]:
    """Each attack by name: the chain after it, and the first sequence that a verifier may name (None: any)."""
    middle = len(entries) // 2
    changed, listed = replace(entries[middle], resource="schedules/another"), list(entries)
    swapped = [*listed[:middle], listed[middle + 1], listed[middle], *listed[middle + 2 :]]
    other = replace(changed, sha256=full_digest(changed))
    return {
        "one changed": ([*listed[:middle], changed, *listed[middle + 1 :]], middle + 1),
        "one changed, its digest too": ([*listed[:middle], other, *listed[middle + 1 :]], middle + 2),
        "the end cut": (listed[:middle], middle + 1),
        "all made anew": (relinked(listed, lambda e: replace(e, action="schedules:read")), 1),
        "one left out, made anew": (relinked([*listed[:middle], *listed[middle + 1 :]], lambda e: e), 1),
        "two swapped": (swapped, None),
        "forked": ([*listed[: middle + 1], other, *listed[middle + 1 :]], middle + 1),
        "the beginning cut": (listed[middle:], None),
        "actors taken out": ([replace(e, erased=True, actor="subject-0", source_ip=None) for e in listed], 1),
        "emptied": ([], 1),
    }
