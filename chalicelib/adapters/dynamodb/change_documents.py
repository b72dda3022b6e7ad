"""Changes as they are stored, whatever the database: the head of a log, and its segments, compressed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

import msgspec

from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.execution_texts import with_texts
from chalicelib.core.changes.change_log import Change, Changed, ChangeType, LogHead, Mark, Segment
from chalicelib.core.decoders import decoder_of
from chalicelib.core.executions.execution import Execution, parse_id
from chalicelib.core.leases import lease_document
from chalicelib.core.leases.lease_item import LeaseItem
from chalicelib.core.schedules.schedule import Key, Schedule
from chalicelib.core.secrets import envelope
from chalicelib.core.workflows.run_state import SeenRun

Sealer = Callable[[str, str, str], str]


class _ChangeDoc(msgspec.Struct, omit_defaults=True, array_like=True):
    """A change as stored. ``doc`` is the thing's document, ``more`` and ``payload`` what a schedule has beside it."""

    type: ChangeType
    id: str
    at_ms: int
    owner: str | None
    doc: str | None = None
    more: str = ""
    payload: str = ""


class _HeadDoc(msgspec.Struct):
    last: int
    marks: dict[str, tuple[str, int]]


_read_changes = decoder_of(list[_ChangeDoc]).decode
_read_run = decoder_of(SeenRun).decode
_read_head = decoder_of(_HeadDoc).decode


def write_head(head: LogHead) -> str:
    """The document of a head. A sequence number has more digits than a JSON number can be trusted with."""
    marks = {shard: (str(mark.sequence), mark.at_ms) for shard, mark in head.marks.items()}
    return msgspec.json.encode(_HeadDoc(head.last, marks)).decode()


def read_head(tenant: str, text: str, rev: int) -> LogHead:
    """The head of a document."""
    doc = _read_head(text)
    marks = {shard: Mark(int(sequence), at_ms) for shard, (sequence, at_ms) in doc.marks.items()}
    return LogHead(tenant, rev, doc.last, marks)


def pack(segment: Segment, seal: Sealer) -> bytes:
    """The changes of a segment, with payloads sealed."""
    docs = [_written(segment.tenant, change, seal) for change in segment.changes]
    return zlib.compress(msgspec.json.encode(docs))


def unpack(tenant: str, packed: bytes, unseal: Sealer) -> tuple[Change, ...]:
    """The changes of a segment. Raises Unavailable when they cannot be unsealed."""
    return tuple(_change(tenant, doc, unseal) for doc in _read_changes(zlib.decompress(packed)))


def _written(tenant: str, change: Change, seal: Sealer) -> _ChangeDoc:
    doc = _ChangeDoc(change.type, change.id, change.at_ms, change.owner)
    if isinstance(change.now, Execution):
        doc.doc = documents.encode_execution(with_texts(change.now, seal))
    elif isinstance(change.now, Schedule):
        definition = change.now.definition
        doc.doc, doc.more = documents.encode_definition(definition), documents.encode_state(change.now.state)
        doc.payload = seal(tenant, envelope.schedule_place(definition.id), definition.payload)
    elif isinstance(change.now, LeaseItem):
        doc.doc = lease_document.write(change.now)
    elif isinstance(change.now, SeenRun):
        doc.doc = msgspec.json.encode(change.now).decode()
    return doc


def _change(tenant: str, doc: _ChangeDoc, unseal: Sealer) -> Change:
    now = None if doc.doc is None else _READERS[doc.type](tenant, doc, doc.doc, unseal)
    return Change(doc.type, doc.id, doc.at_ms, doc.owner, now)


def _execution(tenant: str, doc: _ChangeDoc, stored: str, unseal: Sealer) -> Changed:
    at = parse_id(tenant, doc.id)
    assert at is not None
    return with_texts(documents.decode_execution(at, stored), unseal)


def _schedule(tenant: str, doc: _ChangeDoc, stored: str, unseal: Sealer) -> Changed:
    at = Key(tenant, doc.id)
    payload = unseal(tenant, envelope.schedule_place(at.id), doc.payload)
    return Schedule(documents.decode_definition(at, stored, payload), documents.decode_state(at, doc.more))


def _lease(_tenant: str, _doc: _ChangeDoc, stored: str, _unseal: Sealer) -> Changed:
    return lease_document.read(stored)


def _run(_tenant: str, _doc: _ChangeDoc, stored: str, _unseal: Sealer) -> Changed:
    return _read_run(stored)


_READERS: Mapping[str, Callable[[str, _ChangeDoc, str, Sealer], Changed]] = {
    "execution": _execution,
    "schedule": _schedule,
    "lease": _lease,
    "workflow_run": _run,
}
