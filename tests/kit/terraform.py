"""Terraform for tests: offline, with the AWS provider that this machine has, against an emulator."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.programs import find

# Where providers lie that were put on a machine: Terraform's own places, its cache, and mirrors beside other software.
MIRRORS = ("~/.terraform.d/plugins", "/usr/local/share/terraform/plugins", "$TF_PLUGIN_CACHE_DIR", "/opt/*")
PROVIDER = "registry.terraform.io/hashicorp/aws"


def program() -> str:
    """Terraform itself; Debian has no package of it."""
    found = find("terraform")
    if found is None:
        pytest.skip("terraform is not on PATH: what it says of infra was not checked")
    return str(found)


def plugin_directory() -> Path:
    """The directory that holds the AWS provider. Skips where there is none: it is 700 MB, and no test fetches it."""
    for place in MIRRORS:
        pattern = os.path.expandvars(os.path.expanduser(place))
        for root in sorted(Path("/").glob(pattern.lstrip("/"))) if pattern.startswith("/") else ():
            if any((root / PROVIDER).glob("*/*/terraform-provider-aws*")):
                return root
    pytest.skip(f"Terraform's AWS provider is not on this machine (looked in {', '.join(MIRRORS)})")


@dataclass(frozen=True, slots=True)
class Terraform:
    """Terraform in one directory."""

    folder: Path
    env: dict[str, str]

    def run(self, *words: str, expected: tuple[int, ...] = (0,)) -> str:
        """What it prints."""
        command = [program(), *words, "-no-color"]
        ran = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        assert ran.returncode in expected, f"{' '.join(words)}: {ran.stdout[-3000:]}{ran.stderr[-3000:]}"
        return ran.stdout + ran.stderr

    def init(self) -> None:
        """With what is on this machine."""
        self.run("init", "-input=false", f"-plugin-dir={plugin_directory()}")

    def apply(self, *words: str, **variables: Any) -> str:
        """Without asking."""
        return self.run("apply", "-auto-approve", "-input=false", "-parallelism=30", *words, *_variables(variables))

    def outputs(self) -> dict[str, Any]:
        """The values of the outputs."""
        found = subprocess.run(
            [program(), "output", "-json"], cwd=self.folder, env=self.env, capture_output=True, check=True
        )
        return {name: each["value"] for name, each in json.loads(found.stdout).items()}


def _variables(variables: dict[str, Any]) -> list[str]:
    return [f"-var={name}={v if isinstance(v, str) else json.dumps(v)}" for name, v in variables.items()]


def environment(endpoint: str = "", **variables: str) -> dict[str, str]:
    """What Terraform sees: nobody's own configuration, and an endpoint that takes any credentials."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "AWS_", "CHRONO_"))}
    own = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "us-east-1"}
    own |= {"AWS_ENDPOINT_URL": endpoint, "AWS_EC2_METADATA_DISABLED": "true"} if endpoint else {}
    return {**kept, **own, "CHECKPOINT_DISABLE": "1", **{f"TF_VAR_{name}": v for name, v in variables.items()}}
