"""What is kept about a subject (GDPR articles 15, 17 and 20): all of it as lines, and its erasure.

Both go section by section in bounded steps, each with the position to go on from. An erasure may be run again at any
time: what is gone stays gone. It is entered in the audit before anything is erased. There and in what must stay, a
pseudonym stands for the subject, and nothing links the two any more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from chalicelib.core.audit import segment
from chalicelib.core.audit.entry import ALLOW, DONE, Draft, Entry, erase, redacted_digest, shown
from chalicelib.core.audit.limits import READ_SEGMENTS
from chalicelib.core.audit.verify import ERASURE
from chalicelib.core.errors import Conflict, TooMany
from chalicelib.core.executions import journal
from chalicelib.core.executions.limits import MESSAGE_SPAN_MS
from chalicelib.core.keys.key_ring import RingChange
from chalicelib.core.leases import lease_document
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.security.authorize import authorize
from chalicelib.core.security.caller import Caller
from chalicelib.engine import audit_chain, audit_keeping
from chalicelib.ports.services import Services
from chalicelib.ports.stores.audit import StoredSegment
from chalicelib.ports.stores.schedules import ScheduleFilter
from chalicelib.usecases import keys, leases, schedules, subject_things
from chalicelib.usecases.subject_things import PAGE_ITEMS, Record, SubjectPage, plain

LOG_LINES: Final = 1000  # of one execution: a record takes no more
STEP_PAGES: Final = 20  # read in one call
CHANGE_ATTEMPTS: Final = 16
AHEAD_MS: Final = 2 * MESSAGE_SPAN_MS  # records of instants to come are made no earlier
UNKNOWN_SUBJECT: Final = "not-in-the-audit"
EXPORT: Final = "subjects:export"
WRITE: Final = "subjects:write"


class ErasedSubject(Struct):
    """What one call erased; ``after`` is where the next one goes on (None: all is erased)."""

    pseudonym: str
    schedules: int = 0
    executions: int = 0
    keys: int = 0
    leases: int = 0
    triggers: int = 0
    monitors: int = 0
    notification_rules: int = 0
    workflows: int = 0
    audit_entries: int = 0
    after: str | None = None


class _Place(NamedTuple):
    """A section, and how far it is done."""

    section: str
    after: str | None


def export(s: Services, caller: Caller, subject: str, after: str | None = None) -> tuple[list[Record], str | None]:
    """What the tenant keeps about a subject, and the position to go on from. Raises Forbidden, Unavailable."""
    authorize(caller, "subjects:read")
    if after is None:
        known = s.stores.audit.pseudonym(caller.tenant, subject)  # none is made: nothing may come of an export
        _enter(s, caller, EXPORT, "subjects:read", known or UNKNOWN_SUBJECT)
    found: list[Record] = []
    place = _place(after)
    for _ in range(STEP_PAGES):
        page = _EXPORTS[place.section](s, caller, subject, place.after)
        found += page.records
        following = _following(place, page.after, list(_EXPORTS))
        if following is None:
            return found, None
        place = following
    return found, _text(place)


def erase_subject(s: Services, caller: Caller, subject: str, after: str | None = None) -> ErasedSubject:
    """Erase a subject, or go on. Raises Forbidden, Unavailable, and Conflict for the caller itself, who could
    not go on."""
    authorize(caller, WRITE)
    if subject == caller.subject and caller.credential != "off":
        raise Conflict("another administrator must erase this subject: its keys would end before the rest is done")
    done = ErasedSubject(audit_chain.pseudonym_of(s, caller.tenant, subject))
    if after is None:
        _enter(s, caller, ERASURE, WRITE, done.pseudonym)
    place = _place(after)
    for _ in range(STEP_PAGES):
        page = _ERASURES[place.section](s, caller, subject, done.pseudonym, place.after)
        setattr(done, place.section, getattr(done, place.section) + page.changed)
        following = _following(place, page.after, list(_ERASURES))
        if following is None:
            s.stores.audit.forget_subject(caller.tenant, subject)
            s.process.audit.forget_pseudonym(caller.tenant, subject)
            return done
        place = following
    done.after = _text(place)
    return done


def _enter(s: Services, caller: Caller, action: str, permission: str, pseudonym: str) -> None:
    """In the audit also where CHRONO_AUDIT=off: without it a verifier takes the erasure for a forgery."""
    now_ms = s.clock.now_ms()
    made = Draft(
        id=s.ids.ulid(now_ms),
        at_ms=now_ms,
        actor=caller.subject,
        action=action,
        permission=permission,
        resource=f"subjects/{pseudonym}",
        decision=ALLOW,
        outcome=DONE,
        source_ip=caller.source_ip,
    )
    audit_chain.append(s, caller.tenant, [made])


def _place(after: str | None) -> _Place:
    section, _, position = (after or "schedules|").partition("|")
    return _Place(section, position or None)


def _text(place: _Place) -> str:
    return f"{place.section}|{place.after or ''}"


def _following(place: _Place, after: str | None, sections: list[str]) -> _Place | None:
    if after is not None:
        return _Place(place.section, after)
    following = dict(pairwise(sections)).get(place.section)
    return None if following is None else _Place(following, None)


def _own_schedules(s: Services, caller: Caller, subject: str, after: str | None) -> SubjectPage:
    page = s.stores.schedules.list(caller.tenant, ScheduleFilter(owner=subject), PAGE_ITEMS, after)
    found = s.stores.schedules.get([Key(caller.tenant, each) for each in page.ids])
    records = [Record("schedule", plain(each.definition)) for each in found.values()]
    return SubjectPage(records, 0, page.after)


def _own_executions(s: Services, caller: Caller, subject: str, after: str | None) -> SubjectPage:
    shards, until_ms = range(s.config.shards), s.clock.now_ms() + AHEAD_MS
    page = s.stores.executions.recent(caller.tenant, shards, 0, until_ms, PAGE_ITEMS, after)
    found = [e for e in s.stores.executions.get(page.keys).values() if e.owner == subject]
    records: list[Record] = []
    for each in found:
        records.append(Record("execution", plain(each)))
        lines, _ = s.stores.logs.page(each.key, LOG_LINES, 0)
        records += [Record("log", {"execution_id": each.id, **plain(line)}) for line in lines]
    return SubjectPage(records, 0, page.after)


def _own_keys(s: Services, caller: Caller, subject: str, _after: str | None) -> SubjectPage:
    entries = s.stores.keys.ring(caller.tenant).entries
    kept = s.stores.keys.load_many([entry.id for entry in entries]).values()
    named = [each for each in kept if subject in (each.key.owner, each.key.created_by)]
    return SubjectPage([Record("key", {**plain(each.key), "sha256": None, "used_ms": each.used_ms}) for each in named])


def _own_leases(s: Services, caller: Caller, subject: str, after: str | None) -> SubjectPage:
    documents, after = s.stores.leases.list(caller.tenant, PAGE_ITEMS, after)
    found = [item for item in map(lease_document.read, documents) if _names(item, subject)]
    return SubjectPage([Record("lease", plain(item)) for item in found], 0, after)


def _own_entries(s: Services, caller: Caller, subject: str, after: str | None) -> SubjectPage:
    some = s.stores.audit.newest(caller.tenant, READ_SEGMENTS, None if after is None else int(after))
    entries = [entry for stored in some for entry in segment.read(stored.document).entries if entry.actor == subject]
    more = str(some[-1].number) if len(some) == READ_SEGMENTS else None
    return SubjectPage([Record("audit", shown(entry)) for entry in entries], 0, more)


def _erase_schedules(s: Services, caller: Caller, subject: str, _pseudonym: str, after: str | None) -> SubjectPage:
    page = s.stores.schedules.list(caller.tenant, ScheduleFilter(owner=subject), PAGE_ITEMS, after)
    found = s.stores.schedules.get([Key(caller.tenant, each) for each in page.ids])
    for key in found:
        schedules.delete(s, caller, key.id, None)
    return SubjectPage([], len(found), page.after)


def _erase_executions(s: Services, caller: Caller, subject: str, pseudonym: str, after: str | None) -> SubjectPage:
    """The owner of records that ended, their payloads and what targets answered. Those that still run keep theirs
    until they end."""
    shards, until_ms = range(s.config.shards), s.clock.now_ms() + AHEAD_MS
    page = s.stores.executions.recent(caller.tenant, shards, 0, until_ms, PAGE_ITEMS, after)
    found = [e for e in s.stores.executions.get(page.keys).values() if e.owner == subject and not e.is_open]
    stamps = {"hlc": s.ids.hlc(), "origin": s.config.origin}
    bare = [journal.without_answers(e) for e in found]
    written = [(replace(e, owner=pseudonym, payload=None, rev=e.rev + 1, **stamps), e.rev) for e in bare]
    return SubjectPage([], sum(s.stores.executions.update(written)), page.after)


def _erase_keys(s: Services, caller: Caller, subject: str, pseudonym: str, _after: str | None) -> SubjectPage:
    """End the subject's keys; in keys that it made for others the pseudonym stands for it."""
    entries = s.stores.keys.ring(caller.tenant).entries
    kept = s.stores.keys.load_many([entry.id for entry in entries]).values()
    owned = [each.key for each in kept if each.key.owner == subject]
    for key in owned:
        keys.delete(s, caller, key.id)
    for each in kept:
        if each.key.created_by == subject and each.key.owner != subject:
            _rename_maker(s, caller.tenant, each.key.id, pseudonym)
    return SubjectPage([], len(owned))


def _rename_maker(s: Services, tenant: str, key_id: str, pseudonym: str) -> None:
    for _ in range(CHANGE_ATTEMPTS):
        ring, kept = s.stores.keys.ring(tenant), s.stores.keys.load(key_id)
        if kept is None:
            return
        edited = replace(kept.key, created_by=pseudonym, rev=kept.key.rev + 1)
        if s.stores.keys.change(RingChange(replace(ring, rev=ring.rev + 1), edited=(edited,))):
            return
    raise TooMany("the tenant's keys are being changed by many callers at once", code="contended")


def _erase_leases(s: Services, caller: Caller, subject: str, pseudonym: str, after: str | None) -> SubjectPage:
    documents, after = s.stores.leases.list(caller.tenant, PAGE_ITEMS, after)
    named = [item for item in map(lease_document.read, documents) if _names(item, subject)]
    for item in named:
        if item.subject == subject:
            leases.break_(s, caller, item.name)
        _rename_in_lease(s, caller.tenant, item.name, subject, pseudonym)
    return SubjectPage([], len(named), after)


def _rename_in_lease(s: Services, tenant: str, name: str, subject: str, pseudonym: str) -> None:
    for _ in range(CHANGE_ATTEMPTS):
        stored = s.stores.leases.load(tenant, name)
        item = None if stored is None else lease_document.read(stored[0])
        if item is None or not _names(item, subject):
            return
        last = {"last_holder_id": pseudonym, "last_subject": pseudonym} if item.last_subject == subject else {}
        left = replace(
            item,
            rev=item.rev + 1,
            waiters=tuple(waiter for waiter in item.waiters if waiter.subject != subject),
            hlc=s.ids.hlc(),
            origin=s.config.origin,
            **last,
        )
        if s.stores.leases.save(tenant, name, lease_document.write(left), left.rev, item.rev):
            return
    raise TooMany(f"too many callers change the lease {name} at once", code="contended")


def _erase_entries(s: Services, caller: Caller, subject: str, pseudonym: str, after: str | None) -> SubjectPage:
    """Take the subject out of its entries, once a checkpoint says what they were."""
    tenant = caller.tenant
    if after is None:
        try:
            audit_keeping.sign_chain(s, tenant)
        except ValueError as broken:
            raise Conflict(
                f"the audit must be whole before an entry is erased: {broken}", code="audit_broken"
            ) from None
    some = s.stores.audit.oldest(tenant, READ_SEGMENTS, 0 if after is None else int(after))
    others = _earlier_pseudonyms(s, tenant) if after is None else []
    changed = sum(_erase_in(s, tenant, stored, subject, [pseudonym, *others]) for stored in some)
    return SubjectPage([], changed, str(some[-1].number) if len(some) == READ_SEGMENTS else None)


def _earlier_pseudonyms(s: Services, tenant: str) -> list[str]:
    """Of erasures before: a process that had not heard of one yet may have bound an entry to its pseudonym."""
    found = (
        entry for stored in audit_chain.segments_down(s, tenant) for entry in segment.read(stored.document).entries
    )
    return [entry.resource.partition("/")[2] for entry in found if entry.action == ERASURE]


def _erase_in(s: Services, tenant: str, stored: StoredSegment, subject: str, pseudonyms: list[str]) -> int:
    """How many entries of a segment were the subject's. Writers append segments and never change one: so only another
    erasure can come between."""
    for _ in range(CHANGE_ATTEMPTS):
        found = segment.read(stored.document)
        theirs = [entry for entry in found.entries if entry.actor == subject and not entry.erased]
        if not theirs:
            return 0
        left = replace(found, entries=tuple(_erased(e, pseudonyms) if e in theirs else e for e in found.entries))
        written = StoredSegment(stored.number, segment.write(left), stored.rev + 1)
        if s.stores.audit.replace(tenant, written, stored.rev):
            return len(theirs)
        now = s.stores.audit.oldest(tenant, 1, stored.number - 1)
        if not now or now[0].number != stored.number:
            return 0  # too old by now, and deleted
        stored = now[0]
    raise TooMany("the audit is being erased by many callers at once", code="contended")


def _erased(entry: Entry, pseudonyms: list[str]) -> Entry:
    bound = next((name for name in pseudonyms if redacted_digest(entry, name) == entry.redacted_sha256), None)
    if bound is None:
        raise Conflict(f"audit entry {entry.sequence} was changed and cannot be erased", code="audit_broken")
    return erase(entry, bound)


def _names(item: LeaseItem, subject: str) -> bool:
    return subject in (item.subject, item.last_subject, *(waiter.subject for waiter in item.waiters))


_EXPORTS: Final[Mapping[str, Callable[[Services, Caller, str, str | None], SubjectPage]]] = {
    "schedules": _own_schedules,
    "executions": _own_executions,
    "keys": _own_keys,
    "leases": _own_leases,
    "triggers": subject_things.own_triggers,
    "monitors": subject_things.own_monitors,
    "notification_rules": subject_things.own_rules,
    "workflows": subject_things.own_workflows,
    "runs": subject_things.own_runs,
    "audit_entries": _own_entries,
}
_ERASURES: Final[Mapping[str, Callable[[Services, Caller, str, str, str | None], SubjectPage]]] = {
    "schedules": _erase_schedules,
    "executions": _erase_executions,
    "keys": _erase_keys,
    "leases": _erase_leases,
    "triggers": subject_things.erase_triggers,
    "monitors": subject_things.erase_monitors,
    "notification_rules": subject_things.erase_rules,
    "workflows": subject_things.erase_workflows,
    "audit_entries": _erase_entries,
}
