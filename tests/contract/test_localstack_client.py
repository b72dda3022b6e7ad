"""What is made for the emulator is found by tools that others write for LocalStack."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber
from localstack_client.session import Session

from infra.state import State

pytestmark = pytest.mark.emulator


def test_a_localstack_session_finds_every_resource(
    endpoint: str, resources: tuple[State, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, urls = resources
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    session = Session(region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test")
    dynamodb, sqs = session.client("dynamodb"), session.client("sqs")
    for table in mine.tables:
        described = dynamodb.describe_table(TableName=table.name)["Table"]
        indexes = {index["IndexName"] for index in described.get("GlobalSecondaryIndexes", [])}
        assert (described["TableStatus"], indexes) == ("ACTIVE", {index.name for index in table.indexes})
    assert {sqs.get_queue_url(QueueName=queue.name)["QueueUrl"] for queue in mine.queues} == set(urls.values())


def _example() -> Any:
    spec = importlib.util.spec_from_file_location("inventory", Path(__file__).parents[2] / "examples" / "inventory.py")
    assert spec is not None
    assert spec.loader is not None
    inventory = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(inventory)
    return inventory


def test_the_inventory_example_counts_a_table_of_several_answers() -> None:
    client = Session(region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test").client("dynamodb")
    last = {"pk": {"S": "a"}}
    with Stubber(client) as stub:
        stub.add_response("list_tables", {"TableNames": ["chronowatch-x-executions", "other"]})
        stub.add_response("scan", {"Count": 5, "LastEvaluatedKey": last})
        stub.add_response("scan", {"Count": 2})
        assert _example().tables(client, "chronowatch-x-") == [("chronowatch-x-executions", 7)]


def test_the_inventory_example_shows_them(
    endpoint: str,
    resources: tuple[State, dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine, _ = resources
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    inventory = _example()
    stage = mine.tables[0].name.removeprefix("chronowatch-").removesuffix(f"-{mine.tables[0].logical}")
    assert inventory.main(["--stage", stage]) == 0
    shown = [line.split()[1] for line in capsys.readouterr().out.splitlines()]
    assert sorted(shown) == sorted([*(table.name for table in mine.tables), *(queue.name for queue in mine.queues)])
