"""Checkpoints: what a chain was at a moment, signed and kept outside of the table that holds the chain.

Who can write the table can make a chain that is right in itself. They cannot sign: so a chain that was rewritten, or
lost its end, contradicts a checkpoint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from chalicelib.core.audit import merkle
from chalicelib.core.audit.canonical import canonical, sha256
from chalicelib.core.audit.segment import AuditSegment
from chalicelib.core.decoders import decoder_of


class Signature(Struct, frozen=True, kw_only=True):
    """``value`` and ``public_key`` (DER, SubjectPublicKeyInfo) are base64."""

    algorithm: str
    key_id: str
    public_key: str
    value: str


class Checkpoint(Struct, frozen=True, kw_only=True):
    """The first ``count`` entries of a tenant's chain, which end with a ``segment``. ``previous_sha256`` is of the
    statement of the checkpoint before."""

    tenant: str
    count: int
    segment: int
    root_sha256: str
    peaks: tuple[str, ...]
    head_sha256: str
    hlc: str
    at_unix_ms: int
    previous_sha256: str | None
    signature: Signature | None = None


def follow(
    before: Checkpoint | None, tenant: str, segments: Sequence[AuditSegment], hlc: str, at_ms: int
) -> Checkpoint:
    """The checkpoint, yet to be signed, after the segments that follow ``before``. There is at least one.

    Raises ValueError where they do not follow it: such a chain must not be signed.
    """
    count, head = (0, None) if before is None else (before.count, before.head_sha256)
    entries = [entry for segment in segments for entry in segment.entries]
    for place, entry in enumerate(entries, count + 1):
        if entry.sequence != place or entry.previous_sha256 != head:
            raise ValueError(f"entry {entry.sequence} does not follow checkpoint {count}")
        head = entry.sha256
    peaks = merkle.add(() if before is None else before.peaks, count, map(merkle.leaf, entries))
    return Checkpoint(
        tenant=tenant,
        count=count + len(entries),
        segment=segments[-1].number,
        root_sha256=merkle.root(peaks),
        peaks=peaks,
        head_sha256=entries[-1].sha256,
        hlc=hlc,
        at_unix_ms=at_ms,
        previous_sha256=None if before is None else sha256(statement(before)),
    )


def statement(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """What is signed: all but the signature."""
    fields: dict[str, Any] = msgspec.to_builtins(checkpoint)
    del fields["signature"]
    return fields


def signed_bytes(checkpoint: Checkpoint) -> bytes:
    """The bytes that the signature is over."""
    return canonical(statement(checkpoint))


def write(checkpoint: Checkpoint) -> str:
    """The document of a checkpoint: canonical JSON, as verifiers outside of the product read it."""
    return canonical(msgspec.to_builtins(checkpoint)).decode()


def read(document: str) -> Checkpoint | None:
    """The checkpoint of a document; None: it is none, or not whole."""
    try:
        return decoder_of(Checkpoint).decode(document)
    except msgspec.MsgspecError:
        return None
