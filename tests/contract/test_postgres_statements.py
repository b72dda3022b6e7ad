"""Values come back as they were sent, whatever is in them, and a statement is prepared when it comes again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.statements import PREPARED_MAX
from chalicelib.core.errors import InvalidField
from tests.postgres import own_database, own_place

AWKWARD = ["", "NULL", "a,b", '"', "\\", '\\"', "{}", " x ", "ü🎉", "line\nbreak", "%s %(x)s %%", "$1"]
PREPARED = "SELECT count(*) FROM pg_prepared_statements"


@pytest.fixture(scope="module")
def database(postgres_dsn: str) -> Iterator[PostgresDatabase]:
    with own_database(postgres_dsn) as found:
        yield found


@pytest.mark.parametrize("times", [1, 3], ids=["sent as it is", "prepared"])
def test_values_come_back_as_they_were_sent(database: PostgresDatabase, times: int) -> None:
    sql = "SELECT %(a)s::text[], %(b)s::int8[], %(c)s::bool[], %(d)s::bytea, %(e)s::text, %(f)s::int8, %(a)s::text[]"
    sent = {"a": [*AWKWARD, None], "b": [1, None, -(2**62)], "c": [True, False, None], "d": b"\0\xff'\\", "e": None}
    for _ in range(times):
        (row,) = database.read(sql, {**sent, "f": 2**62})
    assert row == (sent["a"], sent["b"], sent["c"], sent["d"], None, 2**62, sent["a"])


def test_an_empty_array_is_one(database: PostgresDatabase) -> None:
    assert database.read("SELECT cardinality(%s::text[])", ([],)) == [(0,)]


def test_a_percent_sign_is_written_twice(database: PostgresDatabase) -> None:
    assert database.read("SELECT 10 %% 4, %s::text", ("x",)) == [(2, "x")]


@pytest.mark.parametrize("value", ["a\0b", ["a\0b"]])
def test_what_cannot_be_stored_is_refused_and_not_cut(database: PostgresDatabase, value: object) -> None:
    with pytest.raises(InvalidField, match="NUL"):
        database.write("SELECT %s::text[]", (value,))


def test_what_cannot_be_stored_is_not_found(database: PostgresDatabase) -> None:
    query = "SELECT id FROM runs WHERE tenant = 'default' AND id = %s"
    assert database.read(query, ("a\0b",)) == database.read(query, ("a",)) == []


def test_a_value_of_another_kind_is_a_mistake_of_ours(database: PostgresDatabase) -> None:
    with pytest.raises(TypeError, match="object"):
        database.read("SELECT %s::text", (object(),))


def test_what_comes_again_is_prepared_and_no_connection_keeps_ever_more(postgres_dsn: str) -> None:
    with own_place(postgres_dsn) as place:
        found = PostgresDatabase(place, pool_max=1)
        assert found.read(PREPARED) == [(0,)]
        assert found.read(PREPARED) == [(1,)], "the second time"
        for number in range(PREPARED_MAX + 20):
            for _ in range(2):
                assert found.read(f"SELECT {number}") == [(number,)]
        assert found.read(PREPARED) == [(PREPARED_MAX,)]
        found.close()


def test_a_statement_survives_a_table_that_changes(database: PostgresDatabase) -> None:
    database.run("CREATE TABLE changing (n int)")
    for _ in range(3):
        database.write("INSERT INTO changing (n) VALUES (%s)", (1,))
    database.run("ALTER TABLE changing ADD COLUMN more text DEFAULT 'x'")
    database.write("INSERT INTO changing (n) VALUES (%s)", (2,))
    assert database.read("SELECT n, more FROM changing WHERE n = %s", (2,)) == [(2, "x")]
