"""An issuer of JSON Web Tokens: real keys, and a real HTTP server on loopback for its documents."""

from __future__ import annotations

import base64
import json
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from joserfc import jwk
from joserfc.errors import SecurityWarning
from joserfc.jws import JWSRegistry

AUDIENCE = "chronowatch"
_KINDS: dict[str, tuple[str, Any]] = {
    "RS": ("RSA", 2048),
    "PS": ("RSA", 2048),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "Ed": ("OKP", "Ed25519"),
}
_made: dict[tuple[str, Any, int], Any] = {}


def key(alg: str, number: int = 0, size: Any = None) -> Any:
    """A key for ``alg``, the same one at every call: an RSA key takes long to make."""
    kty, usual = next(kind for prefix, kind in _KINDS.items() if alg.startswith(prefix))
    wanted = (kty, size or usual, number)
    if wanted not in _made:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SecurityWarning)  # weak keys are made on purpose
            _made[wanted] = jwk.generate_key(kty, wanted[1], private=True)
    return _made[wanted]


def public(signing: Any, kid: str | None, **fields: Any) -> dict[str, Any]:
    """The key as an issuer publishes it."""
    found = {name: value for name, value in signing.as_dict(private=False).items() if name != "kid"}
    return {**found, **({} if kid is None else {"kid": kid}), **fields}


def encode(value: bytes | Mapping[str, Any]) -> str:
    """Base64url, of JSON when it is none yet."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: bytes | Mapping[str, Any], claims: bytes | Mapping[str, Any], signing: Any, alg: str) -> str:
    """A token with this very header and these very claims, signed with ``alg`` whatever they say."""
    text = f"{encode(header)}.{encode(claims)}"
    algorithm = JWSRegistry.algorithms["Ed25519" if alg == "EdDSA" else alg]
    return f"{text}.{encode(algorithm.sign(text.encode(), signing))}"


class Issuer:
    """What it publishes may be changed at any time; ``asked`` counts who came for it, path by path."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys = [public(key("ES256"), "first")]
        self.status = 200
        self.body: bytes | None = None
        self.described: dict[str, Any] = {
            "issuer": url,
            "jwks_uri": f"{url}/keys",
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
        }
        self.gives: Callable[[dict[str, str]], tuple[int, dict[str, Any]]] = lambda _: (400, {"error": "invalid_grant"})
        self.asked: list[str] = []

    @property
    def key_fetches(self) -> int:
        return self.asked.count("/keys")

    def token(
        self,
        now_ms: int,
        *,
        alg: str = "ES256",
        kid: str | None = "first",
        signing: Any = None,
        header: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A token as the issuer makes them; a claim or header that is None is left out."""
        now_s = now_ms // 1000
        said = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "exp": now_s + 600, "roles": ["user"], **claims}
        head = {"alg": alg, "typ": "JWT", "kid": kid, **(header or {})}
        return signed(
            {name: value for name, value in head.items() if value is not None},
            {name: value for name, value in said.items() if value is not None},
            signing or key(alg),
            alg,
        )

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        if self.status != 200 or self.body is not None:
            return self.status, self.body or b"{}"
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps(self.described).encode()
        return (200, json.dumps({"keys": self.keys}).encode()) if path == "/keys" else (404, b"")


@contextmanager
def running() -> Iterator[Issuer]:
    """An issuer until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = issuer.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            issuer.asked.append(self.path)
            status, given = issuer.gives(form)
            body = json.dumps(given).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = Issuer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="issuer")
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
