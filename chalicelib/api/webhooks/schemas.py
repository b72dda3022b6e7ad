"""The keys of webhooks as receivers see them."""

from __future__ import annotations

from typing import Literal

import msgspec


class WebhookKey(msgspec.Struct, kw_only=True):
    """An Ed25519 key as a JSON Web Key (RFC 8037); `whpk` is the same key as Standard Webhooks writes it."""

    kty: Literal["OKP"] = "OKP"
    crv: Literal["Ed25519"] = "Ed25519"
    alg: Literal["EdDSA"] = "EdDSA"
    use: Literal["sig"] = "sig"
    kid: str
    x: str
    whpk: str


class WebhookKeySet(msgspec.Struct):
    """The keys that sign now, the newest first; empty when the deployment has no key of its own."""

    keys: list[WebhookKey]
