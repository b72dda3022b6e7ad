"""python-dynamodb-lock taking and giving back one lock, over and over, in its own environment.

Standard input: ``{"endpoint", "cycles"}``. Standard output: one JSON object. Defaults are the library's own.
"""

from __future__ import annotations

import json
import logging
import sys
import time

import boto3
from python_dynamodb_lock.python_dynamodb_lock import DynamoDBLockClient  # type: ignore[import-not-found]

KEYS = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
WARM_CYCLES = 10


def main() -> None:
    """Make the table if it is missing, warm up, run, print."""
    asked = json.load(sys.stdin)
    logging.disable(logging.CRITICAL)
    dynamodb = boto3.resource("dynamodb", endpoint_url=asked["endpoint"], **KEYS)
    client = dynamodb.meta.client
    if DynamoDBLockClient._DEFAULT_TABLE_NAME not in client.list_tables()["TableNames"]:
        DynamoDBLockClient.create_dynamodb_table(client)
    locks = DynamoDBLockClient(dynamodb)
    for _ in range(WARM_CYCLES):
        locks.acquire_lock("bench").release()
    begun, cpu_begun = time.monotonic(), time.process_time()
    for _ in range(asked["cycles"]):
        locks.acquire_lock("bench").release(best_effort=False)
    took_s, cpu_s = time.monotonic() - begun, time.process_time() - cpu_begun
    locks.close()
    print(json.dumps({"took_s": took_s, "cpu_s": cpu_s}))


if __name__ == "__main__":
    main()
