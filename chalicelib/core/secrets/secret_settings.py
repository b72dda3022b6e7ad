"""What a deployment chooses about secrets, read out of its variables. Imported before anything is installed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from chalicelib.core.errors import SettingsError
from chalicelib.core.secrets import secret_ref
from chalicelib.core.secrets.secret_policy import EVERY

VARIABLES: Final = (
    "CHRONO_VAULT_ADDR",
    "CHRONO_VAULT_TOKEN",
    "CHRONO_VAULT_ROLE_ID",
    "CHRONO_VAULT_SECRET_ID",
    "CHRONO_VAULT_NAMESPACE",
    "CHRONO_VAULT_CA_FILE",
    "CHRONO_HEADER_SECRETS",
    "CHRONO_WEBHOOK_SIGNING_KEY",
    "CHRONO_KMS_KEY_ID",
)


class VaultSettings(NamedTuple):
    """Where Vault is and who this service is there: a token, or a role."""

    addr: str
    token: str | None = None
    role_id: str | None = None
    secret_id: str | None = None
    namespace: str = ""
    ca_file: str | None = None

    def __repr__(self) -> str:
        """Without what opens Vault: a repr ends in logs."""
        return f"VaultSettings(addr={self.addr!r}, namespace={self.namespace!r})"


class SecretSettings(NamedTuple):
    """``signing_key`` refers to the service's own key. ``kms_key_id`` seals payloads. None: not used."""

    vault: VaultSettings | None = None
    header_refs: tuple[str, ...] = ()
    signing_key: str | None = None
    kms_key_id: str | None = None


def load(env: Mapping[str, str], loopback: bool) -> SecretSettings:
    """The choices that ``env`` states. Raises SettingsError for the first that is wrong."""
    return SecretSettings(_vault(env), _header_refs(env, loopback), _signing_key(env, loopback), _kms_key_id(env))


def _vault(env: Mapping[str, str]) -> VaultSettings | None:
    given = {name: env.get(name, "").strip() for name in VARIABLES if name.startswith("CHRONO_VAULT_")}
    addr, token, role = given["CHRONO_VAULT_ADDR"], given["CHRONO_VAULT_TOKEN"], given["CHRONO_VAULT_ROLE_ID"]
    if not addr:
        stray = next((name for name, value in given.items() if value), None)
        if stray:
            raise SettingsError(stray, "is of no use without CHRONO_VAULT_ADDR")
        return None
    if not re.fullmatch(r"https?://[A-Za-z0-9._-]+(:[0-9]{1,5})?/?|https?://\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?/?", addr):
        raise SettingsError(
            "CHRONO_VAULT_ADDR", f"must be a URL such as https://vault.internal:8200, not {addr[:80]!r}"
        )
    if bool(token) == bool(role):
        raise SettingsError("CHRONO_VAULT_ADDR", "needs either CHRONO_VAULT_TOKEN or CHRONO_VAULT_ROLE_ID")
    if given["CHRONO_VAULT_SECRET_ID"] and not role:
        raise SettingsError("CHRONO_VAULT_SECRET_ID", "is of no use without CHRONO_VAULT_ROLE_ID")
    for name in ("CHRONO_VAULT_TOKEN", "CHRONO_VAULT_NAMESPACE"):
        if not re.fullmatch(r"[\x21-\x7e]*", given[name]):
            raise SettingsError(name, "must hold visible ASCII letters only")
    return VaultSettings(
        addr=addr.rstrip("/"),
        token=token or None,
        role_id=role or None,
        secret_id=given["CHRONO_VAULT_SECRET_ID"] or None,
        namespace=given["CHRONO_VAULT_NAMESPACE"],
        ca_file=given["CHRONO_VAULT_CA_FILE"] or None,
    )


def _header_refs(env: Mapping[str, str], loopback: bool) -> tuple[str, ...]:
    """The beginnings of references that headers may use; set but empty: none."""
    text = env.get("CHRONO_HEADER_SECRETS")
    if text is None:
        return (EVERY,) if loopback else ()
    entries = tuple(entry.strip() for entry in text.split(",") if entry.strip())
    for entry in entries:
        if entry != EVERY and not re.match(r"(secretsmanager|ssm|vault|env):\S", entry):
            raise SettingsError(
                "CHRONO_HEADER_SECRETS",
                f"must list beginnings of references such as vault:kv/data/hooks/, not {entry[:80]!r}",
            )
    return entries


def _signing_key(env: Mapping[str, str], loopback: bool) -> str | None:
    text = env.get("CHRONO_WEBHOOK_SIGNING_KEY", "").strip()
    if not text:
        return None
    wrong = secret_ref.problem(text)
    if wrong:
        raise SettingsError("CHRONO_WEBHOOK_SIGNING_KEY", wrong)
    if text.startswith("env:") and not loopback:
        raise SettingsError("CHRONO_WEBHOOK_SIGNING_KEY", "env: is only for a service bound to loopback")
    return text


def _kms_key_id(env: Mapping[str, str]) -> str | None:
    text = env.get("CHRONO_KMS_KEY_ID", "").strip()
    if text and not re.fullmatch(r"[A-Za-z0-9:/_-]{1,2048}", text):
        raise SettingsError("CHRONO_KMS_KEY_ID", f"must be a key's id, ARN or alias/NAME, not {text[:80]!r}")
    return text or None
