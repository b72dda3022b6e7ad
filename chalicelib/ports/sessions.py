"""Sessions of people who sign in with a browser: their credential, sealed in a cookie. Nothing is stored."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from chalicelib.core.errors import Unauthorized
from chalicelib.core.security.caller import Caller


class SessionOpened(NamedTuple):
    """A caller, and the ``Set-Cookie`` that makes their browser's calls come from them."""

    caller: Caller
    cookie: str


class SentAway(NamedTuple):
    """Where a browser goes next, and the ``Set-Cookie`` that it takes along."""

    url: str
    cookie: str


class Sessions(Protocol):
    """Any number of threads may call it."""

    def offers_issuer(self) -> bool:
        """Whether people can sign in at the issuer."""
        ...

    def origin(self) -> str | None:
        """Where browsers find the service; None: at the host that they name."""
        ...

    def token_of(self, cookies: str) -> str | None:
        """The bearer token in a ``Cookie`` header; None: there is no session in it that this deployment sealed."""
        ...

    def open(self, token: str, source_ip: str | None) -> SessionOpened:
        """A session with a token or key. Raises Unauthorized, Unavailable, InvalidField for one too long to keep."""
        ...

    def closed(self) -> str:
        """The ``Set-Cookie`` that ends a session."""
        ...

    def refresh(self, cookies: str, source_ip: str | None) -> SessionOpened:
        """The session with a new token of the issuer. Raises Unauthorized, Unavailable."""
        ...

    def begin(self, return_to: str) -> SentAway:
        """Send a browser to the issuer. Raises NotSupported where there is none, Unavailable."""
        ...

    def finish(self, cookies: str, state: str, code: str, source_ip: str | None) -> SentAway:
        """What the issuer sent a browser back with, made a session; then on to where it began. Raises Unauthorized,
        Unavailable."""
        ...


class NoSessions:
    """Where no browser can sign in."""

    def offers_issuer(self) -> bool:
        return False

    def origin(self) -> str | None:
        return None

    def token_of(self, cookies: str) -> str | None:
        return None

    def open(self, token: str, source_ip: str | None) -> SessionOpened:
        raise Unauthorized("there is no sign-in here")

    def closed(self) -> str:
        return ""

    def refresh(self, cookies: str, source_ip: str | None) -> SessionOpened:
        raise Unauthorized("there is no sign-in here")

    def begin(self, return_to: str) -> SentAway:
        raise Unauthorized("there is no sign-in here")

    def finish(self, cookies: str, state: str, code: str, source_ip: str | None) -> SentAway:
        raise Unauthorized("there is no sign-in here")
