"""True time is learnt from the answers that botocore gets anyway, and from a daemon's file."""

from __future__ import annotations

from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse

from chalicelib.adapters.aws.clients import Clients
from chalicelib.adapters.machine.time_sources import SystemTimeSources
from chalicelib.core.clock.clock_bound import Interval
from tests.kit.clockbound import segment

SECOND = 1_000_000_000
DATE_S = 1_795_252_800


class Monotonic:
    """A clock that runs while an answer is on its way."""

    def __init__(self) -> None:
        self.now = 100 * SECOND

    def __call__(self) -> int:
        return self.now


class Raw:
    """The body of an answer."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Any:
        yield self._body


def answering(clients: Clients, clock: Monotonic, date: str | None, took: int = SECOND // 100) -> Any:
    """A DynamoDB client whose requests are answered on the spot."""
    client = clients.get("dynamodb")

    def answer(request: Any, **_: object) -> AWSResponse:
        clock.now += took
        headers = {"Content-Type": "application/x-amz-json-1.0"} | ({"Date": date} if date is not None else {})
        return AWSResponse(request.url, 200, headers, Raw(b"{}"))

    client.meta.events.register_last("before-send", answer)
    return client


def heard(date: str | None, calls: int = 1, apart: int = 0) -> tuple[SystemTimeSources, Monotonic]:
    clock = Monotonic()
    sources = SystemTimeSources(clock, paths=())
    client = answering(Clients("us-east-1", "http://127.0.0.1:1", listener=sources), clock, date)
    for _ in range(calls):
        client.get_item(TableName="t", Key={"pk": {"S": "x"}})
        clock.now += apart
    return sources, clock


def test_the_date_of_an_answer_bounds_the_time_within_its_second_and_the_round_trip() -> None:
    sources, _ = heard(formatdate(DATE_S, usegmt=True))
    [found] = sources.observations()
    assert found.source == "127.0.0.1:1"
    sent, received = 100 * SECOND, 100 * SECOND + SECOND // 100
    assert found.interval == Interval(DATE_S * SECOND - received, (DATE_S + 1) * SECOND - sent)
    assert found.monotonic_nanos == received


def test_one_answer_a_second_is_listened_to() -> None:
    date = formatdate(DATE_S, usegmt=True)
    assert len(heard(date, calls=50)[0].observations()) == 1
    assert len(heard(date, calls=5, apart=SECOND)[0].observations()) == 5
    assert len(heard(date, calls=200, apart=SECOND)[0].observations()) == 64


@pytest.mark.parametrize("date", [None, "", "yesterday", "Sat, 99 Nov 2026 09:20:00 GMT"])
def test_an_answer_without_a_date_tells_nothing(date: str | None) -> None:
    assert heard(date)[0].observations() == ()


def test_the_daemons_file_is_read_now_and_then(tmp_path: Path) -> None:
    path, clock = tmp_path / "shm0", Monotonic()
    sources = SystemTimeSources(clock, paths=(str(tmp_path / "none"), str(path)))
    assert sources.observations() == ()
    path.write_bytes(segment(as_of=clock.now, void_after=clock.now * 9))
    assert sources.observations() == ()  # it is looked for once a minute
    clock.now += 61 * SECOND
    [found] = sources.observations()
    assert found.source == "clockbound"
    assert sources.observations() is sources.observations()
    clock.now += SECOND
    assert len(sources.observations()) == 2
    path.write_bytes(b"nonsense")
    clock.now += SECOND
    assert len(sources.observations()) == 2
