"""Sealed payloads: what is bound to what, how often KMS is called, and what happens while it is away."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from chalicelib.adapters.secrets.kms_sealing import KEY_AGE_MAX_S, OPEN_ONLY, KmsSealing
from chalicelib.core.errors import Unavailable
from chalicelib.core.secrets import envelope
from chalicelib.ports.sealing import UNSEALED

PAYLOAD = '{"card": "4111"}'


class Kms:
    """Wraps keys by remembering them: a wrapped key opens with its own key id and context only."""

    def __init__(self) -> None:
        self.kept: dict[bytes, tuple[str, dict[str, str], bytes]] = {}
        self.calls: list[str] = []
        self.away = False
        self.lock = threading.Lock()

    def _enter(self, name: str) -> None:
        self.calls.append(name)
        if self.away:
            raise ConnectionError("no route")

    def generate_data_key(self, KeyId: str, NumberOfBytes: int, EncryptionContext: dict[str, str]) -> dict[str, Any]:
        with self.lock:
            self._enter("generate")
            wrapped = f"wrapped-{len(self.kept)}".encode()
            plain = bytes([len(self.kept)]) * NumberOfBytes
            self.kept[wrapped] = (KeyId, EncryptionContext, plain)
            return {"KeyId": KeyId, "CiphertextBlob": wrapped, "Plaintext": plain}

    def decrypt(self, CiphertextBlob: bytes, KeyId: str, EncryptionContext: dict[str, str]) -> dict[str, Any]:
        with self.lock:
            self._enter("decrypt")
            key_id, context, plain = self.kept[CiphertextBlob]
            assert (key_id, context) == (KeyId, EncryptionContext)
            return {"KeyId": KeyId, "Plaintext": plain}


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def kms() -> Kms:
    return Kms()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def sealing(kms: Kms, clock: Clock, key_id: str = "key/1") -> KmsSealing:
    return KmsSealing(lambda: kms, key_id, monotonic_s=clock)


def test_what_is_sealed_opens_in_its_own_place_only(kms: Kms, clock: Clock) -> None:
    one = sealing(kms, clock)
    sealed = one.seal("a", "schedule 1", PAYLOAD)
    assert "4111" not in sealed
    assert envelope.parse(sealed).key_id == "key/1"
    assert one.unseal("a", "schedule 1", sealed) == PAYLOAD
    with pytest.raises(Unavailable, match="changed or moved"):
        one.unseal("a", "schedule 2", sealed)
    with pytest.raises(Unavailable):
        one.unseal("b", "schedule 1", sealed)


@pytest.mark.parametrize("at", [-3, -20, -40])
def test_a_changed_text_does_not_open(kms: Kms, clock: Clock, at: int) -> None:
    one = sealing(kms, clock)
    sealed = one.seal("a", "p", PAYLOAD)
    changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + (sealed[at + 1 :] if at + 1 else "")
    with pytest.raises(Unavailable):
        one.unseal("a", "p", changed)


def test_kms_is_called_once_an_hour_for_a_tenant(kms: Kms, clock: Clock) -> None:
    one = sealing(kms, clock)
    texts = [one.seal(tenant, "p", PAYLOAD) for tenant in ("a", "b") for _ in range(50)]
    assert len(set(texts)) == 100, "a nonce of its own for each"
    assert [one.unseal("a", "p", text) for text in texts[:50]] == [PAYLOAD] * 50
    assert kms.calls == ["generate", "generate"]
    clock.now_s += KEY_AGE_MAX_S
    one.seal("a", "p", PAYLOAD)
    assert kms.calls == ["generate"] * 3


def test_another_process_opens_it_and_asks_once(kms: Kms, clock: Clock) -> None:
    sealed = [sealing(kms, clock).seal("a", "p", PAYLOAD)] * 3
    other = sealing(kms, clock)
    assert [other.unseal("a", "p", text) for text in sealed] == [PAYLOAD] * 3
    assert kms.calls == ["generate", "decrypt"]


def test_reading_survives_another_key(kms: Kms, clock: Clock) -> None:
    sealed = sealing(kms, clock, "key/1").seal("a", "p", PAYLOAD)
    after = sealing(kms, clock, "key/2")
    assert after.unseal("a", "p", sealed) == PAYLOAD
    assert envelope.parse(after.seal("a", "p", PAYLOAD)).key_id == "key/2"


def test_what_was_stored_before_is_read_as_it_is(kms: Kms, clock: Clock) -> None:
    assert sealing(kms, clock).unseal("a", "p", PAYLOAD) == PAYLOAD
    assert kms.calls == []


def test_to_open_only_seals_no_more(kms: Kms, clock: Clock) -> None:
    sealed = sealing(kms, clock).seal("a", "p", PAYLOAD)
    last = sealing(kms, clock, OPEN_ONLY)
    assert last.unseal("a", "p", sealed) == PAYLOAD
    assert last.seal("a", "p", PAYLOAD) == PAYLOAD


def test_without_the_setting_an_envelope_is_no_payload(kms: Kms, clock: Clock) -> None:
    sealed = sealing(kms, clock).seal("a", "p", PAYLOAD)
    assert UNSEALED.seal("a", "p", PAYLOAD) is PAYLOAD
    assert UNSEALED.unseal("a", "p", PAYLOAD) is PAYLOAD
    with pytest.raises(Unavailable, match="CHRONO_KMS_KEY_ID"):
        UNSEALED.unseal("a", "p", sealed)


def test_while_kms_is_away_the_data_key_goes_on_and_nothing_is_stored_open(kms: Kms, clock: Clock) -> None:
    one = sealing(kms, clock)
    one.seal("a", "p", PAYLOAD)
    kms.away = True
    clock.now_s += KEY_AGE_MAX_S
    assert one.unseal("a", "p", one.seal("a", "p", PAYLOAD)) == PAYLOAD
    with pytest.raises(Unavailable, match="KMS gives no key") as caught:
        one.seal("b", "p", PAYLOAD)
    assert "4111" not in str(caught.value)


def test_a_herd_makes_one_data_key(kms: Kms, clock: Clock) -> None:
    one = sealing(kms, clock)
    threads = [threading.Thread(target=one.seal, args=("a", "p", PAYLOAD)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kms.calls == ["generate"]
