"""Planted bugs of monitors and notification rules; ``mutants`` has those of all else, and says how they are planted."""
# ruff: noqa: E501 - edits quote the product's lines, and are easiest compared on one line

from __future__ import annotations

from tests.simulation.instrument import Edit
from tests.simulation.planted_bug import Mutant

HEARTBEAT, RULE_BOOK = "chalicelib.core.heartbeats.heartbeat", "chalicelib.core.notices.rule_book"
HEARTBEATS, NOTICES, ALERTS = "chalicelib.engine.heartbeats", "chalicelib.engine.notices", "chalicelib.workers.alerts"
MEMORY_ALERTS, USECASE = "chalicelib.adapters.memory.alerts", "chalicelib.usecases.notices"


def _planted(says: str, *edits: Edit) -> Mutant:
    return Mutant(says, edits, "alerts")


MUTANTS: dict[str, Mutant] = {
    # -- monitors
    "ping-of-before": _planted(
        "a ping whose write stood still takes back what newer ones have said",
        Edit(HEARTBEAT, "    if at_ms < newest_ms - CLOCKS_APART_MS:\n        return known\n    at_ms = max(at_ms, newest_ms, known.down_since_ms or 0, known.updated_ms)\n", ""),
    ),
    "pause-hides-a-miss": _planted(
        "a pause forgets a miss that no worker has found yet",
        Edit(HEARTBEAT, "    known = observe(heartbeat, now_ms)\n    fresh", "    known = heartbeat\n    fresh"),
    ),
    "pause-ends-nothing": _planted(
        "what was announced before a pause is never ended",
        Edit(HEARTBEAT, 'if known.state != "down" and not known.is_bad:', 'if known.state != "down":'),
    ),
    "down-too-early": _planted(
        "a monitor goes down before its deadline",
        Edit(HEARTBEAT, "    if deadline_ms is not None and deadline_ms <= now_ms:", "    if deadline_ms is not None and deadline_ms - 400 <= now_ms:"),
        Edit(ALERTS, "    s.clock.sleep_until(hint.due_ms)\n", "    s.clock.sleep_until(hint.due_ms - 400)\n"),
    ),
    "start-without-end": _planted(
        "a start whose end does not come is no failure",
        Edit(HEARTBEAT, "for at_ms in (self.expected_ms, self.started_ms) if", "for at_ms in (self.expected_ms,) if"),
    ),
    "failed-and-still-up": _planted(
        "a failure counts as a sign of life",
        Edit(HEARTBEAT, '    if ping.kind == "fail":\n', '    if ping.kind == "fail" and known.state == "late":\n'),
    ),
    "log-as-success": _planted(
        "a line of the log counts as a success",
        Edit(HEARTBEAT, '    if ping.kind == "log":\n        return known\n', ""),
    ),
    "told-before-announced": _planted(
        "a change counts as announced before it is, so that a death loses it",
        Edit(HEARTBEATS, "    emit(s, [_event(found, crossing) for crossing in found.untold])\n    tell", "    change(s, tenant, monitor_id, lambda known: heartbeat.told(known, found.untold[-1].number))\n    emit(s, [_event(found, crossing) for crossing in found.untold])\n    tell"),
    ),
    "alert-rev-ignored": _planted(
        "a monitor or a book is written over what another worker has made of it",
        Edit(MEMORY_ALERTS, "            if (0 if known is None else known.rev) != expected_rev:\n                return False\n            self", "            self"),
    ),
    "minute-finds-no-alerts": _planted(
        "what waits for a message that was lost waits for ever",
        Edit(ALERTS, "        found = s.stores.alerts.woken(now_ms + HORIZON_MS, PAGE)\n", "        found = []\n"),
    ),
    # -- rules
    "repeat-counts": _planted(
        "a signal that comes again counts again",
        Edit(RULE_BOOK, "    if signal.source in book.seen:\n        return book\n", ""),
    ),
    "announced-anew": _planted(
        "what is open is announced again with the next message",
        Edit(RULE_BOOK, "replace(i, announced=True) for i", "replace(i, announced=False) for i"),
    ),
    "recovery-unsaid": _planted(
        "the end of an incident is not sent",
        Edit(RULE_BOOK, 'told = over if "recovered" in rule.when else ()', "told = ()"),
    ),
    "success-ends-nothing": _planted(
        "a success does not end its incident, so that the next one is not announced",
        Edit(RULE_BOOK, "    closed = replace(open_now, closed_ms=signal.at_ms)\n", "    closed = open_now\n"),
    ),
    "send-unclaimed": _planted(
        "a claim of a send keeps no other worker away",
        Edit(RULE_BOOK, "next_ms=now_ms + SEND_LEASE_MS)", "next_ms=now_ms)"),
    ),
    "overtaken-sender-fails": _planted(
        "found by the simulator: a sender that was taken over says that it failed, and a third is sent at once",
        Edit(RULE_BOOK, "if send.attempts != attempt:", "if False:"),
    ),
    "ledger-unasked": _planted(
        "a send that is taken over is made again though the ledger has it",
        Edit(NOTICES, "    if not _is_in_ledger(s, rule, notice, channel):", "    if True:"),
    ),
    "given-up-at-once": _planted(
        "a channel that was away for a moment never hears of it",
        Edit(RULE_BOOK, "if final or send.attempts >= SEND_ATTEMPTS_MAX:", "if final or send.attempts >= 2:"),
    ),
    "quiet-for-alerts-alone": _planted(
        "what failed before a quiet time is tried again in it",
        Edit(RULE_BOOK, "        book = _put_off(book, until_ms)\n", "        pass\n"),
        Edit(NOTICES, 'notice.kind != "test" and quiet_until(rule, now_ms) is not None', "False"),
    ),
    "quiet-forgets": _planted(
        "what begins in a quiet time is not sent after it",
        Edit(RULE_BOOK, "        return replace(book, due_ms=until_ms, held=True, rev=book.rev + 1)", "        return replace(book, due_ms=None, incidents=tuple(replace(i, announced=True) for i in book.incidents), rev=book.rev + 1)"),
    ),
    # -- restores
    "numbers-given-out-again": _planted(
        "messages after a restore have the numbers of some that were sent",
        Edit(RULE_BOOK, "counter=book.counter + NUMBERS_RAISED)", "counter=0)"),
    ),
    "restored-expects-the-past": _planted(
        "a restored monitor misses pings of a time in which none could arrive",
        Edit(HEARTBEAT, "    return rescheduled(quiet, now_ms)\n", "    return quiet\n"),
    ),
}  # fmt: skip
