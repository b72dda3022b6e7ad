"""API keys as callers ask for them and see them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from chalicelib.api.http.requests import PLAIN_TEXT, Body, Instant, Opt
from chalicelib.api.http.responses import ShownInstant
from chalicelib.core.json_schema import formed, states
from chalicelib.core.keys import key_text
from chalicelib.core.keys.limits import (
    KEY_CIDRS_MAX,
    KEY_ENDS_WITHIN_MS,
    KEY_NAME_MAX_CHARS,
    KEY_OVERLAP_MAX_MS,
    LEAKED_TOKENS_MAX,
)
from chalicelib.core.limits import OWNER_MAX_CHARS
from chalicelib.core.security.permissions import PERMISSIONS
from chalicelib.ports.stores.keys import KeptKey

KeyId = Annotated[str, formed(pattern=f"^{key_text.ID_PATTERN}$", examples=["0aB1cD2e"])]
KeyName = Annotated[str, Meta(min_length=1, max_length=KEY_NAME_MAX_CHARS, examples=["ci"]), PLAIN_TEXT]
Names = Annotated[list[str], Meta(min_length=1)]
Networks = Annotated[
    list[str],
    Meta(
        min_length=1,
        max_length=KEY_CIDRS_MAX,
        description="Networks, IPv4 or IPv6, that the key may be used from. Left out: from everywhere.",
        examples=[["203.0.113.0/24"]],
    ),
]


class NewKeyBody(Body, kw_only=True):
    """The key to make. It has `roles` or `permissions`; without both it has the role `user`."""

    name: KeyName
    owner: Annotated[
        Opt[Annotated[str, Meta(min_length=1, max_length=OWNER_MAX_CHARS), PLAIN_TEXT]],
        Meta(description="Whose things the key works on; the caller's own by default."),
    ] = UNSET
    roles: Annotated[Opt[Names], Meta(description="Built-in roles, or those of the tenant.", examples=[["user"]])] = (
        UNSET
    )
    permissions: Annotated[
        Opt[Annotated[list[Annotated[str, states(enum=sorted(PERMISSIONS))]], Meta(min_length=1)]],
        Meta(description="Single permissions, on what the owner has.", examples=[["schedules:read"]]),
    ] = UNSET
    expires_at_unix_ms: Opt[Instant | None] = UNSET
    cidrs: Opt[Networks | None] = UNSET


class RotateBody(Body, kw_only=True):
    """How to rotate. Without `expires_at_unix_ms` the new key ends when the old one would have."""

    overlap_ms: Annotated[int, Meta(ge=0, le=KEY_OVERLAP_MAX_MS, description="How long the old key is still good.")] = 0
    expires_at_unix_ms: Opt[Instant] = UNSET


class LeakedToken(msgspec.Struct, kw_only=True):
    """One find of a secret scanner. What else it says is taken and not used."""

    token: str


class LeakReport(Body, kw_only=True):
    """What a secret scanner found."""

    tokens: Annotated[list[LeakedToken], Meta(min_length=1, max_length=LEAKED_TOKENS_MAX)]


class KeyView(msgspec.Struct, kw_only=True):
    """A key, without its text. `prefix` is how that begins. `active`: it has not ended."""

    id: KeyId
    name: str
    prefix: str
    owner: str
    roles: list[str]
    permissions: list[str]
    active: bool
    expires_at_unix_ms: ShownInstant | None
    cidrs: Annotated[list[str] | None, Meta(description="Null: it may be used from everywhere.")]
    created_at_unix_ms: ShownInstant
    created_by: str
    last_used_unix_ms: Annotated[int | None, Meta(description="Unix milliseconds, to the minute; null: never.")]
    replaces: Annotated[str | None, Meta(description="The id of the key whose rotation made this one.")]
    version: str


class MadeKeyView(KeyView, kw_only=True):
    """A new key. `key` is its text, which no other answer holds; it is left out when the answer is replayed."""

    key: Annotated[str | UnsetType, Meta(examples=["cw_0aB1cD2e_…"])] = UNSET


class KeyList(msgspec.Struct):
    """A page of keys, newest first."""

    items: list[KeyView]
    next_page_token: str | None


class DeletedKey(msgspec.Struct):
    """The key that is deleted."""

    id: str


class TokenVerdict(msgspec.Struct):
    """What became of one token. `true_positive`: it was a key, and is deleted. `token_hash` is its SHA-256, base64."""

    token_hash: str
    token_type: str
    label: str


ENDS_WITHIN = f"That holds everywhere within {KEY_ENDS_WITHIN_MS // 1000} seconds, and ends open streams too."
TOKEN_TYPE = "chronowatch_api_key"  # noqa: S105


def of_key(kept: KeptKey, now_ms: int) -> KeyView:
    """A key as callers see it."""
    return KeyView(**_fields(kept, now_ms))


def of_made(kept: KeptKey, text: str | None, now_ms: int) -> MadeKeyView:
    """A new key with its text, where that is known."""
    return MadeKeyView(**_fields(kept, now_ms), key=UNSET if text is None else text)


def _fields(kept: KeptKey, now_ms: int) -> dict[str, Any]:
    key = kept.key
    return {
        "id": key.id,
        "name": key.name,
        "prefix": key_text.prefix(key.id),
        "owner": key.owner,
        "roles": list(key.roles),
        "permissions": list(key.permissions),
        "active": key.is_live(now_ms),
        "expires_at_unix_ms": key.expires_at_unix_ms,
        "cidrs": list(key.cidrs) or None,
        "created_at_unix_ms": key.created_at_unix_ms,
        "created_by": key.created_by,
        "last_used_unix_ms": kept.used_ms,
        "replaces": key.replaces,
        "version": str(key.rev),
    }
