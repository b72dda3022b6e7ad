"""What is stored of a lease: its holder, its token, and who waits for it. ``lease`` decides what becomes of it."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct, field


class Party(Struct, frozen=True):
    """Who asks: the caller's own name for itself and, with authentication, the subject it may not choose."""

    holder_id: str
    subject: str


class Waiter(Struct, frozen=True):
    """A place in the queue, kept until ``asks_until_ms`` and moved on by asking again.

    ``wake_at`` is where the instance that holds its call open can be notified of a release; empty: nowhere.
    """

    holder_id: str
    subject: str
    ticket: int
    asks_until_ms: int
    wake_at: str = ""

    @property
    def party(self) -> Party:
        """Whose place it is."""
        return Party(self.holder_id, self.subject)


class LeaseItem(Struct, frozen=True):
    """All that is stored of one lease. ``holder_id`` None: the lease is free, and the item keeps the token."""

    tenant: str
    name: str
    rev: int = 0
    fencing_token: int = 0
    holder_id: str | None = None
    subject: str | None = None
    ttl_ms: int = 0
    acquired_at_unix_ms: int = 0
    expires_at_unix_ms: int = 0
    metadata: Mapping[str, object] = field(default_factory=dict)
    waiters: tuple[Waiter, ...] = ()
    next_ticket: int = 1
    # The last release, remembered so that repeating it succeeds, also when the next holder has come meanwhile.
    last_holder_id: str | None = None
    last_subject: str | None = None
    last_fencing_token: int = 0
    # Of the last change, as every stored item has them: its clock stamp, and the deployment that made it.
    hlc: str = ""
    origin: str = ""

    @property
    def holder(self) -> Party | None:
        """Who holds it, be it live or expired."""
        if self.holder_id is None or self.subject is None:
            return None
        return Party(self.holder_id, self.subject)
