"""Intents: what is about to be changed, on record before it is. Who finds an old one enters it in the chain."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from chalicelib.core.audit.entry import Draft
from chalicelib.core.decoders import decoder_of


class Intent(Struct, frozen=True):
    """A draft on record, under the draft's id."""

    tenant: str
    draft: Draft


def write(intent: Intent) -> str:
    """The document of an intent."""
    return msgspec.json.encode(intent).decode()


def read(document: str) -> Intent:
    """The intent of a document that ``write`` made."""
    return decoder_of(Intent).decode(document)
