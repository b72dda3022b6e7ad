"""What DynamoDB charges for a write, from the sizes of items and the rules of indexes.

The emulator reports one unit a write and nothing of indexes. So units are computed from the tables before and after
each call, by Amazon DynamoDB's Developer Guide ("Item sizes and formats", "Read and write operations", "Global
secondary indexes: provisioned throughput").

A base write costs the larger of the old and new item in steps of 1 KB. An index entry costs a write when it appears or
disappears, and two when its key changes. It costs one when only what it projects changes, and none when nothing of it
changes. All double in a transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from infra.state import Index, Table

Item = Mapping[str, Mapping[str, Any]]
Items = Mapping[tuple[str, str], Item]

WRITE_STEP_BYTES = 1024
READ_STEP_BYTES = 4096
STORED_OVERHEAD_BYTES = 100  # "Amazon DynamoDB pricing": of each item and of each index entry


def size_bytes(item: Item) -> int:
    """The size of an item as DynamoDB counts it: names and values."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode())
    if kind == "N":
        digits = len(content.strip("-").replace(".", "").strip("0"))
        return (digits + 1) // 2 + 1  # two significant digits a byte, and one more
    if kind == "B":
        return len(content) if isinstance(content, bytes) else len(content) * 3 // 4  # in base64 on the wire
    if kind in ("BOOL", "NULL"):
        return 1
    if kind in ("SS", "NS"):
        return sum(len(str(element)) for element in content)
    if kind == "L":
        return 3 + sum(1 + _value_bytes(element) for element in content)
    if kind == "M":
        return 3 + sum(1 + len(name.encode()) + _value_bytes(element) for name, element in content.items())
    raise ValueError(f"an attribute of type {kind}")


def steps(size: int, step: int) -> int:
    """How many steps of so many bytes a size takes: at least one."""
    return max(1, -(-size // step))


def write_units(table: Table, before: Items, after: Items) -> tuple[Counter[str], int]:
    """Write units by place (``table`` and ``table/index``) for what changed, and how many items changed."""
    units: Counter[str] = Counter()
    changed = [key for key in before.keys() | after.keys() if before.get(key) != after.get(key)]
    for key in changed:
        old, new = before.get(key), after.get(key)
        largest = max(size_bytes(item) for item in (old, new) if item is not None)
        units[table.logical] += steps(largest, WRITE_STEP_BYTES)
        for index in table.indexes:
            units[f"{table.logical}/{index.name}"] += index_units(
                _entry(table, index, old), _entry(table, index, new), index
            )
    return +units, len(changed)


def index_units(old: Item | None, new: Item | None, index: Index) -> int:
    """Write units of one index for the change of one item's entry."""
    if old == new:
        return 0
    costs = [steps(size_bytes(entry), WRITE_STEP_BYTES) for entry in (old, new) if entry is not None]
    names = (index.hash_key.name, index.range_key.name)
    if old is not None and new is not None and all(old[name] == new[name] for name in names):
        return max(costs)
    return sum(costs)


def stored_bytes(table: Table, items: Items) -> int:
    """What DynamoDB bills as stored: items and index entries, each with an overhead."""
    entries = list(items.values())
    entries += [
        e for index in table.indexes for item in items.values() if (e := _entry(table, index, item)) is not None
    ]
    return sum(size_bytes(entry) + STORED_OVERHEAD_BYTES for entry in entries)


def _entry(table: Table, index: Index, item: Item | None) -> Item | None:
    """What an index holds of an item: None unless the item has both of its keys."""
    keys = (index.hash_key.name, index.range_key.name)
    if item is None or any(name not in item for name in keys):
        return None
    projected = {*keys, table.hash_key.name, table.range_key.name, *index.include}
    return {name: value for name, value in item.items() if name in projected}


def read_halves(sizes: list[int], consistent: bool, together: bool) -> int:
    """Half read units (an eventually consistent read costs half) of items of these sizes, each by itself (a batch) or
    their sum (a query)."""
    counted = [sum(sizes)] if together else sizes
    return sum(steps(size, READ_STEP_BYTES) for size in counted) * (2 if consistent else 1)
