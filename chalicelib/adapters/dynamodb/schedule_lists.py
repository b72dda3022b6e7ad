"""Lists of schedules: what is due, what counts no more, jobs by group, all of a tenant; each by an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from chalicelib.adapters.aws import clients
from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.database import Value, key, number, text
from chalicelib.adapters.dynamodb.schedule_items import ScheduleItems, job_partition, spent_partition
from chalicelib.core.schedules.limits import LIST_SCAN_MAX_ITEMS
from chalicelib.core.schedules.schedule import Key
from chalicelib.ports.stores.schedules import Census, Due, KeyPage, ScheduleFilter

if TYPE_CHECKING:
    from chalicelib.adapters.dynamodb.tables import ScheduleItem


OLDER_SPENT_EVERY: Final = 16  # looks; they come once a minute


class ScheduleLists:
    """The lists of ``ScheduleStore``; ``model`` gives the pynamodb model of the table when it is needed."""

    def __init__(self, items: ScheduleItems, model: Callable[[], type[ScheduleItem]]) -> None:
        self._items = items
        self._model = model
        self._looks: Counter[int] = Counter()  # by shard, since the last one that found anything of an older release

    def due(self, shard: int, until_ms: int, limit: int, after: Due | None = None) -> list[Due]:
        """Active schedules of a shard with ``next_run_ms <= until_ms``, earliest first, after a position."""
        position = {} if after is None else {"ExclusiveStartKey": _due_position(shard, after)}
        answer = self._items.db.read(
            "query",
            TableName=self._items.table,
            IndexName="due",
            KeyConditionExpression="due_shard = :s AND next_run <= :u",
            ExpressionAttributeValues={":s": text(str(shard)), ":u": number(until_ms)},
            Limit=limit,
            **position,
        )
        return [Due(int(i["next_run"]["N"]), documents.key_of_partition(i["pk"]["S"])) for i in answer["Items"]]

    def jobs(self, tenant: str, group: str, limit: int, after: str | None) -> KeyPage:
        """Ids of a tenant's schedules in a group, newest first."""
        values = {":p": text(job_partition(tenant, group))}
        condition = "job_pk = :p"
        if after is not None:
            values[":a"] = text(after)
            condition += " AND job_sk < :a"
        answer = self._items.db.read(
            "query",
            TableName=self._items.table,
            IndexName="jobs",
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ScanIndexForward=False,
            Limit=limit + 1,
        )
        ids = [i["job_sk"]["S"] for i in answer["Items"]]
        more = len(ids) > limit or "LastEvaluatedKey" in answer
        return KeyPage(ids[:limit], ids[:limit][-1] if more and ids else None)

    def spent(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """Schedules of a shard that may have ended by ``until_ms``, earliest first; first those of releases before."""
        older = self._older_spent(shard, until_ms, limit)
        return [*older, *self.in_due(str(shard), until_ms, limit - len(older))] if len(older) < limit else older

    def _older_spent(self, shard: int, until_ms: int, limit: int) -> Sequence[Key]:
        """Those that an older release lists, which may run beside this one for a while. When none are left it is
        seldom asked for them."""
        looks = self._looks[shard]
        self._looks[shard] = looks + 1
        asked = looks == 0 or (looks + shard) % OLDER_SPENT_EVERY == 0  # not for all shards in the same minute
        older = self.in_due(spent_partition(shard), until_ms, limit) if asked else ()
        if older:
            self._looks[shard] = 0
        return older

    def in_due(self, partition: str, until_ms: int, limit: int) -> Sequence[Key]:
        """Schedules in another partition of the due index than a shard's own."""
        answer = self._items.db.read(
            "query",
            TableName=self._items.table,
            IndexName="due",
            KeyConditionExpression="due_shard = :s AND next_run <= :u",
            ExpressionAttributeValues={":s": text(partition), ":u": number(until_ms)},
            Limit=limit,
        )
        return [documents.key_of_partition(i["pk"]["S"]) for i in answer["Items"]]

    def census(self, tenant: str, limit: int, after: str | None) -> Census:
        """How many of a tenant's schedules there are, by type and by whether they fire; of the oldest ids first."""
        values = {":p": text(documents.escaped(tenant))}
        condition = "list_pk = :p"
        if after is not None:
            values[":a"] = text(after)
            condition += " AND list_sk > :a"
        answer = self._items.db.read(
            "query",
            TableName=self._items.table,
            IndexName="by_tenant",
            KeyConditionExpression=condition,
            ProjectionExpression="list_sk, enabled, #t",
            ExpressionAttributeNames={"#t": "type"},
            ExpressionAttributeValues=values,
            Limit=limit,
        )
        counts = Counter((i["type"]["S"], bool(i["enabled"]["BOOL"])) for i in answer["Items"])
        more = answer.get("LastEvaluatedKey")
        return Census(counts, None if more is None else str(more["list_sk"]["S"]))

    def list(self, tenant: str, wanted: ScheduleFilter, limit: int, after: str | None) -> KeyPage:
        """Ids of matching schedules, newest first. Reads no more than LIST_SCAN_MAX_ITEMS: a page may be short."""
        model = self._model()
        matches = _filter(model, wanted)
        page_size = limit + 1 if matches is None else LIST_SCAN_MAX_ITEMS

        def query() -> dict[str, Any]:
            found = model.query(
                documents.escaped(tenant),
                range_key_condition=None if after is None else model.list_sk < after,
                filter_condition=matches,
                index_name="by_tenant",
                scan_index_forward=False,
                page_size=page_size,
            )
            return dict(next(found.page_iter))  # one query: the iterator would go on until something matches

        page = clients.read(query)
        ids = [str(item["list_sk"]["S"]) for item in page["Items"]]
        if len(ids) > limit:
            return KeyPage(ids[:limit], ids[limit - 1])
        more = page.get("LastEvaluatedKey")
        return KeyPage(ids, None if more is None else str(more["list_sk"]["S"]))


def _due_position(shard: int, after: Due) -> dict[str, Value]:
    return {
        **key(documents.partition(*after.key), documents.STATE_SK),
        "due_shard": text(str(shard)),
        "next_run": number(after.next_run_ms),
    }


def _filter(model: type[ScheduleItem], wanted: ScheduleFilter) -> Any:
    """The filter expression of a list; None when everything is wanted."""
    conditions: list[Any] = []
    if wanted.owner is not None:
        conditions.append(model.owner == wanted.owner)
    if wanted.enabled is not None:
        conditions.append(model.enabled == wanted.enabled)
    if wanted.type is not None:
        conditions.append(model.type == wanted.type)
    if wanted.tag is not None:
        conditions.append(model.tags.contains(wanted.tag))
    if wanted.name_prefix:
        conditions.append(model.name.startswith(wanted.name_prefix))
    joined = None
    for condition in conditions:
        joined = condition if joined is None else joined & condition
    return joined
