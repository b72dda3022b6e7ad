"""The API's policy under ``--tenant-tags``, as it is rendered, judged as IAM would."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from infra.package import PackageFailed, package
from infra.tenant_keys import TAG

pytestmark = pytest.mark.slow
TABLE = "arn:aws:dynamodb:eu-west-1:1:table/chronowatch-prod-schedules"


@pytest.fixture(scope="module")
def resources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = package("prod", "cloudformation", tmp_path_factory.mktemp("package") / "out", tenant_tags=True)
    found: dict[str, Any] = json.loads(made.template.read_text())["Resources"]
    return found


def statements(resources: dict[str, Any], function: str) -> list[dict[str, Any]]:
    role = resources[function]["Properties"]["Role"]["Fn::GetAtt"][0]
    (policy,) = resources[role]["Properties"]["Policies"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def meets(condition: dict[str, Any], keys: Sequence[str] | None, tenant: str | None) -> bool:
    """IAM's rules: ForAllValues holds for no values; Null "false" asks that the key is there."""
    present = {"dynamodb:LeadingKeys": keys is not None, "aws:PrincipalTag/tenant": tenant is not None}
    if any(present[name] is (wanted == "true") for name, wanted in condition.get("Null", {}).items()):
        return False
    patterns = condition.get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys")
    if patterns is None:
        return True
    filled = [pattern.replace("${aws:PrincipalTag/tenant}", tenant or "") for pattern in patterns]
    return all(any(fnmatchcase(key, pattern) for pattern in filled) for key in keys or ())


def may(found: list[dict[str, Any]], action: str, keys: Sequence[str] | None, tenant: str | None = "acme") -> bool:
    applying = [
        s
        for s in found
        if any(fnmatchcase(action, a) for a in s["Action"])
        and any(fnmatchcase(TABLE, r) for r in s["Resource"])
        and meets(s.get("Condition", {}), keys, tenant)
    ]
    return bool(applying) and not any(s["Effect"] == "Deny" for s in applying)


@pytest.mark.parametrize(
    "key", ["acme", "acme#01KB", "acme#name#anna#x", "#cursor#tenants", "#capacity", "%23nodes#lease"]
)
def test_its_own_keys_and_those_of_the_deployment_are_open(resources: dict[str, Any], key: str) -> None:
    assert may(statements(resources, "APIHandler"), "dynamodb:GetItem", [key])


@pytest.mark.parametrize("keys", [["other#01KB"], ["acmee#01KB"], ["acme#01KB", "other#01KB"], ["other"]])
def test_keys_of_other_tenants_are_closed(resources: dict[str, Any], keys: list[str]) -> None:
    for action in ("dynamodb:GetItem", "dynamodb:PartiQLUpdate", "dynamodb:Query", "dynamodb:DeleteItem"):
        assert not may(statements(resources, "APIHandler"), action, keys)


def test_what_names_no_key_is_closed_although_for_all_values_holds(resources: dict[str, Any]) -> None:
    found = statements(resources, "APIHandler")
    (tables,) = [s for s in found if s["Sid"] == "Tables"]
    assert meets({"ForAllValues:StringLike": tables["Condition"]["ForAllValues:StringLike"]}, None, "acme")
    for action in ("dynamodb:Scan", "dynamodb:PartiQLSelect", "dynamodb:Query", "dynamodb:PartiQLUpdate"):
        assert not may(found, action, None)
    everything = [*found, {"Sid": "x", "Effect": "Allow", "Action": ["dynamodb:*"], "Resource": ["*"]}]
    assert not may(everything, "dynamodb:Scan", None)


def test_a_role_without_the_tag_reaches_nothing(resources: dict[str, Any]) -> None:
    for key in ("acme#01KB", "#capacity", ""):
        assert not may(statements(resources, "APIHandler"), "dynamodb:GetItem", [key], tenant=None)


@pytest.mark.parametrize("function", ["Deliver", "Sweep", "Reconcile", "Feed"])
def test_workers_serve_all_tenants(resources: dict[str, Any], function: str) -> None:
    assert may(statements(resources, function), "dynamodb:GetItem", ["other#01KB"], tenant=None)
    assert not [s for s in statements(resources, function) if "Condition" in s and s["Sid"] == "Tables"]


def test_it_is_for_cloudformation(tmp_path: Path) -> None:
    with pytest.raises(PackageFailed, match="--tenant-tags"):
        package("prod", "terraform", tmp_path, tenant_tags=True)


@pytest.mark.parametrize(
    ("tenant", "key", "is_open"),
    [
        ("acme", "chronowatch/prod/runs/acme/r/n", True),
        ("acme", "chronowatch/prod/runs/acme2/r/n", False),
        ("acme", "chronowatch/prod/runs/other/acme/n", False),
        (None, "chronowatch/prod/runs/acme/r/n", False),
        (None, "chronowatch/prod/runs//r/n", False),
    ],
)
def test_large_values_of_other_tenants_are_closed(
    resources: dict[str, Any], tenant: str | None, key: str, is_open: bool
) -> None:
    place = f"arn:aws:s3:::bucket/{key}"
    for action in ("s3:GetObject", "s3:PutObject"):
        found = [
            s
            for s in statements(resources, "APIHandler")
            if action in s["Action"]
            and any(fnmatchcase(place, r.replace(TAG, tenant or "")) for r in s["Resource"])
            and meets(s.get("Condition", {}), None, tenant)
        ]
        assert bool(found) is is_open
