"""``Sessions``: a bearer token or key sealed in a cookie, and the way to a token of the issuer.

The cookie holds the credential itself, which each call is judged by as if it had sent it. So a session ends when its
credential does, and nothing has to be stored or taken back. At the issuer people sign in by the authorization code flow
with PKCE (RFC 6749, RFC 7636, OpenID Connect Core 1.0, section 3.1). The code is changed for tokens here: no script of
a page ever sees one.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import urlencode

import msgspec
from msgspec import Struct

from chalicelib.adapters.http.fetch import Fetcher
from chalicelib.adapters.identity.jwks import DOCUMENT_MAX_BYTES, FETCH_TIMEOUT_S
from chalicelib.adapters.identity.session_cookies import CookieJar
from chalicelib.adapters.machine.system import random_bytes
from chalicelib.core.errors import InvalidField, NotSupported, Unauthorized, Unavailable
from chalicelib.core.security.caller import Caller
from chalicelib.core.security.jwt_settings import JwtSettings, discovery_url, url_problem
from chalicelib.core.security.session_settings import SessionSettings
from chalicelib.ports.clock import Clock
from chalicelib.ports.identity import Authenticator, Credentials
from chalicelib.ports.sessions import SentAway, SessionOpened

CALLBACK_PATH: Final = "/api/session/callback"
SESSION_MAX_S: Final = 30 * 86_400  # of a credential without an end; a browser forgets it by then
SIGN_IN_MAX_S: Final = 600  # how long a person may take at the issuer
DESCRIBED_S: Final = 300.0  # how long the issuer's description of itself is remembered


class KeptSession(Struct, array_like=True):
    """What a session's cookie holds. ``refresh`` is empty where the issuer gave no refresh token, or it is too long."""

    token: str
    refresh: str


class KeptSignIn(Struct, array_like=True):
    """What a browser takes along to the issuer."""

    state: str
    verifier: str
    nonce: str
    return_to: str
    until_ms: int


class Fetches(Protocol):
    """How documents are fetched: ``adapters.http.fetch.Fetcher``."""

    def get(self, url: str, accept: str) -> bytes: ...

    def post_form(self, url: str, fields: Mapping[str, str]) -> tuple[int, bytes]: ...


class CookieSessions:
    """Sessions of a deployment. ``issuer`` None: its tokens are not taken here."""

    def __init__(
        self,
        settings: SessionSettings,
        issuer: str | None,
        secret: str,
        authenticator: Callable[[], Authenticator],
        fetcher: Fetches,
        now_ms: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._issuer = issuer
        self._authenticator = authenticator
        self._fetcher = fetcher
        self._now_ms = now_ms
        self._sessions = CookieJar("chrono_session", secret, settings.secure, "Strict")
        # The issuer's page sends the browser back, which brings only what is Lax.
        self._sign_ins = CookieJar("chrono_sign_in", secret, settings.secure, "Lax")
        self._described: tuple[int, Mapping[str, Any]] | None = None

    def offers_issuer(self) -> bool:
        """As the port."""
        return self._settings.client_id is not None

    def origin(self) -> str | None:
        """As the port."""
        return self._settings.origin

    def token_of(self, cookies: str) -> str | None:
        """As the port."""
        kept = self._sessions.find(cookies, KeptSession)
        return None if kept is None else str(kept.token)

    def open(self, token: str, source_ip: str | None) -> SessionOpened:
        """As the port."""
        return self._kept(token, "", source_ip)

    def closed(self) -> str:
        """As the port."""
        return self._sessions.gone()

    def begin(self, return_to: str) -> SentAway:
        """As the port."""
        if self._settings.client_id is None:
            raise NotSupported.of("issuer", "CHRONO_OIDC_CLIENT_ID is not set: sign in with a token or a key")
        state, verifier, nonce = (_spelled(random_bytes(32)) for _ in range(3))
        kept = KeptSignIn(state, verifier, nonce, return_to, self._now_ms() + SIGN_IN_MAX_S * 1000)
        cookie = self._sign_ins.bake(kept, SIGN_IN_MAX_S)
        assert cookie is not None, "the API bounds return_to"
        asked = {
            "response_type": "code",
            "client_id": self._settings.client_id,
            "redirect_uri": self._redirect_uri(),
            "scope": self._settings.scopes,
            "state": state,
            "nonce": nonce,
            "code_challenge": _spelled(hashlib.sha256(verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        url = self._endpoint("authorization_endpoint")
        return SentAway(f"{url}{'&' if '?' in url else '?'}{urlencode(asked)}", cookie)

    def finish(self, cookies: str, state: str, code: str, source_ip: str | None) -> SentAway:
        """As the port."""
        kept = self._sign_ins.find(cookies, KeptSignIn)
        if kept is None or kept.until_ms < self._now_ms():
            raise Unauthorized("this sign-in was not begun in this browser, or took too long: begin anew")
        if not hmac.compare_digest(kept.state.encode(), state.encode()):
            raise Unauthorized("the answer of the issuer is to another sign-in: begin anew", code="wrong_state")
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": self._redirect_uri()}
        tokens = self._tokens(form | {"code_verifier": kept.verifier})
        identity = tokens.get("id_token")
        if not isinstance(identity, str) or _claims(identity).get("nonce") != kept.nonce:
            raise Unauthorized("the issuer's id_token is not of this sign-in", code="wrong_nonce")
        return SentAway(kept.return_to, self._of_issuer(tokens, source_ip).cookie)

    def refresh(self, cookies: str, source_ip: str | None) -> SessionOpened:
        """As the port."""
        kept = self._sessions.find(cookies, KeptSession)
        if kept is None or not kept.refresh:
            raise Unauthorized("this session cannot be refreshed: sign in anew")
        tokens = self._tokens({"grant_type": "refresh_token", "refresh_token": kept.refresh})
        return self._of_issuer({"refresh_token": kept.refresh, **tokens}, source_ip)

    def _of_issuer(self, tokens: Mapping[str, Any], source_ip: str | None) -> SessionOpened:
        """The access token where it is one for this service, else the id_token."""
        refresh = tokens.get("refresh_token")
        refused: Unauthorized | None = None
        for name in ("access_token", "id_token"):
            token = tokens.get(name)
            if not isinstance(token, str) or token.count(".") != 2:
                continue
            try:
                return self._kept(token, refresh if isinstance(refresh, str) else "", source_ip)
            except Unauthorized as error:
                refused = error
        raise refused or Unauthorized("the issuer gave no token for this service")

    def _kept(self, token: str, refresh: str, source_ip: str | None) -> SessionOpened:
        caller = self._authenticator().authenticate(Credentials(f"Bearer {token}", source_ip))
        max_age_s = SESSION_MAX_S if refresh else self._left_s(caller)
        for kept in (KeptSession(token, refresh), KeptSession(token, "")):
            cookie = self._sessions.bake(kept, max_age_s)
            if cookie is not None:
                return SessionOpened(caller, cookie)
        raise InvalidField.of("token", "is too long for a cookie: have the issuer put fewer claims into it")

    def _left_s(self, caller: Caller) -> int:
        if caller.expires_at_ms is None:
            return SESSION_MAX_S
        return max(0, min(SESSION_MAX_S, (caller.expires_at_ms - self._now_ms()) // 1000))

    # -- the issuer

    def _redirect_uri(self) -> str:
        return f"{self._settings.origin}{CALLBACK_PATH}"

    def _tokens(self, form: Mapping[str, str]) -> Mapping[str, Any]:
        client = {"client_id": self._settings.client_id or ""}
        if self._settings.client_secret is not None:
            client["client_secret"] = self._settings.client_secret
        status, body = self._fetcher.post_form(self._endpoint("token_endpoint"), {**form, **client})
        found = _object(body)
        if status == 200 and found is not None:
            return found
        if status >= 500 or found is None:
            raise Unavailable(f"the issuer answered {status} where tokens were expected")
        raise Unauthorized(f"the issuer refused the sign-in: {str(found.get('error'))[:100]}", code="issuer_refused")

    def _endpoint(self, name: str) -> str:
        url = self._description().get(name)
        if not isinstance(url, str) or url_problem(url) is not None:
            raise Unavailable(f"the issuer's description of itself has no usable {name}")
        return url

    def _description(self) -> Mapping[str, Any]:
        now_ms = self._now_ms()
        if self._described is not None and 0 <= now_ms - self._described[0] < DESCRIBED_S * 1000:
            return self._described[1]
        found = _object(self._fetcher.get(discovery_url(self._issuer or ""), "application/json"))
        if found is None or found.get("issuer") != self._issuer:
            raise Unavailable("the issuer's description of itself is of another issuer, or no JSON")
        self._described = (now_ms, found)
        return found


def make(
    settings: SessionSettings,
    jwt: JwtSettings | None,
    secret: str,
    authenticator: Callable[[], Authenticator],
    clock: Clock,
) -> CookieSessions:
    """The sessions of a deployment; fetches nothing."""
    fetcher = Fetcher(
        lambda: clock.read().monotonic_nanos / 1e9, timeout_s=FETCH_TIMEOUT_S, max_bytes=DOCUMENT_MAX_BYTES
    )
    issuer = None if jwt is None else jwt.issuer
    return CookieSessions(settings, issuer, secret, authenticator, fetcher, clock.now_ms)


def _object(body: bytes) -> Mapping[str, Any] | None:
    try:
        found = msgspec.json.decode(body)
    except msgspec.DecodeError:
        return None
    return found if isinstance(found, dict) else None


def _claims(token: str) -> Mapping[str, Any]:
    """What a token says. It came from the issuer's token endpoint over TLS, so its nonce needs no signature: OpenID
    Connect Core 1.0, section 3.1.3.7, 6. The token that the session is judged by is verified."""
    parts = token.split(".")
    try:
        raw = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
    except (IndexError, ValueError):
        return {}
    return _object(raw) or {}


def _spelled(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
