"""Brokers that are away for a while: what was due meanwhile is caught up with, and no other firing is later for it.

CHRONO_TEST_AWAY_S says for how long. In a run of half a minute or more RabbitMQ is among them, which takes as long to
start.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika  # type: ignore[import-untyped]
import pytest

from tests.brokers import BrokerProcess, nats_program, rabbitmq_command, running, tansu_command
from tests.e2e.busy import StallMeter
from tests.e2e.dev_server import DevServer, wait_for
from tests.kit.ports import free_port
from tests.programs import program
from tests.tidy.sources import ROOT

AWAY_S = float(os.environ.get("CHRONO_TEST_AWAY_S", "4"))
LONG_S = 30.0
LATE_MOST_MS = 3_000  # five brokers are waited for, up to 2 s each: who waits behind them all would be later


@pytest.mark.slow
def test_brokers_that_are_away_are_caught_up_with_and_hold_up_nothing_else(
    new_server: Callable[..., DevServer], tmp_path: Path, stalls: StallMeter
) -> None:
    with contextlib.ExitStack() as brokers:
        redis, nats, kafka, mqtt, grpc = (
            _started(brokers, tmp_path, make) for make in (_redis, _nats, _kafka, _mqtt, _grpc)
        )
        rabbit = _rabbit(brokers, tmp_path) if AWAY_S >= LONG_S else None
        server = new_server(env={"CHRONO_WEBHOOK_ALLOW": "127.0.0.1"})
        server.start()
        policy = {"max_attempts": 100, "backoff": "fixed", "base_ms": 1_000, "jitter": False}
        often: dict[str, Any] = {"type": "RATE", "expr": "rate:1s", "timeout_ms": 2_000, "retry_policy": policy}
        to = {
            "redis": {"type": "redis", "url": f"redis://127.0.0.1:{redis.port}", "stream": "s"},
            # Without JetStream there is nothing that a stream would have to be made for.
            "nats": {"type": "nats", "servers": [f"nats://127.0.0.1:{nats.port}"], "subject": "s", "jetstream": False},
            "kafka": {"type": "kafka", "brokers": [f"127.0.0.1:{kafka.port}"], "topic": "s"},
            "mqtt": {"type": "mqtt", "broker": f"mqtt://127.0.0.1:{mqtt.port}", "topic": "s"},
            "grpc": {"type": "grpc", "address": f"127.0.0.1:{grpc.port}", "method": "/a.B/Due"},
        }
        if rabbit:
            to["rabbitmq"] = {
                "type": "rabbitmq",
                "url": f"amqp://127.0.0.1:{rabbit.port}",
                "exchange": "",
                "routing_key": "s",
            }
        made = {kind: server.create(**often, target=target)["id"] for kind, target in to.items()}
        other = server.create(type="RATE", expr="rate:1s", target={"type": "log"})["id"]
        for schedule_id in (*made.values(), other):
            wait_for("a firing before", lambda of=schedule_id: _done(server, of))
        frozen, killed = [redis, grpc], [nats, kafka, mqtt]
        frozen += [rabbit] if rabbit else []
        for broker in frozen:
            broker.freeze()
        for broker in killed:
            broker.kill()
        gone_ms = round(time.time() * 1000)
        time.sleep(AWAY_S)
        # Where the machine stalled, what was sent may not have failed yet: a broker that is back would still take it.
        for kind, of in made.items():
            wait_for(f"{kind} to be missed", lambda of=of: _missed(server.executions(of), gone_ms + 500))
        for broker in frozen:
            broker.thaw()
        for broker in killed:
            broker.start()
        back_ms = round(time.time() * 1000)
        due = range(gone_ms + 500, back_ms - 500)

        def all_done(of: str) -> bool:
            states = [e["delivery_state"] for at, e in server.executions(of).items() if at in due]
            return len(states) >= AWAY_S - 2 and set(states) == {"completed"}

        def caught_up() -> bool:
            return all(all_done(of) for of in made.values())

        wait_for("all that was due meanwhile to be delivered", caught_up, 60)
        for kind, of in made.items():
            meanwhile = {at: e for at, e in server.executions(of).items() if at in due}
            assert _missed(meanwhile, due.start), f"{kind} was never away"
        begun = {at: _begun_ms(e) for at, e in server.executions(other).items() if at in due}
        late_ms = {at: begun_ms - at - round(stalls.stalled_ms(at, begun_ms)) for at, begun_ms in begun.items()}
        print(f"away {AWAY_S} s; log: {len(late_ms)} firings, most {max(late_ms.values())} ms late")
        print({kind: _caught_up_ms(server.executions(of), due) - back_ms for kind, of in made.items()}, "ms after")
        assert len(late_ms) >= AWAY_S - 2
        assert max(late_ms.values()) < LATE_MOST_MS


def _started(stack: contextlib.ExitStack, folder: Path, make: Callable[[int, Path], list[Any]]) -> BrokerProcess:
    port = free_port()
    return stack.enter_context(running(make(port, folder), port, folder))


def _rabbit(stack: contextlib.ExitStack, folder: Path) -> BrokerProcess:
    """With a queue ``s``. It is several processes, which are frozen together."""
    port = free_port()
    command = rabbitmq_command(folder, port)
    found = stack.enter_context(running(command, port, folder, within_s=60, group=True))
    with contextlib.closing(pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))) as connection:
        connection.channel().queue_declare("s", durable=True)
    return found


def _redis(port: int, _folder: Path) -> list[Any]:
    return [program("redis-server", package="redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]


def _nats(port: int, _folder: Path) -> list[Any]:
    return [nats_program(), "-a", "127.0.0.1", "-p", str(port)]


def _kafka(port: int, _folder: Path) -> list[Any]:
    return tansu_command(port)


def _mqtt(port: int, folder: Path) -> list[Any]:
    config = folder / f"mosquitto-{port}.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n")
    return [program("mosquitto", package="mosquitto"), "-c", config]


def _grpc(port: int, folder: Path) -> list[Any]:
    return [sys.executable, ROOT / "tests" / "contract" / "grpc_service.py", str(port), folder / "called.jsonl"]


def _done(server: DevServer, schedule_id: str) -> bool:
    return any(e["delivery_state"] == "completed" for e in server.executions(schedule_id).values())


def _missed(executions: dict[int, dict[str, Any]], since_ms: int) -> bool:
    """Whether an attempt at what was due since then has ended in vain."""
    attempts = [attempt for at, e in executions.items() if at >= since_ms for attempt in e["attempts"]]
    return any(attempt["outcome"] not in (None, "completed") for attempt in attempts)


def _begun_ms(execution: dict[str, Any]) -> int:
    begun: int = execution["attempts"][0]["started_unix_ms"]
    return begun


def _caught_up_ms(executions: dict[int, dict[str, Any]], due: range) -> int:
    return max(e["attempts"][-1]["finished_unix_ms"] for at, e in executions.items() if at in due)
