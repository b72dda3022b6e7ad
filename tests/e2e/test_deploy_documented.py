"""docs/deploy.md, command by command, as somebody new walks through it: on the emulator, with the real aws command."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import vendor
from localdev.environments import TOOLS, ensure
from localdev.interpreters import LAMBDA, find
from tests.kit.account import left
from tests.kit.emulator import REGION, running_emulator
from tests.tidy.sources import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.long, pytest.mark.timeout(900)]
OTHER_WAY = "## Chalice's own deploy"
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def endpoint() -> Iterator[str]:
    with running_emulator() as found:
        yield found


def script(endpoint: str, by_chalice: bool) -> str:
    """The commands of the page in their order. What is this machine's is put in after them: its processor, and where
    an API answers on the emulator."""
    first, _, last = (ROOT / "docs" / "deploy.md").read_text().partition(OTHER_WAY)
    blocks = BLOCK.findall(first)
    assert len(blocks) >= 9
    if by_chalice:
        blocks = blocks[:1] + BLOCK.findall(last)
        assert len(blocks) == 6
    blocks[0] += f"ARCH={vendor.this_machine(LAMBDA).architecture}\n"
    (asks,) = [n for n, block in enumerate(blocks) if "ENDPOINT=" in block]
    api = "$(aws apigateway get-rest-apis --query 'items[0].id' --output text)"
    blocks[asks] += f"ENDPOINT={endpoint}/restapis/{api}/api/_user_request_\n"
    return "\n".join(f"echo '--- block {n + 1}'\n{block}" for n, block in enumerate(blocks))


def walk(endpoint: str, tmp_path: Path, by_chalice: bool = False) -> str:
    """Run the commands, in a directory that holds nothing of this account; what they print."""
    python = find(LAMBDA)
    if python is None:
        pytest.skip(f"python{LAMBDA} is not installed: what docs/deploy.md deploys cannot run here")
    ensure((TOOLS,))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "CHRONO_"))}
    env = {
        **kept,
        "PATH": f"{TOOLS.directory / 'bin'}:{Path(python).parent}:{kept['PATH']}",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_PAGER": "",
    }
    ran = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script(endpoint, by_chalice)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )
    assert ran.returncode == 0, f"{ran.stdout[-2500:]}\n{ran.stderr[-3500:]}"
    # A function that was at work when its stack went may have written its log once more, which makes the group anew.
    assert set(left(endpoint)) <= {"log groups"}
    return ran.stdout


def test_every_command_of_the_page_works(endpoint: str, tmp_path: Path) -> None:
    said = walk(endpoint, tmp_path)
    assert "restored 1 schedules: paused 1" in said
    assert "resumed 1 schedules" in said


def test_chalice_deploys_upgrades_and_deletes(endpoint: str, tmp_path: Path) -> None:
    """By its own command, with the stack beside it; a schedule fires in between."""
    shutil.rmtree(ROOT / "build" / "chalice", ignore_errors=True)
    said = walk(endpoint, tmp_path, by_chalice=True)
    assert said.count("Resources deployed:") == 2
    assert said.count("Creating lambda function: chronowatch-dev-deliver") == 1
    assert said.count("Updating lambda function: chronowatch-dev-deliver") == 1
    assert "Deleting Rest API:" in said
