"""Where checkpoints of the audit are kept, outside of the tables, and who signs them."""

from __future__ import annotations

from typing import Protocol

from chalicelib.core.audit.checkpoint import Signature


class CheckpointStore(Protocol):
    """Documents of core.audit.checkpoint. What was written once is never changed."""

    def save(self, tenant: str, count: int, document: str) -> bool:
        """Write a document unless there is one of this count. Raises Unavailable, OutcomeUnknown."""
        ...

    def newest(self, tenant: str) -> str | None:
        """The document with the highest count; None: there is none. Raises Unavailable."""
        ...

    def counts(self, tenant: str) -> list[int]:
        """The counts of all documents, from the lowest. Raises Unavailable."""
        ...

    def load(self, tenant: str, count: int) -> str | None:
        """A document. Raises Unavailable."""
        ...


class CheckpointSigner(Protocol):
    """A key that this service can sign with, and that no table holds."""

    def sign(self, statement: bytes) -> Signature:
        """Raises Unavailable."""
        ...

    def holds(self, statement: bytes, signature: Signature) -> bool:
        """Whether the signature is this key's, over this statement. Raises Unavailable."""
        ...
