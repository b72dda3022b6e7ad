"""Who a request comes from: what it shows, and what judges that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from chalicelib.core.security.caller import Caller

if TYPE_CHECKING:  # needed only where keys are
    from chalicelib.core.keys.seen_key import SeenKey


class Credentials(Struct, frozen=True):
    """What a request shows of its caller: the Authorization header, and the address that it came from (None: none)."""

    authorization: str | None
    source_ip: str | None

    def __repr__(self) -> str:
        """Without the header: what is printed may be logged."""
        shown = "none" if self.authorization is None else "given"
        return f"Credentials(authorization {shown}, source_ip {self.source_ip})"


class Authenticator(Protocol):
    """Judges credentials. Any number of threads may call it."""

    def authenticate(self, credentials: Credentials) -> Caller:
        """Who asks. Raises Unauthorized, and Unavailable where what could judge them is away."""
        ...

    def is_open(self) -> bool:
        """Whether any credentials at all are taken here."""
        ...

    def still_holds(self, caller: Caller) -> bool:
        """Whether the credential of a caller identified before is still good: what is kept open ends once it is not.

        Asked often, so it answers from memory but for a read every half a minute at most. Never raises.
        """
        ...


class TokenAuthenticator(Protocol):
    """As ``Authenticator``, of one kind of bearer token."""

    def authenticate(self, token: str, source_ip: str | None) -> Caller:
        """Who asks. Raises as ``Authenticator.authenticate``."""
        ...

    def still_holds(self, caller: Caller) -> bool:
        """As ``Authenticator.still_holds``."""
        ...


class KeyNotes(Protocol):
    """What this process remembers of the keys that it read. Any number of threads may call it."""

    def find(self, key_id: str) -> SeenKey | None:
        """What is remembered of an id, however old."""
        ...

    def keep(self, key_id: str, seen: SeenKey) -> None:
        """Remember what was read."""
        ...
