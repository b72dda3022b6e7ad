"""What pika raises while it connects, in the words of this service."""

from __future__ import annotations

import pika
import pytest

from chalicelib.adapters.brokers.faults import BrokerAway, SignInRefused
from chalicelib.adapters.brokers.rabbitmq_client import of_opening
from tests.kit.ports import free_port


def test_a_port_that_nobody_listens_at_is_said_to_refuse() -> None:
    with pytest.raises(pika.exceptions.AMQPConnectionError) as failed:
        pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", free_port(), connection_attempts=1))
    assert str(failed.value) == ""  # pika's own words, which once were ours
    meaning = of_opening(failed.value)
    assert isinstance(meaning, ConnectionRefusedError)
    assert "refused" in str(meaning)


def test_what_says_nothing_is_called_by_its_name() -> None:
    meaning = of_opening(pika.exceptions.IncompatibleProtocolError())
    assert isinstance(meaning, BrokerAway)
    assert str(meaning).removeprefix("RabbitMQ cannot be reached: ")


def test_a_refused_sign_in_is_found_wherever_pika_wrapped_it() -> None:
    refused = pika.exceptions.ProbableAuthenticationError("ACCESS_REFUSED")
    assert isinstance(of_opening(pika.exceptions.AMQPConnectionError(refused)), SignInRefused)
