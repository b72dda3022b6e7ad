"""What is made for the emulator is found by tools that others write for LocalStack."""

from __future__ import annotations

import pytest
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
