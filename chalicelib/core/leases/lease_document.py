"""A lease as stored: one JSON text, whole in both directions."""

from __future__ import annotations

from typing import Final

import msgspec

from chalicelib.core.decoders import decoder_of
from chalicelib.core.leases.lease_item import LeaseItem

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = decoder_of(LeaseItem)


def write(item: LeaseItem) -> str:
    """The document of ``item``; ``read`` gives back an equal item."""
    return _ENCODER.encode(item).decode()


def read(document: str) -> LeaseItem:
    """The item of a document. Fields that a newer release added are left out (and lost if the item is then written).

    Raises ValueError when the text is not such a document: the table was written by something else.
    """
    try:
        return _DECODER.decode(document)
    except msgspec.DecodeError as wrong:
        raise ValueError("not a lease document") from wrong
