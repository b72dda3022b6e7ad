"""What the bodies and queries of every noun have in common; the models of a noun are in ``api/<noun>/schemas.py``.

Models judge shape, types and single-field bounds, one error at a time, as msgspec finds them. What a definition means
as a whole is judged by ``core.schedules.validation``, all errors together.
"""

from __future__ import annotations

from typing import Annotated, Protocol, TypeVar, Union

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from chalicelib.core import page_token
from chalicelib.core.json_schema import states
from chalicelib.core.limits import DURATION_MAX_MS, INSTANT_MAX_MS, PAGE_DEFAULT_ITEMS, PAGE_MAX_ITEMS
from chalicelib.core.schedules import validation

T = TypeVar("T")
Opt = Union[T, UnsetType]  # noqa: UP007 -- a generic alias over a type variable has no other spelling in 3.11
Instant = Annotated[int, Meta(ge=0, le=INSTANT_MAX_MS, description="Unix milliseconds.")]
Duration = Annotated[int, Meta(ge=0, le=DURATION_MAX_MS, description="Milliseconds.")]
PageToken = Annotated[str, states(pattern=page_token.PATTERN)]
PLAIN_TEXT = states(pattern=validation.TEXT_PATTERN)


class Body(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """An object without fields."""


class Query(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """No parameters."""


class PageQuery(Query, kw_only=True):
    """One page of a list."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX_ITEMS, description="Items on a page.")] = PAGE_DEFAULT_ITEMS
    page_token: Annotated[Opt[PageToken], Meta(description="`next_page_token` of the page before.")] = UNSET


class Paged(Protocol):
    """A query with a page token."""

    @property
    def page_token(self) -> Opt[str]: ...


class TokenQuery(Query, kw_only=True):
    """One part of something long."""

    page_token: Annotated[Opt[PageToken], Meta(description="`next_page_token` of the call before.")] = UNSET


def given(value: T | UnsetType, default: T | None = None) -> T | None:
    """The value, or ``default`` when it was left out."""
    return default if isinstance(value, UnsetType) else value


def json_text(raw: Raw) -> str:
    """Serialised JSON without the blanks between its parts; numbers keep the digits they were written with."""
    return msgspec.json.format(bytes(raw), indent=-1).decode()
