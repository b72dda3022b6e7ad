"""The TypeScript client, as npm packs and installs it, against the product. Nothing here asks a registry."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

from chalicelib.core.targets import webhook_signature
from localdev import generate_clients
from tests.clients import generators
from tests.clients.chronosctl_calls import ROOT
from tests.clients.served import serve

pytestmark = pytest.mark.slow

SOURCE = ROOT / "clients" / "typescript"
DRIVER = Path(__file__).parent / "drivers" / "typescript_client.ts"
SECRET = "whsec_c2VjcmV0LW9mLXRoaXMtdGVzdA=="
PINNED = ("@hey-api/openapi-ts", "@types/node", "typescript")
CONFIG = {
    "compilerOptions": {
        "strict": True,
        "target": "ES2022",
        "module": "NodeNext",
        "lib": ["ES2022", "DOM", "DOM.Iterable"],
        "types": ["node"],
    },
    "files": ["driver.mts", "readme.mts"],
}
BLOCK = re.compile(r"^```ts\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What the reader of the README has already.
OF_THE_READER = """
const work = ['a', 'b'];
const storage = { write: async (chunk: string, how: { fencingToken: number; signal: AbortSignal }) => {
  console.log('wrote', chunk, how.fencingToken, how.signal.aborted);
} };
const writeReport = async (data: unknown, how: { fencingToken: number | null | undefined }) => {};
"""


def _signed(execution: str, token: int, n: int) -> dict[str, object]:
    """A delivery as the service signs it, now."""
    event = {
        "specversion": "1.0",
        "id": execution,
        "type": "chronowatch.firings.v1",
        "subject": "S",
        "time": "2026-11-27T02:00:00.000Z",
        "attempt": 1,
        "fencingtoken": token,
        "data": {"n": n},
    }
    body = json.dumps(event).encode()
    stamp = int(time.time())
    keys = webhook_signature.decode_secret(SECRET)
    signature = webhook_signature.sign(keys, execution, stamp, body, lambda key, message: b"")
    headers = {"webhook-id": execution, "webhook-timestamp": str(stamp), "webhook-signature": signature}
    return {"headers": headers, "body": body.decode()}


def _packed(modules: Path, folder: Path) -> Path:
    """The package, made by ``npm pack`` without a network, and installed beside what tests it."""
    source = folder / "source"
    ignored = shutil.ignore_patterns("node_modules", "dist", "generated", "openapi.json", "*.tgz")
    shutil.copytree(SOURCE, source, ignore=ignored)
    (source / "node_modules").symlink_to(modules)
    assert generate_clients.main(["--document", str(source / "openapi.json")]) == 0
    generators.run(["npm", "pack", "--offline", "--pack-destination", folder], source)
    [archive] = folder.glob("*.tgz")
    installed = folder / "node_modules" / "chronowatch"
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    installed.parent.mkdir()
    (folder / "package").rename(installed)
    return installed


def _readme(url: str) -> str:
    """The code of the README as it stands, but for the address."""
    blocks = BLOCK.findall((SOURCE / "README.md").read_text())
    assert len(blocks) == 3
    text = "\n".join([OF_THE_READER, *blocks])
    assert "http://127.0.0.1:8080" in text
    return text.replace("http://127.0.0.1:8080", url)


@pytest.mark.timeout(480)
def test_the_package_works_on_node_against_the_product(tmp_path: Path) -> None:
    modules = generators.node_modules()
    installed = _packed(modules, tmp_path)
    assert {path.name for path in installed.iterdir()} == {"dist", "README.md", "package.json"}
    (tmp_path / "node_modules" / "@types").symlink_to(modules / "@types")
    (tmp_path / "node_modules" / "undici-types").symlink_to(modules / "undici-types")
    shutil.copy(DRIVER, tmp_path / "driver.mts")
    (tmp_path / "tsconfig.json").write_text(json.dumps(CONFIG))
    with serve() as running:
        (tmp_path / "readme.mts").write_text(_readme(running.url))
        generators.run([modules / ".bin" / "tsc", "-p", tmp_path], tmp_path)
        secret = {**os.environ, "CHRONO_WEBHOOK_SECRET": SECRET}
        ran = subprocess.run(
            ["node", tmp_path / "readme.mjs"], env=secret, capture_output=True, text=True, timeout=100, check=False
        )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "night every day at 02:00 (Europe/Paris)\nwrote a 1 false\nwrote b 1 false\n"
    deliveries = [
        _signed("E1", 5, 1),
        _signed("E2", 7, 2),
        _signed("E0", 4, 0),
        _signed("E2", 7, 2),
        _signed("E3", 8, 3),
        _signed("E3", 9, 3),
    ]
    with serve() as running:
        words = ["node", tmp_path / "driver.mjs", running.url, SECRET, json.dumps(deliveries)]
        printed = json.loads(generators.run(words, tmp_path))
    assert printed == {
        "schedules": {
            "same": True,
            "taken": [409, "name_taken", 32],
            "names": ["other", "typed"],
            "gone": [404, "not_found"],
            "away": True,
        },
        "leases": {"tokens": [True, 1, True], "released": True, "lost": True},
        "receiving": {
            # it failed, is busy, is gone; then a newer one, its repeat, a stale one; a wrong signature, another body
            "statuses": [500, 503, "7", 410, 200, 204, 409, 401, 401, 405],
            "seen": [[2, 7]],
            "gateway": [204, 400],
            "accepted": [202, {"X-Chrono-Async": "true"}, 202],
            "alone": [1, 1],
        },
    }


def test_the_tools_are_pinned_to_what_is_tested() -> None:
    ours = json.loads((SOURCE / "package.json").read_text())["devDependencies"]
    tested = json.loads((Path(__file__).parent / "package.json").read_text())["devDependencies"]
    assert ours == {name: tested[name] for name in PINNED}
    lock = json.loads((SOURCE / "package-lock.json").read_text())
    assert [name for name, package in lock["packages"].items() if "resolved" in package] == []
    for name in PINNED:
        assert lock["packages"][f"node_modules/{name}"]["version"] == ours[name]
