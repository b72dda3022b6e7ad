"""What is shipped is known: the document, the licences, and the packages that have them."""

from __future__ import annotations

import json
from email.message import Message
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from infra.sbom import ALLOWED, Shipped, document, is_allowed, licence_of, main, shipped, table
from localdev.locks import LAYERED, SHIPPED, locked

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def packages() -> list[Shipped]:
    return shipped()


def test_the_document_is_what_cyclonedx_says(packages: list[Shipped], tmp_path: Path) -> None:
    assert main(["--out", str(tmp_path / "a.json")]) == 0
    assert main(["--out", str(tmp_path / "b.json")]) == 0
    text = (tmp_path / "a.json").read_text()
    assert text == (tmp_path / "b.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text.replace("CycloneDX", "Other")) is not None


def test_it_names_every_package_of_the_zip_and_the_half_of_chalice_that_runs(packages: list[Shipped]) -> None:
    made = json.loads(json.dumps(document(packages)))
    named = {c["name"]: c["version"] for c in made["components"]}
    wanted = {k: v for lock in (SHIPPED, *LAYERED) for k, v in locked(lock.path.read_text()).items()}
    assert {"boto3", "cryptography"} <= set(wanted)
    assert named == wanted | {"chalice": named["chalice"]}
    purls = {c["purl"] for c in made["components"]}
    assert all(set(d["dependsOn"]) <= purls for d in made["dependencies"])
    (boto,) = [d["dependsOn"] for d in made["dependencies"] if d["ref"].startswith("pkg:pypi/boto3@")]
    assert [purl.partition("@")[0] for purl in boto] == [
        "pkg:pypi/botocore",
        "pkg:pypi/jmespath",
        "pkg:pypi/s3transfer",
    ]
    assert all(package.hashes for package in packages)


def test_every_licence_may_be_shipped_and_is_listed(packages: list[Shipped]) -> None:
    assert not [f"{p.name}: {p.licence}" for p in packages if not is_allowed(p.licence)]
    assert table(packages) in (ROOT / "docs" / "licences.md").read_text()


@pytest.mark.parametrize(
    ("licence", "allowed"),
    [
        ("MIT", True),
        ("MIT OR GPL-3.0-only", True),
        ("(MIT AND Apache-2.0)", True),
        ("MIT AND GPL-3.0-only", False),
        ("GPL-3.0-only", False),
        ("not stated", False),
        ("", False),
    ],
)
def test_what_may_be_shipped(licence: str, allowed: bool) -> None:
    assert is_allowed(licence) is allowed
    assert is_allowed("Apache-2.0") is ("Apache-2.0" in ALLOWED)


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ({"License-Expression": "0BSD"}, "0BSD"),
        ({"License": "MIT License"}, "MIT"),
        ({"Classifier": "License :: OSI Approved :: Apache Software License"}, "Apache-2.0"),
        ({"License": "Commercial\nAll rights reserved"}, "Commercial"),
        ({}, "not stated"),
    ],
)
def test_licences_are_read_from_what_packages_say(fields: dict[str, str], licence: str) -> None:
    described = Message()
    for name, value in fields.items():
        described[name] = value
    assert licence_of(described) == licence
