"""``scripts/generate-clients``: what the Python client and chronosctl know of the API, from its OpenAPI document."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chalicelib.api.http import openapi
from chalicelib.api.http.routes import table
from infra.given_paths import from_caller
from localdev import client_models, client_resources, client_table

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "clients" / "python" / "src"


class GenerationFailed(Exception):
    """Raised when what was made cannot be formatted: it is no Python."""


def document() -> dict[str, Any]:
    """The document of the product as it stands."""
    return openapi.document(table().operations)


def made(found: dict[str, Any]) -> dict[str, str]:
    """The files by their path under ``SOURCES``. Raises GenerationFailed."""
    entries = client_table.entries(found)
    return {
        "chronosctl/operations.json": command_table(entries),
        "chronowatch/models.py": _formatted(client_models.module(found, entries)),
        "chronowatch/resources.py": _formatted(client_resources.module(entries, asynchronous=False)),
        "chronowatch/async_resources.py": _formatted(client_resources.module(entries, asynchronous=True)),
    }


def command_table(entries: Sequence[client_table.Entry]) -> str:
    """What chronosctl reads: one line an operation, so that a change of one is seen as that."""
    lines = [json.dumps(_command(each), ensure_ascii=False, separators=(",", ":")) for each in entries]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def _command(e: client_table.Entry) -> dict[str, Any]:
    said = {
        "noun": e.noun,
        "verb": e.verb,
        "id": e.id,
        "method": e.method,
        "path": e.path,
        "summary": e.summary,
        "description": e.description,
        "arguments": [each.name for each in e.path_fields],
        "query": [_field(each) for each in e.query if each.name != "page_token"],
        "body": [_field(each) for each in e.body],
        "body_list": e.body_list,
        "has_body": e.has_body,
        "keyed": e.keyed,
        "guarded": e.guarded,
        "paged": e.item is not None,
        "listed": e.listed and e.item is None,
        "by_position": e.by_position,
        "text": e.is_text,
        "unsafe": not e.safe,
    }
    return {name: value for name, value in said.items() if value not in (False, "", [])}


def _field(f: client_table.Field) -> dict[str, Any]:
    said = {
        "name": f.name,
        "kind": f.kind,
        "required": f.required,
        "nullable": f.nullable,
        "choices": f.bare.get("enum", []),
        "help": f.said,
    }
    return {name: value for name, value in said.items() if value not in (False, "", [])}


def _formatted(text: str) -> str:
    program = [sys.executable, "-m", "ruff"]
    for step in (["check", "--fix", "--select", "I,F401", "--quiet", "-"], ["format", "--quiet", "-"]):
        ran = subprocess.run(  # noqa: S603
            [*program, *step], input=text, capture_output=True, text=True, cwd=ROOT / "clients/python", check=False
        )
        if ran.returncode != 0:
            raise GenerationFailed(ran.stderr or ran.stdout)
        text = ran.stdout
    return text


def main(arguments: Sequence[str]) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser("scripts/generate-clients", description=__doc__)
    parser.add_argument(
        "--check", action="store_true", help="write nothing: say which files are stale, and fail if any is"
    )
    parser.add_argument(
        "--document", metavar="FILE", type=Path, help="only write the document, which the TypeScript client is made of"
    )
    said = parser.parse_args(arguments)
    if said.document is not None:
        from_caller(said.document).write_text(json.dumps(document(), ensure_ascii=False, indent=1) + "\n")
        return 0
    check = said.check
    try:
        fresh = made(document())
    except GenerationFailed as failed:
        print(f"scripts/generate-clients: {failed}", file=sys.stderr)
        return 1
    stale = [name for name, text in fresh.items() if not (SOURCES / name).is_file() or _read(name) != text]
    if check:
        print(*(f"{name} is not what the API makes" for name in stale), sep="\n", end="\n" if stale else "")
        return int(bool(stale))
    for name in stale:
        (SOURCES / name).write_text(fresh[name])
    return 0


def _read(name: str) -> str:
    return (SOURCES / name).read_text()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
