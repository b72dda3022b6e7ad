"""docker-compose.yml: held to the schema of the Compose specification, and to what the product is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from chalicelib import settings
from container.__main__ import COMMANDS
from localdev.emulator import LAUNCHER

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SCHEMA = json.loads((Path(__file__).parent / "schemas" / "compose-spec.json").read_text())


def _problems(document: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in Draft7Validator(SCHEMA).iter_errors(document)]


def test_it_keeps_to_the_specification() -> None:
    assert _problems(FILE) == []
    wrong = json.loads(json.dumps(FILE))
    wrong["services"]["api"]["comand"] = []
    assert "comand" in _problems(wrong)[0]


def test_it_has_an_api_two_workers_an_emulator_and_what_looks_at_them() -> None:
    services = FILE["services"]
    assert set(services) == {
        "emulator", "init", "api", "worker", "lb", "prometheus", "grafana", "collector", "jaeger"
    }  # fmt: skip
    assert services["worker"]["deploy"]["replicas"] == 2
    for name in ("init", "api", "worker"):
        assert services[name]["command"] == [name]
        assert name in COMMANDS
        assert services[name]["read_only"]
        assert services[name]["cap_drop"] == ["ALL"]
    assert int(services["worker"]["stop_grace_period"].removesuffix("s")) > 10


def test_every_variable_is_a_setting_or_aws_s() -> None:
    names = FILE["x-chronowatch"]["environment"]
    assert not [n for n in names if n not in settings.VARIABLES and not n.startswith("AWS_")]
    for secret in ("CHRONO_BOOTSTRAP_KEY", "CHRONO_PAGE_TOKEN_SECRET"):
        assert re.fullmatch(rf"\$\{{{secret}:\?.+\}}", names[secret])  # no default that everybody knows


def test_credentials_that_are_set_to_nothing_leave_the_machine_s_role() -> None:
    names = FILE["x-chronowatch"]["environment"]
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert names[name].startswith(f"${{{name}-"), "with a colon, empty would be the default"


def test_nothing_is_open_to_other_machines() -> None:
    ports = [port for service in FILE["services"].values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_images_of_others_are_pinned_and_files_that_are_mounted_exist() -> None:
    for name, service in FILE["services"].items():
        image = service["image"]
        assert "build" in service or re.search(r":v?\d+\.\d+", image), name
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in FILE["volumes"] or (ROOT / source).is_file(), volume


@pytest.mark.parametrize("path", sorted((ROOT / "deploy" / "compose").rglob("*.yml")), ids=lambda path: path.name)
def test_configurations_are_yaml_that_names_services_of_the_file(path: Path) -> None:
    text = path.read_text()
    assert yaml.safe_load(text)
    hosts = re.findall(r"(?:http://|endpoint: )([a-z]+):\d+", text)
    assert set(hosts) <= set(FILE["services"])


def test_the_load_balancer_hides_what_is_for_operators() -> None:
    text = (ROOT / "deploy" / "compose" / "nginx.conf").read_text()
    assert re.search(r"location ~ \^/\(metrics\|debug\)\(/\|\$\) \{\s*return 404;", text)
    assert text.count("{") == text.count("}")


def test_the_emulator_s_image_starts_what_scripts_dev_starts() -> None:
    text = (ROOT / "Dockerfile").read_text()
    stage = text.partition("AS emulator")[2].partition("\nFROM ")[0]
    assert "PERSIST_STATE=1" in stage
    (copied,) = re.findall(r"^COPY (localdev/\S+) ", stage, re.MULTILINE)
    assert LAUNCHER in ROOT.glob(copied)
    assert f'"/opt/emulator/{LAUNCHER.name}"' in stage
