"""The change feed through ``kill -9`` of those who write and send it, as three subscribers see it.

What is true is what the table's own stream says was written. AWS is an emulator that lives through all of it.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import pytest

from chalicelib.adapters.aws.clients import Clients, resource_name
from chalicelib.adapters.dynamodb.documents import decode_execution, execution_key
from chalicelib.settings import LOCAL_STAGE
from tests.e2e.dev_server import DevServer, wait_for

CHANGES = 1_000  # of one owner; the other has as many
KILLS = ("worker", "server", "worker", "all", "server")
SCHEDULES = 25  # of each owner, one firing a second
SLOW_S = 0.02  # that the slow subscriber takes for each event: less than comes, until the kills
READY_S = 60
ADMIN = "an-admin-key-of-more-than-32-characters"
ENV = {"CHRONO_AUTH": "apikey", "CHRONO_BOOTSTRAP_KEY": ADMIN, "CHRONO_PUBLIC_OPS": "1"}
NewServer = Callable[..., DevServer]
History = Mapping[str, list[tuple[str, int]]]  # by execution: each state and attempt that was written, in order


class Seen(NamedTuple):
    """An event, as a subscriber got it."""

    position: str
    task: dict[str, Any]


class Follower:
    """A subscriber with a key of its own, which comes back with its last id whenever its stream ends."""

    def __init__(self, name: str, port: int, key: str, after: str, pause_s: float = 0.0) -> None:
        self.name, self.last = name, after
        self.seen: list[Seen] = []
        self.faults: list[str] = []
        self.streams = 0
        self._port, self._key, self._pause_s = port, key, pause_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name=name)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(30)

    def _follow(self) -> None:
        while not self._stop.wait(0.05):
            connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
            try:
                headers = {"Accept": "text/event-stream", "Last-Event-ID": self.last, **_bearer(self._key)}
                connection.request("GET", "/api/tasks/subscribe", headers=headers)
                self._read(connection.getresponse())
            except (OSError, http.client.HTTPException):
                continue  # the server has died, or starts
            finally:
                connection.close()

    def _read(self, stream: http.client.HTTPResponse) -> None:
        if stream.status != 200:
            self.faults.append(f"{stream.status}: {stream.read()!r}")
            return
        self.streams += 1
        event: dict[str, str] = {}
        while not self._stop.is_set() and (line := stream.readline()):
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                event[name] = value
                continue
            if event.get("event") == "task":
                self.last = event["id"]
                self.seen.append(Seen(event["id"], json.loads(event["data"])))
                time.sleep(self._pause_s)
            elif event.get("event"):
                self.faults.append(str(event))  # a reset: what was missed was kept for seven days
            event = {}

    def hurry(self) -> None:
        """Be slow no more."""
        self._pause_s = 0.0

    def history(self) -> History:
        found = defaultdict[str, list[tuple[str, int]]](list)
        for _, task in list(self.seen):
            found[task["id"]].append((task["status"], task["attempt"]))
        return found


def _bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def _written(endpoint: str, owner: str) -> History:
    """What became of an owner's executions, as the stream of the table itself says."""
    found = defaultdict[str, list[tuple[str, int]]](list)
    for record in _records(Clients("us-east-1", endpoint).get("dynamodbstreams")):
        image = record["dynamodb"]["NewImage"]  # nothing is deleted here
        made = decode_execution(execution_key(image["pk"]["S"], image["sk"]["S"]), image["doc"]["S"])
        if made.owner == owner:
            found[made.id].append((made.state, made.attempt))
    return found


def _lacks(have: History, least: History) -> list[str]:
    """The executions of which changes are missing."""
    return [key for key, states in least.items() if len(have.get(key, ())) < len(states)]


def _records(streams: Any) -> Iterator[dict[str, Any]]:
    table = resource_name(LOCAL_STAGE, "executions")
    [arn] = [stream["StreamArn"] for stream in streams.list_streams(TableName=table)["Streams"]]
    for shard in streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]:
        at = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
        place = streams.get_shard_iterator(**at)["ShardIterator"]
        while place is not None:
            page = streams.get_records(ShardIterator=place)
            yield from page["Records"]
            place = page.get("NextShardIterator") if page["Records"] else None


def _strike(server: DevServer, whom: str) -> None:
    """``kill -9``, and wait until what was killed runs again."""
    if whom == "all":
        server.kill_all()
        server.launch()
    else:
        killed = server.pids()[whom]
        os.kill(killed, signal.SIGKILL)
        wait_for(f"another {whom}", lambda: server.pids().get(whom) not in (None, killed), READY_S)
    wait_for("the service to answer", lambda: _is_up(server), READY_S)


def _is_up(server: DevServer) -> bool:
    try:
        return server.call("GET", "/health")[0] == 200
    except OSError:
        return False


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_no_kill_loses_doubles_or_mixes_up_a_change(new_server: NewServer, aws: str) -> None:
    """Three subscribers: one that is quick, one that is slow, and one that comes late with an old id."""
    server = new_server(env={**ENV, "AWS_ENDPOINT_URL": aws})
    server.start()

    def key_of(owner: str) -> str:
        code, made = server.call("POST", "/api/v1/keys", {"name": "k", "owner": owner}, _bearer(ADMIN))
        assert code == 201, made
        return str(made["key"])

    def pause_all() -> None:
        for key, schedule_id in schedules:
            assert server.call("POST", f"/api/v1/schedules/{schedule_id}:pause", {}, _bearer(key))[0] == 200

    ann, bob = key_of("ann"), key_of("bob")
    begin = server.call("GET", "/api/v1/changes", headers=_bearer(ann))[1]["next_after"]
    quick = Follower("quick", server.http_port, ann, begin)
    followers = [quick, Follower("slow", server.http_port, ann, begin, SLOW_S)]
    schedules = []
    try:
        for key in (ann, bob) * SCHEDULES:
            beat = {"type": "RATE", "expr": "rate:1s", "target": {"type": "log"}, "overlap": "forbid"}
            code, made = server.call("POST", "/api/v1/schedules", beat, _bearer(key))
            assert code == 201, made
            schedules.append((key, made["id"]))
        for number, whom in enumerate(KILLS, 1):
            enough = CHANGES * number // (len(KILLS) + 1)
            wait_for(f"{enough} changes", lambda enough=enough: len(quick.seen) >= enough, 120)
            _strike(server, whom)
        wait_for("all changes", lambda: len(quick.seen) >= CHANGES, 120)
        pause_all()
        followers.append(Follower("late", server.http_port, ann, begin))

        least = _written(aws, "ann")
        for follower in followers:
            follower.hurry()
            wait_for(f"{follower.name} to have all", lambda f=follower: not _lacks(f.history(), least), 120)
    finally:
        for follower in followers:
            follower.close()
    most = _written(aws, "ann")  # what a killed worker had in hand goes on after a minute
    assert _written(aws, "bob"), "there was something of another owner to be seen"
    assert sum(map(len, least.values())) >= CHANGES
    for follower in followers:
        positions = [position for position, _ in follower.seen]
        assert positions == sorted(set(positions)), f"{follower.name}: each position once, in order"
        assert {task["owner"] for _, task in follower.seen} == {"ann"}, follower.name
        history = follower.history()
        wrong = {key: states for key, states in history.items() if states != most.get(key, [])[: len(states)]}
        assert not wrong, f"{follower.name}: each change of each execution once, in order"
        assert follower.faults == [], follower.name
    assert quick.streams >= 1 + len(KILLS) - KILLS.count("worker"), "it came back after each death of the server"
