"""Many stored things: copies of real items under new ids, written straight to the tables.

Making a hundred thousand by HTTP would take minutes and leave the same items behind.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, NamedTuple

from bench.product import Product
from chalicelib.core.ulid import derived

WRITERS = 4
BATCH = 25
AHEAD = 100  # batches that are made before they are written
TABLES = ("schedules", "executions")

Items = dict[str, list[dict[str, Any]]]


class Original(NamedTuple):
    """A real thing: its id, and its items by table."""

    id: str
    items: Items


def originals(product: Product, ids: Sequence[str]) -> list[Original]:
    """All items that speak of each of these."""
    found: dict[str, Items] = {id_: {} for id_ in ids}
    client = dynamodb(product)
    for name in TABLES:
        full_name = f"chronowatch-local-{name}"
        items = [
            item
            for page in client.get_paginator("scan").paginate(TableName=full_name, ConsistentRead=True)
            for item in page["Items"]
        ]
        for id_ in ids:
            found[id_][full_name] = [item for item in items if id_ in json.dumps(item)]
    return [Original(id_, found[id_]) for id_ in ids]


def write(product: Product, original_of: Callable[[int], Original], numbers: Iterable[int]) -> None:
    """One copy for each number. Raises RuntimeError when the emulator left items out."""
    client = dynamodb(product)

    def put(batch: dict[str, Any]) -> None:
        if client.batch_write_item(RequestItems=batch).get("UnprocessedItems"):
            raise RuntimeError("the emulator left items out")

    waiting = batches(original_of, numbers)
    with ThreadPoolExecutor(WRITERS) as pool:
        while some := list(islice(waiting, AHEAD)):  # map would make all of them at once
            list(pool.map(put, some))


def batches(original_of: Callable[[int], Original], numbers: Iterable[int]) -> Iterator[dict[str, Any]]:
    """What BatchWriteItem is asked to write, at most 25 items of one table a call."""
    waiting: dict[str, list[dict[str, Any]]] = {}
    for number in numbers:
        original = original_of(number)
        new = derived(original.id, number)
        for full_name, several in original.items.items():
            copies = waiting.setdefault(full_name, [])
            copies += [
                {"PutRequest": {"Item": json.loads(json.dumps(item).replace(original.id, new))}} for item in several
            ]
            while len(copies) >= BATCH:
                yield {full_name: copies[:BATCH]}
                del copies[:BATCH]
    yield from ({full_name: left} for full_name, left in waiting.items() if left)


def dynamodb(product: Product) -> Any:
    """A client of the product's emulator."""
    from chalicelib.adapters.aws.clients import Clients

    return Clients("us-east-1", product.endpoint).get("dynamodb")
