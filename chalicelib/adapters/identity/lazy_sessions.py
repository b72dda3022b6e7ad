"""Sessions that are loaded with the first browser that signs in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chalicelib.adapters.machine.lazy import Lazy
from chalicelib.core.security.jwt_settings import JwtSettings
from chalicelib.core.security.session_settings import SessionSettings
from chalicelib.ports.clock import Clock
from chalicelib.ports.identity import Authenticator


def lazy_sessions(
    settings: SessionSettings,
    jwt: JwtSettings | None,
    secret: Callable[[], str],
    authenticator: Callable[[], Authenticator],
    clock: Clock,
) -> Any:
    """``Sessions`` of a deployment. ``secret`` raises SettingsError where none is set."""

    def made() -> Any:
        from chalicelib.adapters.identity import sessions

        return sessions.make(settings, jwt, secret(), authenticator, clock)

    return Lazy(made)
