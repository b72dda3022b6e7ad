"""Workflows and their versions. The contract that all stores share is in ``ports.services``."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from msgspec import Struct


class PublishedVersion(NamedTuple):
    """A version in the order of publishing: its number (1, 2, …), its hash, and who published it when."""

    number: int
    version: str
    created_ms: int
    created_by: str


class WorkflowHead(Struct, frozen=True):
    """A workflow: which versions there are, and which one starts. ``rev`` grows with every change."""

    tenant: str
    name: str
    owner: str
    live: str
    versions: tuple[PublishedVersion, ...]
    rev: int
    created_ms: int
    updated_ms: int


class WorkflowStore(Protocol):
    """One record a workflow, and one a version. A version never changes, and outlives its workflow: runs need it."""

    def load(self, tenant: str, name: str) -> WorkflowHead | None:
        """A workflow."""
        ...

    def page(self, tenant: str, limit: int, after: str | None) -> tuple[list[WorkflowHead], str | None]:
        """A tenant's workflows by name, after a name, and the name to go on after (None: the end)."""
        ...

    def save(self, head: WorkflowHead, expected_rev: int) -> bool:
        """Write a workflow if its stored rev still is ``expected_rev`` (0: if there is none)."""
        ...

    def delete(self, tenant: str, name: str, expected_rev: int) -> bool:
        """Delete a workflow if its stored rev still is ``expected_rev``. Its versions stay."""
        ...

    def save_version(self, tenant: str, name: str, version: str, document: str) -> None:
        """Keep the document of a version: the same one again changes nothing, since the version is its hash."""
        ...

    def load_version(self, tenant: str, name: str, version: str) -> str | None:
        """The document of a version."""
        ...
