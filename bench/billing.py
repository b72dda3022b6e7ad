"""What AWS bills of counted calls."""

from __future__ import annotations

from bench.counting_proxy import Ledger

RECEIVED = ("ReceiveMessage", "by Lambda")  # one of these is one invocation


def billed(spent: Ledger, share: int) -> dict[str, float]:
    """What AWS bills of it, each as a share: units, requests, events, and invocations of deliver with their time."""
    invocations = sum(n for (_, operation, place), n in spent.calls.items() if (operation, place) == RECEIVED)
    numbers = {
        "write_units": spent.writes.total(),
        "read_units": spent.read_halves.total() / 2,
        "sqs_requests": sqs_requests(spent),
        "aws_calls": sum(n for (_, _, place), n in spent.calls.items() if place != RECEIVED[1]),
        "events": spent.events.total(),
        "invocations": invocations,
        "waited_ms": spent.waited_ms.total(),
    }
    return {name: round(value / share, 4) for name, value in numbers.items()}


def sqs_requests(spent: Ledger) -> float:
    """Requests to SQS, also those that Lambda makes."""
    return sum(n for (_, operation, _), n in spent.calls.items() if "Message" in operation)
