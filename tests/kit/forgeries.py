"""Tokens that somebody made up or altered, by what is wrong with them. No door may take one of them."""

from __future__ import annotations

import hashlib
import hmac
import json

from tests.kit.issuer import Issuer, encode, key, public, signed

HOUR_S = 3600


def forgeries(issuer: Issuer, now_ms: int) -> dict[str, str]:
    """All of them would be an admin's. The issuer is left with an RSA key beside its first, for HMAC with a public
    key."""
    rsa = key("RS256")
    issuer.keys = [public(key("ES256"), "first"), public(rsa, "rsa")]
    now_s = now_ms // 1000

    def token(**changes: object) -> str:
        return issuer.token(now_ms, **{"sub": "eve", "roles": ["admin"], **changes})  # type: ignore[arg-type]

    head, claims, signature = token().split(".")
    others = token(sub="mallory").split(".")[1]

    def with_header(**header: object) -> str:
        return f"{encode({'typ': 'JWT', 'kid': 'first', **header})}.{claims}"

    def by_hmac(secret: bytes) -> str:
        text = with_header(alg="HS256", kid="rsa")
        return f"{text}.{encode(hmac.new(secret, text.encode(), hashlib.sha256).digest())}"

    twice = b'{"alg":"none","alg":"ES256","kid":"first"}'
    return {
        "alg none": f"{with_header(alg='none')}.",
        "alg None, with a signature": f"{with_header(alg='None')}.{signature}",
        "HS256 with the public key as PEM": by_hmac(rsa.as_pem(private=False)),
        "HS256 with the public key as JWK": by_hmac(json.dumps(public(rsa, "rsa")).encode()),
        "expired": token(exp=now_s - HOUR_S),
        "without an end": token(exp=None),
        "not yet valid": token(nbf=now_s + HOUR_S),
        "of another issuer": token(iss="https://evil.example"),
        "for another audience": token(aud="another service"),
        "unknown kid": token(kid="nobody's"),
        "another's key under a known kid": token(signing=key("ES256", 1)),
        "stripped signature": f"{head}.{claims}.",
        "two parts": f"{head}.{claims}",
        "other claims under the signature": f"{head}.{others}.{signature}",
        "a token for logging out": token(header={"typ": "logout+jwt"}),
        "an ID token": token(header={"typ": "id+jwt"}),
        "a key in the header": token(header={"jwk": public(key("ES256", 1), None)}, signing=key("ES256", 1)),
        "the address of a key": token(header={"jku": f"{issuer.url}/keys"}),
        "a doubled name": signed(twice, json.dumps({"sub": "eve"}).encode(), key("ES256"), "ES256"),
        "longer than 8 KiB": token(padding="x" * 9000),
        "rubbish": "rubbish",
    }
