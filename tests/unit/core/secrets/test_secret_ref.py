from __future__ import annotations

import pytest

from chalicelib.core.errors import SettingsError
from chalicelib.core.secrets import secret_ref, secret_settings
from chalicelib.core.secrets.secret_policy import STRICTEST, SecretPolicy
from chalicelib.core.secrets.secret_ref import SecretRef


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("secretsmanager:prod/hook", SecretRef("secretsmanager", "prod/hook")),
        (
            "secretsmanager:arn:aws:secretsmanager:eu-west-1:123456789012:secret:hook-AbCdEf",
            SecretRef("secretsmanager", "arn:aws:secretsmanager:eu-west-1:123456789012:secret:hook-AbCdEf"),
        ),
        ("ssm:/hooks/a", SecretRef("ssm", "/hooks/a")),
        ("vault:kv/data/x#token", SecretRef("vault", "kv/data/x", "token")),
        ("vault:team/kv/data/a/b", SecretRef("vault", "team/kv/data/a/b")),
        ("env:HOOK_SECRET", SecretRef("env", "HOOK_SECRET")),
    ],
)
def test_references(text: str, ref: SecretRef) -> None:
    assert secret_ref.parse(text) == ref
    assert secret_ref.problem(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hook",
        "ssm:",
        "ssm:/a#b",
        "vault:",
        "vault:kv/x",
        "vault:data/x",
        "vault:kv/data/",
        "vault:kv/data/../../sys/seal",
        "vault:/kv/data/x",
        "vault:kv//data/x",
        "vault:kv/data/x?version=1",
        "vault:kv/data/x#",
        "vault:kv/data/x\n",
        "env:1A",
        "env:A-B",
        "ssm:" + "a" * 600,
        "SSM:/a",
        5,
        None,
    ],
)
def test_what_is_no_reference_is_told_the_forms(text: object) -> None:
    assert "must be" in (secret_ref.problem(text) or "")


def test_the_environment_is_for_loopback_alone() -> None:
    assert SecretPolicy(environment=True).problem("env:X") is None
    assert "bound to loopback" in (STRICTEST.problem("env:X") or "")
    assert STRICTEST.problem("ssm:/x") is None


@pytest.mark.parametrize(
    ("entries", "ref", "tenant", "taken"),
    [
        ((), "ssm:/x", "a", False),
        (("*",), "ssm:/x", "a", True),
        (("ssm:/hooks/",), "ssm:/hooks/x", "a", True),
        (("ssm:/hooks/",), "ssm:/other", "a", False),
        (("vault:kv/data/{tenant}/",), "vault:kv/data/a/x", "a", True),
        (("vault:kv/data/{tenant}/",), "vault:kv/data/b/x", "a", False),
        (("vault:kv/data/{tenant}/",), "vault:kv/data/b/x", None, True),
        (("vault:kv/data/{tenant}/",), "vault:other/data/b/x", None, False),
        (("*",), "env:X", "a", False),
    ],
)
def test_headers_take_what_the_operator_lists(entries: tuple[str, ...], ref: str, tenant: str | None, taken: bool):
    assert (SecretPolicy(header_refs=entries).header_problem(ref, tenant) is None) is taken


VAULT = {"CHRONO_VAULT_ADDR": "https://vault.internal:8200/", "CHRONO_VAULT_TOKEN": "s.root"}


def test_settings_of_secrets() -> None:
    assert secret_settings.load({}, True) == (None, ("*",), None, None)
    assert secret_settings.load({}, False) == (None, (), None, None)
    env = {**VAULT, "CHRONO_HEADER_SECRETS": "ssm:/a, vault:kv/", "CHRONO_WEBHOOK_SIGNING_KEY": "ssm:/k"}
    found = secret_settings.load(env, False)
    assert found.vault is not None
    assert (found.vault.addr, found.vault.token) == ("https://vault.internal:8200", "s.root")
    assert (found.header_refs, found.signing_key) == (("ssm:/a", "vault:kv/"), "ssm:/k")
    assert "s.root" not in repr(found)


@pytest.mark.parametrize(
    ("env", "variable"),
    [
        ({"CHRONO_VAULT_TOKEN": "x"}, "CHRONO_VAULT_TOKEN"),
        ({"CHRONO_VAULT_ADDR": "vault:8200"}, "CHRONO_VAULT_ADDR"),
        ({"CHRONO_VAULT_ADDR": "https://u:p@vault"}, "CHRONO_VAULT_ADDR"),
        ({"CHRONO_VAULT_ADDR": "https://vault"}, "CHRONO_VAULT_ADDR"),
        ({**VAULT, "CHRONO_VAULT_ROLE_ID": "r"}, "CHRONO_VAULT_ADDR"),
        ({**VAULT, "CHRONO_VAULT_SECRET_ID": "r"}, "CHRONO_VAULT_SECRET_ID"),
        ({**VAULT, "CHRONO_VAULT_TOKEN": "a\nb"}, "CHRONO_VAULT_TOKEN"),
        ({"CHRONO_HEADER_SECRETS": "all"}, "CHRONO_HEADER_SECRETS"),
        ({"CHRONO_WEBHOOK_SIGNING_KEY": "whsk_x"}, "CHRONO_WEBHOOK_SIGNING_KEY"),
        ({"CHRONO_WEBHOOK_SIGNING_KEY": "env:X"}, "CHRONO_WEBHOOK_SIGNING_KEY"),
        ({"CHRONO_KMS_KEY_ID": "a b"}, "CHRONO_KMS_KEY_ID"),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_is_quoted(env: dict[str, str], variable: str) -> None:
    with pytest.raises(SettingsError) as caught:
        secret_settings.load(env, False)
    assert variable in str(caught.value)
    assert "a\nb" not in str(caught.value)
