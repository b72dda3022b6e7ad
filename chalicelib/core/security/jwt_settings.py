"""What a deployment says of the JSON Web Tokens that it takes, read from the environment's variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from chalicelib.core.errors import SettingsError

DISCOVERY_PATH: Final = "/.well-known/openid-configuration"
CLAIM_MAX_CHARS: Final = 256
VARIABLES: Final = (
    "CHRONO_JWT_ISSUER",
    "CHRONO_JWT_AUDIENCE",
    "CHRONO_JWKS_URL",
    "CHRONO_JWT_TENANT_CLAIM",
    "CHRONO_JWT_SUBJECT_CLAIM",
    "CHRONO_JWT_ROLES_CLAIM",
)
_LOOPBACK: Final = r"localhost|127\.[0-9.]+|::1"


class JwtSettings(NamedTuple):  # no struct: scripts/dev reads it before anything is installed
    """``jwks_url`` None: the issuer's discovery document names it. Each ``*_claim`` is a claim, or a path with dots."""

    issuer: str
    audiences: tuple[str, ...]
    jwks_url: str | None
    tenant_claim: str
    subject_claim: str
    roles_claim: str


def read(env: Mapping[str, str]) -> JwtSettings:
    """The settings, whole. Raises SettingsError for the first that is missing or wrong."""
    issuer = env.get("CHRONO_JWT_ISSUER", "").strip()
    if not issuer:
        raise SettingsError("CHRONO_JWT_ISSUER", "is required with CHRONO_AUTH=jwt: the iss of the tokens to take")
    jwks_url = env.get("CHRONO_JWKS_URL", "").strip() or None
    if jwks_url is not None:
        _check_url("CHRONO_JWKS_URL", jwks_url)
    else:
        _check_url("CHRONO_JWT_ISSUER", issuer)
    audiences = tuple(part for text in env.get("CHRONO_JWT_AUDIENCE", "").split(",") if (part := text.strip()))
    if not audiences:
        raise SettingsError("CHRONO_JWT_AUDIENCE", "is required with CHRONO_AUTH=jwt: the aud of this service's tokens")
    return JwtSettings(
        issuer=issuer,
        audiences=audiences,
        jwks_url=jwks_url,
        tenant_claim=_claim(env, "CHRONO_JWT_TENANT_CLAIM", "tenant"),
        subject_claim=_claim(env, "CHRONO_JWT_SUBJECT_CLAIM", "sub"),
        roles_claim=_claim(env, "CHRONO_JWT_ROLES_CLAIM", "roles"),
    )


def url_problem(url: str) -> str | None:
    """What keeps keys from being fetched from ``url``: what can answer for it can sign tokens. None: nothing."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return "is no URL"
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        return "must be a URL such as https://issuer.example/"
    if parts.scheme == "http" and re.fullmatch(_LOOPBACK, host, re.ASCII) is None:
        return "must begin with https://, since what answers for it can sign tokens; http:// is for loopback only"
    return None


def discovery_url(issuer: str) -> str:
    """Where an issuer describes itself (OpenID Connect Discovery 1.0, section 4)."""
    return issuer.rstrip("/") + DISCOVERY_PATH


def _check_url(variable: str, url: str) -> None:
    problem = url_problem(url)
    if problem is not None:
        raise SettingsError(variable, f"{problem}; it is {url[:80]!r}")


def _claim(env: Mapping[str, str], variable: str, default: str) -> str:
    name = env.get(variable, "").strip() or default
    if len(name) > CLAIM_MAX_CHARS or not name.isprintable():
        raise SettingsError(variable, f"must name a claim in at most {CLAIM_MAX_CHARS} characters")
    return name
