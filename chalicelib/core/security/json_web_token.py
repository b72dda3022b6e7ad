"""JSON Web Tokens (RFC 7519, and RFC 8725 for what to beware of) without their signatures: form, header, claims.

The header is judged before any key is looked for, the claims after the signature holds. Only what this module lists is
taken; whatever would let a token choose its own key is refused.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from chalicelib.core.errors import Unauthorized
from chalicelib.core.limits import INSTANT_MAX_MS, OWNER_MAX_CHARS
from chalicelib.core.security.caller import DEFAULT_TENANT
from chalicelib.core.security.jwt_settings import JwtSettings

TOKEN_MAX_BYTES: Final = 8 * 1024
LEEWAY_S: Final = 30
ROLES_MAX_COUNT: Final = 256
TENANT_MAX_CHARS: Final = 64
RSA_MIN_BITS: Final = 2048
RSA_MAX_BITS: Final = 16_384  # what is longer takes too long to verify


class Fit(NamedTuple):
    """The key that an algorithm needs: its type and, unless it is RSA, its curve."""

    kty: str
    crv: str | None = None


# RFC 7518, and RFC 9864 for Ed25519, which EdDSA stands for here. Nothing symmetric, and never "none".
ALGORITHMS: Final[Mapping[str, Fit]] = {
    **{f"{family}{bits}": Fit("RSA") for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": Fit("EC", "P-256"),
    "ES384": Fit("EC", "P-384"),
    "ES512": Fit("EC", "P-521"),
    "EdDSA": Fit("OKP", "Ed25519"),
    "Ed25519": Fit("OKP", "Ed25519"),
}

_EDWARDS: Final = ("EdDSA", "Ed25519")  # two names of one algorithm
_TYPES: Final = frozenset({"jwt", "at+jwt"})  # RFC 9068 names access tokens at+jwt
_REFUSED_HEADERS: Final = ("crit", "jku", "x5u", "jwk", "b64")
_TENANT: Final = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{TENANT_MAX_CHARS - 1}}}", re.ASCII)
_PART: Final = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


class SplitToken(NamedTuple):
    """A token in its parts, its header judged and nothing else."""

    alg: str
    kid: str | None
    signed: bytes
    signature: bytes
    payload: bytes


class TokenIdentity(NamedTuple):
    """Who a token's claims name, and when it expires."""

    tenant: str
    subject: str
    roles: tuple[str, ...]
    expires_at_ms: int


def refused(detail: str) -> Unauthorized:
    """The error of a token that is not taken."""
    return Unauthorized(detail, invalid_token=True)


def split(token: str) -> SplitToken:
    """Take a token apart and judge its header. Raises Unauthorized."""
    if len(token) > TOKEN_MAX_BYTES:
        raise refused("the token is longer than 8 KiB")
    parts = token.split(".")
    if len(parts) != 3:
        raise refused("the token is no JSON Web Token of three parts")
    header_part, payload_part, signature_part = parts
    if not signature_part:
        raise refused("the token is not signed")
    header = _object(_decode(header_part), "header")
    alg = header.get("alg")
    if not isinstance(alg, str) or alg not in ALGORITHMS:
        raise refused("the token's alg is not taken: it must be one of " + ", ".join(ALGORITHMS))
    for name in _REFUSED_HEADERS:
        if name in header:
            raise refused(f"the token's header has {name}, which is not taken")
    _check_type(header)
    kid = header.get("kid")
    if kid is not None and not isinstance(kid, str):
        raise refused("the token's kid is no string")
    signed = f"{header_part}.{payload_part}".encode("ascii")
    return SplitToken(alg, kid, signed, _decode(signature_part), _decode(payload_part))


def fits(jwk: Mapping[str, Any], alg: str) -> bool:
    """Whether a key of a JWK set (RFC 7517) may verify ``alg``: type, curve, size and what it says it is for."""
    wanted = ALGORITHMS[alg]
    if jwk.get("kty") != wanted.kty or jwk.get("use", "sig") != "sig":
        return False
    operations = jwk.get("key_ops")
    if operations is not None and not (isinstance(operations, list) and "verify" in operations):
        return False
    named = jwk.get("alg")
    if named not in (None, alg) and (named not in _EDWARDS or alg not in _EDWARDS):
        return False
    if wanted.kty == "RSA":
        return RSA_MIN_BITS <= _bits(jwk.get("n")) <= RSA_MAX_BITS
    return jwk.get("crv") == wanted.crv


def identity(payload: bytes, settings: JwtSettings, now_ms: int) -> TokenIdentity:
    """Who a token with a good signature is from. Raises Unauthorized."""
    claims = _object(payload, "claims")
    if claims.get("iss") != settings.issuer:
        raise refused("the token's iss is not this service's issuer")
    audience = claims.get("aud")
    if not set(settings.audiences) & set(_texts(audience)):
        raise refused("the token's aud does not name this service")
    expires_s = _instant_s(claims, "exp")
    if expires_s is None:
        raise refused("the token has no exp")
    if now_ms >= (expires_s + LEEWAY_S) * 1000:
        raise refused("the token has expired")
    not_before_s = _instant_s(claims, "nbf")
    if not_before_s is not None and now_ms < (not_before_s - LEEWAY_S) * 1000:
        raise refused("the token is not valid yet")
    return TokenIdentity(
        tenant=_tenant(claims, settings.tenant_claim),
        subject=_subject(claims, settings.subject_claim),
        roles=_roles(claims, settings.roles_claim),
        expires_at_ms=int(expires_s * 1000),
    )


def _check_type(header: Mapping[str, Any]) -> None:
    """Refuse tokens made for something else, such as ``dpop+jwt`` or ``logout+jwt`` (RFC 8725, section 3.11)."""
    typ = header.get("typ")
    if typ is not None and (not isinstance(typ, str) or typ.lower().removeprefix("application/") not in _TYPES):
        raise refused("the token's typ is not taken: it must be JWT or at+jwt")


def _decode(part: str) -> bytes:
    """Base64url without padding (RFC 7515, section 2), in its one spelling."""
    if _PART.fullmatch(part) is None:
        raise refused("the token is not base64url")
    try:
        decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (ValueError, binascii.Error):
        raise refused("the token is not base64url") from None
    if base64.urlsafe_b64encode(decoded).rstrip(b"=").decode() != part:
        raise refused("the token is not base64url")
    return decoded


def _object(raw: bytes, called: str) -> Mapping[str, Any]:
    """A JSON object in which no name stands twice: parsers differ on which of two counts."""
    try:
        found = json.loads(raw.decode("utf-8"), object_pairs_hook=_without_doubles, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise refused(f"the token's {called} cannot be read: it must be JSON without doubled names") from None
    if not isinstance(found, dict):
        raise refused(f"the token's {called} must be a JSON object")
    return found


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _texts(value: Any) -> list[str]:
    """A string, or the strings of a list."""
    if isinstance(value, str):
        return [value]
    return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []


def _instant_s(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None and name not in claims:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= INSTANT_MAX_MS // 1000:
        raise refused(f"the token's {name} is no instant in seconds")
    return value


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """A claim by its name, which may hold dots as URLs do, or by the path to it; None: there is none."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for name in path.split("."):
        if not isinstance(found, dict) or name not in found:
            return None
        found = found[name]
    return found


def _tenant(claims: Mapping[str, Any], path: str) -> str:
    found = _claim(claims, path)
    if found is None:
        return DEFAULT_TENANT
    if not isinstance(found, str) or _TENANT.fullmatch(found) is None:
        raise refused(
            f"the token's {path} is no tenant: it must be 1 to {TENANT_MAX_CHARS} letters, digits, '.', '_' or '-'"
        )
    return found


def _subject(claims: Mapping[str, Any], path: str) -> str:
    found = _claim(claims, path)
    fine = isinstance(found, str) and found.isprintable() and 1 <= len(found) <= OWNER_MAX_CHARS
    if not fine or found.strip() != found:
        raise refused(f"the token's {path} is no subject: it must be 1 to {OWNER_MAX_CHARS} printable characters")
    return str(found)


def _roles(claims: Mapping[str, Any], path: str) -> tuple[str, ...]:
    """Names of roles: a list, or one string with blanks between them, as scopes are written."""
    found = _claim(claims, path)
    if found is None:
        return ()
    names = found.split() if isinstance(found, str) else found
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise refused(f"the token's {path} must be a list of roles")
    if len(names) > ROLES_MAX_COUNT:
        raise refused(f"the token's {path} has more than {ROLES_MAX_COUNT} roles")
    return tuple(names)


def _bits(modulus: Any) -> int:
    """The length of an RSA modulus."""
    if not isinstance(modulus, str):
        return 0
    try:
        raw = base64.urlsafe_b64decode(modulus + "=" * (-len(modulus) % 4))
    except (ValueError, binascii.Error):
        return 0
    return int.from_bytes(raw).bit_length()
