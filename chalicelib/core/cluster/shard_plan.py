"""Who works on which shard: every node sees the same and works out the same, so that none has to ask another.

Each node has its fair share, give or take one; a share only changes hands when it must. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import islice

from msgspec import Struct


class Plan(Struct, frozen=True):
    """What one node does next: shards to give up, and free ones to take. ``settled``: no node has anything to do."""

    release: tuple[int, ...]
    take: tuple[int, ...]
    settled: bool


def plan(owners: Sequence[str | None], nodes: Sequence[str], me: str) -> Plan:
    """The next step of ``me``, one of ``nodes``. ``owners``: for each shard who has it, None: no living owner.

    An owner that is no node (a call of a function) keeps what it has. When nodes see the same, repeating this ends when
    nothing is left to do and shares differ by one at the most.
    """
    held = Counter(owner for owner in owners if owner is not None and owner in nodes)
    mine = [shard for shard, owner in enumerate(owners) if owner == me]
    free = [shard for shard, owner in enumerate(owners) if owner is None]
    quotas = _quotas(len(free) + held.total(), held, nodes)
    return Plan(
        release=tuple(mine[quotas[me] :]),
        take=tuple(_dealt(free, quotas, held)[me]),
        settled=all(held[node] == quota for node, quota in quotas.items()),
    )


def _quotas(shards: int, held: Counter[str], nodes: Sequence[str]) -> dict[str, int]:
    """How many shards each node is to have; what does not divide goes to those who have most, and so stays there."""
    share, rest = divmod(shards, len(nodes))
    order = sorted(nodes, key=lambda node: (-held[node], node))
    return {node: share + (place < rest) for place, node in enumerate(order)}


def _dealt(free: Sequence[int], quotas: dict[str, int], held: Counter[str]) -> dict[str, list[int]]:
    """The free shards, dealt to those below their quota, in the order of their names."""
    left = iter(free)
    return {node: list(islice(left, max(0, quotas[node] - held[node]))) for node in sorted(quotas)}
