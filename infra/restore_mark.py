"""How far a restore came: an item of the registry of the stage that is filled. A death in the middle is gone on from.

Without it a second run could not know whether what it finds is of the backup, and would refuse the stage.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

MARK_PK: Final = "#restore"
_KEY: Final = {"pk": {"S": MARK_PK}, "sk": {"S": "restore"}}


class RestoreFailed(Exception):
    """Raised when nothing was restored, or not all; the message is one line."""


class RestoreMark(Struct, frozen=True):
    """Which backup a stage was filled from, when that began, and whether it came to its end."""

    prefix: str
    began_ms: int
    settled: bool = False


def check(dynamodb: Any, registry: str, prefix: str, stage: str) -> bool:
    """Whether a restore of this backup was begun before. Raises RestoreFailed where it ended, or is of another one."""
    found = _read(dynamodb, registry)
    if found is None:
        return False
    if found.settled:
        raise RestoreFailed(f"{stage} was restored already, from {found.prefix}: deploy a new stage to restore into")
    if found.prefix != prefix:
        raise RestoreFailed(
            f"--from: {stage} holds a part of another backup, of {found.prefix}: end that one, or deploy a new stage"
        )
    return True


def check_settled(dynamodb: Any, registry: str, stage: str) -> None:
    """Raises RestoreFailed where a restore did not come to its end."""
    found = _read(dynamodb, registry)
    if found is not None and not found.settled:
        again = f"scripts/restore --stage {stage} --from {found.prefix}"
        raise RestoreFailed(f"--resume: the restore did not come to its end; run it again: {again}")


def begin(dynamodb: Any, registry: str, prefix: str, now_ms: int) -> None:
    """Before the first item is written. A mark that is there stays."""
    try:
        dynamodb.put_item(
            TableName=registry,
            Item=_item(RestoreMark(prefix, now_ms), 1),
            ConditionExpression="attribute_not_exists(pk)",
        )
    except dynamodb.exceptions.ConditionalCheckFailedException:
        return


def end(dynamodb: Any, registry: str) -> None:
    """When all is settled."""
    found = _read(dynamodb, registry)
    if found is None:
        raise RestoreFailed("the mark of the restore is gone: deploy a new stage to restore into")
    dynamodb.put_item(TableName=registry, Item=_item(msgspec.structs.replace(found, settled=True), 2))


def _read(dynamodb: Any, registry: str) -> RestoreMark | None:
    item = dynamodb.get_item(TableName=registry, Key=_KEY, ConsistentRead=True).get("Item")
    return None if item is None else msgspec.json.decode(item["doc"]["S"], type=RestoreMark)


def _item(mark: RestoreMark, rev: int) -> dict[str, Any]:
    return {**_KEY, "doc": {"S": msgspec.json.encode(mark).decode()}, "rev": {"N": str(rev)}}
