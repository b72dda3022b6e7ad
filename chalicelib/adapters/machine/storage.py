"""Where a deployment stores and queues: on AWS, or in one PostgreSQL. Each is loaded only where it is chosen."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from chalicelib.adapters.aws.clients import ClientFactory
from chalicelib.adapters.machine.lazy import Lazy
from chalicelib.ports.sealing import Sealing
from chalicelib.ports.services import Stores
from chalicelib.ports.work_queue import WorkQueue

VALUE_READ_TIMEOUT_S: Final = 10.0  # of a part of an answer, and until the first


class Storage(NamedTuple):
    """The tables, the queue of firings, and that of the steps of workflows."""

    stores: Stores
    queue: WorkQueue
    steps: WorkQueue


class Retention(NamedTuple):
    """How long finished executions and the like are kept, and the log of changes."""

    history_s: int
    changes_s: int


class Factories(Protocol):
    """Makes factories of clients, by service, with the time after which a call is given up."""

    def __call__(self, service: str, timeout_s: float = ..., /) -> ClientFactory: ...


def on_aws(
    factory: Factories, hasty_s: float, stage: str, kept: Retention, sealing: Sealing, value_bucket: str | None = None
) -> Storage:
    """DynamoDB and SQS, and a bucket for large values of runs. What stands in the way of requests is given up after
    ``hasty_s``."""
    from chalicelib.adapters.aws.work_queue import SqsQueue
    from chalicelib.adapters.dynamodb.stores import open_stores

    hasty = factory("dynamodb", hasty_s)
    bucket: Any = None if value_bucket is None else Lazy(partial(_bucket, factory, value_bucket, stage))
    stores = open_stores(factory("dynamodb"), stage, kept.history_s, sealing, hasty, kept.changes_s, bucket)
    sqs = factory("sqs")
    return Storage(stores, SqsQueue.of_stage(sqs, stage), SqsQueue.of_stage(sqs, stage, "steps"))


def _bucket(factory: Factories, value_bucket: str, stage: str) -> Any:
    from chalicelib.adapters.aws.large_values import S3LargeValueStore

    return S3LargeValueStore(factory("s3", VALUE_READ_TIMEOUT_S), value_bucket, stage)


def on_postgres(dsn: str, stage: str, kept: Retention, sealing: Sealing) -> Storage:
    """One database for all."""
    from chalicelib.adapters.postgres.database import Place, PostgresDatabase
    from chalicelib.adapters.postgres.stores import open_stores
    from chalicelib.adapters.postgres.work_queue import STEPS, PostgresQueue

    database = PostgresDatabase(Place.of_stage(dsn, stage), sealing)
    stores = open_stores(database, kept.history_s, kept.changes_s)
    return Storage(stores, PostgresQueue(database), PostgresQueue(database, STEPS))
