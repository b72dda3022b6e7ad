"""The key that the settings give: an admin of the default tenant for as long as it is set."""

from __future__ import annotations

from chalicelib.core.keys import key_text
from chalicelib.core.keys.key_caller import bootstrap_caller, is_bootstrap
from chalicelib.core.security.caller import Caller


class BootstrapKey:
    """Knows the key by its hash, so that nothing that is printed of this can show it."""

    def __init__(self, text: str) -> None:
        self._sha256 = key_text.sha256(text)

    def judge(self, token: str) -> Caller | None:
        """Who asks with this token; None when it is another one. Compared in constant time."""
        return bootstrap_caller() if key_text.is_same(token, self._sha256) else None

    def made(self, caller: Caller) -> bool:
        """Whether the caller came with it."""
        return is_bootstrap(caller)
