"""``scripts/restore``: what a backup holds, copied into the tables of a stage that serves nothing yet, and settled.

AWS restores a backup to tables with names of their own, without streams and expiry. A stage is deployed anew, and its
tables are filled from them. On the way everything is taken out of the indexes that workers look into. So nothing fires
before all is settled (``chalicelib.engine.restored``), whatever the workers do meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from msgspec.structs import replace

from chalicelib import bootstrap, settings
from chalicelib.adapters.aws.clients import Clients
from chalicelib.adapters.dynamodb.documents import RESTORED, execution_key, unescaped
from chalicelib.adapters.dynamodb.stream_records import LEASES_SUFFIX, RUN_HEAD
from chalicelib.adapters.machine.system import pause
from chalicelib.core.batches import chunks
from chalicelib.core.errors import ChronoError, SettingsError
from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.leases import lease_document
from chalicelib.core.triggers.watch import Watch, dropped
from chalicelib.engine import restored
from chalicelib.engine.workflows.restored_runs import RestoredRun
from infra.package import CONFIG, stages
from infra.state import state

Item = dict[str, Any]

TABLES: Final = ("schedules", "executions", "registry", "workflows")
# Workers write to the registry as soon as they are deployed: leases, heartbeats, cursors.
EMPTY_BEFORE: Final = ("schedules", "executions", "workflows")
QUEUES: Final = ("work", "steps")
# What puts an item where a worker finds it: schedules and monitors that are due, executions that are open, runs to
# check, and waits of triggers.
FOUND_BY: Final = ("due_shard", "next_run", "open_shard", "open_until", "wake_in", "wake_ms")
_BATCH = 25
_PAUSE_MS = 100


class RestoreFailed(Exception):
    """Raised when nothing was restored, or not all; the message is one line."""


class Copied(NamedTuple):
    """What is left to settle: the executions that were under way, and all runs of workflows."""

    executions: list[ExecutionKey]
    runs: list[RestoredRun]


def copy(clients: Clients, prefix: str, stage: str) -> Copied:
    """Fill the tables of ``stage`` from those whose names begin with ``prefix``. Raises RestoreFailed."""
    dynamodb, wanted = clients.get("dynamodb"), state(stage)
    names = set(_table_names(dynamodb))
    sources = {logical: f"{prefix}{logical}" for logical in TABLES}
    targets = {logical: wanted.table(logical).name for logical in TABLES}
    if missing := [name for name in (*sources.values(), *targets.values()) if name not in names]:
        raise RestoreFailed(f"there is no table {missing[0]}")
    if set(sources.values()) & set(targets.values()):
        raise RestoreFailed("the backup's tables are those of the stage: restore them under other names")
    for name in (targets[logical] for logical in EMPTY_BEFORE):
        if dynamodb.scan(TableName=name, Limit=1)["Items"]:
            raise RestoreFailed(f"{name} is not empty: restore into a stage that was deployed for it")
    _check_queues(clients.get("sqs"), [wanted.queue(logical).name for logical in QUEUES])
    copied = Copied([], [])
    for logical in TABLES:
        for some in _batches(dynamodb, sources[logical]):
            if logical == "executions":
                copied.executions.extend(execution_key(i["pk"]["S"], i["sk"]["S"]) for i in some if "open_shard" in i)
            if logical == "workflows":
                copied.runs.extend(
                    _run(item) for item in some if item["sk"]["S"] == RUN_HEAD and _of(item).startswith("#run#")
                )
                some = [_waiting_for_nothing(item) for item in some if _of(item) != "#slots"]
            _write(dynamodb, targets[logical], [_still(item) for item in some])
    return copied


def _check_queues(sqs: Any, names: Sequence[str]) -> None:
    """Messages are in no backup: those that are there are of something else, and would fire."""
    counts = (
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
    )
    for name in names:
        try:
            url = sqs.get_queue_url(QueueName=name)["QueueUrl"]
        except sqs.exceptions.QueueDoesNotExist:
            raise RestoreFailed(f"there is no queue {name}: deploy the stage first") from None
        found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(counts))["Attributes"]
        if held := sum(int(found[count]) for count in counts):
            raise RestoreFailed(f"the queue {name} holds {held} messages, which would fire: purge it first")


def _of(item: Item) -> str:
    """What a partition of the table of workflows is of: what follows its tenant, whose name has no such sign."""
    _, sign, rest = item["pk"]["S"].partition("#")
    return f"{sign}{rest}"


def _run(item: Item) -> RestoredRun:
    tenant, _, run_id = item["pk"]["S"].partition("#run#")
    wake = item.get("wake_ms")
    return RestoredRun(unescaped(tenant), run_id, None if wake is None else int(wake["N"]))


def _waiting_for_nothing(item: Item) -> Item:
    """A wait of a trigger may have ended, and fired, since the backup."""
    if not (_of(item).startswith("#trigger#") and item["sk"]["S"].startswith("w#")):
        return item
    watch = msgspec.json.decode(item["doc"]["S"], type=Watch)
    kept = dropped(watch)
    return {**item, "doc": {"S": msgspec.json.encode(kept).decode()}, "rev": {"N": str(kept.rev)}}


def _still(item: Item) -> Item:
    """An item that no worker finds, and that the feed passes over: its subscribers heard of it before the backup."""
    kept = {name: value for name, value in item.items() if name not in FOUND_BY}
    kept[RESTORED] = {"BOOL": True}
    if item["pk"]["S"].endswith(LEASES_SUFFIX):
        lease = lease_document.read(item["doc"]["S"])
        raised = replace(lease, fencing_token=lease.fencing_token + restored.TOKENS_RAISED)
        kept["doc"] = {"S": lease_document.write(raised)}
    return kept


def _table_names(dynamodb: Any) -> Iterator[str]:
    for page in dynamodb.get_paginator("list_tables").paginate():
        yield from page["TableNames"]


def _batches(dynamodb: Any, table: str) -> Iterator[Sequence[Item]]:
    for page in dynamodb.get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        yield from chunks(page["Items"], _BATCH)


def _write(dynamodb: Any, table: str, items: Sequence[Item]) -> None:
    asked: dict[str, Any] = {table: [{"PutRequest": {"Item": item}} for item in items]}
    while asked:
        asked = dynamodb.batch_write_item(RequestItems=asked).get("UnprocessedItems") or {}
        if asked:
            pause(_PAUSE_MS)


def chosen_settings(stage: str) -> settings.Settings:
    """The stage's, as its functions have them. Raises RestoreFailed."""
    if stage not in stages():
        raise RestoreFailed(f"--stage: no such stage: {stage} (there are {', '.join(stages())})")
    config = json.loads(CONFIG.read_text())
    variables = {**config.get("environment_variables", {}), **config["stages"][stage].get("environment_variables", {})}
    own = {name: value for name, value in os.environ.items() if name.startswith(("AWS_", "CHRONO_"))}
    try:
        return settings.load({**variables, **own, "CHRONO_STAGE": stage})
    except SettingsError as problem:
        raise RestoreFailed(str(problem)) from None


def main(arguments: Sequence[str]) -> int:
    """The exit code of ``scripts/restore``."""
    parser = argparse.ArgumentParser(prog="scripts/restore", description=__doc__.splitlines()[0])
    parser.add_argument("--stage", required=True, help="a stage that was deployed for it, and has served nothing yet")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--from", dest="prefix", help="how the names of the restored tables begin: PREFIXschedules, …")
    what.add_argument("--resume", action="store_true", help="resume what the restore paused")
    asked = parser.parse_args(arguments)
    try:
        chosen = chosen_settings(asked.stage)
        s = bootstrap.build(chosen)
        if asked.resume:
            print(f"resumed {restored.resume(s)} schedules")
            return 0
        copied = copy(Clients(chosen.region, chosen.endpoint_url), asked.prefix, asked.stage)
        done = restored.settle(s, s.clock.now_ms(), copied.executions, copied.runs)
    except (RestoreFailed, ChronoError) as problem:
        print(f"scripts/restore: {problem}", file=sys.stderr)
        return 1
    ended = f"{done.executions} executions and {done.runs} runs under way"
    print(f"restored {done.schedules} schedules: paused {done.paused}; ended {ended}")
    print(f"check them, then: scripts/restore --stage {asked.stage} --resume")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
