"""What a process knows of the tenants' audit chains, and the line in which its threads append to them together."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Condition
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import Struct

if TYPE_CHECKING:  # the functions that fire hold the memory and never use it: they need not load what an entry is
    from chalicelib.core.audit.entry import Draft
    from chalicelib.core.audit.segment import Tail

MEMORY_MAX = 4096
K = TypeVar("K")
V = TypeVar("V")


class _Ticket(Struct, eq=False):
    drafts: list[Draft]
    ended: bool = False
    error: BaseException | None = None


class RecentlySeen(Generic[K, V]):
    """A bounded map of what was read or written, and when."""

    def __init__(self) -> None:
        self.kept: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def find(self, key: K, now_ms: int, age_max_ms: int) -> V | None:
        if key not in self.kept:
            return None
        value, since_ms = self.kept[key]
        return value if 0 <= now_ms - since_ms < age_max_ms else None

    def keep(self, key: K, value: V, now_ms: int) -> None:
        self.kept[key] = (value, now_ms)
        self.kept.move_to_end(key)
        if len(self.kept) > MEMORY_MAX:
            self.kept.popitem(last=False)


class AuditMemory:
    """Tails, pseudonyms and marks; safe to share between threads."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._lines: dict[str, list[_Ticket]] = {}
        self._led: set[str] = set()
        self._tails: RecentlySeen[str, Tail] = RecentlySeen()
        self._pseudonyms: RecentlySeen[tuple[str, str], str] = RecentlySeen()
        self._marks: RecentlySeen[str, bool] = RecentlySeen()

    def commit(self, tenant: str, drafts: list[Draft], append: Callable[[list[Draft]], None]) -> None:
        """Append ``drafts`` with whatever else this process has for the tenant just then, one append at a time.

        One of the waiting threads calls ``append`` for all. What it raises, all of them raise.
        """
        mine = _Ticket(drafts)
        with self._changed:
            self._lines.setdefault(tenant, []).append(mine)
            while tenant in self._led and not mine.ended:
                self._changed.wait()
            if not mine.ended:
                group = self._lines.pop(tenant)
                self._led.add(tenant)
        if not mine.ended:
            self._lead(tenant, group, append)
        if mine.error is not None:
            raise mine.error

    def _lead(self, tenant: str, group: list[_Ticket], append: Callable[[list[Draft]], None]) -> None:
        error: BaseException | None = None
        try:
            append([draft for ticket in group for draft in ticket.drafts])
        except BaseException as raised:  # the followers must learn of it: they would wait for ever
            error = raised
        with self._changed:
            for ticket in group:
                ticket.ended, ticket.error = True, error
            self._led.discard(tenant)
            self._changed.notify_all()

    def tail(self, tenant: str, now_ms: int, age_max_ms: int) -> Tail | None:
        """The end of a tenant's chain as this process last saw it; None: it is not known well enough."""
        with self._changed:
            return self._tails.find(tenant, now_ms, age_max_ms)

    def keep_tail(self, tenant: str, tail: Tail, now_ms: int) -> None:
        with self._changed:
            self._tails.keep(tenant, tail, now_ms)

    def forget_tail(self, tenant: str) -> None:
        with self._changed:
            self._tails.kept.pop(tenant, None)

    def pseudonym(self, tenant: str, subject: str, now_ms: int, age_max_ms: int) -> str | None:
        """A subject's pseudonym, if it was read lately."""
        with self._changed:
            return self._pseudonyms.find((tenant, subject), now_ms, age_max_ms)

    def keep_pseudonym(self, tenant: str, subject: str, pseudonym: str, now_ms: int) -> None:
        with self._changed:
            self._pseudonyms.keep((tenant, subject), pseudonym, now_ms)

    def forget_pseudonym(self, tenant: str, subject: str) -> None:
        with self._changed:
            self._pseudonyms.kept.pop((tenant, subject), None)

    def is_marked(self, tenant: str, now_ms: int, age_max_ms: int) -> bool:
        """Whether this process marked the tenant lately."""
        with self._changed:
            return self._marks.find(tenant, now_ms, age_max_ms) is not None

    def keep_mark(self, tenant: str, now_ms: int) -> None:
        with self._changed:
            self._marks.keep(tenant, True, now_ms)
