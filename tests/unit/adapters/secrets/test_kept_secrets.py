"""How long a secret is used, who reads it, and what happens while its store is away."""

from __future__ import annotations

import logging
import threading

import pytest

from chalicelib.adapters.secrets.kept_secrets import KeptSecrets
from chalicelib.core.secrets.limits import FAILURE_S, FRESH_S, REFUSED_GAP_S, RETRY_S, STALE_S
from chalicelib.core.secrets.secret_ref import SecretRef
from chalicelib.ports.secrets import SecretAway, SecretMissing, SecretStore

REF = "ssm:/hook"
AWAY = SecretAway("nobody answers")
MISSING = SecretMissing("ssm:/hook is not there")


class Store:
    """Answers from a script, the last line for ever."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)
        self.read_refs: list[SecretRef] = []

    def read(self, ref: SecretRef) -> tuple[str, ...]:
        self.read_refs.append(ref)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return tuple(answer.split())


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def kept(store: SecretStore, clock: Clock) -> KeptSecrets:
    return KeptSecrets({"ssm": lambda: store}, monotonic_s=clock)


def test_a_secret_is_kept_for_a_minute_and_then_read_again() -> None:
    store, clock = Store("old", "new old"), Clock()
    secrets = kept(store, clock)
    assert [secrets.values(REF) for _ in range(3)] == [("old",)] * 3
    clock.now_s += FRESH_S - 0.1
    assert secrets.values(REF) == ("old",)
    assert store.read_refs == [SecretRef("ssm", "/hook")]
    clock.now_s += 0.1
    assert secrets.values(REF) == ("new", "old")


def test_while_its_store_is_away_a_stale_secret_serves_for_ten_minutes(caplog: pytest.LogCaptureFixture) -> None:
    store, clock = Store("the-key", AWAY), Clock()
    secrets = kept(store, clock)
    secrets.values(REF)
    with caplog.at_level(logging.WARNING):
        while clock.now_s < 1000 + FRESH_S + STALE_S - RETRY_S:
            clock.now_s += RETRY_S
            assert secrets.values(REF) == ("the-key",)
    assert "ssm:/hook is away" in caplog.text
    assert "the-key" not in caplog.text
    assert len(store.read_refs) <= 1 + STALE_S / RETRY_S
    clock.now_s = 1000 + FRESH_S + STALE_S
    with pytest.raises(SecretAway):
        secrets.values(REF)
    store.answers = ["again"]
    clock.now_s += FAILURE_S
    assert secrets.values(REF) == ("again",)


def test_a_store_that_is_back_is_heard_within_seconds() -> None:
    store, clock = Store("old", AWAY, "new"), Clock()
    secrets = kept(store, clock)
    secrets.values(REF)
    clock.now_s += FRESH_S
    assert secrets.values(REF) == ("old",)
    clock.now_s += RETRY_S
    assert secrets.values(REF) == ("new",)


def test_a_secret_that_was_withdrawn_is_used_no_longer() -> None:
    store, clock = Store("old", MISSING), Clock()
    secrets = kept(store, clock)
    secrets.values(REF)
    clock.now_s += FRESH_S
    for _ in range(2):
        with pytest.raises(SecretMissing):
            secrets.values(REF)
    assert len(store.read_refs) == 2


def test_a_refusal_reads_anew_at_once_and_not_for_every_delivery() -> None:
    store, clock = Store("old", "new", "newer"), Clock()
    secrets = kept(store, clock)
    values = secrets.values(REF)
    assert secrets.refused(REF, values)
    assert secrets.values(REF) == ("new",)
    assert secrets.refused(REF, ("old",)), "another delivery was refused with what was replaced meanwhile"
    assert len(store.read_refs) == 2
    assert not secrets.refused(REF, ("new",))
    assert len(store.read_refs) == 2
    clock.now_s += REFUSED_GAP_S
    assert secrets.refused(REF, ("new",))


@pytest.mark.parametrize("failure", [AWAY, MISSING])
def test_a_refusal_while_the_store_fails_changes_nothing(failure: Exception) -> None:
    secrets = kept(Store("old", failure), Clock())
    assert not secrets.refused(REF, secrets.values(REF))


@pytest.mark.parametrize(
    ("ref", "words"),
    [("hook", "must be secretsmanager:NAME"), ("", "must be"), ("vault:kv/data/x", "reads no vault: secrets")],
)
def test_a_reference_that_cannot_be_read(ref: str, words: str) -> None:
    with pytest.raises(SecretMissing, match=words):
        kept(Store("x"), Clock()).values(ref)


def test_an_empty_secret_is_none() -> None:
    with pytest.raises(SecretMissing, match="is empty"):
        kept(Store(""), Clock()).values(REF)


class Gate:
    """A store that answers when it is let."""

    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer
        self.reading, self.released = threading.Event(), threading.Event()
        self.times = 0

    def read(self, ref: SecretRef) -> tuple[str, ...]:
        self.times += 1
        self.reading.set()
        assert self.released.wait(10)
        if isinstance(self.answer, Exception):
            raise self.answer
        return (self.answer,)


@pytest.mark.parametrize("answer", ["key", AWAY])
def test_a_herd_reads_a_secret_once(answer: str | Exception) -> None:
    gate = Gate(answer)
    secrets = kept(gate, Clock())
    found: list[object] = []

    def read() -> None:
        try:
            found.append(secrets.values(REF))
        except SecretAway as away:
            found.append(away)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    assert gate.reading.wait(10)
    gate.released.set()
    for thread in threads:
        thread.join()
    assert found == [("key",) if answer == "key" else AWAY] * 8
    assert gate.times == 1


def test_nobody_waits_for_a_slow_store_who_has_a_stale_secret() -> None:
    gate, clock = Gate("new"), Clock()
    gate.released.set()
    secrets = kept(gate, clock)
    secrets.values(REF)
    clock.now_s += FRESH_S
    gate.reading.clear()
    gate.released.clear()
    slow = threading.Thread(target=secrets.values, args=(REF,))
    slow.start()
    assert gate.reading.wait(10)
    assert secrets.values(REF) == ("new",)
    gate.released.set()
    slow.join()
