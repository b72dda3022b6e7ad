"""A fake service over real sockets, and clients of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chronowatch import Client, Retries
from chronowatch.testing import FakeServer


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as started:
        yield started


@pytest.fixture
def client(server: FakeServer) -> Iterator[Client]:
    with Client(server.url, retries=Retries(sleep=lambda seconds: None)) as made:
        yield made
