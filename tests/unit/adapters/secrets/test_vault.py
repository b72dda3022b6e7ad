"""Secrets of Vault, read from a server on a real socket."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from chalicelib.adapters.http.client import HttpClient
from chalicelib.adapters.secrets.vault import VaultStore
from chalicelib.core.secrets.limits import OVERLAP_MS
from chalicelib.core.secrets.secret_ref import SecretRef
from chalicelib.core.secrets.secret_settings import VaultSettings
from chalicelib.ports.secrets import SecretAway, SecretMissing
from tests.kit.vault_server import ROLE, Vault, VaultServer

HOOK = SecretRef("vault", "kv/data/hook", "key")


@pytest.fixture
def server() -> Iterator[VaultServer]:
    made = VaultServer()
    made.vault.secrets["kv/data/hook"] = [{"key": "first", "other": "x"}]
    yield made
    made.stop()


@pytest.fixture
def vault(server: VaultServer) -> Vault:
    return server.vault


class Time:
    """Seconds and milliseconds that a test moves."""

    def __init__(self) -> None:
        self.passed_s = 0.0

    def monotonic_s(self) -> float:
        return self.passed_s

    def now_ms(self) -> int:
        return int((time.time() + self.passed_s) * 1000)


@pytest.fixture
def moved() -> Time:
    return Time()


def store(server: VaultServer, moved: Time, **settings: str) -> VaultStore:
    given = VaultSettings(server.url, **({"token": "root"} | settings if "role_id" not in settings else settings))
    http = HttpClient(given.addr, monotonic_s=time.monotonic, timeout_s=30)
    return VaultStore(http, given, monotonic_s=moved.monotonic_s, now_ms=moved.now_ms)


def test_a_field_of_a_secret(server: VaultServer, vault: Vault, moved: Time) -> None:
    reader = store(server, moved)
    assert reader.read(HOOK) == ("first",)
    vault.secrets["kv/data/one"] = [{"anything": "only one"}]
    assert reader.read(SecretRef("vault", "kv/data/one")) == ("only one",)
    vault.secrets["kv/data/two"] = [{"value": "the default", "more": "x"}]
    assert reader.read(SecretRef("vault", "kv/data/two")) == ("the default",)


def test_the_version_before_lives_for_a_day(server: VaultServer, vault: Vault, moved: Time) -> None:
    reader = store(server, moved)
    vault.secrets["kv/data/hook"].append({"key": "second"})
    assert reader.read(HOOK) == ("second", "first")
    vault.secrets["kv/data/hook"].append({"key": "third"})
    assert reader.read(HOOK) == ("third", "second")
    moved.passed_s += OVERLAP_MS / 1000 + 1  # the server rounds its stamps
    assert reader.read(HOOK) == ("third",)


@pytest.mark.parametrize("before", [{}, {"other": "x"}])
def test_a_version_before_that_is_gone_or_was_another_is_left_out(
    server: VaultServer, vault: Vault, moved: Time, before: dict[str, str]
) -> None:
    vault.secrets["kv/data/hook"] = [before, {"key": "second"}]
    assert store(server, moved).read(HOOK) == ("second",)


@pytest.mark.parametrize(
    ("ref", "words"),
    [
        (SecretRef("vault", "kv/data/none"), "is not there"),
        (SecretRef("vault", "kv/data/hook", "none"), "no text in the field 'none'"),
        (SecretRef("vault", "kv/data/hook"), "no text in the field 'value'"),
        (SecretRef("vault", "plain/data/x"), "no secret of KV version 2"),
    ],
)
def test_what_is_missing_is_said(server: VaultServer, moved: Time, ref: SecretRef, words: str) -> None:
    with pytest.raises(SecretMissing, match=words):
        store(server, moved).read(ref)


@pytest.mark.parametrize("status", [503, 500, 429, 473])
def test_a_vault_that_is_sealed_or_busy_is_away(server: VaultServer, vault: Vault, moved: Time, status: int) -> None:
    vault.down = status
    with pytest.raises(SecretAway, match=str(status)):
        store(server, moved).read(HOOK)


def test_a_vault_that_is_not_there_is_away(server: VaultServer, moved: Time) -> None:
    given = VaultSettings("http://127.0.0.1:1", token="hvs.secret")
    reader = VaultStore(
        HttpClient(given.addr, monotonic_s=time.monotonic), given, monotonic_s=moved.monotonic_s, now_ms=moved.now_ms
    )
    with pytest.raises(SecretAway) as caught:
        reader.read(HOOK)
    assert "hvs.secret" not in str(caught.value)


def test_a_redirect_does_not_take_the_token_along(server: VaultServer, vault: Vault, moved: Time) -> None:
    vault.down = 307
    with pytest.raises(SecretMissing, match="CHRONO_VAULT_ADDR"):
        store(server, moved).read(HOOK)


def test_a_wrong_token_is_refused_for_good(server: VaultServer, moved: Time) -> None:
    with pytest.raises(SecretMissing, match="refuses"):
        store(server, moved, token="wrong").read(HOOK)


def test_a_namespace_is_named(server: VaultServer, vault: Vault, moved: Time) -> None:
    vault.namespace = "team/a"
    assert store(server, moved, namespace="team/a").read(HOOK) == ("first",)


def test_a_token_is_renewed_at_half_of_its_life(server: VaultServer, vault: Vault, moved: Time) -> None:
    vault.tokens = {"short": 100}
    reader = store(server, moved, token="short")
    reader.read(HOOK)
    moved.passed_s = 49
    reader.read(HOOK)
    assert "POST /v1/auth/token/renew-self" not in vault.asked
    moved.passed_s = 51
    reader.read(HOOK)
    reader.read(HOOK)
    assert vault.asked.count("POST /v1/auth/token/renew-self") == 1


def test_a_token_that_vault_does_not_renew_is_used_until_it_ends(
    server: VaultServer, vault: Vault, moved: Time
) -> None:
    vault.tokens, vault.renewable = {"short": 100}, False
    reader = store(server, moved, token="short")
    reader.read(HOOK)
    moved.passed_s = 99
    assert reader.read(HOOK) == ("first",)
    vault.tokens = {}
    with pytest.raises(SecretMissing):
        reader.read(HOOK)


def test_a_role_logs_in_renews_and_logs_in_again(server: VaultServer, vault: Vault, moved: Time) -> None:
    reader = store(server, moved, **ROLE)
    assert reader.read(HOOK) == ("first",)
    moved.passed_s = 60
    assert reader.read(HOOK) == ("first",)
    assert vault.asked.count("POST /v1/auth/token/renew-self") == 1
    vault.tokens = {}  # revoked
    assert reader.read(HOOK) == ("first",)
    assert vault.asked.count("POST /v1/auth/approle/login") == 2
    moved.passed_s = 60 + 101  # idle past its end
    assert reader.read(HOOK) == ("first",)
    assert vault.asked.count("POST /v1/auth/approle/login") == 3


def test_a_role_that_vault_does_not_know(server: VaultServer, moved: Time) -> None:
    with pytest.raises(SecretMissing, match="CHRONO_VAULT_ROLE_ID"):
        store(server, moved, role_id="x", secret_id="y").read(HOOK)
