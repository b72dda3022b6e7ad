"""What a deployment says of people who sign in with a browser, read from the environment's variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from chalicelib.core.errors import SettingsError
from chalicelib.core.security.jwt_settings import url_problem

VARIABLES: Final = (
    "CHRONO_CONSOLE_ORIGIN",
    "CHRONO_OIDC_CLIENT_ID",
    "CHRONO_OIDC_CLIENT_SECRET",
    "CHRONO_OIDC_SCOPES",
)
SCOPES_DEFAULT: Final = "openid profile"


class SessionSettings(NamedTuple):  # no struct: scripts/dev reads it before anything is installed
    """``origin`` is where browsers find the service (None: the host that they name). ``client_id`` None: there is no
    sign-in at an issuer. ``secure``: browsers come by TLS."""

    origin: str | None
    client_id: str | None
    client_secret: str | None
    scopes: str
    secure: bool


def read(env: Mapping[str, str], loopback: bool, auth: str) -> SessionSettings:
    """The settings, whole. Raises SettingsError for the first that is wrong."""
    origin = env.get("CHRONO_CONSOLE_ORIGIN", "").strip() or None
    if origin is not None:
        _check_origin(origin)
    client_id = env.get("CHRONO_OIDC_CLIENT_ID", "").strip() or None
    client_secret = env.get("CHRONO_OIDC_CLIENT_SECRET", "").strip() or None
    if client_id is None and client_secret is not None:
        raise SettingsError("CHRONO_OIDC_CLIENT_SECRET", "needs CHRONO_OIDC_CLIENT_ID beside it")
    if client_id is not None and "jwt" not in auth.split(","):
        raise SettingsError("CHRONO_OIDC_CLIENT_ID", "needs CHRONO_AUTH=jwt: its issuer's tokens are what is taken")
    if client_id is not None and origin is None:
        raise SettingsError("CHRONO_OIDC_CLIENT_ID", "needs CHRONO_CONSOLE_ORIGIN: the issuer sends people back there")
    scopes = env.get("CHRONO_OIDC_SCOPES", "").strip() or SCOPES_DEFAULT
    if "openid" not in scopes.split():
        raise SettingsError(
            "CHRONO_OIDC_SCOPES", f"must hold openid, with blanks between scopes; it is {scopes[:80]!r}"
        )
    secure = not loopback if origin is None else origin.startswith("https://")
    return SessionSettings(origin, client_id, client_secret, scopes, secure)


def _check_origin(origin: str) -> None:
    problem = url_problem(origin)
    parts = urlsplit(origin) if problem is None else None
    if parts is not None and (parts.path or parts.query or parts.fragment):
        problem = "must be scheme and host alone, such as https://chronowatch.example"
    if problem is not None:
        raise SettingsError("CHRONO_CONSOLE_ORIGIN", f"{problem}; it is {origin[:80]!r}")
