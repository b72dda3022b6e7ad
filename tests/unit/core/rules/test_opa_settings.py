"""The settings of an engine beside the service."""

from __future__ import annotations

import pytest

from chalicelib.core.errors import SettingsError
from chalicelib.core.rules.opa_settings import OpaSettings, read

URL = "CHRONO_OPA_URL"
PATH = "CHRONO_OPA_POLICY_PATH"


def test_there_is_none_unless_it_is_named() -> None:
    assert read({}) is None
    assert read({URL: " "}) is None


def test_what_is_named() -> None:
    assert read({URL: "http://127.0.0.1:8181/"}) == OpaSettings("http://127.0.0.1:8181", "chronowatch/allow")
    assert read({URL: "https://opa.internal/x", PATH: "a/b_c"}) == OpaSettings("https://opa.internal/x", "a/b_c")


@pytest.mark.parametrize(
    ("env", "variable"),
    [
        ({PATH: "a"}, PATH),
        ({URL: "127.0.0.1:8181"}, URL),
        ({URL: "http://"}, URL),
        ({URL: "http://u:p@h"}, URL),
        ({URL: "http://h?x=1"}, URL),
        ({URL: "http://h:x"}, URL),
        ({URL: "http://h", PATH: "/a"}, PATH),
        ({URL: "http://h", PATH: "a?b"}, PATH),
    ],
)
def test_what_is_wrong_is_named(env: dict[str, str], variable: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        read(env)
