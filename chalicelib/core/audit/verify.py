"""Whether a chain is what it was: each entry by itself, each link, each erasure, and all of it by the checkpoints."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field

from chalicelib.core.audit import merkle
from chalicelib.core.audit.checkpoint import Checkpoint
from chalicelib.core.audit.entry import ALLOW, Entry, problem

ERASURE = "subjects:erase"


class ChainVerdict(Struct, frozen=True):
    """``reason`` says what is wrong at ``first_bad``; None: nothing. ``covered``: the last entry that a signature
    vouches for."""

    entries: int
    covered: int
    first_bad: int | None = None
    reason: str | None = None


class Verifier(Struct):
    """Takes a chain entry by entry, from the first that is kept. ``checkpoints`` are by their count, and their
    signatures are good. ``kept_from_ms``: what a checkpoint before it covers may be deleted (None: nothing may)."""

    checkpoints: Mapping[int, Checkpoint]
    kept_from_ms: int | None = None
    count: int = 0
    covered: int = 0
    seen: int = 0
    head: str | None = None
    peaks: tuple[str, ...] = ()
    bad: tuple[int, str] | None = None
    erased: dict[str, int] = field(default_factory=dict)
    proved: set[str] = field(default_factory=set)

    def take(self, entry: Entry) -> None:
        """The next entry. After the first bad one nothing is judged any more."""
        if self.bad is not None:
            return
        if self.count == 0 and entry.sequence > 1:
            self._begin_at(entry)
        if self.bad is None and self.seen == 0 and entry.sequence <= self.count:
            return  # deletion was under way: it ends where the chain is judged from
        reason = self._wrong(entry)
        if reason is not None:
            self.bad = (self.count + 1 if entry.sequence > self.count + 1 else entry.sequence, reason)
            return
        self.seen += 1
        self.peaks = merkle.add(self.peaks, self.count, [merkle.leaf(entry)])
        self.count, self.head = entry.sequence, entry.sha256
        self._note_erasure(entry)
        self._compare()

    def verdict(self) -> ChainVerdict:
        """After the last entry."""
        if self.bad is None and self.checkpoints and max(self.checkpoints) > self.count:
            self.bad = (self.count + 1, f"the chain ends here, and a checkpoint has {max(self.checkpoints)} entries")
        unproved = [sequence for actor, sequence in self.erased.items() if actor not in self.proved]
        if self.bad is None and unproved:
            self.bad = (min(unproved), "the actor was taken out, and no entry says that the subject was erased")
        if self.bad is None:
            return ChainVerdict(self.seen, self.covered)
        return ChainVerdict(self.seen, self.covered, *self.bad)

    def _begin_at(self, entry: Entry) -> None:
        """Go on from the checkpoint before the first entry that is kept."""
        count = min((count for count in self.checkpoints if count >= entry.sequence - 1), default=None)
        before = None if count is None else self.checkpoints[count]
        if before is None or self.kept_from_ms is None or before.at_unix_ms > self.kept_from_ms:
            self.bad = (1, f"what came before entry {entry.sequence} is gone, and not because of its age")
            return
        self.count, self.covered = before.count, before.count
        self.head, self.peaks = before.head_sha256, before.peaks

    def _wrong(self, entry: Entry) -> str | None:
        if self.bad is not None:
            return self.bad[1]
        if entry.sequence > self.count + 1:
            return "an entry is missing"
        if entry.sequence <= self.count:
            return "the sequence is there twice, or out of order"
        if entry.previous_sha256 != self.head:
            return "previous_sha256 is not the digest of the entry before"
        return problem(entry)

    def _note_erasure(self, entry: Entry) -> None:
        if entry.erased:
            self.erased.setdefault(entry.actor, entry.sequence)
        if entry.action == ERASURE and entry.decision == ALLOW:
            self.proved.add(entry.resource.partition("/")[2])

    def _compare(self) -> None:
        found = self.checkpoints.get(self.count)
        if found is None:
            return
        if found.root_sha256 != merkle.root(self.peaks) or found.head_sha256 != self.head:
            self.bad = (self.covered + 1, f"entries {self.covered + 1} to {self.count} are not those of the checkpoint")
            return
        self.covered = self.count
