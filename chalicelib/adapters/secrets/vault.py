"""Secrets of Vault (and OpenBao): the KV engine, version 2, by HTTP.

One GET with a token is all that a secret takes, so there is no client library. The token is given, or had by AppRole.
It is renewed at half of its life, by the next reading; one of AppRole that ended is had anew.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

from chalicelib.adapters.http.answer import HttpAnswer
from chalicelib.adapters.http.client import NoAnswer
from chalicelib.core.secrets.limits import OVERLAP_MS
from chalicelib.core.secrets.secret_ref import VAULT_FIELD_DEFAULT, SecretRef
from chalicelib.core.secrets.secret_settings import VaultSettings
from chalicelib.ports.secrets import SecretAway, SecretMissing

log = logging.getLogger(__name__)

RENEW_AT = 0.5  # of a token's life
_BUSY = frozenset({412, 429, 472, 473})  # a standby that lags, too many calls, a standby that does not serve


class VaultHttp(Protocol):
    """``adapters.http.client.HttpClient``."""

    def call(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> HttpAnswer:
        """One exchange. Raises NoAnswer."""
        ...


class VaultStore:
    """``vault:MOUNT/data/NAME#field``. The version before the newest is live while the newest is younger than a day."""

    def __init__(
        self, http: VaultHttp, settings: VaultSettings, *, monotonic_s: Callable[[], float], now_ms: Callable[[], int]
    ) -> None:
        self._http = http
        self._settings = settings
        self._monotonic_s = monotonic_s
        self._now_ms = now_ms
        self._lock = threading.Lock()
        self._token: str | None = None
        self._renew_s = 0.0  # when the token has lived half of its life
        self._end_s = float("inf")
        self._renewable = False

    def read(self, ref: SecretRef) -> tuple[str, ...]:
        """The newest version's field, then that of the version before. Raises SecretMissing, SecretAway."""
        newest = self._version(ref, "")
        assert newest is not None
        values = [_field(ref, newest)]
        about = newest.get("metadata") or {}
        number = about.get("version")
        if isinstance(number, int) and number > 1 and self._now_ms() - _created_ms(about) < OVERLAP_MS:
            before = self._version(ref, f"?version={number - 1}")
            if before is not None:
                try:
                    values.append(_field(ref, before))
                except SecretMissing:  # it had other fields then
                    log.info("the version before the newest of vault:%s has no such field", ref.name)
        return tuple(values)

    def _version(self, ref: SecretRef, query: str) -> dict[str, Any] | None:
        """What Vault has of a version; None when a version before the newest is gone."""
        path = f"/v1/{ref.name}{query}"
        answer = self._get(path)
        if answer.status == 404:
            if query:
                return None
            raise SecretMissing(f"vault:{ref.name} is not there, or its newest version was deleted")
        data = _parsed(answer, path).get("data")
        if not isinstance(data, dict) or not isinstance(data.get("data"), dict):
            raise SecretMissing(f"vault:{ref.name} is no secret of KV version 2: the path is MOUNT/data/NAME")
        return data

    def _get(self, path: str) -> HttpAnswer:
        answer = self._call("GET", path, token=self._live_token())
        if answer.status == 403 and self._settings.role_id is not None:
            with self._lock:
                self._token = None  # revoked before its time: had anew, once
            answer = self._call("GET", path, token=self._live_token())
        if answer.status == 403:
            raise SecretMissing(f"Vault refuses {path}: its policy does not allow it, or the token has ended")
        return answer

    # -- the token

    def _live_token(self) -> str:
        with self._lock:
            now_s = self._monotonic_s()
            if self._token is not None and now_s < self._renew_s:
                return self._token
            by_role = self._settings.role_id is not None
            if self._token is None or (by_role and (not self._renewable or now_s >= self._end_s)):
                self._log_in()
            elif self._renewable:
                self._renew()
            assert self._token is not None
            return self._token

    def _log_in(self) -> None:
        """A token of AppRole, or the given one with what Vault says of its life."""
        given = self._settings
        if given.role_id is None:
            assert given.token is not None, "settings have a token or a role"
            self._token = given.token
            answer = self._call("GET", "/v1/auth/token/lookup-self", token=given.token)
            # Its policy may not let it ask. Then the token is used until Vault refuses it.
            found = _parsed(answer, "lookup-self").get("data") or {} if answer.status == 200 else {}
            self._live_for(found.get("ttl"), found.get("renewable"))
            return
        body = json.dumps({"role_id": given.role_id, "secret_id": given.secret_id or ""}).encode()
        answer = self._call("POST", "/v1/auth/approle/login", body=body)
        if answer.status in (400, 403):
            raise SecretMissing("Vault refuses the AppRole: check CHRONO_VAULT_ROLE_ID and CHRONO_VAULT_SECRET_ID")
        self._take(_parsed(answer, "the login by AppRole").get("auth"))

    def _renew(self) -> None:
        answer = self._call("POST", "/v1/auth/token/renew-self", token=self._token, body=b"{}")
        if answer.status == 200:
            self._take(_parsed(answer, "renew-self").get("auth"))
        elif self._settings.role_id is not None:
            self._log_in()
        else:
            log.warning("Vault does not renew the token (%d); it is used until it ends", answer.status)
            self._live_for(None, False)

    def _take(self, auth: Any) -> None:
        if not isinstance(auth, dict) or not isinstance(auth.get("client_token"), str):
            raise SecretAway("Vault's answer to a login has no token")
        self._token = auth["client_token"]
        self._live_for(auth.get("lease_duration"), auth.get("renewable"))

    def _live_for(self, life_s: Any, renewable: Any) -> None:
        """A life of 0 or an unknown one has no end that could be met."""
        endless = not isinstance(life_s, int) or life_s <= 0
        now_s = self._monotonic_s()
        self._renewable = bool(renewable)
        self._renew_s = float("inf") if endless else now_s + life_s * RENEW_AT
        self._end_s = float("inf") if endless else now_s + life_s

    def _call(self, method: str, path: str, *, token: str | None = None, body: bytes = b"") -> HttpAnswer:
        headers = {"Accept": "application/json", "X-Vault-Request": "true"}
        if self._settings.namespace:
            headers["X-Vault-Namespace"] = self._settings.namespace
        if token is not None:
            headers["X-Vault-Token"] = token
        try:
            answer = self._http.call(method, path, headers, body)
        except NoAnswer as error:
            raise SecretAway(f"Vault does not answer: {error}") from None
        if answer.status >= 500 or answer.status in _BUSY:
            raise SecretAway(f"Vault answers {answer.status} (sealed, busy or broken)")
        if 300 <= answer.status < 400:
            raise SecretMissing("Vault redirects to another server: CHRONO_VAULT_ADDR must name the active one")
        return answer


def _parsed(answer: HttpAnswer, what: str) -> dict[str, Any]:
    if answer.status >= 400:
        raise SecretMissing(f"Vault answers {answer.status} to {what}")
    try:
        found = json.loads(answer.body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise SecretAway(f"Vault's answer to {what} is no JSON object")
    return found


def _field(ref: SecretRef, version: Mapping[str, Any]) -> str:
    fields = version["data"]
    name = ref.field or (next(iter(fields)) if len(fields) == 1 else VAULT_FIELD_DEFAULT)
    value = fields.get(name)
    if not isinstance(value, str) or not value:
        raise SecretMissing(f"vault:{ref.name} has no text in the field {name!r}: name one by #FIELD")
    return value


def _created_ms(about: Mapping[str, Any]) -> int:
    """When a version was made; long ago when Vault does not say. Vault writes nanoseconds, Python reads micro."""
    text = str(about.get("created_time", ""))
    whole, _, rest = text.rstrip("Z").partition(".")
    try:
        moment = datetime.fromisoformat(f"{whole}.{rest[:6]:0<6}+00:00" if rest else f"{whole}+00:00")
    except ValueError:
        return 0
    return int(moment.timestamp() * 1000)
