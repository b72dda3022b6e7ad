"""What a person types: every command of chronosctl once, in an order in which each has something to say.

A word in braces is found in the product when its line comes: ``{run}`` is the id of the newest run.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.clients.chronosctl_calls import ROOT, call, masked
from tests.clients.served import Served

GOLDEN: Final = Path(__file__).parent / "golden"
LOG: Final = '{"type":"log"}'
FILES: Final = {
    "schedules.yaml": "version: 1\nschedules:\n"
    "  - {name: beat, type: RATE, expr: rate:1h, target: {type: log}, tags: [a]}\n",
    "crontab": "CRON_TZ=Europe/Paris\n*/5 * * * * /bin/a --x\n99 * * * * b\n",
    "rules.json": '{"Rules":[{"Name":"week","ScheduleExpression":"cron(0 12 ? * 2-6 *)"},{"Name":"on"}]}',
    "cron.yaml": "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly}\nspec: {schedule: '0 2 * * *'}\n",
    "scenes.json": '{"definition":{"name":"order","nodes":[{"id":"begin","type":"trigger","on":"manual"}],"edges":[]}}',
    "shop_jobs.py": "from chronowatch import schedule\n\n\n@schedule('0 2 * * *', target={'type': 'log'})\n"
    "def nightly_report(firing): ...\n\n\napp = object()\n",
}
_NODES: Final = '[{"id":"begin","type":"trigger","on":"manual"},{"id":"wait","type":"delay","for_ms":1000}]'
_EDGES: Final = '[{"from":"begin","to":"wait"}]'
_RULES: Final = (
    '[{"name":"has-a-name","condition":{"field":"name","operator":"exists"},"action":"warn","message":"It has a name"}]'
)
_EXECUTION: Final = {"execution": "pending", "failed": "failed", "accepted": "in_progress"}
_LISTS: Final = {"run": "/api/v1/runs", "job": "/jobs"}
# Their whole answer is another test's: here only how it begins.
LONG: Final = {
    ("service", "openapi"),
    ("service", "metrics"),
    ("audit", "export"),
    ("subjects", "export"),
    ("man",),
    ("completion",),
}

EVERY: Final[Sequence[Sequence[str]]] = [
    ("version",),
    ("context", "set", "dev", "--url", "http://127.0.0.1:8080"),
    ("context", "set", "prod", "--url", "https://chrono.example.com"),
    ("context", "use", "prod"),
    ("context", "list"),
    ("context", "delete", "dev"),
    ("doctor",),
    ("health",),
    ("time",),
    ("time", "now"),
    ("time", "drift"),
    ("schedules", "create", "--expr", "0 2 * * *", "--timezone", "Europe/Paris", "--name", "night", "--target", LOG),
    ("schedules", "create", "--expr", "rate:1h", "--name", "often", "--target", LOG, "--tag", "a", "--tag", "b"),
    ("schedules", "list"),
    ("schedules", "get", "night"),
    ("schedules", "edit", "night", "--expr", "0 3 * * *"),
    ("schedules", "edit", "night", "--clear", "max_runs"),
    ("schedules", "preview", "0 2 * * *", "--tz", "Europe/Paris", "--count", "2", "--after-unix-ms", "1795252800000"),
    ("schedules", "preview", "night", "--count", "1"),
    ("schedules", "parse", "--text", "every weekday at 9:00"),
    ("schedules", "explain", "night", "2026-11-22T02:00:00Z"),
    ("schedules", "upcoming", "--to-unix-ms", "2026-11-21T09:20:05Z"),
    ("schedules", "trigger", "night", "--payload", '{"n":1}'),
    ("schedules", "executions", "night"),
    ("schedules", "ledger", "night"),
    ("schedules", "versions", "night"),
    ("schedules", "policies", "night"),
    ("schedules", "backfill", "often", "--from-unix-ms", "1795242800000", "--to-unix-ms", "1795252800000"),
    ("schedules", "pause", "night", "--note", "deploying"),
    ("schedules", "resume", "night"),
    ("schedules", "pause-tagged", "--tag", "b"),
    ("schedules", "resume-tagged", "--tag", "b"),
    ("schedules", "batch", "--operation", '{"op":"delete","id":"01KB0E5T0QJ8Z3V7M4N2X9YRSC"}'),
    ("plan", "-f", "schedules.yaml", "--source", "ops", "--days", "1"),
    ("apply", "-f", "schedules.yaml", "--source", "ops"),
    ("schedules", "plan", "-f", "schedules.yaml", "--source", "ops"),
    ("schedules", "apply", "-f", "schedules.yaml", "--source", "ops"),
    ("export", "--source", "ops"),
    ("schedules", "export", "--name-prefix", "night"),
    ("import", "crontab", "crontab"),
    ("import", "eventbridge", "rules.json"),
    ("import", "k8s", "cron.yaml"),
    ("schedules", "import", "crontab", "crontab"),
    ("schedules", "import", "eventbridge", "rules.json"),
    ("schedules", "import", "k8s", "cron.yaml"),
    ("sync", "shop_jobs:app"),
    ("executions", "list", "--schedule-id", "night"),
    ("executions", "get", "{execution}"),
    ("executions", "cancel", "{execution}", "--reason", "no"),
    ("executions", "retry", "{failed}"),
    ("executions", "log", "{accepted}", "--message", "half of it is done"),
    ("executions", "logs", "{accepted}"),
    ("executions", "heartbeat", "{accepted}"),
    ("executions", "complete", "{accepted}", "--result", '{"rows":2}'),
    ("executions", "fail", "{accepted}", "--error", "late"),
    ("executions", "bulk", "--action", "cancel", "--filter", '{"state":"pending"}', "--dry-run"),
    ("bulk-jobs", "get", "nothing"),
    ("bulk-jobs", "cancel", "nothing"),
    ("tasks", "list", "--limit", "1"),
    ("tasks", "get", "{failed}"),
    ("tasks", "metrics"),
    ("tasks", "retry", "{failed}"),
    ("tasks", "cancel", "{failed}"),
    ("jobs", "create", "--type", "unico", "--timestamp", "2027-01-01T00:00:00Z"),
    ("jobs", "list"),
    ("jobs", "get", "{job}"),
    ("jobs", "status", "{job}"),
    ("jobs", "executions", "{job}"),
    ("jobs", "cancel", "{job}"),
    ("jobs", "delete", "{job}"),
    ("leases", "acquire", "report", "--holder-id", "me", "--ttl-ms", "60000"),
    ("leases", "acquire", "report", "--holder-id", "other", "--ttl-ms", "60000"),
    ("leases", "get", "report"),
    ("leases", "list"),
    ("leases", "validate", "report", "--fencing-token", "1"),
    ("leases", "renew", "report", "--holder-id", "me"),
    ("leases", "release", "report", "--holder-id", "me"),
    ("leases", "break", "report"),
    ("leases", "run", "nightly", "--holder-id", "me", "--", "sh", "-c", "exit 3"),
    ("keys", "create", "--name", "ci", "--role", "viewer"),
    ("keys", "list"),
    ("keys", "get", "ci"),
    ("keys", "rotate", "ci"),
    ("keys", "delete", "ci"),
    ("keys", "report-leaked", "--item", '{"token":"cw_AAAAAAAA_none","url":"https://example.com"}'),
    ("roles", "list"),
    ("roles", "set", "reader", "--permission", "schedules:read"),
    ("roles", "get", "reader"),
    ("roles", "delete", "reader"),
    ("policies", "create", "--name", "named", "--rules", _RULES),
    ("policies", "list"),
    ("policies", "get", "named"),
    ("policies", "set", "named", "--rules", _RULES),
    ("policies", "versions", "named"),
    ("policies", "schedules", "named"),
    ("policies", "dry-run", "named"),
    ("policies", "dry-run-all"),
    ("policies", "evaluate", "--subject", '{"name":"x"}'),
    ("policies", "delete", "named"),
    ("audit", "list", "--limit", "2"),
    ("audit", "verify"),
    ("audit", "export"),
    ("workflows", "create", "--name", "order", "--nodes", _NODES, "--edges", _EDGES),
    ("workflows", "list"),
    ("workflows", "get", "order"),
    ("workflows", "set", "order", "--nodes", _NODES, "--edges", _EDGES),
    ("workflows", "version", "order", "1"),
    ("workflows", "validate", "order", "--nodes", _NODES, "--edges", _EDGES),
    ("workflows", "test", "-f", "scenes.json"),
    ("workflows", "export", "order"),
    ("workflows", "start", "order", "--input", '{"n":1}'),
    ("runs", "list"),
    ("runs", "get", "{run}"),
    ("runs", "events", "{run}"),
    ("runs", "approve", "{run}", "wait", "--nonce", "0" * 32),
    ("runs", "reject", "{run}", "wait", "--nonce", "0" * 32),
    ("runs", "complete", "{run}", "wait"),
    ("runs", "fail", "{run}", "wait", "--error", "no"),
    ("runs", "redrive", "{run}"),
    ("sessions", "begin", "{run}"),
    ("sessions", "step-forward", "nothing"),
    ("sessions", "step-backward", "nothing"),
    ("sessions", "jump", "nothing", "--position", "1"),
    ("sessions", "continue", "nothing"),
    ("sessions", "breakpoints", "nothing", "--items", "[]"),
    ("sessions", "export", "nothing"),
    ("sessions", "import", "--format", "x"),
    ("runs", "cancel", "{run}"),
    ("workflows", "delete", "order"),
    ("monitors", "create", "--name", "backup", "--type", "CRON", "--expr", "0 2 * * *", "--grace-ms", "600000"),
    ("monitors", "list"),
    ("monitors", "get", "backup"),
    ("monitors", "edit", "backup", "--grace-ms", "900000"),
    ("monitors", "pause", "backup"),
    ("monitors", "resume", "backup"),
    ("monitors", "delete", "backup"),
    (
        "notification-rules", "create", "--name", "on-call", "--when", "failed",
        "--channel", '{"type":"webhook","url":"https://example.com/a"}',
    ),
    ("notification-rules", "list"),
    ("notification-rules", "get", "on-call"),
    ("notification-rules", "edit", "on-call", "--group-ms", "1000"),
    ("notification-rules", "test", "on-call"),
    ("notifications", "list"),
    ("notification-rules", "delete", "on-call"),
    ("triggers", "create", "--name", "orders", "--source", '{"type":"webhook"}', "--target", LOG),
    ("triggers", "list"),
    ("triggers", "get", "orders"),
    ("triggers", "edit", "orders", "--debounce-ms", "1000"),
    ("triggers", "pause", "orders"),
    ("triggers", "resume", "orders"),
    ("triggers", "executions", "orders"),
    ("triggers", "delete", "orders"),
    ("ticks", "list"),
    ("ticks", "enable", "minute"),
    ("ticks", "get", "minute"),
    ("ticks", "disable", "minute"),
    ("changes", "list"),
    ("queue", "pause"),
    ("queue", "get"),
    ("queue", "resume"),
    ("subjects", "export", "anonymous"),
    ("subjects", "erase", "a-person"),
    ("service", "health"),
    ("service", "cluster"),
    ("service", "join", "--node-id", "n1", "--address", "10.0.0.1:80"),
    ("service", "metrics"),
    ("service", "openapi"),
    ("completion", "bash"),
    ("man", "schedules", "plan"),
    ("schedules", "delete-tagged", "--tag", "b"),
    ("schedules", "delete", "night"),
]  # fmt: skip
# Their output goes on until they are stopped: other tests run them.
ENDLESS: Final = {("ticks", "follow"), ("changes", "follow"), ("listen",), ("mcp",)}

WRONG: Final[Sequence[Sequence[str]]] = [
    ("schedules", "create", "--expr", "99 * * * *"),
    ("schedules", "create", "--expr", "0 2 * * *", "--name", "night"),
    ("schedules", "create", "--name", "x"),
    ("schedules", "create", "--expr", "rate:1h", "--jitter-ms", "soon"),
    ("schedules", "create", "--expr", "rate:1h", "--payload", "text"),
    ("schedules", "edit", "night"),
    ("schedules", "edit", "night", "--clear", "expr"),
    ("schedules", "edit", "night", "--expr", "rate:2h", "--if-match", "00000000000000000000000000"),
    ("schedules", "get", "nobody"),
    ("schedules", "list", "-o", "xml"),
    ("schedules", "explain", "night", "yesterday"),
    ("leases", "renew", "report", "--holder-id", "other", "--fencing-token", "1"),
    ("leases", "run", "report"),
    ("executions", "get", "nothing"),
    ("monitors", "get", "nobody"),
    ("plan", "-f", "/no/such/file.yaml"),
    ("no", "such"),
]
_BEFORE_WRONG: Final = [EVERY[11], ("leases", "acquire", "report", "--holder-id", "me", "--ttl-ms", "60000")]


def prepare(served: Served, folder: Path) -> None:
    """Files beside the caller, and executions in states that only a worker brings about."""
    (folder / "contexts.json").unlink(missing_ok=True)
    for name, content in FILES.items():
        (folder / name).write_text(content)
    house = served.house
    house.end(house.fire(name="by-a-worker"), "failed")
    house.accept(house.fire(name="long-one"))


def every(served: Served, form: str) -> str:
    """The session of all commands, in one form of output."""
    return _transcript(served, [(*words[: _cut(words)], "-o", form, *words[_cut(words) :]) for words in EVERY])


def wrong(served: Served, *how: str) -> str:
    """The session of mistakes."""
    for words in _BEFORE_WRONG:
        call(*words, url=served.url)
    return _transcript(served, [(*how, *words) for words in WRONG])


def _cut(words: Sequence[str]) -> int:
    return words.index("--") if "--" in words else len(words)


def _transcript(served: Served, lines: Sequence[Sequence[str]]) -> str:
    """Each call, what it printed, and how it ended."""
    parts = []
    env = {"CHRONOSCTL_CONFIG": "contexts.json"}
    for words in lines:
        meant = [_found(served, word) for word in words]
        with_url = "" if words[0] == "context" else served.url
        said = call(*meant, url=with_url, env=env)
        shown = " ".join(f"'{word}'" if re.search(r"[\s{*]", word) else word for word in words)
        long = tuple(words[:2]) in LONG or tuple(words[:1]) in LONG
        out = "".join(line[:100] + "\n" for line in said.out.splitlines()[:2]) + "…\n" if long else said.out
        parts.append(f"$ chronosctl {shown}\n{out}{said.err}[{said.code}]\n")
    text = masked("\n".join(parts)).replace(f"{ROOT}/", "").replace(served.url, "http://SERVICE")
    return _settled(text)


def _settled(text: str) -> str:
    """Without what a run measures, or draws by lot."""
    text = re.sub(r"within \d+ ms|differ by -?\d+ ms", "after some ms", text)
    text = re.sub(r"cw_[0-9A-Za-z]{8}_[0-9A-Za-z]+", "cw_KEY", text)
    for n, key_id in enumerate(dict.fromkeys(re.findall(r"cw_([0-9A-Za-z]{8})\b", text)), 1):
        text = re.sub(rf"\b{key_id}\b", f"KEYID{n:03d}", text)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "UUID", text)
    return re.sub(r"/ingest/\S+?/[\w-]{22,}", "/ingest/TOKEN", text)


def _found(served: Served, word: str) -> str:
    name = word[1:-1] if re.fullmatch(r"\{[a-z]+\}", word) else ""
    if name in _EXECUTION:
        wanted = [each for each in served.house.all_executions() if each.state == _EXECUTION[name]]
        return wanted[0].id if wanted else "none"
    if name in _LISTS:
        [newest, *_] = served.house.call("GET", _LISTS[name]).json["items"]
        return str(newest["id"])
    return word
