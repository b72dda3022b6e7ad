"""A key is answered once: by the first call that succeeds, or by the one that goes on for it under its seed."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import Conflict, InvalidField, NotFound, Unavailable
from chalicelib.core.executions.limits import IDEMPOTENCY_KEY_MAX_BYTES, IDEMPOTENCY_RUNNING_MAX_MS
from chalicelib.ports.services import Services
from chalicelib.usecases import idempotency
from chalicelib.usecases.idempotency import FirstAnswer, RepeatableCall
from tests.kit.machine import MovableClock
from tests.kit.plant import CALLER
from tests.kit.services import make_services, with_stores
from tests.kit.watched import Watched


class Caller:
    """Calls that remember how they were run, and do what the test says."""

    def __init__(self, s: Services) -> None:
        self.s = s
        self.runs: list[RepeatableCall] = []
        self.problem: Exception | None = None

    def once(self, seed: str, body: str = "body", key: str = "key") -> FirstAnswer:
        return idempotency.once(self.s, CALLER, key, body, seed, self._call)

    def _call(self, run: RepeatableCall) -> str:
        self.runs.append(run)
        if self.problem is not None:
            problem, self.problem = self.problem, None
            raise problem
        return f"made {run.seed}"


@pytest.fixture
def caller() -> Caller:
    return Caller(make_services())


def clock_of(s: Services) -> MovableClock:
    assert isinstance(s.clock, MovableClock)
    return s.clock


def test_the_first_answer_is_given_again(caller: Caller) -> None:
    assert caller.once("one") == FirstAnswer("made one", replayed=False)
    assert caller.once("two") == FirstAnswer("made one", replayed=True)
    assert caller.runs == [RepeatableCall("one", again=False)]


def test_a_refused_call_frees_its_key(caller: Caller) -> None:
    caller.problem = NotFound("no such schedule")
    with pytest.raises(NotFound):
        caller.once("one")
    assert caller.once("two", body="another") == FirstAnswer("made two", replayed=False)


def test_a_call_that_may_have_written_is_run_again_at_once_under_its_seed(caller: Caller) -> None:
    caller.problem = Unavailable("away")
    with pytest.raises(Unavailable):
        caller.once("one")
    assert caller.once("two") == FirstAnswer("made one", replayed=False)
    assert caller.runs == [RepeatableCall("one", again=False), RepeatableCall("one", again=True)]


def test_a_refusal_of_the_second_run_does_not_free_what_the_first_may_have_made(caller: Caller) -> None:
    for problem in (Unavailable("away"), NotFound("gone meanwhile")):
        caller.problem = problem
        with pytest.raises(type(problem)):
            caller.once("any")
    assert caller.once("three") == FirstAnswer("made any", replayed=False)


def test_while_the_first_call_runs_the_second_is_told_so(caller: Caller) -> None:
    def ask_inside(run: RepeatableCall) -> str:
        with pytest.raises(Conflict) as refused:
            caller.once("two")
        assert refused.value.code == "idempotency_in_progress"
        clock_of(caller.s).advance(IDEMPOTENCY_RUNNING_MAX_MS)
        return caller.once("three").text  # it counts as dead by now

    text = idempotency.once(caller.s, CALLER, "key", "body", "one", ask_inside).text
    assert text == "made one"
    assert caller.runs == [RepeatableCall("one", again=True)]


def test_an_answer_that_cannot_be_kept_is_given_all_the_same(caller: Caller) -> None:
    def lose(*_: object) -> None:
        raise Unavailable("away")

    plain = caller.s
    caller.s = with_stores(plain, idempotency=Watched(plain.stores.idempotency, "finish", lose))
    assert caller.once("one").text == "made one"


def test_a_key_is_for_one_request(caller: Caller) -> None:
    caller.once("one")
    with pytest.raises(InvalidField, match="another request"):
        caller.once("two", body="another")


@pytest.mark.parametrize("key", ["", "k" * (IDEMPOTENCY_KEY_MAX_BYTES + 1)])
def test_a_key_has_a_length(caller: Caller, key: str) -> None:
    with pytest.raises(InvalidField, match=idempotency.HEADER):
        caller.once("one", key=key)
    assert caller.runs == []
