"""What happens in a world of workflows, drawn from its seed: definitions, what their steps meet outside, who calls, and
what goes wrong."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Any

from tests.simulation.faults import CALL_KINDS, UNANSWERED, Fault
from tests.simulation.faults import draw as draw_faults

START_MS = 1_795_252_800_000
SECOND = 1000
PAD = "x" * 66_000  # with it a value is too large for the tables
HUSHED_SHARE = 0.02
FIRST_FAULT_MS = 1_000  # by then everything is published
MAIN = ("w0", "w1")
INNER, HANDLER = "inner", "handler"
PEOPLE = ("ann", "bob", "cid", "dee")

WORLD_KINDS = {
    "crash": 4,
    "outage": 1,
    "no_rule": 2,
    "storm": 2,
    "clock_forward": 2,
    "clock_backward": 2,
    "index_lag": 2,
    "message_late": 2,
    "message_double": 3,
    "message_returns": 2,
}
WEIGHTS = CALL_KINDS | WORLD_KINDS
KINDS = tuple(WEIGHTS)
METHODS = (
    None, None, None, *("run_append",) * 6, "run_read", "run_read", "run_summarize", "run_wake", "run_enter",
    "run_snapshot", "run_put", "run_woken", "send", "send", "dispatch", "dispatch", "dispatch",
)  # fmt: skip
WRITES = ("run_append", "run_append", "run_append", "run_enter", "run_summarize", "run_wake", "run_put", "send")

# What a step meets outside. Each but ``async`` leads to one end, however often it is asked.
TEMPERS = {
    "ok": 8,
    "slow": 2,  # longer than a worker chains steps
    "refuse": 2,  # 400: no attempt is worth another
    "flaky": 2,  # fails, and then does not
    "down": 1,  # fails as often as it is asked
    "hang": 1,  # takes longer than it may
}
# What a long run must have met.
POINTS = (
    "run: cancelled",
    "run: compensation_failed",
    "run: completed",
    "run: failed",
    "run: redriven",
    "run: under another version",
    "run: too late",
    "sla: announced",
    "run: handler began",
    "node: lost",
    "node: skipped",
    "node: out of time",
    "node: tried again",
    "node: undone",
    "join: cancelled others",
    "join: unreachable",
    "items: cut short",
    "items: all",
    "gate: approved",
    "gate: rejected",
    "gate: expired",
    "gate: decided twice",
    "child: began again",
    "claim: answered too late",
    "value: kept",
    "value: read",
    "value: left behind",
    "race: run_append lost",
    "race: run_summarize lost",
)


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """Something that somebody asks for. ``draw`` chooses among what is there at the time."""

    number: int
    kind: str
    at_ms: int
    run: str = ""
    workflow: str = ""
    fields: Any = None
    draw: float = 0.0

    def __str__(self) -> str:
        return f"call {self.number}: {self.kind} {self.run or self.workflow}".rstrip()


@dataclass(frozen=True, slots=True)
class WorkflowPlan:
    """A seed's plan. ``calm``: nothing goes wrong, so that everything is in time. ``tempers`` are by node."""

    seed: int
    calm: bool
    instances: int
    active_ms: int
    documents: tuple[dict[str, Any], ...]
    edited: dict[str, Any]
    tempers: dict[str, str]
    calls: tuple[PlannedCall, ...]
    faults: tuple[Fault, ...] = ()
    large: frozenset[str] = frozenset()  # steps whose answers are too large for the tables

    @property
    def end_ms(self) -> int:
        return START_MS + self.active_ms


@dataclass(slots=True)
class _Drawing:
    """A definition while it is drawn."""

    r: random.Random
    prefix: str
    nodes: list[dict[str, Any]] = field(default_factory=list)
    edges: list[dict[str, Any]] = field(default_factory=list)
    tempers: dict[str, str] = field(default_factory=dict)
    open: list[tuple[str, str]] = field(default_factory=list)  # nodes that others may follow, and their types

    def http(self, name: str, temper: str = "") -> dict[str, Any]:
        r = self.r
        chosen = temper or r.choices(list(TEMPERS), list(TEMPERS.values()))[0]
        self.tempers[name] = chosen
        made: dict[str, Any] = {"id": name, "type": "http", "method": "POST", "url": f"https://out.example/{name}"}
        made["timeout_ms"] = r.choice((1_000, 4_000)) if chosen == "hang" else r.choice((15_000, 30_000))
        if chosen in ("flaky", "down", "hang") or r.random() < 0.2:
            attempts = 4 if chosen == "flaky" else r.choice((1, 2, 3))
            base_ms = r.choice((200, 1_500, 7_000))
            made["retry"] = {"max_attempts": attempts, "base_ms": base_ms, "jitter": False}
        return made


def draw(seed: int) -> WorkflowPlan:
    """The plan of a seed."""
    r = random.Random(f"workflows/{seed}")
    calm = r.random() < 0.25
    active_ms = r.choice((40, 90, 150)) * SECOND
    tempers: dict[str, str] = {}
    inner = _inner(r, tempers)
    handler = {"name": HANDLER, "nodes": [_trigger(), _http("hh", tempers)], "edges": [{"from": "t", "to": "hh"}]}
    mains = [_definition(r, name, tempers) for name in MAIN[: r.choice((1, 1, 2))]]
    apart = random.Random(f"workflows/{seed}/handled")  # so that all else of a seed stays as it was
    for main in mains:
        if apart.random() < 0.6:
            main["on_failure"] = HANDLER
    _slas(random.Random(f"workflows/{seed}/sla"), [inner, *mains])
    edited = _edited(r, mains[0], tempers)
    calls = _calls(r, [m["name"] for m in mains], active_ms)
    instances = r.choice((2, 3))
    faults: list[Fault] = []
    if not calm:
        counts, crashes = (1, 2, 4, 7, 12), ("crash_after", "crash_before")
        faults += draw_faults(r, WEIGHTS, counts, lambda *named: _fault(r, *named, active_ms), 0.35, crashes)
        faults += _hushed(random.Random(f"workflows/{seed}/hushed"), len(faults), active_ms, [inner, *mains])
    large = _large(random.Random(f"workflows/{seed}/large"), active_ms, tempers, calls, faults, calm=calm)
    return WorkflowPlan(
        seed=seed,
        calm=calm,
        instances=instances,
        active_ms=active_ms,
        documents=(inner, handler, *mains),
        edited=edited,
        tempers=tempers,
        calls=tuple(calls),
        faults=tuple(faults),
        large=large,
    )


def _slas(r: random.Random, documents: list[dict[str, Any]]) -> None:
    """Some workflows and some of their steps are to end by an instant."""
    for document in documents:
        if r.random() < 0.3:
            document["sla_ms"] = r.choice((40, 2_500, 9_000, 30_000))
        for node in document["nodes"]:
            if node["type"] not in ("trigger", "join") and r.random() < 0.15:
                node["sla_ms"] = r.choice((30, 1_000, 6_000, 20_000))


def _hushed(r: random.Random, number: int, active_ms: int, documents: list[dict[str, Any]]) -> list[Fault]:
    """In a few worlds much is late, and workers die before what they were about to send, such as that."""
    if r.random() >= HUSHED_SHARE:
        return []
    for document in documents:
        document["sla_ms"] = r.choice((40, 2_500))
        for node in document["nodes"]:
            if node["type"] not in ("trigger", "join"):
                node["sla_ms"] = r.choice((30, 1_000))
    faults = []
    for each in range(r.choice((6, 12))):
        at_ms = START_MS + FIRST_FAULT_MS + r.randrange(active_ms)
        faults.append(Fault(number + each, "crash_before", at_ms, 0, r.choice((0, 0, 1, 2)), "dispatch", 0))
    return faults


def _large(
    r: random.Random,
    active_ms: int,
    tempers: dict[str, str],
    calls: list[PlannedCall],
    faults: list[Fault],
    *,
    calm: bool,
) -> frozenset[str]:
    """In some worlds inputs and answers are large, and what goes wrong meets the store that takes them."""
    if r.random() < 0.6:
        return frozenset()
    inputs = {f"r{number}" for number in range(3) if r.random() < 0.5}
    for place, call in enumerate(calls):
        if call.kind == "start" and call.run in inputs:
            calls[place] = replace(call, fields={**call.fields, "pad": PAD})
    for _ in range(0 if calm else r.choice((0, 1, 3))):
        kind = r.choice(("crash_before", "crash_after", "unknown_lost", "unknown_done", "throttle", "stall_after"))
        method = r.choice(("value_put", "value_put", "value_get", "run_put"))
        if kind in UNANSWERED and method == "value_get":
            kind = "throttle"
        at_ms, skip = START_MS + FIRST_FAULT_MS + r.randrange(active_ms // 2), r.choice((0, 0, 1, 3))
        faults.append(Fault(len(faults), kind, at_ms, r.choice((150, 3_000, 65_000)), skip, method, r.randrange(8)))
    return frozenset(name for name in sorted(tempers) if r.random() < 0.4)


def _trigger() -> dict[str, Any]:
    return {"id": "t", "type": "trigger", "on": "manual"}


def _http(name: str, tempers: dict[str, str], temper: str = "ok") -> dict[str, Any]:
    tempers[name] = temper
    return {"id": name, "type": "http", "method": "POST", "url": f"https://out.example/{name}", "timeout_ms": 15_000}


def _inner(r: random.Random, tempers: dict[str, str]) -> dict[str, Any]:
    temper = r.choice(("ok", "ok", "ok", "slow", "refuse"))
    nodes = [_trigger(), _http("i1", tempers, temper)]
    edges = [{"from": "t", "to": "i1"}]
    if r.random() < 0.6:
        nodes.append({"id": "i2", "type": "delay", "for_ms": r.choice((500, 2_500, 9_000))})
        edges += [{"from": "i1", "to": "i2"}, {"from": "i2", "to": "i3"}]
        nodes.append(_http("i3", tempers))
    handled = {"on_failure": HANDLER} if temper == "refuse" else {}
    return {"name": INNER, "nodes": nodes, "edges": edges, **handled}


def _definition(r: random.Random, name: str, tempers: dict[str, str]) -> dict[str, Any]:
    made = _Drawing(r, name)
    made.nodes.append(_trigger())
    made.open.append(("t", "trigger"))
    for number in range(r.choice((2, 3, 3, 4, 5, 6, 7))):
        _add(made, f"{name}n{number}")
    for node in list(made.nodes):
        if node["type"] == "http" and "item" not in node["id"] and r.random() < 0.4:
            undo = f"{node['id']}undo"
            node["compensate"] = undo
            made.nodes.append(made.http(undo, r.choice(("ok", "ok", "ok", "flaky", "refuse"))))
    tempers.update(made.tempers)
    document: dict[str, Any] = {"name": name, "nodes": made.nodes, "edges": made.edges}
    if r.random() < 0.2:
        document["timeout_ms"] = r.choice((3_000, 20_000, 60_000))
    if r.random() < 0.3:
        document["on_failure"] = HANDLER
    return document


def _add(made: _Drawing, name: str) -> None:
    """One more node, or a foreach with its body and its join."""
    r = made.r
    parents = r.sample(made.open, min(len(made.open), r.choice((1, 1, 1, 2, 2, 3))))
    if len(parents) > 1 and r.random() < 0.7:
        mode = r.choice(("all", "any", "any", "n_of", "all_settled"))
        join: dict[str, Any] = {"id": name, "type": "join", "mode": mode}
        if mode == "n_of":
            join["n"] = 2
        if mode in ("any", "n_of") and r.random() < 0.5:
            join["others"] = "cancel"
        made.nodes.append(join)
        made.open.append((name, "join"))
    elif r.random() < 0.18:
        _foreach(made, name)
    else:
        node = _step(made, name)
        made.nodes.append(node)
        made.open.append((name, node["type"]))
    for parent, kind in parents:
        made.edges.append({"from": parent, "to": name, **_label(r, kind)})


def _label(r: random.Random, kind: str) -> dict[str, str]:
    if kind == "condition":
        return {"case": r.choice(("yes", "no"))}
    if kind in ("trigger", "parallel"):
        return {}
    ons = ["success"] * 8 + ["failure", "always", "skipped"]
    ons += ["timeout"] if kind in ("http", "job") else []
    if kind == "approval":
        ons = ["success", "success", "rejected", "rejected", "failure", "failure", "always"]
    chosen = r.choice(ons)
    return {} if chosen == "success" else {"on": chosen}


def _step(made: _Drawing, name: str) -> dict[str, Any]:
    r = made.r
    kinds = ["http"] * 5 + ["job", "delay", "delay", "approval", "condition", "transform", "subworkflow"]
    match r.choice(kinds):
        case "http":
            return made.http(name)
        case "job":
            made.tempers[name] = r.choice(("ok", "async", "async", "refuse"))
            node = {"id": name, "type": "job", "target": {"type": "webhook", "url": f"https://out.example/{name}"}}
            return node | ({"timeout_ms": r.choice((5_000, 40_000))} if r.random() < 0.6 else {})
        case "delay":
            return {"id": name, "type": "delay", "for_ms": r.choice((0, 400, 2_500, 12_000, 50_000))}
        case "approval":
            node = {"id": name, "type": "approval", "approvers": list(PEOPLE), "quorum": r.choice((1, 1, 2))}
            expiry = {"expires_in_ms": r.choice((3_000, 25_000)), "on_expiry": r.choice(("approve", "reject"))}
            return node | (expiry if r.random() < 0.5 else {})
        case "condition":
            yes = {"name": "yes", "when": {"cel": r.choice(("input.yes", "input.no"))}}
            return {"id": name, "type": "condition", "cases": [yes], "default": "no"}
        case "transform":
            return {"id": name, "type": "transform", "jsonata": "$"}
        case _:
            return {"id": name, "type": "subworkflow", "workflow": INNER, "wait": r.random() < 0.8}


def _foreach(made: _Drawing, name: str) -> None:
    r = made.r
    each: dict[str, Any] = {"items": {"cel": "input.items"}, "max_concurrency": r.choice((1, 2, 3))}
    each["tolerated_failures"] = r.choice((0, 0, 1, 5))
    made.nodes.append({"id": name, "type": "parallel", "foreach": each})
    body = made.http(f"{name}item", r.choice(("ok", "ok", "flaky", "picky", "picky")))
    join = f"{name}all"
    made.nodes += [body, {"id": join, "type": "join"}]
    made.edges += [{"from": name, "to": body["id"]}, {"from": body["id"], "to": join}]
    made.open.append((join, "join"))


def _edited(r: random.Random, document: dict[str, Any], tempers: dict[str, str]) -> dict[str, Any]:
    """The first workflow as its author mends it: one step more, and what was refused is taken."""
    nodes = [dict(node) for node in document["nodes"]]
    last = r.choice([n["id"] for n in nodes if n["type"] == "http" and "undo" not in n["id"] and "item" not in n["id"]]
                    or ["t"])  # fmt: skip
    extra = _http("extra", tempers)
    edges = [*document["edges"], {"from": last, "to": "extra"}]
    for node in nodes:
        if node["type"] == "http" and tempers[node["id"]] in ("refuse", "down"):
            node["url"] += "/mended"
    return {**document, "nodes": [*nodes, extra], "edges": edges}


def _calls(r: random.Random, names: list[str], active_ms: int) -> list[PlannedCall]:
    made: list[PlannedCall] = []

    def add(kind: str, at_ms: int, **more: Any) -> None:
        made.append(PlannedCall(len(made), kind, START_MS + at_ms, draw=r.random(), **more))

    for number in range(r.choice((1, 1, 2, 3))):
        run, at_ms = f"r{number}", 1_500 + r.randrange(active_ms // 3)
        items = list(range(r.choice((0, 1, 3, 5))))
        given = {"items": items, "yes": r.random() < 0.5, "no": False}
        for repeat in range(r.choice((1, 1, 1, 2))):
            add("start", at_ms + repeat * r.choice((0, 3, 900)), run=run, workflow=r.choice(names), fields=given)
        if r.random() < 0.35:
            add("cancel", at_ms + r.choice((0, 5, 40, 700, 5_000, 20_000)) + r.randrange(60), run=run)
        for _ in range(r.choice((0, 0, 1, 2))):
            fields = {"from": r.random() < 0.5, "version": r.random() < 0.3}
            add("redrive", at_ms + r.randrange(active_ms), run=run, fields=fields)
    for _ in range(r.choice((2, 4, 8))):
        crowd = r.choice((1, 1, 3, 6))
        add("decide", r.randrange(active_ms), fields={"crowd": crowd, "approve": r.random() < 0.7})
    for _ in range(r.choice((1, 3))):
        add("report", r.randrange(active_ms), fields={"completes": r.random() < 0.7})
    if r.random() < 0.4:
        add("publish", r.randrange(active_ms))
    return sorted(made, key=lambda call: call.at_ms)


def _fault(r: random.Random, number: int, kind: str, active_ms: int) -> Fault:
    method = r.choice(METHODS)
    if kind in UNANSWERED:
        method = r.choice(WRITES)
    if kind in ("partial", "crash_partial"):
        method = "send"
    elif kind == "throttle" and method == "dispatch":
        method = None
    amount_ms = r.choice((1, 4, 20, 70)) * SECOND
    if kind.startswith("stall"):
        amount_ms = r.choice((150, 900, 3_000, 8_000, 25_000, 65_000))
    elif kind.startswith("clock"):
        amount_ms = r.choice((60, 500, 5_000, 30_000, 90_000))
    skip = int(r.expovariate(0.25)) if kind in CALL_KINDS else 0
    return Fault(
        number, kind, START_MS + FIRST_FAULT_MS + r.randrange(active_ms), amount_ms, skip, method, r.randrange(8)
    )
