"""Starts the emulator, with what it leaves out: stream records of PartiQL writes, which is how executions are written.

Runs in the emulator's own environment, by path: it imports nothing of ours. Should another release of the emulator have
other insides, it starts as it is, and says so in its log.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from typing import Any

RETENTION_S = 120  # the emulator keeps records in memory; the reader comes every two seconds

log = logging.getLogger("ministack_with_streams")


def add_streams(dynamodb: Any) -> None:
    """Let INSERT and UPDATE statements write stream records. Raises AttributeError when the emulator is another."""
    insert, update, emit = dynamodb._partiql_insert, dynamodb._partiql_update, dynamodb._emit_stream_event
    dynamodb._partiql_insert = _streaming(dynamodb, insert, emit)
    dynamodb._partiql_update = _streaming(dynamodb, update, emit)
    dynamodb._STREAM_RETENTION_SECONDS = RETENTION_S


def _streaming(dynamodb: Any, write: Callable[..., Any], emit: Callable[..., None]) -> Callable[..., Any]:
    def streaming(table: dict[str, Any], parsed: dict[str, Any], *more: Any) -> Any:
        if not (table.get("StreamSpecification") or {}).get("StreamEnabled"):
            return write(table, parsed, *more)
        before = _stored(dynamodb, table, parsed)
        answer = write(table, parsed, *more)
        if answer[0] == 200:
            after = _stored(dynamodb, table, parsed)
            emit(table["TableName"], "INSERT" if before is None else "MODIFY", before, after)
        return answer

    return streaming


def _stored(dynamodb: Any, table: dict[str, Any], parsed: dict[str, Any]) -> Any:
    """A copy of the item that a statement names, as it lies in the table."""
    if parsed["op"] == "INSERT":
        item = parsed.get("item", {})
        item = item["M"] if set(item) == {"M"} else item
        pk, sk = (dynamodb._extract_key_val(item.get(table[name])) for name in ("pk_name", "sk_name"))
    else:
        pk, sk, _, wrong = dynamodb._partiql_key_target(table, parsed)
        if wrong:
            return None
    return copy.deepcopy(table["items"].get(pk, {}).get(sk))


def main() -> None:
    """Start it."""
    from ministack.app import main as start
    from ministack.services import dynamodb

    try:
        add_streams(dynamodb)
    except AttributeError:
        log.exception("this release of the emulator is not known: executions have no stream here")
    start()


if __name__ == "__main__":
    main()
