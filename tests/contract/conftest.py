"""Each port's suite runs on every adapter: in memory, on DynamoDB and SQS as an emulator gives them, on PostgreSQL.

``AWS_ENDPOINT_URL`` names an endpoint to use; without it an emulator is started, once for all modules.
``tests.postgres`` says which PostgreSQL is used.
"""

from __future__ import annotations

import itertools
import os
import uuid
from collections.abc import Callable, Iterator

import pytest
import trustme

from chalicelib.adapters.aws.clients import Clients
from chalicelib.adapters.aws.large_values import S3LargeValueStore
from chalicelib.adapters.dynamodb.stores import open_stores
from chalicelib.adapters.machine.hlc_clock import HlcClock
from chalicelib.adapters.machine.system import SystemIds
from chalicelib.adapters.memory.stores import open_stores as open_memory_stores
from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.stores import open_stores as open_postgres_stores
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.workflows.value_bucket import of_emulator
from chalicelib.ports.services import Stores
from infra.create import create_all, create_bucket, delete_tables
from infra.state import State, state
from tests.kit.emulator import REGION, running_emulator
from tests.kit.records import START_MS
from tests.postgres import own_database, running_postgres

_ids = SystemIds(HlcClock(lambda: START_MS * 1_000_000, 20))
_shards = itertools.count(1000)  # above those that tests name themselves


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """Where the emulator listens."""
    given = os.environ.get("AWS_ENDPOINT_URL")
    if given:
        yield given
        return
    with running_emulator() as started:
        yield started


@pytest.fixture(scope="session")
def clients(endpoint: str) -> Clients:
    """Clients of the emulator, as the product makes them."""
    return Clients(REGION, endpoint)


@pytest.fixture(scope="module")
def resources(clients: Clients) -> Iterator[tuple[State, dict[str, str]]]:
    """A set of tables and queues of this module's own: the state, and the URLs of its queues."""
    mine = state(f"test-{uuid.uuid4().hex[:8]}", event_bus="default")
    urls = create_all(clients.get("dynamodb"), clients.get("sqs"), clients.get("events"), mine)
    yield mine, urls
    delete_tables(clients.get("dynamodb"), mine)


@pytest.fixture(scope="module")
def value_bucket(clients: Clients, resources: tuple[State, dict[str, str]]) -> S3LargeValueStore:
    """The bucket of this module's stage."""
    bucket = of_emulator(resources[0].stage)
    create_bucket(clients.get("s3"), bucket, REGION)
    return S3LargeValueStore(clients.factory("s3"), bucket, resources[0].stage)


@pytest.fixture(scope="session")
def postgres_dsn() -> Iterator[str]:
    """Where PostgreSQL listens."""
    with running_postgres() as dsn:
        yield dsn


@pytest.fixture(scope="module")
def postgres(postgres_dsn: str) -> Iterator[PostgresDatabase]:
    """A schema of this module's own."""
    with own_database(postgres_dsn) as database:
        yield database


@pytest.fixture(scope="module", params=["memory", pytest.param("emulator", marks=pytest.mark.emulator), "postgres"])
def stores(request: pytest.FixtureRequest) -> Stores:
    """Empty stores, once of each adapter."""
    if request.param == "memory":
        return open_memory_stores()
    if request.param == "postgres":
        return open_postgres_stores(request.getfixturevalue("postgres"))
    mine, _ = request.getfixturevalue("resources")
    clients = request.getfixturevalue("clients")
    bucket = request.getfixturevalue("value_bucket")
    return open_stores(clients.factory("dynamodb"), mine.stage, large_values=bucket)


@pytest.fixture
def tenant() -> str:
    """A tenant that no other test has."""
    return f"tenant-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def shard() -> int:
    """A shard that no other test has: shards are shared by all tenants."""
    return next(_shards)


@pytest.fixture
def new_key(tenant: str) -> Callable[[], Key]:
    """Makes keys of schedules, each greater than the one before."""
    return lambda: Key(tenant, _ids.ulid(START_MS))


@pytest.fixture
def key(new_key: Callable[[], Key]) -> Key:
    """A schedule's key."""
    return new_key()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """The authority that a module's broker and its callers trust."""
    return trustme.CA()
