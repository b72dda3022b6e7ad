"""Which PostgreSQL stores in place of AWS: ``CHRONO_DB_DSN``. Imported before anything is installed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from chalicelib.core.errors import SettingsError

VARIABLE: Final = "CHRONO_DB_DSN"
_DRIVER: Final = r"(?:postgresql|postgres)(?:\+[a-z0-9]+)?://"  # SQLAlchemy names a driver in the scheme
_HOST: Final = r"(?:[A-Za-z0-9_.%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?"


def read(env: Mapping[str, str], on_lambda: bool) -> str | None:
    """The DSN as libpq takes it; None: AWS stores. Raises SettingsError, which repeats nothing of a DSN."""
    text = env.get(VARIABLE, "").strip()
    if not text:
        return None
    if on_lambda:
        raise SettingsError(VARIABLE, "is not for Lambda: there the service stores in DynamoDB")
    if env.get("AWS_ENDPOINT_URL", "").strip():
        raise SettingsError(VARIABLE, "is in place of AWS: unset AWS_ENDPOINT_URL, or unset this")
    scheme = re.match(_DRIVER, text)
    if scheme is None:
        raise SettingsError(VARIABLE, "must begin with postgresql://, as in postgresql://user:password@host:5432/name")
    rest = text[scheme.end() :]
    hosts = rest.partition("?")[0].partition("/")[0].rpartition("@")[2]
    if any(re.fullmatch(_HOST, host) is None for host in hosts.split(",")):
        raise SettingsError(VARIABLE, "must name HOST:PORT after the @, several of them with commas between")
    return f"postgresql://{rest}"
