"""``scripts/restore``: what a backup holds, copied into the tables of a stage that serves nothing yet, and settled.

AWS restores a backup to tables with names of their own, without streams and expiry. A stage is deployed anew, and its
tables are filled from them. On the way everything is taken out of the indexes that workers look into, and what was
under way is ended. So nothing fires before all is settled (``chalicelib.engine.restored``), whatever workers do
meanwhile.

A mark in the stage's registry says how far it came (``infra.restore_mark``). A restore that died is run again: it
writes what is missing, leaves what it finds, and settles again. A stage is restored into once.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from msgspec.structs import replace

from chalicelib import bootstrap, settings
from chalicelib.adapters.aws.clients import Clients
from chalicelib.adapters.dynamodb import documents
from chalicelib.adapters.dynamodb.documents import RESTORED, STATE_SK, unescaped
from chalicelib.adapters.dynamodb.stream_records import LEASES_SUFFIX, RUN_HEAD
from chalicelib.adapters.machine.system import pause
from chalicelib.core.batches import chunks
from chalicelib.core.errors import ChronoError, SettingsError
from chalicelib.core.executions.limits import HISTORY_RETENTION_S
from chalicelib.core.leases import lease_document
from chalicelib.core.triggers.watch import Watch, dropped
from chalicelib.core.workflows.output_ref import LARGE_MARK
from chalicelib.engine import restored, restored_alerts
from chalicelib.engine.restored_alerts import RestoredAlerts
from chalicelib.engine.workflows.restored_runs import RestoredRun
from infra import restore_mark, restored_values
from infra.package import CONFIG, stages
from infra.restore_mark import MARK_PK, RestoreFailed
from infra.state import state

Item = dict[str, Any]

TABLES: Final = ("schedules", "executions", "registry", "workflows")
# Workers write to the registry as soon as they are deployed: leases, heartbeats, cursors.
EMPTY_BEFORE: Final = ("schedules", "executions", "workflows")
QUEUES: Final = ("work", "steps")
# What puts an item where a worker finds it: schedules and monitors that are due, executions that are open, runs to
# check, waits of triggers, and alerts that are to be sent.
FOUND_BY: Final = ("due_shard", "next_run", "open_shard", "open_until", "wake_in", "wake_ms")
MARK_SK: Final = f"p#{LARGE_MARK}#000"
_BATCH = 25
_PAUSE_MS = 100


class Copied(NamedTuple):
    """How many executions were under way, which were ended on the way; and what is left to settle: all runs, monitors
    and rules. ``large`` are the runs that have values in a bucket, by tenant and id."""

    executions: int
    runs: list[RestoredRun]
    alerts: RestoredAlerts
    large: list[tuple[str, str]]


def copy(clients: Clients, prefix: str, stage: str, now_ms: int) -> Copied:
    """Fill the tables of ``stage`` from those whose names begin with ``prefix``; what a copy before this one wrote
    stays as it is now. Raises RestoreFailed."""
    dynamodb, wanted = clients.get("dynamodb"), state(stage)
    names = set(_table_names(dynamodb))
    sources = {logical: f"{prefix}{logical}" for logical in TABLES}
    targets = {logical: wanted.table(logical).name for logical in TABLES}
    if missing := [name for name in (*sources.values(), *targets.values()) if name not in names]:
        raise RestoreFailed(f"there is no table {missing[0]}")
    if set(sources.values()) & set(targets.values()):
        raise RestoreFailed("the backup's tables are those of the stage: restore them under other names")
    again = restore_mark.check(dynamodb, targets["registry"], prefix, stage)
    for name in (targets[logical] for logical in EMPTY_BEFORE if not again):
        if dynamodb.scan(TableName=name, Limit=1)["Items"]:
            raise RestoreFailed(f"{name} is not empty: restore into a stage that was deployed for it")
    _check_queues(clients.get("sqs"), [wanted.queue(logical).name for logical in QUEUES])
    restore_mark.begin(dynamodb, targets["registry"], prefix, now_ms)
    under_way, runs, alerts, large = 0, list[RestoredRun](), RestoredAlerts([], []), list[tuple[str, str]]()
    for logical in TABLES:
        for some in _batches(dynamodb, sources[logical]):
            if logical == "executions":
                under_way += sum(_is_open(item) for item in some)
                some = [_ended(item, now_ms) if _is_open(item) else item for item in some]
            if logical == "schedules":
                some = [_awaiting_nothing(item) if item["sk"]["S"] == STATE_SK else item for item in some]
            if logical == "registry":
                some = [item for item in some if item["pk"]["S"] != MARK_PK]
            if logical == "workflows":
                runs += [_run(item) for item in some if item["sk"]["S"] == RUN_HEAD and _of(item).startswith("#run#")]
                alerts.monitors.extend(_place(item) for item in some if _of(item) == "#alerts#monitor")
                alerts.rules.extend(_place(item) for item in some if _of(item) == "#alerts#rule")
                large += [_run(item)[:2] for item in some if item["sk"]["S"] == MARK_SK]
                some = [_waiting_for_nothing(item) for item in some if _of(item) != "#slots"]
            if again:
                some = _missing(dynamodb, targets[logical], some, all_ours=logical in EMPTY_BEFORE)
            _write(dynamodb, targets[logical], [_still(item) for item in some])
    return Copied(under_way, runs, alerts, large)


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


def _is_open(item: Item) -> bool:
    """Whether an execution is under way: only one that has ended expires. Most of these stand in no list of open ones:
    reconcile would find them among the recent ones, and deliver them anew."""
    return "ttl" not in item


def _ended(item: Item, now_ms: int) -> Item:
    known = documents.decode_execution(documents.execution_key(item["pk"]["S"], item["sk"]["S"]), item["doc"]["S"])
    ended = restored.cut_short(known, now_ms)
    kept = {"doc": {"S": documents.encode_execution(ended)}, "rev": {"N": str(ended.rev)}}
    return {**item, **kept, "ttl": {"N": str(max(now_ms, ended.firing_ms) // 1000 + HISTORY_RETENTION_S)}}


def _awaiting_nothing(item: Item) -> Item:
    """The state of a schedule that waits for no execution: the end of one would set, and queue, its next run."""
    state = documents.decode_state(documents.key_of_partition(item["pk"]["S"]), item["doc"]["S"])
    return {**item, "doc": {"S": documents.encode_state(replace(state, queued_ms=None))}}


def _of(item: Item) -> str:
    """What a partition of the table of workflows is of: what follows its tenant, whose name has no such sign."""
    _, sign, rest = item["pk"]["S"].partition("#")
    return f"{sign}{rest}"


def _run(item: Item) -> RestoredRun:
    tenant, _, run_id = item["pk"]["S"].partition("#run#")
    wake = item.get("wake_ms")
    return RestoredRun(unescaped(tenant), run_id, None if wake is None else int(wake["N"]))


def _place(item: Item) -> tuple[str, str]:
    """The tenant and the id of something of alerts."""
    return unescaped(item["pk"]["S"].partition("#")[0]), item["sk"]["S"]


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


def _missing(dynamodb: Any, table: str, items: Sequence[Item], all_ours: bool) -> list[Item]:
    """Those that a copy before this one did not write. In a table that workers write to as well (not ``all_ours``) a
    written item has the mark of a copy, or was changed since. So a lease that was taken meanwhile keeps its token."""
    found: dict[tuple[str, str], Item] = {}
    asked: dict[str, Any] = {table: {"Keys": [{name: item[name] for name in ("pk", "sk")} for item in items]}}
    while asked and items:
        asked[table] |= {"ConsistentRead": True, "ProjectionExpression": "pk, sk, rev, #r"}
        asked[table]["ExpressionAttributeNames"] = {"#r": RESTORED}
        answer = dynamodb.batch_get_item(RequestItems=asked)
        found |= {_primary(item): item for item in answer["Responses"].get(table, [])}
        asked = answer.get("UnprocessedKeys") or {}
        if asked:
            pause(_PAUSE_MS)

    def written(item: Item) -> bool:
        there = found.get(_primary(item))
        return there is not None and (all_ours or RESTORED in there or _rev(there) > _rev(item))

    return [item for item in items if not written(item)]


def _primary(item: Item) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def _rev(item: Item) -> int:
    return int(item.get("rev", {"N": "0"})["N"])


def _write(dynamodb: Any, table: str, items: Sequence[Item]) -> None:
    asked: dict[str, Any] = {table: [{"PutRequest": {"Item": item}} for item in items]} if items else {}
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
    parser.add_argument("--values", help="BUCKET, or BUCKET/STAGE: the large values of the stage that is gone")
    what.add_argument("--resume", action="store_true", help="resume what the restore paused")
    asked = parser.parse_args(arguments)
    try:
        chosen = chosen_settings(asked.stage)
        s = bootstrap.build(chosen)
        clients = Clients(chosen.region, chosen.endpoint_url)
        dynamodb, registry = clients.get("dynamodb"), state(asked.stage).table("registry").name
        if asked.resume:
            restore_mark.check_settled(dynamodb, registry, asked.stage)
            print(f"resumed {restored.resume(s)} schedules")
            return 0
        copied = copy(clients, asked.prefix, asked.stage, s.clock.now_ms())
        values = 0
        if asked.values:
            values = restored_values.copy(
                clients.get("s3"), asked.values, chosen.value_bucket, asked.stage, copied.large
            )
        done = restored.settle(s, s.clock.now_ms(), (), copied.runs)
        restored_alerts.settle(s, copied.alerts)
        restore_mark.end(dynamodb, registry)
    except (RestoreFailed, ChronoError, ClientError, BotoCoreError) as problem:
        print(f"scripts/restore: {problem}", file=sys.stderr)
        return 1
    ended = f"{copied.executions} executions and {done.runs} runs under way"
    print(f"restored {done.schedules} schedules: paused {done.paused}; ended {ended}")
    if asked.values:
        print(f"copied {values} large values of {len(copied.large)} runs")
    elif copied.large:
        print(f"{len(copied.large)} runs have large values, which were left behind: --values BUCKET copies them")
    print(f"check them, then: scripts/restore --stage {asked.stage} --resume")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
