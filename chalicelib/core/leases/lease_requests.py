"""What callers ask of a lease. A request that exists is well formed: its constructor names every wrong field."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from msgspec import Struct

from chalicelib.core.errors import FieldError, InvalidField
from chalicelib.core.leases.lease_item import Party
from chalicelib.core.leases.limits import (
    FENCING_TOKEN_MAX,
    LEASE_HOLDER_MAX_CHARS,
    LEASE_METADATA_MAX_BYTES,
    LEASE_NAME_MAX_CHARS,
    LEASE_TTL_MAX_MS,
    LEASE_TTL_MIN_MS,
    LEASE_WAIT_MAX_MS,
)

_NAME = re.compile(rf"[A-Za-z0-9._:/-]{{1,{LEASE_NAME_MAX_CHARS}}}")


class AcquireRequest(Struct, frozen=True):
    """``:acquire``. Raises InvalidField naming every wrong field."""

    tenant: str
    name: str
    holder_id: str
    subject: str
    ttl_ms: int
    wait_ms: int = 0
    metadata: Mapping[str, object] | None = None

    def __post_init__(self) -> None:
        _raise_any(
            name_problem(self.name),
            _holder_problem(self.holder_id),
            _int_problem("ttl_ms", self.ttl_ms, LEASE_TTL_MIN_MS, LEASE_TTL_MAX_MS),
            _int_problem("wait_ms", self.wait_ms, 0, LEASE_WAIT_MAX_MS),
            _metadata_problem(self.metadata),
        )

    @property
    def party(self) -> Party:
        """Who asks."""
        return Party(self.holder_id, self.subject)


class RenewRequest(Struct, frozen=True):
    """``:renew``; without ``ttl_ms`` the lease's own. Raises InvalidField naming every wrong field."""

    tenant: str
    name: str
    holder_id: str
    subject: str
    fencing_token: int
    ttl_ms: int | None = None

    def __post_init__(self) -> None:
        _raise_any(
            name_problem(self.name),
            _holder_problem(self.holder_id),
            _int_problem("fencing_token", self.fencing_token, 0, FENCING_TOKEN_MAX),
            None if self.ttl_ms is None else _int_problem("ttl_ms", self.ttl_ms, LEASE_TTL_MIN_MS, LEASE_TTL_MAX_MS),
        )

    @property
    def party(self) -> Party:
        """Who asks."""
        return Party(self.holder_id, self.subject)


class ReleaseRequest(Struct, frozen=True):
    """``:release``. Raises InvalidField naming every wrong field."""

    tenant: str
    name: str
    holder_id: str
    subject: str
    fencing_token: int

    def __post_init__(self) -> None:
        _raise_any(
            name_problem(self.name),
            _holder_problem(self.holder_id),
            _int_problem("fencing_token", self.fencing_token, 0, FENCING_TOKEN_MAX),
        )

    @property
    def party(self) -> Party:
        """Who asks."""
        return Party(self.holder_id, self.subject)


class ValidateRequest(Struct, frozen=True):
    """``:validate``, asked by the resource's side. Raises InvalidField naming every wrong field."""

    tenant: str
    name: str
    fencing_token: int

    def __post_init__(self) -> None:
        _raise_any(name_problem(self.name), _int_problem("fencing_token", self.fencing_token, 0, FENCING_TOKEN_MAX))


def name_problem(name: object) -> FieldError | None:
    """What is wrong with a lease's name, if anything."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return None
    return FieldError("name", f"must be 1 to {LEASE_NAME_MAX_CHARS} characters of A-Z a-z 0-9 . _ : / -")


def _raise_any(*problems: FieldError | None) -> None:
    found = [p for p in problems if p is not None]
    if found:
        raise InvalidField(found)


def _int_problem(name: str, value: object, low: int, high: int) -> FieldError | None:
    # bool is an int to Python and not to a caller
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return None
    return FieldError(name, f"must be an integer from {low} to {high}")


def _holder_problem(holder_id: object) -> FieldError | None:
    if isinstance(holder_id, str) and 1 <= len(holder_id) <= LEASE_HOLDER_MAX_CHARS and holder_id.isprintable():
        return None
    return FieldError("holder_id", f"must be 1 to {LEASE_HOLDER_MAX_CHARS} printable characters")


def _metadata_problem(metadata: object) -> FieldError | None:
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping):
        return FieldError("metadata", "must be a JSON object")
    try:
        size = len(json.dumps(metadata, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode())
    except (TypeError, ValueError, RecursionError):
        return FieldError("metadata", "must be a JSON object")
    if size > LEASE_METADATA_MAX_BYTES:
        return FieldError("metadata", f"must be at most {LEASE_METADATA_MAX_BYTES} bytes, is {size}")
    return None
