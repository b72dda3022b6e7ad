"""Services with parts exchanged."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from chalicelib.ports.services import Services


def with_stores(s: Services, **stores: Any) -> Services:
    """``s`` with other stores, by name."""
    return replace(s, stores=replace(s.stores, **stores))
