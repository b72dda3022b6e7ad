"""Entries, their tree and their checkpoints: every change of any of them is found."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chalicelib.core.audit import merkle, redact, segment
from chalicelib.core.audit.checkpoint import Checkpoint, follow
from chalicelib.core.audit.entry import Draft, Entry, erase, full_digest, problem
from chalicelib.core.audit.limits import ENTRY_MAX_BYTES
from chalicelib.core.audit.segment import AuditSegment, Tail, link, tail_of
from chalicelib.core.audit.verify import ERASURE, ChainVerdict, Verifier

NAMES = {"ann": "subject-a", "bob": "subject-b"}


def draft(n: int, actor: str = "ann", action: str = "schedules:create", resource: str | None = None) -> Draft:
    return Draft(
        id=f"{n}",
        at_ms=n,
        actor=actor,
        action=action,
        permission="schedules:write",
        resource=resource or f"schedules/{n}",
        source_ip="10.0.0.1",
    )


def segments(sizes: list[int]) -> list[AuditSegment]:
    """A chain of segments with so many entries each."""
    made: list[AuditSegment] = []
    count = 0
    for size in sizes:
        drafts = [draft(count + n, ("ann", "bob")[(count + n) % 2]) for n in range(size)]
        made.append(link(tail_of(made[-1] if made else None), drafts, [f"{count + n}.0" for n in range(size)], NAMES))
        count += size
    return made


def entries_of(found: list[AuditSegment]) -> list[Entry]:
    return [entry for each in found for entry in each.entries]


def naive_root(leaves: list[bytes]) -> bytes:
    """As RFC 6962 section 2.1 writes it down."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


@given(st.integers(0, 70), st.integers(0, 70))
def test_the_tree_is_that_of_the_rfc_however_it_grew(first: int, more: int) -> None:
    leaves = [hashlib.sha256(b"%d" % n).hexdigest() for n in range(first + more)]
    peaks = merkle.add(merkle.add((), 0, leaves[:first]), first, leaves[first:])
    assert merkle.root(peaks) == naive_root([bytes.fromhex(leaf) for leaf in leaves]).hex()
    assert len(peaks) == (first + more).bit_count()


def judged(entries: list[Entry], *checkpoints: Checkpoint, kept_from_ms: int | None = None) -> ChainVerdict:
    verifier = Verifier({each.count: each for each in checkpoints}, kept_from_ms)
    for entry in entries:
        verifier.take(entry)
    return verifier.verdict()


def covering(found: list[AuditSegment]) -> list[Checkpoint]:
    """A checkpoint after every segment."""
    made: list[Checkpoint] = []
    for each in found:
        made.append(follow(made[-1] if made else None, "t", [each], "1.0", each.last.at_unix_ms))
    return made


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_an_untouched_chain_is_valid(sizes: list[int]) -> None:
    found = segments(sizes)
    verdict = judged(entries_of(found), *covering(found))
    assert (verdict.first_bad, verdict.entries, verdict.covered) == (None, sum(sizes), sum(sizes))


FIELDS = {
    "at_unix_ms": 77, "hlc": "9.9", "actor": "eve", "action": "a:b", "permission": "p:q", "resource": "r/s",
    "decision": "deny", "outcome": "unknown", "source_ip": "10.9.9.9", "before_sha256": "0" * 64,
    "after_sha256": "1" * 64, "detail": "d", "trace_id": "t", "previous_sha256": "2" * 64,
    "redacted_sha256": "3" * 64, "sha256": "4" * 64, "erased": True, "sequence": 99, "id": "x",
}  # fmt: skip


def test_every_field_is_tried() -> None:
    assert set(FIELDS) == set(Entry.__struct_fields__)


@given(st.integers(0, 8), st.sampled_from(sorted(FIELDS)), st.booleans())
def test_a_change_of_any_field_of_any_entry_is_found(place: int, name: str, rehashed: bool) -> None:
    found = segments([3, 3, 3])
    entries = entries_of(found)
    changed = replace(entries[place], **{name: FIELDS[name]})
    if rehashed and name not in ("sha256", "erased"):
        changed = replace(changed, sha256=full_digest(changed))
    entries[place] = changed
    verdict = judged(entries, *covering(found))
    assert verdict.first_bad is not None
    assert verdict.first_bad <= place + 2


@given(st.permutations(range(6)))
def test_another_order_is_found(order: list[int]) -> None:
    found = segments([2, 2, 2])
    entries = entries_of(found)
    verdict = judged([entries[n] for n in order], *covering(found))
    assert (verdict.first_bad is None) == (list(order) == list(range(6)))


@given(st.integers(0, 5))
def test_a_cut_end_is_located(kept: int) -> None:
    found = segments([2, 2, 2])
    assert judged(entries_of(found)[:kept], *covering(found)).first_bad == kept + 1


@given(st.integers(1, 8), st.booleans())
def test_a_cut_beginning_is_valid_only_for_its_age(first: int, old: bool) -> None:
    found = segments([3, 3, 3])
    verdict = judged(entries_of(found)[first:], *covering(found), kept_from_ms=100 if old else None)
    assert (verdict.first_bad is None) == old


def test_an_erased_entry_is_valid_with_its_erasure_alone() -> None:
    (found,) = segments([4])
    erased = [erase(e, NAMES[e.actor]) if e.actor == "ann" else e for e in found.entries]
    verdict = judged(erased, *covering([found]))
    assert (verdict.first_bad, verdict.reason) == (
        1,
        "the actor was taken out, and no entry says that the subject was erased",
    )
    said = link(tail_of(found), [draft(9, "bob", ERASURE, "subjects/subject-a")], ["9.0"], NAMES)
    assert judged([*erased, *said.entries], *covering([found, said])).first_bad is None
    with pytest.raises(ValueError, match="another pseudonym"):
        erase(found.first, "subject-b")


def test_a_segment_is_read_as_it_was_written_and_its_entries_are_sound() -> None:
    (found,) = segments([3])
    assert segment.read(segment.write(found)) == found
    assert [problem(entry) for entry in found.entries] == [None] * 3
    assert tail_of(None) == Tail()


def test_the_longest_entry_fits() -> None:
    longest = replace(draft(1), actor="é" * 500, resource="😀" * 500, detail="é" * 500)
    made = link(Tail(), [longest], ["1.0"], {longest.actor: "subject-" + "0" * 26})
    assert len(segment.write(made)) < ENTRY_MAX_BYTES + 500
    assert problem(made.first) is None


def test_text_that_utf_8_cannot_say_is_entered_all_the_same() -> None:
    made = link(Tail(), [replace(draft(1), detail="\ud800")], ["1.0"], NAMES)
    assert problem(made.first) is None


def test_a_checkpoint_follows_only_what_it_covers() -> None:
    found = segments([2, 2])
    first = follow(None, "t", found[:1], "1.0", 1)
    with pytest.raises(ValueError, match="does not follow"):
        follow(None, "t", found[1:], "1.0", 1)
    with pytest.raises(ValueError, match="does not follow"):
        follow(replace(first, head_sha256="0" * 64), "t", found[1:], "1.0", 1)
    assert follow(first, "t", found[1:], "1.0", 1).root_sha256 == follow(None, "t", found, "1.0", 1).root_sha256


def test_what_may_be_secret_is_left_out_before_it_is_hashed() -> None:
    shown = {
        "id": 1,
        "payload": {"p": 1},
        "target": {"url": "https://h/p?token=1", "headers": {"a": "b"}},
        "tags": ["t"],
    }
    assert redact.redacted(shown) == {"id": 1, "target": {"url": "https://h/p"}, "tags": ["t"]}
    assert redact.digest(None) is None
