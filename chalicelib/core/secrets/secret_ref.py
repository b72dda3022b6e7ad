"""References to secrets: ``secretsmanager:NAME``, ``ssm:NAME``, ``vault:MOUNT/data/NAME#field``, ``env:NAME``.

Documents hold references and never secrets. So what a caller reads back, and what a log may show, is the reference.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

FORMS: Final = "secretsmanager:NAME, ssm:NAME, vault:MOUNT/data/NAME#field or env:NAME"
REF_MAX_CHARS: Final = 512
_NAME = r"[A-Za-z0-9/_+=.@:-]+"
PATTERN: Final = rf"(?:(secretsmanager|ssm):{_NAME}|vault:{_NAME}(#[A-Za-z0-9_.-]+)?|env:[A-Za-z_][A-Za-z0-9_]*)"
VAULT_FIELD_DEFAULT: Final = "value"


class SecretRef(NamedTuple):
    """A reference taken apart: the store, the secret's name in it, and the field where a secret has several."""

    store: str
    name: str
    field: str | None = None


def parse(text: str) -> SecretRef:
    """Take a reference apart. Raises ValueError with what is wrong with it."""
    if len(text) > REF_MAX_CHARS or not re.fullmatch(PATTERN, text, re.ASCII):
        raise ValueError(f"must be {FORMS}")
    store, _, rest = text.partition(":")
    name, _, field = rest.partition("#")
    if store == "vault":
        parts = name.split("/")
        # The path goes into a URL that is called with the service's token: it must stay within secrets of KV version 2.
        if not {"", ".", ".."}.isdisjoint(parts) or "data" not in parts[1:-1]:
            raise ValueError("a path of Vault must be MOUNT/data/NAME, as the API of KV version 2 has it")
    return SecretRef(store, name, field or None)


def problem(text: object) -> str | None:
    """What is wrong with a reference, or None."""
    if not isinstance(text, str):
        return f"must be {FORMS}"
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return None
