"""What a claim hands on: the attempts that this worker owns, and what becomes of everything else in the batch."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from msgspec import Struct

from chalicelib.core.executions.execution import Execution, ExecutionKey
from chalicelib.core.queue_messages import Firing, Run
from chalicelib.core.schedules.schedule import Definition, Key

Item = Firing | Run  # what a message of the queue asks for


def execution_of(item: Item) -> ExecutionKey:
    """The execution that an item is about."""
    return item.execution if isinstance(item, Run) else ExecutionKey(*item.schedule, item.at_ms)


class Claimed(Struct, frozen=True):
    """One attempt that this worker owns, to be sent at ``due_ms``. ``epoch`` is the schedule's when it was claimed."""

    execution: Execution
    definition: Definition
    epoch: int
    due_ms: int

    @property
    def key(self) -> Key:
        """The key of its schedule."""
        return self.definition.key

    @property
    def may_overlap(self) -> bool:
        """Whether it may run beside others of its schedule, so that it needs no slot."""
        return self.definition.overlap == "allow"


class OwedNotice(Struct, frozen=True):
    """An execution that was cancelled, whose target has yet to be notified, and the item that led here."""

    item: Item
    cancelled: Execution


class Leased(Struct, frozen=True):
    """An item whose attempt is another worker's until ``until_ms``: then, if that one died, it is taken over."""

    item: Item
    until_ms: int


class Claims(Struct, frozen=True):
    """What became of the items of a batch; what is over, or in the care of others, is not named.

    ``redeliver``: a write was lost too often, so the queue must bring the item again. ``leased``: another worker has
    claimed it, and protects it until an instant. ``unknown``: its version or record is not written (yet).
    """

    claimed: tuple[Claimed, ...] = ()
    redeliver: tuple[Item, ...] = ()
    leased: tuple[Leased, ...] = ()
    unknown: tuple[Item, ...] = ()
    notices: tuple[OwedNotice, ...] = ()


NOTHING = Claims()


def merged(parts: Iterable[Claims]) -> Claims:
    """All of ``parts`` in one."""
    some = [p for p in parts if p.claimed or p.redeliver or p.leased or p.unknown or p.notices]
    if len(some) < 2:
        return some[0] if some else NOTHING
    return Claims(
        claimed=tuple(chain.from_iterable(part.claimed for part in some)),
        redeliver=tuple(chain.from_iterable(part.redeliver for part in some)),
        leased=tuple(chain.from_iterable(part.leased for part in some)),
        unknown=tuple(chain.from_iterable(part.unknown for part in some)),
        notices=tuple(chain.from_iterable(part.notices for part in some)),
    )
