"""A deployment in memory that listens to real brokers, and what every kind of source must do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import trustme
from msgspec.structs import replace

from chalicelib.adapters.aws.clients import Clients
from chalicelib.adapters.machine.system import SystemClock, SystemTasks
from chalicelib.adapters.memory.stores import open_stores
from chalicelib.adapters.sources.listed_sources import ListedSources
from chalicelib.adapters.sources.source_parts import SourceParts
from chalicelib.core.executions.execution import Execution
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.core.triggers.received_event import digest
from chalicelib.ports.services import Config, Services
from chalicelib.usecases import trigger_settings
from chalicelib.usecases.trigger_settings import TriggerRequest
from chalicelib.workers.listen import Listeners
from tests.brokers import BrokerTls, client_certificate, wait_until
from tests.contract.broker_deliveries import LOCAL, MISSED, KnownSecrets, parts
from tests.kit.machine import manual_machine
from tests.kit.services import make_services

WITHIN_S = 40.0  # on a machine that has much else to do


def event(number: int, **more: Any) -> dict[str, Any]:
    """A CloudEvent."""
    return {"specversion": "1.0", "id": f"e{number}", "source": "/shop", "type": "order", "data": {"n": number}, **more}


class Heard:
    """Listeners of one process; several may share what is stored."""

    def __init__(
        self,
        secrets: KnownSecrets | None = None,
        beside: Heard | None = None,
        client: Clients | None = None,
        stage: str = "test",
        **more: Any,
    ) -> None:
        clock = SystemClock()
        lent = replace(parts(secrets, **more), now_ms=clock.now_ms)
        if client is not None:
            lent = replace(lent, client=lambda service: client.factory(service, 10.0))
        machine = manual_machine(clock)  # type: ignore[arg-type]
        machine = replace(machine, tasks=SystemTasks(clock))
        config = Config(webhook_allow=LOCAL, secrets=lent.secret_policy)
        made = make_services(machine, open_stores(), config) if beside is None else beside.services
        self.services: Services = replace(made, event_sources=ListedSources(SourceParts(lent, stage, ("*",))))
        self.listeners = Listeners(self.services)

    def trigger(self, source: dict[str, Any], **fields: Any) -> str:
        wanted = TriggerRequest(**{"name": f"t{self.services.ids.ulid(1)}", "source": source, **fields})
        trigger_id = self.services.ids.ulid(self.services.clock.now_ms())
        trigger_settings.create(self.services, ANONYMOUS_ADMIN, wanted, trigger_id)
        self.listeners.look()
        return trigger_id

    def let_pass(self, ms: int = 300) -> None:
        """So long that clocks which differ agree on what came before."""
        until_ms = self.services.clock.now_ms() + ms
        wait_until(lambda: self.services.clock.now_ms() >= until_ms)

    def switch(self, trigger_id: str, active: bool) -> None:
        trigger_settings.switch(self.services, ANONYMOUS_ADMIN, trigger_id, active, None)
        self.listeners.look()

    def delete(self, trigger_id: str) -> None:
        trigger_settings.delete(self.services, ANONYMOUS_ADMIN, trigger_id, None)
        self.listeners.look()

    def fired(self, trigger_id: str) -> list[Execution]:
        return trigger_settings.executions(self.services, ANONYMOUS_ADMIN, trigger_id, 1000, None)[0]

    def ids(self, trigger_id: str) -> set[str]:
        """The ids of the events that fired."""
        return {json.loads(found.payload or "{}")["id"] for found in self.fired(trigger_id)}

    def listening(self, trigger_id: str) -> tuple[str, str]:
        """Whether its source is heard, and the last error, as a caller sees them."""
        found = trigger_settings.get(self.services, ANONYMOUS_ADMIN, trigger_id)
        shown = found.listening(self.services.clock.now_ms())
        assert shown is not None
        return shown.state, shown.last_error or ""

    def wait_for_state(self, trigger_id: str, state: str, error: str = "") -> None:
        """Until a caller sees this."""

        def holds() -> bool:
            seen, problem = self.listening(trigger_id)
            return seen == state and error in problem

        wait_until(holds, WITHIN_S, f"{state} {error}")

    def dead(self) -> list[tuple[str, dict[str, Any], str]]:
        """Execution id, event and reason of the dead letters."""
        queue: Any = self.services.queue
        return [(execution_id, json.loads(body), reason) for execution_id, body, reason in queue.dead]

    def wait_for(self, trigger_id: str, *numbers: int) -> None:
        """Until exactly these events have fired."""
        wanted = {f"{trigger_id}-{digest('/shop', f'e{number}')}" for number in numbers}
        wait_until(lambda: {found.id for found in self.fired(trigger_id)} >= wanted, WITHIN_S, f"events {numbers}")
        assert {found.id for found in self.fired(trigger_id)} == wanted


@contextmanager
def listening(*args: Any, **more: Any) -> Iterator[Heard]:
    """A listener that ends with the block."""
    heard = Heard(*args, **more)
    try:
        yield heard
    finally:
        heard.listeners.stop()


def hears_by_its_certificate(
    source: dict[str, Any],
    tls: BrokerTls,
    authority: trustme.CA,
    send: Callable[[int], None],
    at: str = "secret_ref",
    **signs_in: str,
) -> None:
    """A source whose broker asks who calls: the secret brings the CA and the certificate, and what is wrong with them
    is seen in the trigger. ``at`` is where a source names its secret."""
    own, strange = client_certificate(authority), client_certificate(trustme.CA())
    secrets = KnownSecrets(
        WHOLE=tls.secret(**own, **signs_in),
        UNTRUSTED=json.dumps({**own, **signs_in}),
        NONE=tls.secret(**signs_in),
        STRANGE=tls.secret(**strange, **signs_in),
        TORN=tls.secret(key=own["key"], **signs_in),
    )

    def of(ref: str) -> dict[str, Any]:
        outer, _, inner = at.partition(".")
        return {**source, **({outer: {**source[outer], inner: f"env:{ref}"}} if inner else {at: f"env:{ref}"})}

    with listening(secrets) as heard:
        whole, untrusted, missing, other, torn = (
            heard.trigger(of(ref)) for ref in ("WHOLE", "UNTRUSTED", "NONE", "STRANGE", "TORN")
        )
        heard.wait_for_state(missing, "failing", f"{MISSED} (certificate and key of the secret): certificate required")
        secrets.stored["env:NONE"] = secrets.stored["env:WHOLE"]  # read anew after a refusal
        heard.wait_for_state(untrusted, "failing", "certificate verify failed" if at != "secret_ref" else "not trusted")
        heard.wait_for_state(other, "failing", f"{MISSED} (certificate and key of the secret): unknown ca")
        heard.wait_for_state(torn, "failing", "certificate and key go together")
        for trigger_id in (untrusted, other, torn):
            heard.delete(trigger_id)
        heard.wait_for_state(whole, "listening")
        send(1)
        heard.wait_for(whole, 1)
        heard.wait_for_state(missing, "listening")


Publish = Callable[..., None]


def fires_once_filters_and_sets_aside(
    heard: Heard, source: dict[str, Any], publish: Publish, takes_bytes: bool = True
) -> None:
    """What becomes of each message: ``publish(body, headers, content_type)``."""
    trigger_id = heard.trigger(source, filter="event.type == 'order' || event.type.startsWith('chronowatch.')")
    structured = "application/cloudevents+json"
    publish(json.dumps(event(1)).encode(), {}, structured)
    publish(json.dumps(event(1)).encode(), {}, "")  # again, and it does not say what it is
    publish(json.dumps(event(2, type="other")).encode(), {}, structured)  # filtered
    publish(b"{no json", {}, structured)
    publish(json.dumps({"specversion": "1.0", "id": "x"}).encode(), {}, "")
    publish(b'"' + b"x" * 70_000 + b'"', {}, "")
    plain = [{"plain": 1}, "some text"]
    publish(b'{"plain": 1}', {}, "application/json")
    publish(b"some text", {}, "")
    if takes_bytes:
        publish(b"\xff\x00", {}, "")
    attributes = {"specversion": "1.0", "id": "e3", "source": "/shop", "type": "order", "chronodepth": "9"}
    publish(b'{"n": 3}', attributes, "application/json")
    publish(b'{"n": 4}', {**attributes, "id": "e4", "chronodepth": "10"}, "application/json")  # the chain ends
    count = 4 + takes_bytes
    wait_until(lambda: len(heard.fired(trigger_id)) >= count and len(heard.dead()) >= 4, WITHIN_S, "all of them")
    found = {json.loads(one.payload or "{}")["id"]: json.loads(one.payload or "{}") for one in heard.fired(trigger_id)}
    assert len(found) == count
    assert {"e1", "e3"} <= found.keys()
    assert found["e3"]["data"] == {"n": 3}
    wrapped = [one for one in found.values() if one["type"] == f"chronowatch.{source['type']}.v1"]
    assert {json.dumps(one["data"]) for one in wrapped if "data" in one} == {json.dumps(one) for one in plain}
    assert [one["data_base64"] for one in wrapped if "data_base64" in one] == ["/wA="] * takes_bytes
    reasons = [reason for _, _, reason in heard.dead()]
    assert len(reasons) == 4
    assert sum("at most 65536 are taken" in reason for reason in reasons) == 1
    assert sum("the message is no event" in reason for reason in reasons) == 3
    assert sum("10th of a chain" in reason for reason in reasons) == 1
    heard.delete(trigger_id)
