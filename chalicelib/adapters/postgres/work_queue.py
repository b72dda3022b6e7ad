"""The work queue in PostgreSQL: a table of messages, each due to the millisecond by the database's clock.

Receivers take what is due with ``FOR UPDATE SKIP LOCKED``, so they do not wait for one another. A message that was
received stays hidden for a while and comes again unless it is deleted. After ten receives it is poison.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from chalicelib.adapters.machine.combining import Combiner
from chalicelib.adapters.postgres.database import PostgresDatabase, Row
from chalicelib.core import queue_messages
from chalicelib.core.limits import QUEUE_DELAY_MAX_S
from chalicelib.ports.work_queue import Outgoing

WORK: Final = "work"
STEPS: Final = "steps"
DEAD: Final = "dead"
POISON: Final = "poison"
MAX_RECEIVES: Final = 10
SEND_MAX: Final = 500  # messages of one statement
WAKES_WITHIN_S: Final = 2  # a receiver reads by itself that often: what is due later needs no notification
NOW_MS: Final = "(extract(epoch FROM clock_timestamp()) * 1000)::int8"

# The wake-up is part of the transaction that writes the message. One that is lost costs nothing, since receivers read
# by themselves.
SEND: Final = f"""
WITH sent AS (
    INSERT INTO messages (queue, visible_ms, sent_ms, body)
    SELECT %(queue)s, {NOW_MS} + g.delay_ms, {NOW_MS}, g.body
    FROM unnest(%(delays)s::int8[], %(bodies)s::text[]) AS g(delay_ms, body))
SELECT pg_notify(%(channel)s, %(queue)s) WHERE %(wakes)s"""
# The ids are found first, and once. A join would be planned for a limit that is not known, over the whole table.
RECEIVE: Final = f"""
UPDATE messages SET
    queue = CASE WHEN receives < {MAX_RECEIVES} THEN queue ELSE '{POISON}' END,
    receives = receives + 1, visible_ms = {NOW_MS} + %(hidden_ms)s
WHERE id = ANY(ARRAY(
    SELECT id FROM messages WHERE queue = %(queue)s AND visible_ms <= {NOW_MS}
    ORDER BY visible_ms LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
RETURNING id, queue, receives, sent_ms, body"""
NEXT_MS: Final = f"""
SELECT visible_ms - {NOW_MS} FROM messages WHERE queue = %s ORDER BY visible_ms LIMIT 1"""
DELETE: Final = "DELETE FROM messages WHERE id = ANY(%s::int8[])"
HIDE: Final = f"""
UPDATE messages m SET visible_ms = {NOW_MS} + %s
FROM unnest(%s::int8[], %s::int[]) AS g(id, receives) WHERE m.id = g.id AND m.receives = g.receives"""
SEND_DEAD: Final = f"""
INSERT INTO messages (queue, visible_ms, sent_ms, body, execution_id, reason)
VALUES ('{DEAD}', {NOW_MS}, {NOW_MS}, %s, %s, %s)"""


class PostgresQueue:
    """``WorkQueue``, and the side that receives."""

    def __init__(self, database: PostgresDatabase, queue: str = WORK) -> None:
        self._db = database
        self._queue = queue
        # Commits that notify stand in line for one another in PostgreSQL, each with its flush. So what many threads
        # send at once is one commit.
        self._sends: Combiner[Outgoing, None] = Combiner(self._sent, SEND_MAX)

    @property
    def channel(self) -> str:
        """What notifications of this deployment are sent on."""
        return self._db.place.schema

    def send(self, messages: Sequence[Outgoing]) -> None:
        """Queue messages: one statement a lot. Raises Unavailable when none, OutcomeUnknown when any may be queued."""
        for start in range(0, len(messages), SEND_MAX):
            self._sends.call(messages[start : start + SEND_MAX])

    def _sent(self, some: Sequence[Outgoing]) -> list[None]:
        assert all(0 <= outgoing.delay_s <= QUEUE_DELAY_MAX_S for outgoing in some)
        values = {
            "queue": self._queue,
            "delays": [outgoing.delay_s * 1000 for outgoing in some],
            "bodies": [queue_messages.encode(outgoing.message) for outgoing in some],
            "channel": self.channel,
            "wakes": any(outgoing.delay_s < WAKES_WITHIN_S for outgoing in some),
        }
        self._db.write(SEND, values)
        return [None] * len(some)

    def hide(self, handles: Sequence[str], for_s: int) -> None:
        """Change when received messages become visible again. Raises Unavailable."""
        pairs = [handle.split("/") for handle in handles]
        if pairs:
            columns = ([int(pair[0]) for pair in pairs], [int(pair[1]) for pair in pairs])
            self._db.write(HIDE, (for_s * 1000, *columns))

    def send_dead(self, execution_id: str, event: str, reason: str) -> None:
        """Keep the CloudEvent of an execution that is out of attempts as a dead letter."""
        self._db.write(SEND_DEAD, (event, execution_id, reason))

    def receive(self, limit: int, hidden_s: int) -> list[Row]:
        """Take at most ``limit`` messages that are due: id, receives, when it was sent (unix ms), body."""
        values = {"queue": self._queue, "limit": limit, "hidden_ms": hidden_s * 1000}
        rows = self._db.write(RECEIVE, values)
        return [(row[0], *row[2:]) for row in rows if row[1] != POISON]

    def next_in_ms(self) -> int | None:
        """In how many milliseconds the next message is due, 0 or less for one that is; None when there is none."""
        rows = self._db.read(NEXT_MS, (self._queue,))
        return int(rows[0][0]) if rows else None

    def delete(self, ids: Sequence[int]) -> None:
        """Forget messages that were handled."""
        self._db.write(DELETE, (list(ids),))
