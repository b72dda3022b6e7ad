"""A kind of target is whole: description, sender, rights on AWS, wire model and a row in docs/targets.md."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any

import msgspec
import pytest

from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.api.http import openapi
from chalicelib.api.http.routes import table
from chalicelib.core.schedules.schedule import Definition
from chalicelib.core.targets import registry
from chalicelib.core.targets.kinds import sqs
from chalicelib.core.targets.target_description import Permission, TargetDescription
from tests.tidy.sources import PRODUCT, ROOT

POLICY: dict[str, Any] = json.loads((ROOT / ".chalice" / "policy-deliver.json").read_text())
PAGE = (ROOT / "docs" / "targets.md").read_text()
DEFAULT = {f.name: f for f in msgspec.structs.fields(Definition)}["target"].default_factory()["type"]
Grants = dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]]


PARTS = TargetParts(client=lambda _: object, now_ms=int, monotonic_s=float, webhook_allow=(), event_bus="bus")


def grants(policy: Mapping[str, Any]) -> Grants:
    """What a policy allows: the actions, by resources and by the services on whose behalf."""
    found: Grants = defaultdict(list)
    for statement in policy["Statement"]:
        via = statement.get("Condition", {}).get("StringLike", {}).get("kms:ViaService", ())
        found[tuple(statement["Resource"]), tuple(via)] += statement["Action"]
    return found


def without_right(permissions: Iterable[Permission], policy: Mapping[str, Any]) -> list[str]:
    """The actions that the policy does not allow on these resources."""
    given = grants(policy)
    return [a for p in permissions for a in p.actions if a not in given.get((p.resources, p.via), ())]


def row(kind: TargetDescription) -> str:
    """The line of docs/targets.md."""
    default = " (default)" if kind.name == DEFAULT else ""
    fields = ", ".join(f"`{name}`" + ("" if name in kind.required else "?") for name in kind.field_names) or "none"
    cells = (f"`{kind.name}`{default}", fields, kind.sent_as, kind.completed_means, str(kind.max_batch))
    return "| " + " | ".join(cells) + " |"


@pytest.mark.parametrize("name", registry.NAMES)
def test_a_description_speaks_of_its_own_fields(name: str) -> None:
    kind = registry.kind_of(name)
    assert kind.name == name
    assert set(kind.rules) == set(kind.field_names)
    assert {*kind.defaults, *kind.secret_fields} <= set(kind.field_names)
    assert {field for field in kind.field_names if "secret" in field} <= set(kind.secret_fields)
    assert kind.max_batch >= 1
    assert all((kind.sent_as, kind.completed_means, kind.fields.__doc__))


@pytest.mark.parametrize("name", registry.NAMES)
def test_a_kind_has_a_sender_that_carries_as_much_in_a_call(name: str) -> None:
    module = import_module(f"chalicelib.adapters.targets.{registry.MODULES[name]}")
    sender = module.make(PARTS)
    assert sender.max_batch == registry.kind_of(name).max_batch
    assert sender.cancel("01KB-1", 1) is False
    assert sender.dispatch([]) == []


def test_a_module_beside_the_registry_is_no_kind() -> None:
    described = {path.stem for path in (PRODUCT / "core" / "targets" / "kinds").glob("*.py")} - {"__init__"}
    assert described == set(registry.MODULES.values())
    senders = {path.stem for path in (PRODUCT / "adapters" / "targets").glob("*.py")}
    assert senders - {"__init__", "aws_sender", "target_parts"} == described


@pytest.mark.parametrize("name", registry.NAMES)
def test_the_function_that_delivers_may_do_what_a_kind_needs(name: str) -> None:
    kind = registry.kind_of(name)
    assert without_right(kind.permissions, POLICY) == []
    if kind.secret_fields:
        read = {action for permission in kind.permissions for action in permission.actions}
        assert {"secretsmanager:GetSecretValue", "ssm:GetParameter"} <= read


def test_a_right_that_is_missing_is_found() -> None:
    assert without_right([Permission(("mail:Send",))], POLICY) == ["mail:Send"]
    assert without_right([Permission(("sqs:SendMessage",), ("arn:aws:sqs:*:*:other",))], POLICY) == ["sqs:SendMessage"]
    assert without_right(sqs.KIND.permissions, POLICY) == []


def test_the_function_that_delivers_may_do_no_more_to_targets_than_some_kind_needs() -> None:
    needed = [p for kind in registry.every_kind() for p in kind.permissions]
    (targets,) = (s for s in POLICY["Statement"] if s["Sid"] == "Targets")
    anywhere = [a for p in needed if p.resources == ("*",) and not p.via for a in p.actions]
    assert sorted(targets["Action"]) == sorted(anywhere)
    secrets = [s for s in POLICY["Statement"] if s["Sid"].startswith("SigningSecret")]
    asked = {action for p in needed for action in p.actions}
    assert {action for statement in secrets for action in statement["Action"]} <= asked


def test_the_table_of_the_documents_is_that_of_the_descriptions() -> None:
    _, _, section = PAGE.partition("\n## The kinds\n")
    lines = [line for line in section.partition("\n## ")[0].splitlines() if line.startswith("| `")]
    assert lines == [row(kind) for kind in registry.every_kind()]


def test_the_api_takes_every_kind_by_its_description() -> None:
    document = openapi.document(table().operations)
    schemas = document["components"]["schemas"]
    for model in ("NewSchedule", "ScheduleView"):
        assert "#/components/schemas/Target" in json.dumps(schemas[model]["properties"]["target"])
    refs = set(re.findall(r"#/components/schemas/(\w+)", json.dumps(schemas["Target"])))
    assert refs == {kind.fields.__name__ for kind in registry.every_kind()}
    for kind in registry.every_kind():
        shown = schemas[kind.fields.__name__]
        assert set(shown["properties"]) == {"type", *kind.field_names}
        assert set(shown["required"]) == {"type", *kind.required}
        assert shown["description"] == kind.fields.__doc__
        given = {name: ["x"] if shown["properties"][name]["type"] == "array" else "x" for name in kind.required}
        assert msgspec.convert({"type": kind.name, **given}, kind.fields)


LOADED = """
import sys
from chalicelib import bootstrap, settings
services = bootstrap.build(settings.load({}))
services.targets["webhook"]
found = [m for m in sys.modules if m.startswith(("chalicelib.adapters.targets.", "chalicelib.core.targets.kinds."))]
print(*sorted(m.removeprefix("chalicelib.") for m in found))
"""


BROKERS = ("confluent_kafka", "nats", "pika", "paho", "redis", "grpc", "google.protobuf")
STARTED = """
import sys
from chalicelib.functions import deliver, sweep, reconcile, api
print(*(name for name in sys.argv[1:] if name in sys.modules))
"""


def test_no_function_loads_the_client_of_a_broker_at_its_start() -> None:
    command = [sys.executable, "-c", STARTED, *BROKERS]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


def test_a_worker_loads_the_kinds_that_it_meets_and_no_other() -> None:
    ran = subprocess.run([sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == [
        "adapters.targets.target_parts",
        "adapters.targets.webhook",
        "core.targets.kinds.webhook",
    ]
