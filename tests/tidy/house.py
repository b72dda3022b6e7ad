"""What may import what: the one statement, which tests judge by and docs/architecture.md shows.

Two axes. Layers stand outside: each imports only those below it. Nouns stand inside each layer: in ``core``, where the
rules are, a noun imports only the nouns listed for it, and the kernel, which every noun may.
"""

from __future__ import annotations

from typing import NamedTuple


class Layer(NamedTuple):
    """A package or module of chalicelib: what it holds, and what it may import."""

    holds: str
    imports: frozenset[str]


def _layer(holds: str, *imports: str) -> Layer:
    return Layer(holds, frozenset(imports))


LAYERS = {
    "core": _layer("rules without I/O: recurrence, versions, the states of an execution, leases, ticks; time is given"),
    "process": _layer("what one process remembers, with its locks", "core"),
    "ports": _layer("what the service needs from outside, as Protocols", "core", "process"),
    "engine": _layer("the protocol of a firing, shared by use cases and workers", "core", "process", "ports"),
    "usecases": _layer("what a caller can ask for, authorised", "core", "process", "ports", "engine"),
    "workers": _layer(
        "entry loops: sweep, deliver, reconcile, feed, publish, replan",
        "core", "process", "ports", "engine", "usecases",
    ),
    "adapters": _layer("DynamoDB, SQS, S3, targets, this machine, and all of it in memory", "core", "ports"),
    "api": _layer("HTTP: one table of calls", "core", "process", "ports", "usecases"),
    "functions": _layer(
        "the Lambda handlers, one module each",
        "core", "ports", "engine", "usecases", "workers", "adapters", "api", "bootstrap",
    ),
    "server": _layer(
        "HTTP/1.1, TLS and streams for a machine of one's own; not in the Lambda zip", "core", "process", "api"
    ),
    "grpc_server": _layer(
        "gRPC: a process of its own; not in the Lambda zip", "core", "process", "api", "server"
    ),
    "configuration": _layer("reads the file that settings may come from", "core"),
    "settings": _layer("the only reader of the environment", "core", "process", "configuration"),
    "bootstrap": _layer(
        "settings into services, once a process",
        "core", "process", "ports", "usecases", "adapters", "settings",
    ),
}  # fmt: skip

MODULES = frozenset({"configuration", "settings", "bootstrap"})  # layers of one module
KERNEL = frozenset(
    {
        "batches",
        "channels",
        "content_version",
        "decoders",
        "errors",
        "http_date",
        "instants",
        "json_schema",
        "limits",
        "page_token",
        "pause_end",
        "trace",
        "ulid",
        "variables",
    }
)
MANY_NOUNS = frozenset({"queue_messages"})  # the only module of core that names several nouns
NOUNS = {
    "recurrence": _layer("when a schedule runs: cron, rates, periods, rules, zones"),
    "words": _layer("schedules in words: what describes one, and what reads such a text", "recurrence"),
    "secrets": _layer("references to secrets, which of them are taken, and what seals payloads"),
    "targets": _layer("where a firing goes", "secrets"),
    "schedules": _layer("a schedule: its definition, its state, what it owes", "recurrence", "secrets", "targets"),
    "executions": _layer("what became of a firing", "schedules", "security"),
    "policies": _layer("overlap, catch-up, failures, monitors, SLAs", "executions", "schedules"),
    "workflows": _layer(
        "what a workflow says, and what follows from a run's log", "recurrence", "schedules", "targets"
    ),
    "triggers": _layer("which events fire, and what is waited for", "secrets", "targets", "schedules"),
    "rules": _layer("policies as code: assertions on schedules and leases", "recurrence", "schedules", "targets"),
    "jobs": _layer("schedules as jobs", "executions", "schedules"),
    "ticks": _layer("numbered boundaries of the calendar", "recurrence"),
    "heartbeats": _layer("monitors of jobs that others run: pings, deadlines, up and down", "recurrence"),
    "notices": _layer("notification rules: incidents, messages, what is sent when", "recurrence", "secrets", "targets"),
    "leases": _layer("who holds a name"),
    "keys": _layer("API keys: their form, what they may do, until when", "security"),
    "changes": _layer("the log of what became of things", "executions", "leases", "schedules", "workflows"),
    "clock": _layer("hybrid logical stamps, and how wrong a clock may be"),
    "cluster": _layer("who sweeps which shard"),
    "security": _layer("who asks, and what they may do"),
    "telemetry": _layer("what the service says about itself: spans, metrics, and how they are written"),
    "audit": _layer("who did what: entries, their chain, the signed tree over them"),
    "configuration": _layer("the keys of the configuration file, and what comes from elsewhere"),
    "queues": _layer("whether a tenant's firings are dispatched, or held by a pause"),
    "quotas": _layer("how much a principal may ask for in a second"),
}

LINES_MAX = 400


def tables() -> str:
    """Both axes as docs/architecture.md shows them."""
    order = list(LAYERS)
    lines = ["| layer | holds | may import |", "| --- | --- | --- |"]
    for name, layer in LAYERS.items():
        below = ", ".join(sorted(layer.imports, key=order.index)) or "nothing"
        place = f"{name}.py" if name in MODULES else name
        lines.append(f"| `chalicelib/{place}` | {layer.holds} | {below} |")
    nouns = list(NOUNS)
    lines += ["", "| noun of `core` | holds | may import |", "| --- | --- | --- |"]
    for name, noun in NOUNS.items():
        below = ", ".join(["the kernel", *sorted(noun.imports, key=nouns.index)])
        lines.append(f"| `{name}` | {noun.holds} | {below} |")
    return "\n".join(lines)
