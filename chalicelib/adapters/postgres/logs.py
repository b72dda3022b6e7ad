"""``LogStore`` in PostgreSQL."""

from __future__ import annotations

from typing import Final

import msgspec

from chalicelib.adapters.postgres.database import PostgresDatabase
from chalicelib.adapters.postgres.document_rows import DocumentRows
from chalicelib.core.decoders import decoder_of
from chalicelib.core.executions.execution import ExecutionKey
from chalicelib.core.executions.limits import HISTORY_RETENTION_S
from chalicelib.ports.stores.logs import LogLine

_AFTER_DIGITS: Final = ":"
_decode_line = decoder_of(LogLine).decode


class PostgresLogStore:
    """``LogStore``: a document a line, kept as long as a record that ended when the line was written."""

    def __init__(self, database: PostgresDatabase, retention_s: int = HISTORY_RETENTION_S) -> None:
        self._rows = DocumentRows(database, "log")
        self._retention_s = retention_s

    def append(self, execution: ExecutionKey, line: LogLine) -> bool:
        """Write a line unless its number is taken."""
        doc = msgspec.json.encode(line).decode()
        name = f"{execution.id}#{line.number:06d}"
        return self._rows.save(execution.tenant, name, doc, 1, 0, line.at_ms // 1000 + self._retention_s)

    def last(self, execution: ExecutionKey) -> int:
        """The highest number; 0 when there is no line."""
        log = f"{execution.id}#"
        found = self._rows.between(execution.tenant, log, log + _AFTER_DIGITS, 1, newest_first=True)
        return int(found[0].name.rpartition("#")[2]) if found else 0

    def page(self, execution: ExecutionKey, limit: int, after: int) -> tuple[list[LogLine], int | None]:
        """Lines in order, after a number."""
        log = f"{execution.id}#"
        found = self._rows.between(execution.tenant, f"{log}{after:06d}", log + _AFTER_DIGITS, limit + 1)
        lines = [_decode_line(kept.doc) for kept in found[:limit]]
        return lines, lines[-1].number if len(found) > limit and lines else None
