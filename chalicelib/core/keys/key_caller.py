"""Who asks with an API key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chalicelib.core.keys.api_key import ApiKey
from chalicelib.core.security.caller import DEFAULT_TENANT, Caller, caller_of
from chalicelib.core.security.permissions import ADMIN, Role, is_permission

BOOTSTRAP_SUBJECT: Final = "bootstrap"
_CREDENTIAL: Final = "key:"
_BOOTSTRAP_CREDENTIAL: Final = "key:bootstrap"  # longer than the id of any key


def caller_with(key: ApiKey, custom_roles: Mapping[str, Role]) -> Caller:
    """The caller that a key makes: its owner, with what the key may do."""
    return caller_of(
        key.tenant,
        key.owner,
        key.roles,
        custom_roles,
        credential=_CREDENTIAL + key.id,
        expires_at_ms=key.expires_at_unix_ms,
        permissions=[name for name in key.permissions if is_permission(name)],
    )


def bootstrap_caller() -> Caller:
    """The caller with the key of the settings: an admin of the default tenant while it is set."""
    return caller_of(
        DEFAULT_TENANT, BOOTSTRAP_SUBJECT, [ADMIN], {}, credential=_BOOTSTRAP_CREDENTIAL, expires_at_ms=None
    )


def is_bootstrap(caller: Caller) -> bool:
    """Whether the caller came with the key of the settings."""
    return caller.credential == _BOOTSTRAP_CREDENTIAL


def id_of_key(caller: Caller) -> str | None:
    """The id of the stored key that the caller came with; None: they came with something else."""
    if is_bootstrap(caller) or not caller.credential.startswith(_CREDENTIAL):
        return None
    return caller.credential.removeprefix(_CREDENTIAL)
