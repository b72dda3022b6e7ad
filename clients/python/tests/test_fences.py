"""The resource's side lets equal and newer tokens pass and refuses older ones."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import paused_holder
from chronowatch import StaleToken
from chronowatch.fences import SQL_TABLE, MemoryFence, check_sql, dynamodb_update
from chronowatch.testing import FakeServer

Check = Callable[[str, int], None]


def sql_check() -> Iterator[Check]:
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(SQL_TABLE)
        yield lambda resource, token: check_sql(db.cursor(), resource, token)


def dynamodb_check() -> Iterator[Check]:
    moto, boto3 = pytest.importorskip("moto"), pytest.importorskip("boto3")
    names = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "eu-west-1"}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    with moto.mock_aws():
        table = boto3.client("dynamodb")
        table.create_table(
            TableName="t",
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

        def check(resource: str, token: int) -> None:
            try:
                table.update_item(TableName="t", Key={"k": {"S": resource}}, **dynamodb_update(token))
            except table.exceptions.ConditionalCheckFailedException:
                raise StaleToken(resource, token) from None

        yield check
    for name, value in before.items():
        if value is None:
            del os.environ[name]
        else:
            os.environ[name] = value


@pytest.fixture(params=["memory", "sql", "dynamodb"])
def check(request: Any) -> Iterator[Check]:
    if request.param == "memory":
        yield MemoryFence().check
    else:
        yield from sql_check() if request.param == "sql" else dynamodb_check()


def test_tokens_only_go_up(check: Check) -> None:
    check("file", 3)
    check("file", 3)
    check("file", 5)
    for stale in (4, 3, 1):
        with pytest.raises(StaleToken) as refused:
            check("file", stale)
        assert (refused.value.resource, refused.value.token) == ("file", stale)
    check("file", 5)
    check("another", 1)


def test_a_refused_write_and_its_transaction_change_nothing(tmp_path: Path) -> None:
    storage = tmp_path / "s.sqlite"
    with closing(sqlite3.connect(storage)) as db, db:
        db.execute(SQL_TABLE)
        db.execute("CREATE TABLE report (author TEXT, token INTEGER)")
        db.execute("INSERT INTO report VALUES ('nobody', 0)")
    paused_holder.write(storage, "new", 2)
    with pytest.raises(StaleToken):
        paused_holder.write(storage, "old", 1)
    assert paused_holder.read(storage) == ("new", 2)


def test_no_other_mark_gets_into_the_statement() -> None:
    with closing(sqlite3.connect(":memory:")) as db, pytest.raises(ValueError, match="mark"):
        check_sql(db.cursor(), "r", 1, mark="?); DROP TABLE x; --")


def test_the_memory_fence_never_lets_a_thread_pass_behind_a_newer_one() -> None:
    fence, passed, lock = MemoryFence(), [], threading.Lock()
    start = threading.Barrier(8)

    def work(first: int) -> None:
        start.wait()
        for token in range(first, 800, 8):
            with lock:  # check and write are one step, as the fence demands of its user
                try:
                    fence.check("r", token)
                except StaleToken:
                    continue
                passed.append(token)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert passed == sorted(passed)
    assert passed[-1] == 799


@pytest.mark.skipif(os.name != "posix", reason="a process is paused with SIGSTOP")
def test_a_paused_holder_is_refused(server: FakeServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    storage = tmp_path / "storage.sqlite"
    outcome = paused_holder.story(server.url, storage)
    assert outcome.startswith("refused: report has seen a newer fencing token than 1")
    assert paused_holder.read(storage) == ("holder 2", 2)
    assert "holder 2 has the lease with token 2" in capsys.readouterr().out
