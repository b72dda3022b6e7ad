"""Messages of brokers as events, by what the bindings of their protocols say."""

from __future__ import annotations

import pytest

from chalicelib.core.triggers.messages import EventMessage, PoisonedMessage, event_of

BINARY = {"ce-specversion": "1.0", "ce-id": "a%20b", "ce-source": "/a", "ce-type": "t"}


@pytest.mark.parametrize(("kind", "event_id"), [("nats", "a b"), ("kafka", "a%20b"), ("rabbitmq", "a%20b")])
def test_only_the_binding_of_nats_percent_encodes_attributes(kind: str, event_id: str) -> None:
    event = event_of(kind, "t", EventMessage(body=b"{}", headers=BINARY), 0, "new")
    assert event.attributes["id"] == event_id


def test_a_batch_goes_to_the_dead_letters() -> None:
    batch = EventMessage(body=b"[]", content_type="application/cloudevents-batch+json; charset=utf-8")
    with pytest.raises(PoisonedMessage, match="send each event by itself"):
        event_of("kafka", "t", batch, 0, "new")
