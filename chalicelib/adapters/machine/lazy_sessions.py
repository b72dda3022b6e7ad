"""Sessions that are loaded with the first browser that signs in."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from chalicelib.adapters.machine.lazy import Lazy

if TYPE_CHECKING:
    from chalicelib.core.security.jwt_settings import JwtSettings
    from chalicelib.core.security.session_settings import SessionSettings
    from chalicelib.ports.clock import Clock
    from chalicelib.ports.identity import Authenticator


class WithSessions(Protocol):
    """What sessions need of the settings."""

    @property
    def sessions(self) -> SessionSettings: ...

    @property
    def jwt(self) -> JwtSettings | None: ...

    def required_page_token_secret(self) -> str: ...


def lazy_sessions(chosen: WithSessions, authenticator: Callable[[], Authenticator], clock: Clock) -> Any:
    """``Sessions`` of a deployment."""

    def made() -> Any:
        from chalicelib.adapters.identity import sessions

        return sessions.make(chosen.sessions, chosen.jwt, chosen.required_page_token_secret(), authenticator, clock)

    return Lazy(made)
