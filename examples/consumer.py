#!/usr/bin/env python3
"""Follow ChronoWatch's firings: an EventBridge rule on its bus, an SQS queue behind it, a line for each firing.

The rule and the queue are made at the start and removed at the end, Ctrl-C included. A firing whose fencing token is
lower than one already seen for its schedule is stale, and is dropped: that is all a consumer needs to be safe from a
delivery that was held up somewhere while its successor went ahead.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import datetime
from typing import Any

try:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
except ImportError:
    sys.exit("consumer.py needs boto3: pip install boto3")

PATTERN = {"source": ["chronowatch"], "detail-type": ["chronowatch.firings.v1"]}


class Stop(Exception):
    """Raised on Ctrl-C and SIGTERM."""


class Fence:
    """The highest fencing token seen of each schedule."""

    def __init__(self) -> None:
        self._highest: dict[str, int] = {}

    def admits(self, firing: dict[str, Any]) -> bool:
        """False for a delivery that is older than one already seen, or its repetition."""
        schedule_id, token = firing["subject"], int(firing["fencingtoken"])
        if token <= self._highest.get(schedule_id, 0):
            return False
        self._highest[schedule_id] = token
        return True


def lateness_ms(firing: dict[str, Any], now_s: float) -> int:
    """Milliseconds from the firing's instant to ``now_s``."""
    instant = datetime.fromisoformat(firing["time"].replace("Z", "+00:00"))
    return round((now_s - instant.timestamp()) * 1000)


def remove_rule(events: Any, bus: str, name: str) -> None:
    """Remove the rule and its target, as far as they exist."""
    for call, arguments in (
        (events.remove_targets, {"Rule": name, "Ids": ["queue"]}),
        (events.delete_rule, {"Name": name}),
    ):
        with suppress(events.exceptions.ResourceNotFoundException):
            call(EventBusName=bus, **arguments)


def remove_queue(sqs: Any, name: str) -> None:
    """Remove the queue, if it exists."""
    with suppress(sqs.exceptions.QueueDoesNotExist):
        sqs.delete_queue(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"])


@contextmanager
def subscription(events: Any, sqs: Any, bus: str, schedule_id: str | None) -> Iterator[str]:
    """The URL of a queue that receives the bus's firings for as long as the block runs."""
    name = f"chronowatch-consumer-{uuid.uuid4().hex[:12]}"
    pattern = {**PATTERN, "detail": {"subject": [schedule_id]}} if schedule_id else PATTERN
    with ExitStack() as cleanup:
        # Each removal is noted before what it removes is made: a Ctrl-C may come between a request and its answer.
        cleanup.callback(remove_rule, events, bus, name)
        rule_arn = events.put_rule(Name=name, EventBusName=bus, EventPattern=json.dumps(pattern))["RuleArn"]
        cleanup.callback(remove_queue, sqs, name)
        queue_url = sqs.create_queue(QueueName=name, Attributes={"MessageRetentionPeriod": "3600"})["QueueUrl"]
        answer = sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
        queue_arn = answer["Attributes"]["QueueArn"]
        statement = {
            "Effect": "Allow",
            "Principal": {"Service": "events.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue_arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": rule_arn}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"Policy": policy})
        added = events.put_targets(Rule=name, EventBusName=bus, Targets=[{"Id": "queue", "Arn": queue_arn}])
        if added.get("FailedEntryCount"):
            sys.exit(f"EventBridge refused the queue: {added['FailedEntries'][0].get('ErrorMessage')}")
        yield queue_url


def firings(sqs: Any, queue_url: str) -> Iterator[dict[str, Any]]:
    """Firings as they come, for ever. Each is deleted from the queue once the caller asks for the next."""
    while True:
        answer = sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=5)
        for message in answer.get("Messages", ()):
            yield json.loads(message["Body"])["detail"]
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])


def follow(sqs: Any, queue_url: str, count: int | None) -> None:
    """Print firings until ``count`` of them were seen, for ever without it."""
    fence = Fence()
    seen = 0
    for firing in firings(sqs, queue_url):
        if not fence.admits(firing):
            print(f"stale  {firing['id']}  token {firing['fencingtoken']}: dropped", flush=True)
            continue
        late = lateness_ms(firing, time.time())
        data = json.dumps(firing.get("data"), ensure_ascii=False)
        print(f"{firing['time']}  {late:+6d} ms  {firing['id']}  token {firing['fencingtoken']}  {data}", flush=True)
        seen += 1
        if seen == count:
            return


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(
        description="Print ChronoWatch's firings with their lateness, through an EventBridge rule and an SQS queue.",
        epilog="AWS_ENDPOINT_URL names an emulator, such as http://127.0.0.1:4566; without it, AWS itself is used.",
    )
    parser.add_argument(
        "--bus", default=os.environ.get("CHRONO_EVENT_BUS") or "chronowatch", help="default: %(default)s"
    )
    parser.add_argument("--schedule", metavar="ID", help="only the firings of this schedule")
    parser.add_argument("--count", type=int, metavar="N", help="stop after N firings")
    parser.add_argument("--region", default=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"))
    options = parser.parse_args(argv)
    if options.count is not None and options.count < 1:
        parser.error("--count must be at least 1")
    return options


def stop(_number: int, _frame: object) -> None:
    """The signal handler. A second signal must not interrupt the removal of rule and queue."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise Stop


def main(argv: list[str] | None = None) -> int:
    """Run until stopped. 0 at the end, 1 when AWS refuses or cannot be reached."""
    options = arguments(argv)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    endpoint_url = os.environ.get("AWS_ENDPOINT_URL")
    if endpoint_url:  # an emulator asks for credentials and looks at none
        os.environ.setdefault("AWS_ACCESS_KEY_ID", "local")
        os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "local")
        options.region = options.region or "us-east-1"
    config = Config(connect_timeout=3, read_timeout=15, retries={"total_max_attempts": 2})
    try:
        events, sqs = (
            boto3.client(service, region_name=options.region, endpoint_url=endpoint_url, config=config)
            for service in ("events", "sqs")
        )
        with subscription(events, sqs, options.bus, options.schedule) as queue_url:
            print(f"following bus {options.bus!r}; Ctrl-C ends it", file=sys.stderr, flush=True)
            follow(sqs, queue_url, options.count)
    except Stop:
        print("stopped; rule and queue removed", file=sys.stderr)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "ResourceNotFoundException":
            print(f"there is no event bus {options.bus!r}: is ChronoWatch running here? (see --bus)", file=sys.stderr)
        else:
            print(f"AWS refused: {error}", file=sys.stderr)
        return 1
    except BotoCoreError as error:
        print(f"AWS cannot be used: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
