"""Servers on real sockets for adapters to speak to."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from tests.kit.receivers import Certificates, Receiver, make_certificates


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver(socket.create_server(("127.0.0.1", 0)))
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))
