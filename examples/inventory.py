#!/usr/bin/env python3
"""What a deployment has at an endpoint that is not AWS: its tables with their items, its queues with their messages.

It asks through localstack-client, which follows ``AWS_ENDPOINT_URL`` and brings the credentials that emulators take.
"""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from localstack_client.session import Session

DEPTHS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible")


def tables(client: Any, prefix: str) -> list[tuple[str, int]]:
    """The deployment's tables, and how many items each holds."""
    names = [n for page in client.get_paginator("list_tables").paginate() for n in page["TableNames"]]
    counted = client.get_paginator("scan")  # one answer counts 1 MB
    return [
        (name, sum(page["Count"] for page in counted.paginate(TableName=name, Select="COUNT")))
        for name in sorted(names)
        if name.startswith(prefix)
    ]


def queues(client: Any, prefix: str) -> list[tuple[str, int, int, int]]:
    """The deployment's queues: messages that are there, that wait for their time, that are being handled."""
    found = []
    for url in sorted(client.list_queues(QueueNamePrefix=prefix).get("QueueUrls", [])):
        known = client.get_queue_attributes(QueueUrl=url, AttributeNames=list(DEPTHS))["Attributes"]
        visible, delayed, hidden = (int(known.get(depth, 0)) for depth in DEPTHS)
        found.append((url.rpartition("/")[2], visible, delayed, hidden))
    return found


def main(argv: list[str] | None = None) -> int:
    """Print both; 1 when the endpoint does not answer."""
    parser = argparse.ArgumentParser(description="List what a deployment of ChronoWatch has at AWS_ENDPOINT_URL.")
    parser.add_argument("--stage", default=os.environ.get("CHRONO_STAGE") or "local", help="default: %(default)s")
    prefix = f"chronowatch-{parser.parse_args(argv).stage}-"
    session = Session(region_name=os.environ.get("AWS_REGION", "us-east-1"))
    try:
        for name, items in tables(session.client("dynamodb"), prefix):
            print(f"table  {name:<40} {items:>6} items")
        for name, visible, delayed, hidden in queues(session.client("sqs"), prefix):
            print(f"queue  {name:<40} {visible:>6} there  {delayed:>6} later  {hidden:>6} in work")
    except (BotoCoreError, ClientError) as problem:
        print(f"inventory: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
