"""Drives the Python client, as functions and as coroutines, on whichever Python runs this: arguments are its sources
and the address of a service."""

from __future__ import annotations

import asyncio
import sys

sys.path.insert(0, sys.argv[1])

import chronowatch
from chronowatch import AsyncClient, Client, NameTaken, NotFound


def one_after_another(url: str) -> list[object]:
    with Client(url) as client:
        made = client.schedules.create("RATE", "rate:1h", name="sync", target={"type": "log"})
        seen: list[object] = [made["name"], client.schedules.get(made["id"])["expr"]]
        seen.append([each["name"] for each in client.schedules.list(limit=1)])
        try:
            client.schedules.create("RATE", "rate:1h", name="sync")
        except NameTaken as taken:
            seen.append(taken.code)
        fired = client.schedules.trigger(made["id"], payload=None)["execution_id"]
        seen.append(client.executions.get(fired)["delivery_state"])
        seen.append(client.executions.cancel(fired, reason="no")["delivery_state"])
        seen.append(client.schedules.edit(made["id"], expr="rate:2h", if_match=made["version"])["expr"])
        seen.append(len(client.schedules.preview("RATE", "rate:5m", count=2)["runs_unix_ms"]))
        key = client.keys.create("ci", roles=["viewer"])
        seen.append(client.keys.get(key["id"])["roles"])
        with client.lease("night", ttl=30) as lease:
            seen.append(lease.fencing_token)
        seen.append(client.changes.list()["items"])
        client.schedules.delete(made["id"])
        try:
            client.schedules.get(made["id"])
        except NotFound as gone:
            seen.append(gone.status)
        return seen


async def awaited(url: str) -> list[object]:
    async with AsyncClient(url) as client:
        made = await client.schedules.create("RATE", "rate:1h", name="async", target={"type": "log"})
        seen: list[object] = [made["name"], [each["name"] async for each in client.schedules.list()]]
        async with client.lease("day", ttl=30) as lease:
            seen.append(lease.held)
        some = await asyncio.gather(*(client.schedules.get(made["id"]) for _ in range(20)))
        seen.append(len({each["id"] for each in some}))
        await client.schedules.delete(made["id"])
        return seen


for name in chronowatch.__all__:
    getattr(chronowatch, name)
wanted = ["sync", "rate:1h", ["sync"], "name_taken", "pending", "cancelled", "rate:2h", 2, ["viewer"], 1, [], 404]
found = one_after_another(sys.argv[2])
assert found == wanted, found
later = asyncio.run(awaited(sys.argv[2]))
assert later == ["async", ["async"], True, 1], later
