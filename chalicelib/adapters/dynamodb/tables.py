"""The tables as pynamodb models: keys, indexes and attributes, for what the API does.

Workers never import this module: pynamodb takes longer to import than the client it would wrap. A pynamodb model opens
a client of its own, some 100 ms each. Here every model is bound to the one client that the stores use.
"""

from __future__ import annotations

from types import new_class
from typing import Any, Final, TypeVar

from pynamodb.attributes import (
    BinaryAttribute,
    BooleanAttribute,
    NumberAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
)
from pynamodb.connection import Connection
from pynamodb.indexes import GlobalSecondaryIndex, IncludeProjection, KeysOnlyProjection
from pynamodb.models import Model

from chalicelib.core.leases.limits import LEASE_DOCUMENT_MAX_BYTES
from chalicelib.core.schedules.limits import PAYLOAD_MAX_BYTES

# pynamodb is typed but for the hook that runs when an index is subclassed: hence the ignores below.

M = TypeVar("M", bound=Model)

ITEM_MAX_BYTES: Final = 400 * 1024  # a service limit

assert LEASE_DOCUMENT_MAX_BYTES < ITEM_MAX_BYTES, "a lease with all its waiters is one item"
assert 2 * PAYLOAD_MAX_BYTES < ITEM_MAX_BYTES, "a payload and its schedule, or a result, are one item"


class DueIndex(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Active schedules by shard and the first instant not yet queued, or, until they are released, the last one of
    those that have none left. Under ``watch#`` and the shard: the monitors. Only these have the two attributes."""

    class Meta:
        index_name = "due"
        projection = KeysOnlyProjection()

    due_shard = UnicodeAttribute(hash_key=True)
    next_run = NumberAttribute(range_key=True)


class TenantIndex(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Current definitions of a tenant by id, with what a list can be filtered by."""

    class Meta:
        index_name = "by_tenant"
        projection = IncludeProjection(["owner", "enabled", "type", "name", "tags"])

    list_pk = UnicodeAttribute(hash_key=True)
    list_sk = UnicodeAttribute(range_key=True)


class JobsIndex(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """States by tenant and group of core.jobs.job_status, and id."""

    class Meta:
        index_name = "jobs"
        projection = KeysOnlyProjection()

    job_pk = UnicodeAttribute(hash_key=True)
    job_sk = UnicodeAttribute(range_key=True)


class ScheduleItem(Model):
    """One item of the schedules table: a state, a definition, a snapshot, a monitor or the guard of a name.

    ``holder`` is the id of the schedule that has a guarded name.
    """

    class Meta:
        table_name = "schedules"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    doc = UnicodeAttribute(null=True)
    payload = UnicodeAttribute(null=True)
    rev = NumberAttribute(null=True)
    epoch = NumberAttribute(null=True)
    due_shard = UnicodeAttribute(null=True)
    next_run = NumberAttribute(null=True)
    list_pk = UnicodeAttribute(null=True)
    list_sk = UnicodeAttribute(null=True)
    job_pk = UnicodeAttribute(null=True)
    job_sk = UnicodeAttribute(null=True)
    owner = UnicodeAttribute(null=True)
    enabled = BooleanAttribute(null=True)
    type = UnicodeAttribute(null=True)
    name = UnicodeAttribute(null=True)
    tags = UnicodeSetAttribute(null=True)
    holder = UnicodeAttribute(null=True)
    ttl = NumberAttribute(null=True)
    due = DueIndex()
    by_tenant = TenantIndex()
    jobs = JobsIndex()


class RecentIndex(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Executions of a tenant's shard by firing instant: written once, when the record is made."""

    class Meta:
        index_name = "recent"
        projection = KeysOnlyProjection()

    recent_pk = UnicodeAttribute(hash_key=True)
    recent_sk = UnicodeAttribute(range_key=True)


class OpenIndex(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Executions that stay open longer than a delivery takes, and under ``bad#`` and the shard those that ended badly;
    only these have the two attributes."""

    class Meta:
        index_name = "open"
        projection = KeysOnlyProjection()

    open_shard = UnicodeAttribute(hash_key=True)
    open_until = NumberAttribute(range_key=True)


class ExecutionItem(Model):
    """One execution."""

    class Meta:
        table_name = "executions"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    doc = UnicodeAttribute()
    rev = NumberAttribute()
    recent_pk = UnicodeAttribute()
    recent_sk = UnicodeAttribute()
    open_shard = UnicodeAttribute(null=True)
    open_until = NumberAttribute(null=True)
    ttl = NumberAttribute(null=True)
    recent = RecentIndex()
    open = OpenIndex()


class RegistryItem(Model):
    """A cursor, a lease, an API key, an idempotency record, a log line, a quota's bucket or a counter of capacity.
    Also the parts of the logs of changes.
    """

    class Meta:
        table_name = "registry"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    doc = UnicodeAttribute(null=True)
    rev = NumberAttribute(null=True)
    body_hash = UnicodeAttribute(null=True)
    seed = UnicodeAttribute(null=True)
    started = NumberAttribute(null=True)
    answer = UnicodeAttribute(null=True)
    jobs = NumberAttribute(null=True)
    weight = NumberAttribute(null=True)
    used = NumberAttribute(null=True)
    packed = BinaryAttribute(null=True, legacy_encoding=False)
    first = NumberAttribute(null=True)
    written = NumberAttribute(null=True)
    ttl = NumberAttribute(null=True)


class RunsIndex(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Heads of a tenant's runs by when they began, with what a list shows. Those of items are not in it."""

    class Meta:
        index_name = "runs"
        projection = IncludeProjection(["doc"])

    list_pk = UnicodeAttribute(hash_key=True)
    list_sk = UnicodeAttribute(range_key=True)


class WakeIndex(GlobalSecondaryIndex[Any]):  # type: ignore[no-untyped-call]
    """Heads of runs by when reconcile checks them."""

    class Meta:
        index_name = "wake"
        projection = KeysOnlyProjection()

    wake_in = UnicodeAttribute(hash_key=True)
    wake_ms = NumberAttribute(range_key=True)


class WorkflowItem(Model):
    """A workflow, a version of one, or a part of a run."""

    class Meta:
        table_name = "workflows"

    pk = UnicodeAttribute(hash_key=True)
    sk = UnicodeAttribute(range_key=True)
    doc = UnicodeAttribute(null=True)
    packed = BinaryAttribute(null=True, legacy_encoding=False)
    rev = NumberAttribute(null=True)
    slot_rev = UnicodeAttribute(null=True)
    list_pk = UnicodeAttribute(null=True)
    list_sk = UnicodeAttribute(null=True)
    wake_in = UnicodeAttribute(null=True)
    wake_ms = NumberAttribute(null=True)
    ttl = NumberAttribute(null=True)
    runs = RunsIndex()
    wake = WakeIndex()


def bound(model: type[M], table_name: str, client: Any) -> type[M]:
    """``model`` over one table of one deployment, through ``client``."""
    region = client.meta.region_name
    meta = type("Meta", (), {"table_name": table_name, "region": region, "billing_mode": "PAY_PER_REQUEST"})
    table: type[M] = new_class(model.__name__, (model,), exec_body=lambda body: body.update({"Meta": meta}))
    connection_of(table)._client = client
    return table


def connection_of(table: type[Model]) -> Connection:
    """The connection of a bound model; transactions run over it."""
    return table._get_connection().connection
