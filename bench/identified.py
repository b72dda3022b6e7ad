"""What a function of the API must load before it knows its first caller, by the kind of credentials.

An issuer of tokens and a table without keys answer on loopback, in this process. So the whole way is taken: the key is
looked up, the issuer's keys are fetched, and the signature is verified.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from chalicelib.core.keys import key_text

AUDIENCE = "chronowatch"
_ALG = "ES256"

# A key that no table holds costs what a good one does: one read, one hash, one comparison.
_FIRST_CALLER = """
from chalicelib.core.errors import Unauthorized
from chalicelib.ports.identity import Credentials
try:
    known = bootstrap.authenticator().authenticate(Credentials({authorization!r}, "127.0.0.1")).subject
except Unauthorized:
    known = ""
assert known == {subject!r}, known
"""


class Mode(NamedTuple):
    """What a function runs after its start, and the variables of its deployment."""

    code: str
    env: Mapping[str, str]


@contextmanager
def modes() -> Iterator[dict[str, Mode]]:
    """By the setting of CHRONO_AUTH; good until the block ends."""
    from joserfc import jwk, jwt

    signing = jwk.generate_key("EC", "P-256", private=True)
    published = {"keys": [{**signing.as_dict(private=False), "kid": "bench", "alg": _ALG}]}
    with _answering(published) as url:
        claims = {"iss": url, "aud": AUDIENCE, "sub": "ann", "roles": ["user"], "exp": int(time.time()) + 3600}
        token = jwt.encode({"alg": _ALG, "kid": "bench"}, claims, signing)
        key = key_text.compose(key_text.derived_id("bench", 0), 7)
        endpoint = {"AWS_ENDPOINT_URL": url, "CHRONO_STAGE": "bench"}
        issuer = {"CHRONO_JWT_ISSUER": url, "CHRONO_JWT_AUDIENCE": AUDIENCE}
        yield {
            "off": _mode(None, "anonymous", {**endpoint, "CHRONO_AUTH": "off", "CHRONO_PAGE_TOKEN_SECRET": "b" * 32}),
            "apikey": _mode(f"Bearer {key}", "", {**endpoint, "CHRONO_AUTH": "apikey"}),
            "jwt": _mode(f"Bearer {token}", "ann", {**endpoint, **issuer, "CHRONO_AUTH": "jwt"}),
        }


def _mode(authorization: str | None, subject: str, env: Mapping[str, str]) -> Mode:
    return Mode(_FIRST_CALLER.format(authorization=authorization, subject=subject), env)


@contextmanager
def _answering(published: Mapping[str, Any]) -> Iterator[str]:
    """The address of what is an issuer to a GET, and an empty table to a POST."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(published if self.path == "/keys" else {"issuer": url, "jwks_uri": f"{url}/keys"})

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self._answer({"Items": [], "Count": 0, "ScannedCount": 0})

        def _answer(self, document: Mapping[str, Any]) -> None:
            content = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield url
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
