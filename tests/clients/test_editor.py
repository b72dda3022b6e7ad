"""A file of schedules in an editor: yaml-language-server finds what is wrong by the schema that the product serves."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tests.clients import generators
from tests.clients.served import serve

pytestmark = pytest.mark.slow

FILE = """# yaml-language-server: $schema={url}/schemas/schedules.json
version: 1
schedules:
  - name: night
    type: CRON
    expr: "0 2 * * *"
    timezone: Europe/Paris
    target: {{type: log}}
    tags: [a]
"""
WRONG = """  - name: typo
    type: CRON
    expres: "0 2 * * *"
  - name: form
    type: RATE
    expr: "0 2 * * *"
  - type: RATE
    expr: rate:5m
  - name: word
    type: RATE
    expr: rate:5m
    overlap: never
"""


def test_an_editor_marks_typos_and_takes_what_is_right(tmp_path: Path) -> None:
    server = generators.node_modules() / ".bin" / "yaml-language-server"
    with serve() as running:
        right = FILE.format(url=running.url)
        assert _marks(server, tmp_path, right) == []
        marks = _marks(server, tmp_path, right + WRONG)
    lines = (right + WRONG).splitlines()
    said = {(lines[mark["range"]["start"]["line"]].strip(), mark["message"]) for mark in marks}
    found = " ".join(f"{line}: {message}" for line, message in sorted(said))
    for word in ("expres", 'Missing property "expr"', '"^rate:"', 'Missing property "name"', '"allow"'):
        assert word in found, found


def _marks(server: Path, folder: Path, text: str) -> list[Any]:
    """What the editor underlines in a file."""
    document = {"uri": f"file://{folder}/schedules.yaml", "languageId": "yaml", "version": 1, "text": text}
    with subprocess.Popen([server, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            _send(child.stdin, {"id": 1, "method": "initialize", "params": {"processId": None, "capabilities": {}}})
            _answer(child.stdout, lambda message: message.get("id") == 1)
            _send(child.stdin, {"method": "initialized", "params": {}})
            settings = {"yaml": {"validate": True, "schemaStore": {"enable": False}}}
            _send(child.stdin, {"method": "workspace/didChangeConfiguration", "params": {"settings": settings}})
            _send(child.stdin, {"method": "textDocument/didOpen", "params": {"textDocument": document}})
            named = "textDocument/publishDiagnostics"
            told = _answer(child.stdout, lambda message: message.get("method") == named)
            found: list[Any] = told["params"]["diagnostics"]
            return found
        finally:
            child.kill()


def _send(to: BinaryIO | Any, message: dict[str, Any]) -> None:
    body = json.dumps({"jsonrpc": "2.0", **message}).encode()
    to.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    to.flush()


def _answer(source: Any, wanted: Any) -> dict[str, Any]:
    while True:
        length = 0
        while line := source.readline().strip():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        message: dict[str, Any] = json.loads(source.read(length))
        if wanted(message):
            return message
