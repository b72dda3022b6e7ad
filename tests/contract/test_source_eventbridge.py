"""Triggers on events of a bus: rules, the queue that they send to, and what comes out of it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.aws.clients import Clients
from chalicelib.core.errors import InvalidField
from chalicelib.core.queue_messages import BusEvent
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.core.triggers.received_event import digest
from chalicelib.core.ulid import encode
from chalicelib.ports.work_queue import Incoming
from chalicelib.usecases import trigger_settings
from chalicelib.usecases.trigger_settings import TriggerRequest
from chalicelib.workers import bus_events, workflow
from infra.state import State
from tests.brokers import wait_until
from tests.contract.heard import WITHIN_S, Heard, event, listening

pytestmark = pytest.mark.emulator
Resources = tuple[State, dict[str, str]]


@pytest.fixture
def heard(clients: Clients, resources: Resources) -> Iterator[Heard]:
    with listening(client=clients, stage=resources[0].stage) as found:
        yield found


@pytest.fixture
def bus(clients: Clients) -> Iterator[str]:
    name = f"bus-{uuid.uuid4().hex[:8]}"
    clients.get("events").create_event_bus(Name=name)
    yield name
    clients.get("events").delete_event_bus(Name=name)


def put(clients: Clients, bus: str, detail: dict[str, Any], source: str = "shop", kind: str = "order") -> str:
    entry = {"EventBusName": bus, "Source": source, "DetailType": kind, "Detail": json.dumps(detail)}
    (answer,) = clients.get("events").put_events(Entries=[entry])["Entries"]
    return str(answer["EventId"])


def rules(clients: Clients, bus: str) -> dict[str, str]:
    found = clients.get("events").list_rules(EventBusName=bus)["Rules"]
    return {rule["Name"]: rule["State"] for rule in found}


def worked(clients: Clients, resources: Resources, heard: Heard) -> int:
    """Take what lies on the queue of steps, as the function of steps does: how many messages."""
    url, sqs = resources[1]["steps"], clients.get("sqs")
    found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=0).get("Messages", [])
    again = workflow.run(heard.services, [Incoming(m["ReceiptHandle"], m["Body"], 1) for m in found])
    for message in found:
        if message["ReceiptHandle"] not in again:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return len(found)


def test_what_a_rule_brings_fires_once(clients: Clients, resources: Resources, heard: Heard, bus: str) -> None:
    source = {"type": "eventbridge", "bus": bus, "pattern": {"source": ["shop"]}}
    trigger_id = heard.trigger(source, filter="event.type == 'order' && event.data.total > 10")
    wanted = put(clients, bus, {"total": 11})
    put(clients, bus, {"total": 1})
    put(clients, bus, {"total": 12}, source="elsewhere")
    firing = event(1, type="order", data={"total": 20}, chronodepth=3)
    put(clients, bus, firing, kind="chronowatch.firings.v1")  # as our own target writes it
    put(clients, bus, firing, kind="chronowatch.firings.v1")
    put(clients, bus, event(2, data={"total": 20}, chronodepth=10))
    put(clients, bus, {"specversion": "1.0", "total": 13})  # says that it is a CloudEvent
    wait_until(lambda: worked(clients, resources, heard) == 0 and len(heard.dead()) == 2, WITHIN_S, "all of them")
    ids = {digest("shop", wanted), digest("/shop", "e1")}
    assert {found.id for found in heard.fired(trigger_id)} == {f"{trigger_id}-{one}" for one in ids}
    assert {found.depth for found in heard.fired(trigger_id)} == {0, 3}
    first = next(
        json.loads(f.payload or "{}") for f in heard.fired(trigger_id) if f.id.endswith(digest("shop", wanted))
    )
    assert (first["source"], first["type"], first["data"]) == ("shop", "order", {"total": 11})
    reasons = sorted(reason for _, _, reason in heard.dead())
    assert "10th of a chain" in reasons[1] + reasons[0]
    assert "the message is no event" in reasons[1] + reasons[0]


def test_a_rule_follows_its_trigger(clients: Clients, heard: Heard, bus: str) -> None:
    source = {"type": "eventbridge", "bus": bus}
    trigger_id = heard.trigger(source)
    (name,) = rules(clients, bus)
    assert len(name) <= 64
    heard.switch(trigger_id, False)
    assert rules(clients, bus) == {name: "DISABLED"}
    heard.switch(trigger_id, True)
    assert rules(clients, bus) == {name: "ENABLED"}
    wanted = TriggerRequest(source={"type": "webhook"})
    trigger_settings.edit(heard.services, ANONYMOUS_ADMIN, trigger_id, wanted, None)
    assert rules(clients, bus) == {}
    trigger_settings.edit(heard.services, ANONYMOUS_ADMIN, trigger_id, TriggerRequest(source=source), None)
    assert rules(clients, bus) == {name: "ENABLED"}
    heard.delete(trigger_id)
    assert rules(clients, bus) == {}


def test_a_bus_that_is_not_there_is_refused(heard: Heard) -> None:
    with pytest.raises(InvalidField, match=r"source.bus: there is no such bus"):
        heard.trigger({"type": "eventbridge", "bus": f"gone-{uuid.uuid4().hex[:8]}"})
    assert trigger_settings.page(heard.services, ANONYMOUS_ADMIN, 10, None)[0] == []


def test_the_rule_of_a_trigger_that_is_gone_ends_with_its_first_event(clients: Clients, heard: Heard, bus: str) -> None:
    """A worker died between the rule and the trigger."""
    trigger_id = heard.trigger({"type": "eventbridge", "bus": bus})
    trigger = heard.services.stores.triggers.load("default", trigger_id)
    assert trigger is not None
    heard.delete(trigger_id)
    heard.services.event_sources.route(trigger, True)
    young = BusEvent("default", trigger_id, bus, {"id": "1", "source": "shop", "detail-type": "order"})
    assert not bus_events.take(heard.services, young)
    assert len(rules(clients, bus)) == 1  # its trigger may be there in a moment
    old = young._replace(trigger_id=encode(0, 1))
    heard.services.event_sources.route(replace(trigger, id=old.trigger_id), True)
    assert bus_events.take(heard.services, old)
    assert len(rules(clients, bus)) == 1
    heard.services.event_sources.unroute(trigger)
