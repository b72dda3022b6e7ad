"""Documents cannot rot: what exists has a line in them, and what they name exists."""

from __future__ import annotations

import re
import subprocess

import pytest

from chalicelib import settings
from chalicelib.core.security.permissions import PERMISSIONS, ROLES
from infra.state import state
from tests.tidy.sources import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
_PATH = re.compile(
    r"`((?:chalicelib|infra|localdev|container|config|deploy|scripts|tests|examples|docs|\.chalice)/[A-Za-z0-9_./-]*[A-Za-z0-9_])`"
)
OWNED = (
    "schedules:",
    "executions:",
    "workflows:",
    "triggers:",
    "monitors:",
    "notifications:",
)  # what single owners have
_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")


def test_every_setting_has_a_row_and_every_row_is_a_setting() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "configuration.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(settings.VARIABLES)


def test_every_dependency_has_a_row_that_says_why_and_every_row_is_a_dependency() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    section = text.partition("\n## Dependencies\n")[2].partition("\n## ")[0]
    parts = re.split(r"\(`(requirements[a-z-]*\.txt)`", section)[1:]
    shown = {
        name: re.findall(r"^\| `([\w-]+)` \| \S.* \|$", rows, re.MULTILINE)
        for name, rows in zip(parts[::2], parts[1::2], strict=True)
    }
    assert {name: sorted(rows) for name, rows in shown.items()} == {
        path.name: sorted(re.findall(r"^([\w-]+)(?:\[[\w-]+\])?==", path.read_text(), re.MULTILINE))
        for path in ROOT.glob("requirements*.txt")
    }


def test_the_teardown_deletes_every_table() -> None:
    teardown = (ROOT / "docs" / "deploy.md").read_text().partition("\n## Tearing down\n")[2].partition("\n## ")[0]
    (named,) = re.findall(r"for TABLE in ([a-z ]+); do\n    aws dynamodb update-table", teardown)
    assert named.split() == [table.logical for table in state("dev").tables]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_points_at_exists(document: object) -> None:
    text = document.read_text()  # type: ignore[attr-defined]
    folder = document.parent  # type: ignore[attr-defined]
    missing = [path for path in _PATH.findall(text) if not (ROOT / path).exists()]
    missing += [link for link in _LINK.findall(text) if not (folder / link).exists()]
    assert not missing


@pytest.mark.parametrize("name", ["dev", "test", "check", "package", "lock", "audit", "sbom"])
def test_scripts_are_short_and_documented(name: str) -> None:
    script = ROOT / "scripts" / name
    assert len(script.read_text().splitlines()) <= 20
    assert script.stat().st_mode & 0o111
    documents = "".join(path.read_text() for path in DOCUMENTS)
    assert f"scripts/{name}" in documents


def test_nothing_generated_is_committed() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not [path for path in listed if path.endswith((".pyc", ".zip")) or path.startswith((".venv", "build/"))]


def test_the_table_of_permissions_is_the_one_that_is_judged_by() -> None:
    text = (ROOT / "docs" / "security.md").read_text()
    rows = re.findall(r"^\| `([a-z:]+)` \| ([a-z]*) ?\| ([a-z]*) ?\| ([a-z]*) ?\| ([a-z]*) ?\|", text, re.MULTILINE)
    shown = {permission: dict(zip(ROLES, cells, strict=True)) for permission, *cells in rows}
    wanted = {}
    for permission in PERMISSIONS:
        owned = permission.startswith(OWNED)
        cells = {name: "yes" if permission in role.permissions else "" for name, role in ROLES.items()}
        wanted[permission] = {
            name: "own" if cell and owned and not ROLES[name].every_owner else cell for name, cell in cells.items()
        }
    assert shown == wanted
