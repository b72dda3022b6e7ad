"""API keys as tests make them."""

from __future__ import annotations

from typing import Any

from chalicelib.core.keys import key_text
from chalicelib.core.keys.api_key import ApiKey
from tests.kit.records import START_MS


def text_of(key_id: str, secret: int = 7) -> str:
    """A well-formed key."""
    return key_text.compose(key_id, secret)


def api_key(key_id: str, **changes: Any) -> ApiKey:
    """A key of the default tenant, with the text of ``text_of``."""
    known: dict[str, Any] = {
        "tenant": "default",
        "id": key_id,
        "name": "ci",
        "owner": "ann",
        "sha256": key_text.sha256(text_of(key_id)),
        "created_at_unix_ms": START_MS,
        "created_by": "ann",
        "created_with": "jwt",
        "roles": ("user",),
    }
    return ApiKey(**known | changes)
