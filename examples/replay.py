#!/usr/bin/env python3
"""Replay archived firings to the bus they came from: after an outage of a consumer. Needs boto3.

The rules of the bus see them once more, with the ids that they had: a receiver drops what it has handled.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime

import boto3
from botocore.exceptions import BotoCoreError, ClientError

OVER = ("COMPLETED", "CANCELLED", "FAILED")


def instant(text: str) -> datetime:
    """A date of ISO 8601, in UTC where it names no offset."""
    found = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Replay archived events of ChronoWatch.")
    parser.add_argument("--archive", default="chronowatch-firings", help="default: %(default)s")
    parser.add_argument("--from", dest="begin", type=instant, required=True, metavar="INSTANT")
    parser.add_argument("--to", dest="end", type=instant, required=True, metavar="INSTANT")
    parser.add_argument(
        "--rule", action="append", default=[], metavar="ARN", help="only for this rule; may be repeated"
    )
    parser.add_argument("--wait-s", type=float, default=600.0, help="default: %(default)s")
    options = parser.parse_args(argv)
    if options.end <= options.begin:
        parser.error("--to must be after --from")
    return options


def main(argv: list[str] | None = None) -> int:
    """Start a replay and wait for its end; 0 when it is completed."""
    options = arguments(argv)
    try:
        events = boto3.client("events")
        archive = events.describe_archive(ArchiveName=options.archive)
        name = f"chronowatch-{int(time.time())}"
        destination = {"Arn": archive["EventSourceArn"], **({"FilterArns": options.rule} if options.rule else {})}
        events.start_replay(
            ReplayName=name,
            EventSourceArn=archive["ArchiveArn"],
            EventStartTime=options.begin,
            EventEndTime=options.end,
            Destination=destination,
        )
        until = time.monotonic() + options.wait_s
        while (state := events.describe_replay(ReplayName=name)["State"]) not in OVER and time.monotonic() < until:
            time.sleep(1)
    except (BotoCoreError, ClientError) as problem:
        print(f"replay: {problem}", file=sys.stderr)
        return 1
    print(f"replay {name}: {state}")
    return 0 if state == "COMPLETED" else 1


if __name__ == "__main__":
    sys.exit(main())
