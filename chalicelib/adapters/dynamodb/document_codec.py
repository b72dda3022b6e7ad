"""Between records and their documents, for all kinds of items."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Generic, TypeVar

import msgspec

from chalicelib.core.decoders import decoder_of

R = TypeVar("R")
_encode = msgspec.json.Encoder().encode


class Codec(Generic[R]):
    """Between a record and its document: the fields of both have the same names."""

    def __init__(self, document: type[msgspec.Struct], record: Callable[..., R]) -> None:
        self.fields = document.__struct_fields__
        self._document = document
        self._record = record
        self._values = attrgetter(*self.fields)
        self._decode = decoder_of(document).decode

    def encode(self, record: R, **replaced: object) -> str:
        """The document of a record, some of its fields replaced."""
        document = self._document(*self._values(record))
        return _encode(msgspec.structs.replace(document, **replaced) if replaced else document).decode()

    def fields_of(self, doc: str) -> dict[str, Any]:
        """The fields of a document, by name."""
        return dict(zip(self.fields, msgspec.structs.astuple(self._decode(doc)), strict=True))

    def decode(self, doc: str, **others: object) -> R:
        """The record of a document, and of what stands beside it."""
        return self._record(**others, **self.fields_of(doc))
