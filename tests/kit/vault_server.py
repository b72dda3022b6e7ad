"""A Vault on a real socket: KV version 2, tokens that end, AppRole. As much of its API as the adapter meets."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

ROLE = {"role_id": "the-role", "secret_id": "the-secret-id"}


@dataclass
class Vault:
    """What it holds, and what it was asked. ``down`` answers every call with this status."""

    secrets: dict[str, list[dict[str, str]]] = field(default_factory=dict)
    created: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.123456789Z"))
    tokens: dict[str, int] = field(default_factory=lambda: {"root": 0})  # by their life in seconds
    renewable: bool = True
    namespace: str = ""
    down: int = 0
    asked: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, headers: Any, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        url = urlsplit(path)
        self.asked.append(f"{method} {path}")
        if self.down:
            return self.down, {"errors": ["Vault is sealed"]}
        if (headers.get("X-Vault-Namespace") or "") != self.namespace:
            return 404, {"errors": []}
        if url.path == "/v1/auth/approle/login":
            return self._login(body)
        token = headers.get("X-Vault-Token")
        if token not in self.tokens:
            return 403, {"errors": ["permission denied"]}
        if url.path == "/v1/auth/token/lookup-self":
            return 200, {"data": {"ttl": self.tokens[token], "renewable": self.renewable, "id": token}}
        if url.path == "/v1/auth/token/renew-self":
            auth = {"client_token": token, "lease_duration": self.tokens[token], "renewable": self.renewable}
            return (200, {"auth": auth}) if self.renewable else (400, {"errors": ["not renewable"]})
        return self._secret(url.path.removeprefix("/v1/"), parse_qs(url.query))

    def _login(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if body != ROLE:
            return 400, {"errors": ["invalid role or secret ID"]}
        token = f"by-role-{len(self.asked)}"
        self.tokens[token] = 100
        return 200, {"auth": {"client_token": token, "lease_duration": 100, "renewable": self.renewable}}

    def _secret(self, path: str, query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        if path.startswith("plain/"):
            return 200, {"data": {"value": "of version 1"}}
        versions = self.secrets.get(path, [])
        number = int(query["version"][0]) if "version" in query else len(versions)
        if not 1 <= number <= len(versions) or not versions[number - 1]:
            return 404, {"errors": []}
        metadata = {"version": number, "created_time": self.created, "destroyed": False}
        return 200, {"data": {"data": versions[number - 1], "metadata": metadata}}


class VaultServer:
    """Serves a ``Vault`` on loopback."""

    def __init__(self) -> None:
        self.vault = vault = Vault()

        class Handler(BaseHTTPRequestHandler):
            def _handle(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, answer = vault.answer(self.command, self.path, self.headers, json.loads(raw or b"{}"))
                text = json.dumps(answer).encode()
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", "http://127.0.0.1:1/")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = _handle

            def log_message(self, *_: object) -> None:
                """Quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
