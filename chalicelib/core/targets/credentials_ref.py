"""The field that names what signs in at a broker: of targets, and of the sources of triggers."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from chalicelib.core.json_schema import states
from chalicelib.core.secrets.secret_ref import FORMS, PATTERN, REF_MAX_CHARS

CredentialsRef = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=REF_MAX_CHARS,
        description=f"Where the credentials are kept: `{FORMS}`. They are a JSON object of texts: `username` and "
        "`password`; in PEM `ca`, which is trusted in place of the system's, and `certificate` with `key`, which are "
        "shown to a broker that asks who calls.",
    ),
    states(pattern=f"^{PATTERN}$"),
]
