"""A lease as stored: one JSON text, whole in both directions."""

from __future__ import annotations

import json
from typing import Any

from chalicelib.core.leases.lease_item import LeaseItem, Waiter

_FIELDS = LeaseItem.__struct_fields__
_WAITER_FIELDS = Waiter.__struct_fields__


def write(item: LeaseItem) -> str:
    """The document of ``item``; ``read`` gives back an equal item."""
    document = {name: getattr(item, name) for name in _FIELDS}
    document["waiters"] = [{name: getattr(waiter, name) for name in _WAITER_FIELDS} for waiter in item.waiters]
    document["metadata"] = dict(item.metadata)
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def read(document: str) -> LeaseItem:
    """The item of a document. Fields that a newer release added are left out (and lost if the item is then written).

    Raises ValueError when the text is not such a document: the table was written by something else.
    """
    stored: dict[str, Any] = json.loads(document)
    try:
        known = {name: value for name, value in stored.items() if name in _FIELDS}
        known["waiters"] = tuple(Waiter(**w) for w in known["waiters"])
        return LeaseItem(**known)
    except (AttributeError, KeyError, TypeError) as wrong:
        raise ValueError("not a lease document") from wrong
