"""Every sentence of ``AuditStore``, on every adapter."""

from __future__ import annotations

import uuid

import pytest

from chalicelib.core.audit.limits import SEGMENT_MAX_ENTRIES
from chalicelib.ports.services import Stores
from chalicelib.ports.stores.audit import AuditMark, AuditStore, StoredSegment
from tests.kit.records import START_MS
from tests.kit.threads import run_together


@pytest.fixture
def audit(stores: Stores) -> AuditStore:
    return stores.audit


def filled(audit: AuditStore, tenant: str, count: int) -> list[StoredSegment]:
    made = [StoredSegment(n, f"document {n} é") for n in range(1, count + 1)]
    assert all(audit.append(tenant, each) for each in made)
    return made


def test_segments_come_in_both_orders_and_in_parts(audit: AuditStore, tenant: str) -> None:
    assert audit.newest(tenant, 10) == audit.oldest(tenant, 10) == []
    made = filled(audit, tenant, 12)
    assert audit.oldest(tenant, 100) == made
    assert audit.newest(tenant, 100) == made[::-1]
    assert audit.oldest(tenant, 3) == made[:3]
    assert audit.oldest(tenant, 3, 10) == made[10:]
    assert audit.newest(tenant, 2) == made[:-3:-1]
    assert audit.newest(tenant, 5, 3) == made[1::-1]
    assert audit.newest(tenant, 5, 1) == audit.oldest(tenant, 5, 12) == []


def test_a_number_is_given_once(audit: AuditStore, tenant: str) -> None:
    first = StoredSegment(1, "first")
    assert audit.append(tenant, first)
    assert not audit.append(tenant, first)
    assert not audit.append(tenant, StoredSegment(1, "second"))
    assert audit.oldest(tenant, 5) == [first]


def test_of_fifty_writers_of_one_number_one_wins(audit: AuditStore, tenant: str) -> None:
    won: list[int] = []

    def write(n: int) -> None:
        if audit.append(tenant, StoredSegment(1, str(n))):
            won.append(n)

    run_together([lambda n=n: write(n) for n in range(50)])  # type: ignore[misc]
    assert [each.document for each in audit.oldest(tenant, 9)] == [str(n) for n in won]
    assert len(won) == 1


def test_a_segment_is_replaced_under_its_rev_alone(audit: AuditStore, tenant: str) -> None:
    filled(audit, tenant, 1)
    assert not audit.replace(tenant, StoredSegment(2, "none there", 2), 1)
    assert not audit.replace(tenant, StoredSegment(1, "moved", 3), 2)
    erased = StoredSegment(1, "erased", 2)
    assert audit.replace(tenant, erased, 1)
    assert not audit.replace(tenant, StoredSegment(1, "again", 2), 1)
    assert audit.oldest(tenant, 5) == [erased]


def test_a_removed_segment_is_gone_and_removing_it_again_does_nothing(audit: AuditStore, tenant: str) -> None:
    made = filled(audit, tenant, 3)
    for _ in range(2):
        audit.remove(tenant, 1)
        assert audit.oldest(tenant, 5) == made[1:]


def test_the_largest_segments_are_listed_whatever_one_answer_holds(audit: AuditStore, tenant: str) -> None:
    large = [StoredSegment(n, "x" * 300_000) for n in range(1, 8)]
    assert all(audit.append(tenant, each) for each in large)
    assert audit.oldest(tenant, SEGMENT_MAX_ENTRIES) == large
    assert audit.newest(tenant, 5) == large[:1:-1]


def test_tenants_are_apart(audit: AuditStore, tenant: str) -> None:
    filled(audit, tenant, 1)
    for other in (tenant + "#audit", tenant + "%23audit", tenant + "#"):
        assert audit.oldest(other, 5) == []
    audit.give_pseudonym(tenant, "ann", "p")
    assert audit.pseudonym(tenant + "#", "ann") is None
    assert audit.oldest(tenant, 5)[0].number == 1


def test_intents_of_all_tenants_come_in_the_order_of_their_ids(audit: AuditStore) -> None:
    run = uuid.uuid4().hex
    ids = [f"{run}{n}" for n in range(4)]
    assert all(audit.note_intent(each, f"document {each}") for each in reversed(ids))
    assert not audit.note_intent(ids[0], "another")
    mine = [pair for pair in audit.intents(ids[3], 1000) if pair[0].startswith(run)]
    assert mine == [(each, f"document {each}") for each in ids[:3]]
    for each in (*ids, ids[0]):
        audit.drop_intent(each)
    assert not [pair for pair in audit.intents("~", 1000) if pair[0].startswith(run)]


def test_a_mark_is_moved_and_taken_away_only_as_it_was_seen(audit: AuditStore, tenant: str) -> None:
    audit.mark(AuditMark(tenant, START_MS))
    audit.mark(AuditMark(tenant, START_MS + 5))
    assert AuditMark(tenant, START_MS + 5) in audit.marks(1000)
    assert not audit.unmark(AuditMark(tenant, START_MS))
    assert audit.marks(1000, tenant[:-1])[0] == AuditMark(tenant, START_MS + 5)
    assert AuditMark(tenant, START_MS + 5) not in audit.marks(1000, tenant)
    assert audit.unmark(AuditMark(tenant, START_MS + 5))
    assert tenant not in [mark.tenant for mark in audit.marks(1000)]
    assert not audit.unmark(AuditMark(tenant, START_MS + 5))


def test_a_subject_has_one_pseudonym_until_it_is_forgotten(audit: AuditStore, tenant: str) -> None:
    subject = "ann#é/ü"
    assert audit.pseudonym(tenant, subject) is None
    assert audit.give_pseudonym(tenant, subject, "one")
    assert not audit.give_pseudonym(tenant, subject, "two")
    assert not audit.give_pseudonym(tenant, subject, "one")
    assert audit.pseudonym(tenant, subject) == "one"
    for _ in range(2):
        audit.forget_subject(tenant, subject)
        assert audit.pseudonym(tenant, subject) is None
    assert audit.give_pseudonym(tenant, subject, "two")
