"""Slots: the limit of a workflow's ``concurrency``, kept over all runs of a key."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from chalicelib.core.errors import Conflict, NotFound, TooMany
from chalicelib.core.workflows import run_slots
from chalicelib.core.workflows.definition import Concurrency, WorkflowDefinition
from chalicelib.core.workflows.happenings import Cancels, CannotGoOn, Decision, GetsSlot, Order
from chalicelib.core.workflows.run_slots import SlotChange, SlotHolder, SlotTable
from chalicelib.core.workflows.run_state import RunState
from chalicelib.engine.workflows import outputs
from chalicelib.engine.workflows.run_access import LOOK_EVERY_MS, LoadedRun, advance, load, parts_of, send, tell
from chalicelib.ports.services import Services
from chalicelib.ports.workflow_steps import StepFailed

SAVE_ATTEMPTS = 64
KEY_MAX_CHARS = 256
_BY = "concurrency"


def key_of(s: Services, definition: WorkflowDefinition, given: Any) -> str:
    """The key that a run with this input counts under; empty without a limit. Raises StepFailed."""
    if definition.concurrency is None:
        return ""
    values = {"input": given, "nodes": {}, "run": {"workflow": definition.name}, "item": None, "index": None}
    try:
        found = parts_of(s).expressions.evaluate(definition.concurrency.key, values)
    except StepFailed as wrong:
        raise StepFailed(wrong.error_type, f"concurrency.key: {wrong.error}") from None
    text = json.dumps(found, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    if len(text) > KEY_MAX_CHARS:
        raise StepFailed("expression_error", f"concurrency.key: the value has more than {KEY_MAX_CHARS} characters")
    return text


def take(s: Services, run: LoadedRun, worker: str = "") -> tuple[LoadedRun, Decision] | None:
    """Ask for the slot that a run wants; the run after it, where it has one. Else it is called when one is free.
    ``worker`` may claim a step as in ``tell``."""
    state, limit = run.state, _limit(run)
    if state.slot != "wanted":
        return None

    def ask(table: SlotTable, now_ms: int) -> SlotChange:
        seen = run_slots.to_check(table, limit.limit, now_ms, LOOK_EVERY_MS)
        if seen:
            table = run_slots.checked(table, seen, lambda one: _holds(s, state.tenant, one), now_ms)
        return run_slots.ask(table, state.id, state.slot_turn, limit.limit, now_ms)

    try:
        key = _key_of(s, run)
    except StepFailed as wrong:
        return tell(s, state.tenant, state.id, CannotGoOn(wrong.error_type, wrong.error))
    change = _change(s, state, key, ask)
    if change.taken:
        return tell(s, state.tenant, state.id, GetsSlot(state.slot_turn, key), worker=worker)
    if state.slot_turn == 1:  # a run that has begun its work is neither left out nor lets others end
        _on_limit(s, run, limit, change.table)
    return None


def free(s: Services, run: LoadedRun, turn: int) -> None:
    """Give a slot back, or a place in line, and call who is next."""
    limit = _limit(run)
    try:
        key = _key_of(s, run)
    except StepFailed:
        return  # it never stood in any line
    _change(s, run.state, key, lambda table, now_ms: run_slots.leave(table, run.state.id, turn, limit.limit, now_ms))


def _key_of(s: Services, run: LoadedRun) -> str:
    state = run.state
    return state.slot_key or key_of(s, run.workflow.definition, outputs.read(s, state.tenant, state.id, state.input))


def _limit(run: LoadedRun) -> Concurrency:
    # A redrive under an edited version may have no limit: what was taken before is still given back.
    return run.workflow.definition.concurrency or Concurrency("", 1)


def _on_limit(s: Services, run: LoadedRun, limit: Concurrency, table: SlotTable) -> None:
    state = run.state
    if limit.on_limit == "skip":
        said = f"skipped: {limit.limit} runs with the same key are under way already"
        advance(s, state.tenant, state.id, Cancels(_BY, said))
    elif limit.on_limit == "cancel_oldest" and table.held:
        # One for each that stands in line: a message that comes twice ends no second one.
        place = next((n for n, one in enumerate(table.waiting) if one.run_id == state.id), None)
        if place is not None and place < len(table.held):
            said = f"run {state.id} with the same key came in its place"
            _end(s, state.tenant, table.held[place], said)


def _end(s: Services, tenant: str, holder: SlotHolder, reason: str) -> None:
    try:
        advance(s, tenant, holder.run_id, Cancels(_BY, reason))
    except (NotFound, Conflict):
        return  # it has ended by itself


def _holds(s: Services, tenant: str, holder: SlotHolder) -> bool:
    try:
        return run_slots.is_of(load(s, tenant, holder.run_id).state, holder)
    except NotFound:
        return False


def _change(s: Services, state: RunState, key: str, ask: Callable[[SlotTable, int], SlotChange]) -> SlotChange:
    """Change the table of a run's key, and call those who were given a slot. Raises TooMany."""
    name = run_slots.table_name(state.workflow, key)
    for _ in range(SAVE_ATTEMPTS):
        now_ms = s.clock.now_ms()
        table = s.stores.runs.slots(state.tenant, name) or SlotTable(state.tenant, name)
        change = ask(table, now_ms)
        if change.table == table:
            return change
        wanted = replace(change.table, rev=s.ids.ulid(now_ms))
        if s.stores.runs.save_slots(wanted, table.rev):
            for one in change.called:
                called = RunState(tenant=state.tenant, id=one.run_id)
                send(s, called, [Order("take_slot", item=one.turn)], None)
            return change
    raise TooMany("the slots of this key are being changed by many at once", code="contended")
