"""The claim check: what a value above 64 KiB costs, where it lies, who ends it, and what comes of one that is gone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.memory.large_values import MemoryLargeValueStore
from chalicelib.core.errors import InvalidField
from chalicelib.core.security.caller import ANONYMOUS_ADMIN
from chalicelib.core.workflows.limits import OUTPUT_INLINE_MAX_BYTES, OUTPUT_MAX_BYTES
from chalicelib.core.workflows.output_ref import LARGE_MARK
from chalicelib.engine.workflows import outputs
from chalicelib.ports.workflow_steps import HttpReply
from chalicelib.process.kept_values import KeptValues
from chalicelib.usecases import runs
from tests.kit.services import make_services
from tests.kit.workflow_play import Play

TRIGGER = {"id": "t", "type": "trigger", "on": "manual"}
JOIN = {"id": "j", "type": "join"}
EACH = {"id": "p", "type": "parallel", "foreach": {"items": {"cel": "input"}, "max_concurrency": 2}}
BIG = 70_000
KEPT_MS = 86_400_000
MINUTE_MS = 60_000


class Counted(MemoryLargeValueStore):
    """Counts what is asked of it, and forgets what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.kept: dict[tuple[str, str], set[str]] = {}
        self.lost = False
        self.before_put: Callable[[str], None] = lambda run_id: None

    def put(self, tenant: str, run_id: str, name: str, content: bytes) -> None:
        self.before_put(run_id)
        self.calls["put"] += 1
        self.kept.setdefault((tenant, run_id), set()).add(name)
        super().put(tenant, run_id, name, content)

    def get(self, tenant: str, run_id: str, name: str) -> bytes | None:
        self.calls["get"] += 1
        return None if self.lost else super().get(tenant, run_id, name)

    def purge(self, tenant: str, run_id: str) -> bool:
        self.calls["purge"] += 1
        self.kept.pop((tenant, run_id), None)
        return super().purge(tenant, run_id)


@pytest.fixture
def values() -> Counted:
    return Counted()


@pytest.fixture
def play(values: Counted) -> Play:
    base = make_services()
    config = replace(base.config, run_retention_ms=KEPT_MS)
    return Play(replace(base, config=config, stores=replace(base.stores, large_values=values)))


def http(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "type": "http", "method": "POST", "url": f"https://example.com/{name}", **more}


def answers(play: Play, name: str, size: int) -> None:
    """The node's output is a JSON of so many bytes, about."""
    said = HttpReply(200, {}, b"x" * size)
    play.calls.answers[f"https://example.com/{name}"] = lambda _: said


def forgets(play: Play) -> None:
    """Each read is another process's."""
    vars(play.s.process)["outputs"] = KeptValues(0)


@pytest.mark.parametrize("above", [False, True])
def test_above_64_kib_a_value_is_in_the_store_of_large_values(play: Play, values: Counted, above: bool) -> None:
    play.publish("w", [TRIGGER], [])
    given = "x" * (OUTPUT_INLINE_MAX_BYTES - 2 + above)
    run = play.start("w", given)
    play.settle()
    shown = play.shown(run)
    assert values.calls["put"] == above
    assert shown.input == (given if not above else shown.output)
    assert ("$ref" in shown.output) == above
    assert values.calls["get"] == above, "of a trigger the output is the input, which is looked at"


def test_a_value_is_read_once_by_who_uses_it_and_not_by_who_does_not(play: Play, values: Counted) -> None:
    names = [f"n{i}" for i in range(8)]
    uses = http("u", body={"cel": "size(nodes.a.output.body) + size(nodes.a.output.body)"})
    play.publish(
        "w",
        [TRIGGER, http("a"), *map(http, names), uses],
        [("t", "a"), ("a", "n0"), *pairwise(names), ("n7", "u")],
    )
    answers(play, "a", BIG)
    run = play.start("w")
    play.settle()
    assert play.state(run).status == "completed"
    assert play.calls.asked[-1].body == str(2 * BIG).encode()
    assert values.calls == {"put": 1, "get": 1}


@pytest.mark.parametrize("size", [OUTPUT_MAX_BYTES + 1])
def test_above_16_mib_the_node_fails_and_the_error_names_it(play: Play, values: Counted, size: int) -> None:
    play.publish("w", [TRIGGER, http("a"), http("b")], [("t", "a"), ("a", "b")])
    answers(play, "a", size)
    run = play.start("w")
    play.settle()
    state = play.state(run)
    assert state.nodes["a"].error_type == "payload_too_large"
    assert "at most 16777216 are kept" in state.nodes["a"].error
    assert state.status == "failed"
    assert state.error.startswith("node a"), state.error
    assert not values.calls


def test_an_input_above_16_mib_is_refused_and_leaves_nothing(play: Play, values: Counted) -> None:
    play.publish("w", [TRIGGER], [])
    with pytest.raises(InvalidField) as refused:
        play.start("w", "x" * OUTPUT_MAX_BYTES, run_id="r")
    assert [e.field for e in refused.value.errors] == ["input"]
    assert play.s.stores.runs.load("default", "r") is None
    assert not values.calls


def test_items_and_children_hand_large_values_on(play: Play, values: Counted) -> None:
    play.publish("inner", [TRIGGER, http("a")], [("t", "a")])
    child = {"id": "c", "type": "subworkflow", "workflow": "inner", "input": {"cel": "nodes.j.output"}}
    count = http("n", body={"cel": "[size(nodes.j.output), size(nodes.j.output[1].body), size(nodes.c.output.body)]"})
    ways = [("t", "p"), ("p", "a"), ("a", "j"), ("j", "c"), ("c", "n")]
    play.publish("w", [TRIGGER, EACH, http("a"), JOIN, child, count], ways)
    answers(play, "a", BIG)
    run = play.start("w", [1, 2, 3])
    play.settle()
    assert play.state(run).status == "completed"
    assert play.calls.asked[-1].body == f"[3,{BIG},{BIG}]".encode()
    items = {f"{run}~p~{index}" for index in range(3)}
    assert {run_id for _, run_id in values.kept} == {run, play.state(run).nodes["c"].child} | items
    play.advance(KEPT_MS + 5 * MINUTE_MS)
    assert play.s.stores.runs.load("default", run) is None
    assert values.kept == {}, "what is kept of a run ends with it"


def test_items_that_are_too_large_together_fail_who_reads_their_join(play: Play) -> None:
    play.publish(
        "w",
        [TRIGGER, EACH, http("a"), JOIN, http("n", body={"cel": "size(nodes.j.output)"})],
        [("t", "p"), ("p", "a"), ("a", "j"), ("j", "n")],
    )
    answers(play, "a", OUTPUT_MAX_BYTES // 2)
    run = play.start("w", [1, 2])
    play.settle()
    node = play.state(run).nodes["n"]
    assert (node.status, node.error_type) == ("failed", "payload_too_large")
    assert "items of p" in node.error
    assert play.shown(run).outputs["j"] is None


def test_a_child_that_came_to_too_much_fails_its_node_and_the_run_goes_on(play: Play) -> None:
    play.publish("inner", [TRIGGER, http("a"), http("b")], [("t", "a"), ("t", "b")])
    child = {"id": "c", "type": "subworkflow", "workflow": "inner"}
    play.publish("w", [TRIGGER, child, http("n")], [("t", "c"), ("c", "n", {"on": "failure"})])
    for name in ("a", "b"):
        answers(play, name, OUTPUT_MAX_BYTES // 2)
    run = play.start("w")
    play.settle()
    node = play.state(run).nodes["c"]
    assert (node.status, node.error_type) == ("failed", "payload_too_large")
    assert node.child in node.error
    assert play.statuses(run)["n"] == "completed"


def test_an_item_that_came_to_too_much_has_failed(play: Play) -> None:
    body = [http("a"), http("b"), {"id": "k", "type": "join"}]
    tolerant = EACH | {"foreach": EACH["foreach"] | {"tolerated_failures": 1}}  # type: ignore[operator]
    play.publish(
        "w",
        [TRIGGER, tolerant, *body],
        [("t", "p"), ("p", "a"), ("p", "b"), ("a", "k"), ("b", "k")],
    )
    for name in ("a", "b"):
        answers(play, name, OUTPUT_MAX_BYTES // 2)
    run = play.start("w", [1])
    play.settle()
    assert play.state(run).status == "completed"
    ended = [e for e in play.s.stores.runs.events("default", run, 0, 50) if e.type == "item_ended"]
    assert [(e.data["status"], e.data["error"].partition(":")[0]) for e in ended] == [("failed", "payload_too_large")]
    assert play.shown(run).outputs["k"] == [None]


def test_a_value_that_is_gone_is_a_failure_by_its_name(play: Play, values: Counted) -> None:
    uses = http("u", body={"cel": "nodes.a.output.body"}, retry={"max_attempts": 3})
    play.publish("w", [TRIGGER, http("a"), uses, http("n")], [("t", "a"), ("a", "u"), ("u", "n", {"on": "failure"})])
    answers(play, "a", BIG)
    values.lost = True
    run = play.start("w")
    play.settle()
    node = play.state(run).nodes["u"]
    assert (node.status, node.error_type, node.attempt) == ("failed", "value_missing", 1)
    assert play.state(run).nodes["a"].output["ref"] in node.error
    assert play.statuses(run)["n"] == "completed"
    assert play.shown(run).outputs["a"]["$ref"] == play.state(run).nodes["a"].output["ref"]


def test_items_whose_list_is_gone_fail_and_hold_nothing_up(play: Play, values: Counted) -> None:
    each = EACH | {"foreach": {"items": {"cel": "input"}, "tolerated_failures": 2}}
    play.publish("w", [TRIGGER, each, http("a"), JOIN], [("t", "p"), ("p", "a"), ("a", "j")])
    run = play.start("w", ["x" * BIG, "y"])
    values.lost = True
    forgets(play)
    play.settle()
    assert play.state(run).nodes["p"].status == "failed"
    assert play.state(run).error_type == "value_missing"
    assert not play.calls.asked


def test_a_handler_is_told_where_an_input_is_that_is_gone(play: Play, values: Counted) -> None:
    play.publish("cry", [TRIGGER, http("h", body={"cel": "input.input"})], [("t", "h")])
    play.publish("w", [TRIGGER, http("a")], [("t", "a")], on_failure="cry")
    play.calls.answers["https://example.com/a"] = lambda _: HttpReply(400, {}, b"no")
    run = play.start("w", "x" * BIG)
    values.lost = True
    play.settle()
    assert play.state(run).status == "failed"
    assert b'"$ref"' in play.calls.asked[-1].body


def test_the_mark_is_there_before_the_value(play: Play, values: Counted) -> None:
    """So what a worker left behind that died before its append ends with the run."""
    seen = []
    values.before_put = lambda run_id: seen.append(play.s.stores.runs.payloads("default", run_id, [LARGE_MARK]))
    play.publish("w", [TRIGGER, http("a")], [("t", "a")])
    answers(play, "a", BIG)
    run = play.start("w", "y" * BIG, run_id="r")
    play.settle()
    assert seen == [{LARGE_MARK: b""}] * 2
    orphan = outputs.encoded("z" * BIG)
    outputs.store(play.s, "default", run, orphan)
    play.advance(KEPT_MS + 5 * MINUTE_MS)
    assert values.get("default", run, orphan.name) is None
    assert values.kept == {}


def test_runs_without_large_values_never_ask_for_them(play: Play, values: Counted) -> None:
    play.publish("w", [TRIGGER, http("a")], [("t", "a")])
    run = play.start("w")
    play.settle()
    play.shown(run)
    play.advance(KEPT_MS + 5 * MINUTE_MS)
    assert play.s.stores.runs.load("default", run) is None
    assert not values.calls


class Died(Exception):
    """The process ends here."""


def test_a_large_input_of_a_run_that_never_began_ends_with_the_retention(play: Play, values: Counted) -> None:
    def dies(run_id: str) -> None:
        assert play.s.stores.runs.load("default", run_id) is not None, "reconcile knows of the run before"
        values.kept["default", run_id] = set()
        values.before_put = lambda run_id: None
        MemoryLargeValueStore.put(values, "default", run_id, "orphan", b"x")
        raise Died

    play.publish("w", [TRIGGER], [])
    values.before_put = dies
    with pytest.raises(Died):
        play.start("w", "x" * BIG, run_id="r")
    play.advance(5 * MINUTE_MS)
    assert play.s.stores.runs.load("default", "r") is not None, "its caller may begin it yet"
    play.advance(KEPT_MS + 5 * MINUTE_MS)
    assert play.s.stores.runs.load("default", "r") is None
    assert values.get("default", "r", "orphan") is None


def test_a_run_that_never_began_is_begun_by_who_asks_again(play: Play, values: Counted) -> None:
    def dies(run_id: str) -> None:
        values.before_put = lambda run_id: None
        raise Died

    play.publish("w", [TRIGGER, http("a")], [("t", "a")])
    values.before_put = dies
    with pytest.raises(Died):
        play.start("w", "x" * BIG, run_id="r")
    play.advance(5 * MINUTE_MS)
    assert play.start("w", "x" * BIG, run_id="r") == "r"
    play.settle()
    assert play.state("r").status == "completed"
    play.advance(MINUTE_MS)
    assert play.s.stores.runs.load("default", "r") is not None


def test_an_item_that_cannot_be_read_any_more_fails_alone(play: Play, values: Counted) -> None:
    each = EACH | {"foreach": {"items": {"cel": "input"}, "max_concurrency": 1, "tolerated_failures": 2}}
    forgets(play)
    ways = [("t", "p"), ("p", "a"), ("a", "j")]
    play.publish("w", [TRIGGER, each, http("a"), JOIN], ways)
    run = play.start("w", ["x" * BIG, "y"])

    def loses(_: Any) -> HttpReply:
        values.lost = True
        return HttpReply(200, {}, b"1")

    play.calls.answers["https://example.com/a"] = loses
    play.settle()
    play.advance(2 * MINUTE_MS)
    ended = [e.data for e in play.s.stores.runs.events("default", run, 0, 50) if e.type == "item_ended"]
    assert [e["status"] for e in ended] == ["completed", "failed"]
    assert ended[1]["error"].startswith("value_missing: the value ")
    assert play.state(run).status == "completed"


def test_who_asks_for_it_is_shown_what_is_large_as_far_as_an_answer_takes_it(play: Play, values: Counted) -> None:
    play.publish("w", [TRIGGER, http("a"), http("b")], [("t", "a"), ("a", "b")])
    answers(play, "a", 1_500_000)
    answers(play, "b", 900_000)
    run = play.start("w", "x" * BIG)
    play.settle()

    def shown(inline_bytes: int) -> dict[str, bool]:
        found = runs.get(play.s, ANONYMOUS_ADMIN, run, inline_bytes)
        assert found.output == found.outputs["b"]
        return {name: "$ref" not in value for name, value in (*found.outputs.items(), ("input", found.input))}

    before = values.calls["get"]
    assert shown(1_000_000) == {"t": True, "a": False, "b": True, "input": True}
    assert shown(2 * 1024 * 1024) == {"t": True, "a": False, "b": True, "input": True}, "the last node's comes first"
    assert shown(100_000) == {"t": True, "a": False, "b": False, "input": True}
    assert values.calls["get"] - before <= 8
