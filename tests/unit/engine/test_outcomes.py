"""Writes that got no answer: what the stored record tells of them."""

from __future__ import annotations

from collections.abc import Sequence

from chalicelib.core.errors import OutcomeUnknown
from chalicelib.core.executions.execution import Attempt, Execution, ExecutionKey, LateAnswer
from chalicelib.engine.outcomes import note_late
from chalicelib.usecases import executions
from tests.kit.plant import CALLER, Plant
from tests.kit.services import with_stores
from tests.kit.watched import Watched

T0 = 1_795_252_800_000  # 2026-11-21T09:20:00Z


def test_a_cancel_without_an_answer_has_succeeded_though_a_late_answer_was_noted_since() -> None:
    plant = Plant(T0, lead_ms=5_000)
    beat = plant.create(type="RATE", expr="rate:10s")
    plant.run_until(T0 + 9_000)
    plain, key = plant.services, ExecutionKey("default", beat, T0 + 10_000)
    claimed = executions.get(plain, CALLER, key.id)
    assert (claimed.state, claimed.attempt, claimed.attempts) == ("pending", 1, ())
    no_answer = iter([OutcomeUnknown("no answer")])

    def noted(_: Sequence[tuple[Execution, int]]) -> None:
        for problem in no_answer:
            note_late(plain, key, Attempt(1, claimed.fencing_token, T0 + 10_000), LateAnswer(T0 + 10_010, "completed"))
            raise problem

    api = with_stores(plain, executions=Watched(plain.stores.executions, "update", noted))
    assert executions.cancel(api, CALLER, claimed.id, "no").state == "cancelled"
    stored = plain.stores.executions.get([key])[key]
    assert (stored.state, stored.history[-1].reason) == ("cancelled", "no")
    assert stored.attempts[0].late_answer == LateAnswer(T0 + 10_010, "completed")
