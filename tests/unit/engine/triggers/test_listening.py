"""What a worker says of a source: at once what is news, and seldom what is none."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chalicelib.adapters.memory.machine import ManualClock
from chalicelib.core.errors import Unavailable
from chalicelib.core.triggers.listening import CHANGED_MS, RENEW_MS, Listening
from chalicelib.core.triggers.trigger import Trigger, TriggerRules
from chalicelib.engine.triggers.listening import SourceReport
from chalicelib.ports.services import Services
from tests.kit.services import make_services

ID = "01KB" + "0" * 22
TRIGGER = Trigger(tenant="t", id=ID, name="n", rules=TriggerRules(source={"type": "sqs", "queue_url": "q"}), since_ms=5)


class CountedStore:
    """A store of triggers that counts its calls, and is away for a while."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.calls: list[str] = []
        self.is_away = False

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls.append(name)
            if self.is_away:
                raise Unavailable("away")
            return getattr(self._inner, name)(*arguments)

        return call


@pytest.fixture
def store() -> CountedStore:
    return CountedStore(None)


@pytest.fixture
def s(store: CountedStore) -> Services:
    made = make_services()
    store._inner = made.stores.triggers
    return replace(made, stores=replace(made.stores, triggers=store))  # type: ignore[arg-type]


def known(s: Services) -> Listening:
    return s.stores.triggers.listenings("t", [ID])[ID]


def advance(s: Services, ms: int) -> None:
    clock = s.clock
    assert isinstance(clock, ManualClock)
    clock.advance(ms)


def test_a_source_that_is_read_on_costs_two_calls_a_minute(s: Services, store: CountedStore) -> None:
    report = SourceReport(s, TRIGGER)
    for _ in range(5 * 60):
        report.hears()
        advance(s, 1_000)
    assert store.calls == ["listenings", "save_listening"] * 5


def test_a_turn_is_said_at_once_and_other_words_a_little_later(s: Services) -> None:
    report = SourceReport(s, TRIGGER)
    report.hears()
    report.fails("one")
    assert (known(s).state, known(s).last_error) == ("failing", "one")
    report.fails("other")
    assert known(s).last_error == "one"
    advance(s, CHANGED_MS)
    report.fails("other")
    assert known(s).last_error == "other"
    report.hears()
    assert known(s).state == "listening"


def test_of_two_workers_one_writes(s: Services, store: CountedStore) -> None:
    one = SourceReport(s, TRIGGER)
    other = SourceReport(replace(s, config=replace(s.config, instance="other")), TRIGGER)
    one.hears()
    advance(s, 1)
    other.hears()
    assert store.calls.count("save_listening") == 1
    advance(s, RENEW_MS)
    other.hears()
    one.hears()
    assert store.calls.count("save_listening") == 2
    assert known(s).by == "other"


def test_what_could_not_be_written_is_said_again(
    s: Services, store: CountedStore, caplog: pytest.LogCaptureFixture
) -> None:
    report = SourceReport(s, TRIGGER)
    store.is_away = True
    report.fails("refused")
    assert "is not written: away" in caplog.text
    store.is_away = False
    report.fails("refused")
    assert store.calls == ["listenings"], "not with every try"
    advance(s, CHANGED_MS)
    report.fails("refused")
    assert known(s).last_error == "refused"
