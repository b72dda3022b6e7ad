"""python-dynamodb-lock in its own environment: one caller over and over, or a crowd of threads that want one lock.

Standard input: ``{"endpoint", "cycles"}``, or ``{"endpoint", "threads", "seconds", "retry_ms"}``, where ``retry_ms``
null is the library's own pause between two looks, 5 s. Standard output: one JSON object. All else is as the library has
it by default.
"""

from __future__ import annotations

import datetime
import json
import logging
import sys
import threading
import time
from itertools import pairwise
from typing import Any

import boto3
from botocore.config import Config
from python_dynamodb_lock.python_dynamodb_lock import (  # type: ignore[import-not-found]
    DynamoDBLockClient,
    DynamoDBLockError,
)

KEYS = {"aws_access_key_id": "local", "aws_secret_access_key": "local", "region_name": "us-east-1"}
WARM_CYCLES = 10


def main() -> None:
    """Make the table if it is missing, run, print."""
    asked = json.load(sys.stdin)
    logging.disable(logging.CRITICAL)
    config = Config(max_pool_connections=64)
    dynamodb = boto3.resource("dynamodb", endpoint_url=asked["endpoint"], config=config, **KEYS)
    client = dynamodb.meta.client
    if DynamoDBLockClient._DEFAULT_TABLE_NAME not in client.list_tables()["TableNames"]:
        DynamoDBLockClient.create_dynamodb_table(client)
    locks = DynamoDBLockClient(dynamodb)
    answer = _crowd(locks, asked) if "threads" in asked else _alone(locks, asked["cycles"])
    locks.close()
    print(json.dumps(answer))


def _alone(locks: Any, cycles: int) -> dict[str, float]:
    for _ in range(WARM_CYCLES):
        locks.acquire_lock("bench").release()
    begun, cpu_begun = time.monotonic(), time.process_time()
    for _ in range(cycles):
        locks.acquire_lock("bench").release(best_effort=False)
    return {"took_s": time.monotonic() - begun, "cpu_s": time.process_time() - cpu_begun}


def _crowd(locks: Any, asked: dict[str, Any]) -> dict[str, float]:
    """How many turns the threads had in time, how many came after another thread's, and how many acquires gave up."""
    pause = None if asked["retry_ms"] is None else datetime.timedelta(milliseconds=asked["retry_ms"])
    turns: list[int] = []  # whose, in order: each is written down by the holder
    gave_up: list[int] = []
    until = time.monotonic() + asked["seconds"]

    def member(number: int) -> None:
        while time.monotonic() < until:
            try:
                lock = locks.acquire_lock("crowd", retry_period=pause)
            except DynamoDBLockError:
                lock = None
            if time.monotonic() < until:  # what sleeps beyond the end is waited for, not counted
                (gave_up if lock is None else turns).append(number)
            if lock is not None:
                lock.release(best_effort=False)

    threads = [threading.Thread(target=member, args=(number,)) for number in range(asked["threads"])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {
        "holdings": len(turns),
        "handovers": sum(one != other for one, other in pairwise(turns)),
        "gave_up": len(gave_up),
        "took_s": asked["seconds"],
    }


if __name__ == "__main__":
    main()
