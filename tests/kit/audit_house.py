"""The API of a deployment that signs its audit, and the script that verifies it offline."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from chalicelib.engine import audit_keeping
from tests.kit.audits import TENANT, signing
from tests.kit.callers import Everybody, who
from tests.kit.house import House

SCRIPT = Path(__file__).parents[2] / "scripts" / "verify_audit.py"


class AuditHouse(House):
    """A deployment that signs."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.services = signing(self.services, directory)

    def entries(self, **query: Any) -> list[dict[str, Any]]:
        text = "&".join(f"{name}={value}" for name, value in query.items())
        answer = self.call("GET", "/api/v1/audit", query=text)
        assert answer.status == 200, answer.body
        items: list[dict[str, Any]] = answer.json["items"]
        return items

    def as_(self, subject: str, role: str, tenant: str = TENANT) -> AuditHouse:
        self.authenticator = Everybody(who(subject, role, tenant=tenant))
        return self

    def checkpoint(self) -> None:
        assert audit_keeping.sign_chain(self.services, TENANT) is not None

    def verdict(self) -> dict[str, Any]:
        answer = self.call("POST", "/api/v1/audit:verify")
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json
        return found


def offline(house: AuditHouse, tmp_path: Path, export: bytes, *options: str) -> tuple[int, str]:
    """What the script says of an export and the checkpoints, with no module of the product in reach."""
    assert house.services.signer is not None
    key = house.services.signer.sign(b"").public_key
    kept = tmp_path / "kept"
    kept.mkdir(exist_ok=True)
    for (_, count), document in house.services.checkpoints.documents.items():  # type: ignore[union-attr]
        (kept / f"{count}.json").write_text(document)
    file = tmp_path / "export.ndjson"
    file.write_bytes(export)
    command = [sys.executable, "-I", str(SCRIPT), str(file), "--checkpoints", str(kept)]
    done = subprocess.run(
        [*command, "--public-key", key, *options], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    return done.returncode, done.stdout + done.stderr
