"""Ticks over HTTP: the streams, their history, their switches, and Server-Sent Events as a server streams them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from msgspec.structs import replace

from chalicelib import VERSION
from chalicelib.api.http.connection import CallerConnection
from chalicelib.api.http.edge import Asked
from chalicelib.core.ticks.limits import SEQUENCE_MAX, TICK_KEEPALIVE_MS, TICK_STREAM_LAG_MAX_COUNT, TICK_STREAM_MAX_MS
from chalicelib.core.ticks.numbering import TickCursor
from chalicelib.core.ticks.tick_book import Maker, Stream, TickRun
from chalicelib.process.permits import Permits
from chalicelib.usecases import ticks as usecase
from tests.kit.callers import Everybody, who
from tests.kit.conformance import conforms
from tests.kit.house import House
from tests.kit.machine import NOW_MS

NANOS = 1_000_000_000
S = 1000
SECOND = "/api/v1/ticks/second"
EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture
def ticking(house: House) -> House:
    """A deployment whose seconds have run for ten seconds and a half."""
    assert house.call("POST", SECOND + ":enable").status == 200
    open_all(house)
    house.clock.advance(10_500)
    return house


def open_all(house: House) -> None:
    """All that has a number is open: no worker runs here that would open it when its instant comes."""
    store = house.services.stores.ticks
    book, rev = store.load()
    for frequency, stream in book.streams.items():
        book = book.with_stream(frequency, replace(stream, opened_sequence=stream.cursor.sequence))
    assert store.save(book, (), rev)


def minutes_pass(house: House, minutes: int) -> None:
    for _ in range(minutes):
        usecase.produce(house.services)
        open_all(house)
        house.clock.advance(60 * S)


# -- history


def test_a_tick_is_what_the_contract_says(ticking: House) -> None:
    first = ticking.call("GET", SECOND).json["items"][0]
    timestamp = (NOW_MS + 2 * S) * 1_000_000
    assert first == {
        "id": f"second-{timestamp}-1",
        "timestamp": timestamp,
        "frequency": "second",
        "sequence": 1,
        "seed": timestamp ^ 1,
        "schema_version": 1,
        "producer_version": VERSION,
        "instance_id": "instance",
    }


def test_ticks_come_oldest_first_after_a_number_and_none_from_the_future(ticking: House) -> None:
    assert [t["sequence"] for t in ticking.call("GET", SECOND).json["items"]] == list(range(1, 10))
    assert [t["sequence"] for t in ticking.call("GET", SECOND, query="after_sequence=6").json["items"]] == [7, 8, 9]
    assert ticking.call("GET", SECOND, query="after_sequence=9").json == {
        "items": [],
        "gaps": [],
        "next_page_token": None,
    }
    assert ticking.call("GET", "/api/v1/ticks/minute").json["items"] == []


def test_pages_go_on_by_token_and_by_number(ticking: House) -> None:
    found: list[int] = []
    query = "after_sequence=1&limit=3"
    while True:
        page = ticking.call("GET", SECOND, query=query).json
        found += [t["sequence"] for t in page["items"]]
        if page["next_page_token"] is None:
            break
        query = f"after_sequence=1&limit=3&page_token={page['next_page_token']}"
    assert found == list(range(2, 10))
    assert ticking.call("GET", "/api/v1/ticks/minute", query=f"page_token={'x' * 24}").status == 400


def test_gaps_and_what_was_caught_up_are_told(ticking: House) -> None:
    minutes_pass(ticking, 1)
    ticking.clock.advance(1000 * S)
    minutes_pass(ticking, 1)
    ticks = [
        t
        for after in range(0, 400, 100)
        for t in ticking.call("GET", SECOND, query=f"after_sequence={after}&limit=100").json["items"]
    ]
    late = [t for t in ticks if t.get("caught_up")]
    assert len(late) == 60
    page = ticking.call("GET", SECOND, query=f"after_sequence={late[0]['sequence'] - 2}").json
    [gap] = page["gaps"]
    assert gap["after_sequence"] == late[0]["sequence"] - 1
    assert gap["from_timestamp"] == page["items"][0]["timestamp"] + NANOS
    assert gap["to_timestamp"] == late[0]["timestamp"] - NANOS
    assert gap["count"] == (gap["to_timestamp"] - gap["from_timestamp"]) // NANOS + 1


@pytest.mark.parametrize("name", ["week", "Second", "second%20", "second:start", "second:"])
def test_what_is_no_stream_is_not_found(house: House, name: str) -> None:
    assert house.call("GET", f"/api/v1/ticks/{name}").code == "not_found"


# -- the streams and their switches


def test_the_streams_say_where_they_stand(ticking: House) -> None:
    second, *others = ticking.call("GET", "/api/v1/ticks").json["items"]
    assert second == {
        "frequency": "second",
        "enabled": True,
        "sequence": 9,
        "timestamp": (NOW_MS + 10 * S) * 1_000_000,
        "next_timestamp": (NOW_MS + 11 * S) * 1_000_000,
        "reserved_sequence": 179,
        "target": None,
    }
    assert [(s["frequency"], s["enabled"], s["next_timestamp"]) for s in others] == [
        (f, False, None) for f in ("minute", "hour", "day")
    ]


def test_configuration_says_what_runs_until_somebody_decides(house: House) -> None:
    house.services = replace(house.services, config=replace(house.services.config, ticks=("day",)))
    day = house.call("GET", "/api/v1/ticks").json["items"][3]
    assert (day["enabled"], day["next_timestamp"]) == (True, 1_795_305_600 * NANOS)
    assert house.call("POST", "/api/v1/ticks/day:disable").json["enabled"] is False
    assert house.call("GET", "/api/v1/ticks").json["items"][3]["enabled"] is False


def test_a_stream_that_is_disabled_ends_at_once_and_its_numbers_go_on_without_a_hole(house: House) -> None:
    house.call("POST", SECOND + ":enable")
    house.clock.advance(10_500)
    stopped = house.call("POST", SECOND + ":disable").json
    assert (stopped["enabled"], stopped["reserved_sequence"], stopped["sequence"]) == (False, 9, 9)
    assert stopped["next_timestamp"] is None
    house.clock.advance(400 * S)
    assert house.call("GET", SECOND).json["items"][-1]["sequence"] == 9
    again = house.call("POST", SECOND + ":enable").json
    open_all(house)
    house.clock.advance(5 * S)
    [tick, *_] = house.call("GET", SECOND, query="after_sequence=9").json["items"]
    assert (tick["sequence"], tick["timestamp"]) == (10, again["next_timestamp"])


def test_what_is_open_when_a_stream_is_disabled_still_comes(ticking: House) -> None:
    stopped = ticking.call("POST", SECOND + ":disable").json
    assert (stopped["enabled"], stopped["reserved_sequence"]) == (False, 179)
    assert stopped["next_timestamp"] == (NOW_MS + 11 * S) * 1_000_000
    ticking.clock.advance(400 * S)
    last = ticking.call("GET", "/api/v1/ticks").json["items"][0]
    assert (last["sequence"], last["next_timestamp"]) == (179, None)


def test_what_is_not_open_is_not_shown(house: House) -> None:
    house.call("POST", SECOND + ":enable")
    house.clock.advance(10_500)
    assert house.call("GET", SECOND).json["items"] == []
    assert house.call("GET", "/api/v1/ticks").json["items"][0]["sequence"] == 0
    open_all(house)
    assert len(house.call("GET", SECOND).json["items"]) == 9


def test_a_target_stays_until_it_is_taken_away(house: House) -> None:
    hook = {"type": "webhook", "url": "http://127.0.0.1:9000/"}
    shown = {**hook, "method": "POST", "timeout_ms": 30_000}
    assert house.call("POST", SECOND + ":enable", {"target": hook}).json["target"] == shown
    assert house.call("POST", SECOND + ":disable").json["target"] == shown
    assert house.call("POST", SECOND + ":enable", {}).json["target"] == shown
    assert house.call("POST", SECOND + ":enable", {"target": None}).json["target"] is None


def test_answers_about_ticks_are_as_described(ticking: House) -> None:
    document = ticking.call("GET", "/api/v1/openapi.json").json
    one = "/api/v1/ticks/{frequency}"
    sqs = {"target": {"type": "sqs", "queue_url": "https://sqs.eu-west-1.amazonaws.com/1/q"}}
    for method, path, body, status in (
        ("GET", "/api/v1/ticks", None, 200),
        ("GET", one, None, 200),
        ("POST", one + ":enable", sqs, 200),
        ("POST", one + ":disable", None, 200),
    ):
        answer = ticking.call(method, path.replace("{frequency}", "second"), body)
        assert answer.status == status, answer.body
        conforms(document, path, method, answer)


# -- Server-Sent Events


def parsed(text: str) -> list[dict[str, str]]:
    """The events of a stream, fields by name; comments are left out."""
    events = []
    for block in text.split("\n\n"):
        lines = [line.partition(": ") for line in block.splitlines() if not line.startswith(":")]
        if lines:
            events.append({name: value for name, _, value in lines})
    return events


def test_a_server_that_cannot_stream_answers_with_what_there_is(ticking: House) -> None:
    answer = ticking.call("GET", SECOND, headers={**EVENTS, "Last-Event-ID": "6"})
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/event-stream")
    retry, *events = parsed(answer.body.decode())
    assert retry == {"retry": "1000"}
    assert [(e["id"], e["event"]) for e in events] == [("7", "tick"), ("8", "tick"), ("9", "tick")]
    assert json.loads(events[0]["data"]) == ticking.call("GET", SECOND, query="after_sequence=6").json["items"][0]


def test_without_a_number_it_begins_with_the_newest_so_that_there_is_one_to_come_back_with(ticking: House) -> None:
    _, event = parsed(ticking.call("GET", SECOND, headers=EVENTS).body.decode())
    assert event["id"] == "9"
    _, *events = parsed(ticking.call("GET", SECOND, query="after_sequence=7", headers=EVENTS).body.decode())
    assert [e["id"] for e in events] == ["8", "9"]


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "٣", str(SEQUENCE_MAX + 1)])
def test_a_wrong_last_event_id_is_named(ticking: House, last: str) -> None:
    assert ticking.call("GET", SECOND, headers={**EVENTS, "Last-Event-ID": last}).fields == ["Last-Event-ID"]


class Line:
    """A caller's connection to a server that streams, read piece by piece; between them time passes."""

    def __init__(self, house: House, path: str = SECOND, method: str = "GET", query: str = "", **headers: str) -> None:
        self.gone = False
        self._clock = house.clock
        asked = {"accept": "text/event-stream", **{name.replace("_", "-"): value for name, value in headers.items()}}
        opened = house.edge.open(Asked(method, path, query, asked), CallerConnection(lambda: self.gone))
        self.status, self.headers, self.body, self._source = opened.status, opened.headers, opened.body, opened.source

    def pieces(self) -> Iterator[str]:
        while self._source is not None:
            step = self._source.step()
            until_ms = self._clock.now_ms() + round((step.wait_s or 0) * 1000)
            yield step.piece.decode()
            if step.wait_s is None:
                return
            self._clock.sleep_until(until_ms)

    def close(self) -> None:
        if self._source is not None:
            self._source.close()


def until(pieces: Iterator[str], enough: Callable[[list[dict[str, str]]], bool]) -> list[dict[str, str]]:
    events: list[dict[str, str]] = []
    for piece in pieces:
        events += parsed(piece)
        if enough(events):
            break
    return events


def test_a_server_that_can_stream_sends_each_tick_at_its_instant(ticking: House) -> None:
    line = Line(ticking)
    assert line.status == 200
    assert "Content-Length" not in line.headers
    assert line.headers["Content-Type"] == "text/event-stream"
    assert line.headers["traceparent"]
    at: dict[int, int] = {}
    for piece in line.pieces():
        for event in parsed(piece):
            if "id" in event:
                at[int(event["id"])] = ticking.clock.now_ms()
        if len(at) == 20:
            break
    line.close()
    assert list(at) == list(range(9, 29))
    assert [at[n] for n in range(10, 29)] == [NOW_MS + (n + 1) * S for n in range(10, 29)]


def test_coming_back_loses_nothing_and_repeats_nothing(ticking: House) -> None:
    line = Line(ticking)
    first = until(line.pieces(), lambda events: len(events) == 6)
    line.close()
    ticking.clock.advance(100 * S)
    line = Line(ticking, last_event_id=first[-1]["id"])
    again = until(line.pieces(), lambda events: events[-1].get("id") == "140")
    line.close()
    numbers = [int(e["id"]) for e in [*first, *again] if "id" in e]
    assert numbers == list(range(9, 141))


def test_a_stream_ends_after_a_while_and_when_its_caller_is_gone(ticking: House) -> None:
    begin = ticking.clock.now_ms()
    list(Line(ticking).pieces())
    assert ticking.clock.now_ms() == begin + TICK_STREAM_MAX_MS
    line = Line(ticking)
    line.gone = True
    assert len(list(line.pieces())) <= 2


def test_a_silent_stream_says_that_it_lives(ticking: House) -> None:
    ticking.call("POST", SECOND + ":disable")
    ticking.clock.advance(300 * S)
    text = "".join(Line(ticking).pieces())
    assert text.count(": still here\n\n") == TICK_STREAM_MAX_MS // TICK_KEEPALIVE_MS - 1


def test_a_slow_subscriber_is_told_what_it_lost_and_makes_no_other_late(house: House) -> None:
    maker = Maker("0.1.0", "i")
    runs = (TickRun(1, NOW_MS // 1000 - 99, 1, 5000, False, maker),)
    cursor = TickCursor((NOW_MS // 1000 + 4900) * NANOS, 5000)
    book = house.services.stores.ticks.load().book.with_stream(
        "second", Stream(cursor=cursor, queued_sequence=5000, opened_sequence=5000, runs=runs)
    )
    assert house.services.stores.ticks.save(book, (), 0)
    slow = Line(house, query="after_sequence=95")
    pieces = slow.pieces()
    until(pieces, lambda events: events[-1].get("id") == "101")
    house.clock.advance(200 * S)
    dropped, after, *_ = until(pieces, lambda events: len(events) >= 2)
    assert dropped["event"] == "dropped"
    told = json.loads(dropped["data"])
    assert told["after_sequence"] == 101
    assert told["count"] == told["until_sequence"] - 101 == 301 - TICK_STREAM_LAG_MAX_COUNT - 101
    assert int(after["id"]) == told["until_sequence"] + 1
    back = Line(house, last_event_id="101")
    assert until(back.pieces(), lambda events: len(events) >= 2)[1]["id"] == "102", "whoever comes back gets them all"
    slow.close()
    back.close()


PLACES = 5


def few_places(house: House) -> None:
    process = replace(house.services.process, tick_streams=Permits(PLACES))
    house.services = replace(house.services, process=process)


def test_places_are_bounded_and_given_back(ticking: House) -> None:
    few_places(ticking)
    lines = [Line(ticking) for _ in range(PLACES)]
    assert {line.status for line in lines} == {200}
    refused = Line(ticking)
    assert refused.status == 429
    assert refused.headers["Retry-After"]
    assert ticking.call("GET", SECOND).status == 200
    for line in lines:  # some were read, some never
        if line is lines[0]:
            next(line.pieces())
        line.close()
        line.close()
    again = [Line(ticking) for _ in range(PLACES)]
    assert {line.status for line in again} == {200}


def test_one_caller_has_at_most_half_of_the_places(ticking: House) -> None:
    few_places(ticking)
    ticking.authenticator = Everybody(who("ann", "viewer"))
    lines = [Line(ticking) for _ in range(PLACES)]
    assert [line.status for line in lines] == [200] * (PLACES // 2) + [429] * (PLACES - PLACES // 2)
    assert lines[-1].headers["Retry-After"]
    for another in (who("bob", "viewer"), who("ann", "viewer", tenant="other")):
        ticking.authenticator = Everybody(another)
        assert Line(ticking).status == 200
    ticking.authenticator = Everybody(who("ann", "viewer"))
    lines[0].close()
    assert Line(ticking).status == 200
    assert Line(ticking).status == 429


def test_head_opens_no_stream(ticking: House) -> None:
    few_places(ticking)
    line = Line(ticking, method="HEAD")
    assert (line.status, line.body, list(line.pieces())) == (200, b"", [])
    assert [Line(ticking).status for _ in range(PLACES)][-1] == 200
