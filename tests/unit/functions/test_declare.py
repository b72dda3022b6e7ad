"""Schedules as infrastructure: each step of Terraform's and of CloudFormation's, and what a repeated one does."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from chalicelib import bootstrap
from chalicelib.core.schedules.schedule import Key
from chalicelib.functions import declare
from chalicelib.functions.declare import DeclarationRefused
from chalicelib.ports.services import Services
from chalicelib.settings import load
from tests.kit.services import make_services
from tests.tidy.sources import ROOT

AUTH = load({"CHRONO_AUTH": "apikey"})
NIGHTLY: dict[str, Any] = {"name": "nightly", "type": "CRON", "expr": "0 3 * * *", "payload": {"n": 5, "deep": [True]}}


@pytest.fixture
def services() -> Iterator[Services]:
    made = make_services()
    with bootstrap.override(made, AUTH):
        yield made


def terraform(
    action: str, schedule: dict[str, Any], before: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    step = {"action": action, "prev_input": before}
    return declare.handle({"schedule": schedule, **more, "tf": step}, None)


def stored(s: Services, schedule_id: str) -> Any:
    return s.stores.schedules.get([Key("default", schedule_id)]).get(Key("default", schedule_id))


def test_create_change_and_destroy(services: Services) -> None:
    made = terraform("create", NIGHTLY)
    assert (made["action"], made["owner"], made["name"]) == ("create", "infrastructure", "nightly")
    found = stored(services, made["id"]).definition
    assert (found.expr, json.loads(found.payload)) == ("0 3 * * *", NIGHTLY["payload"])
    assert made["path"] == f"/api/v1/schedules/{made['id']}"
    changed = terraform("update", {**NIGHTLY, "expr": "0 4 * * *"}, {"schedule": NIGHTLY})
    assert (changed["action"], changed["id"]) == ("update", made["id"])
    assert stored(services, made["id"]).definition.expr == "0 4 * * *"
    assert terraform("delete", {**NIGHTLY, "expr": "0 4 * * *"})["id"] == ""
    assert stored(services, made["id"]) is None
    assert terraform("delete", NIGHTLY)["action"] == "delete", "what is gone is as it should be"


def test_a_step_needs_nothing_that_travels_in_a_layer() -> None:
    program = """
import sys

class NoLayers:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("cryptography", "joserfc", "cffi", "_cffi_backend", "celpy", "cel"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NoLayers())
import msgspec
from tests.unit.functions.test_declare import AUTH, NIGHTLY, bootstrap, make_services, terraform
from chalicelib.adapters.machine.lazy_sessions import lazy_sessions

made_for_tests = make_services()
services = msgspec.structs.replace(made_for_tests, sessions=lazy_sessions(AUTH, None, made_for_tests.clock))
with bootstrap.override(services, AUTH):
    made = terraform("create", NIGHTLY)
    changed = terraform("update", {**NIGHTLY, "expr": "0 4 * * *"}, {"schedule": NIGHTLY})
    terraform("delete", NIGHTLY)
print(made["action"], changed["action"], "cryptography" in sys.modules)
"""
    ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (0, "create update False\n"), ran.stderr


def test_a_step_whose_answer_was_lost_may_be_repeated(services: Services) -> None:
    first, again = terraform("create", NIGHTLY), terraform("create", NIGHTLY)
    assert (again["id"], again["action"]) == (first["id"], "unchanged")
    for _ in range(2):
        changed = terraform("update", {**NIGHTLY, "max_runs": 3}, {"schedule": NIGHTLY})
        assert changed["id"] == first["id"]


def test_a_field_that_is_no_longer_declared_is_what_it_is_by_itself(services: Services) -> None:
    made = terraform("create", {**NIGHTLY, "max_runs": 3})
    assert stored(services, made["id"]).definition.max_runs == 3
    terraform("update", NIGHTLY, {"schedule": {**NIGHTLY, "max_runs": 3}})
    assert stored(services, made["id"]).definition.max_runs is None


def test_one_that_somebody_else_made_is_taken_over_only_if_asked(services: Services) -> None:
    made = terraform("create", NIGHTLY)
    with pytest.raises(DeclarationRefused, match=r"has a schedule 'nightly', and it differs in expr: set adopt"):
        terraform("create", {**NIGHTLY, "expr": "0 5 * * *"})
    assert stored(services, made["id"]).definition.expr == "0 3 * * *"
    adopted = terraform("create", {**NIGHTLY, "expr": "0 5 * * *"}, adopt=True)
    assert (adopted["id"], adopted["action"]) == (made["id"], "update")


def test_another_name_is_another_schedule_and_the_old_one_goes(services: Services) -> None:
    made = terraform("create", NIGHTLY)
    other = terraform("update", {**NIGHTLY, "name": "weekly"}, {"schedule": NIGHTLY})
    assert other["id"] != made["id"]
    assert stored(services, made["id"]) is None


def test_another_name_that_somebody_else_has_is_taken_over_only_if_asked(services: Services) -> None:
    mine, weekly = terraform("create", NIGHTLY), {**NIGHTLY, "name": "weekly", "expr": "0 5 * * 1"}
    theirs = terraform("create", weekly)
    renamed = {**NIGHTLY, "name": "weekly"}
    with pytest.raises(DeclarationRefused, match=r"has a schedule 'weekly', and it differs in expr: set adopt"):
        terraform("update", renamed, {"schedule": NIGHTLY})
    assert stored(services, theirs["id"]).definition.expr == weekly["expr"]
    assert stored(services, mine["id"]) is not None
    assert terraform("update", renamed, {"schedule": NIGHTLY}, adopt=True)["id"] == theirs["id"]
    assert stored(services, mine["id"]) is None


def test_one_that_was_deleted_by_hand_comes_back(services: Services) -> None:
    made = terraform("create", NIGHTLY)
    terraform("delete", NIGHTLY)
    back = terraform("update", NIGHTLY, {"schedule": NIGHTLY})
    assert back["action"] == "create"
    assert back["id"] != made["id"]


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"schedule": NIGHTLY}, r'tf: set lifecycle_scope = "CRUD"'),
        ({"schedule": NIGHTLY, "tf": {"action": "read"}}, r"tf: set lifecycle_scope"),
        ({"tf": {"action": "create"}}, r"missing required field `schedule`"),
        ({"schedule": {"type": "CRON"}, "tf": {"action": "create"}}, r"schedule\.name: is required"),
        ({"schedule": {**NIGHTLY, "owner": "ann"}, "tf": {"action": "create"}}, r"takes neither owner nor id"),
        ({"schedule": NIGHTLY, "owner": "", "tf": {"action": "create"}}, r"owner: must not be empty"),
        ({"schedule": NIGHTLY, "adapt": True, "tf": {"action": "create"}}, r"unknown field `adapt`"),
        ({"schedule": {**NIGHTLY, "expr": "99 * * * *"}, "tf": {"action": "create"}}, r"expr: .*99"),
        ({"schedule": {**NIGHTLY, "cron": "* * * * *"}, "tf": {"action": "create"}}, r"cron"),
    ],
)
def test_what_is_wrong_is_named(services: Services, event: dict[str, Any], said: str) -> None:
    with pytest.raises(DeclarationRefused, match=said):
        declare.handle(event, None)


def test_it_is_on_record_as_a_call_is(services: Services) -> None:
    terraform("create", NIGHTLY, owner="team-a")
    entries = list(_audited(services))
    assert {(e.actor, e.action) for e in entries} == {("team-a", "schedules:import"), ("team-a", "schedules:create")}


def _audited(s: Services) -> Iterator[Any]:
    from chalicelib.core.security.caller import system_caller
    from chalicelib.usecases.audit_trail import AuditFilter, page

    yield from page(s, system_caller("default"), AuditFilter(), 10).entries


class Stack:
    """The address that CloudFormation gives, and what came there."""

    def __init__(self) -> None:
        answers = self.answers = list[tuple[str, dict[str, Any]]]()

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                answers.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def ask(
        self,
        kind: str,
        properties: dict[str, Any],
        physical_id: str | None = None,
        before: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self._server.server_port}/arn%3Aaws%7Cstack?X-Sig=a%2Fb%3D"
        event = {
            "RequestType": kind,
            "ResponseURL": url,
            "StackId": "arn:stack",
            "RequestId": f"r-{len(self.answers)}",
            "LogicalResourceId": "Nightly",
            "ResourceType": "Custom::ChronoSchedule",
            "ResourceProperties": {"ServiceToken": "arn:function", **properties},
        }
        old = {} if before is None else {"OldResourceProperties": {"ServiceToken": "arn:function", **before}}
        declare.handle(event | old | ({"PhysicalResourceId": physical_id} if physical_id else {}), None)
        path, answer = self.answers[-1]
        assert path == "/arn%3Aaws%7Cstack?X-Sig=a%2Fb%3D", "a changed address is not the one that was signed"
        assert answer["RequestId"] == event["RequestId"]
        return answer

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def stack() -> Iterator[Stack]:
    made = Stack()
    yield made
    made.close()


def test_cloudformation_creates_changes_replaces_and_deletes(services: Services, stack: Stack) -> None:
    # As CloudFormation sends them: numbers, true and false as texts.
    texts = {"Schedule": {"name": "nightly", "type": "CRON", "expr": "0 3 * * *", "max_runs": "7", "enabled": "true"}}
    made = stack.ask("Create", texts)
    assert (made["Status"], made["Data"]["name"]) == ("SUCCESS", "nightly")
    found = stored(services, made["PhysicalResourceId"]).definition
    assert (found.max_runs, found.active) == (7, True)
    exact = {"Schedule": json.dumps({**NIGHTLY, "expr": "0 4 * * *"})}
    changed = stack.ask("Update", exact, made["PhysicalResourceId"])
    assert changed["PhysicalResourceId"] == made["PhysicalResourceId"]
    assert json.loads(stored(services, made["PhysicalResourceId"]).definition.payload) == NIGHTLY["payload"]
    other = stack.ask("Update", {**exact, "Owner": "team-b"}, made["PhysicalResourceId"])
    assert other["PhysicalResourceId"] != made["PhysicalResourceId"]
    # So it is replaced: CloudFormation deletes the old one afterwards, under its old properties.
    assert stack.ask("Delete", exact, made["PhysicalResourceId"])["Status"] == "SUCCESS"
    assert stored(services, made["PhysicalResourceId"]) is None
    assert stored(services, other["PhysicalResourceId"]) is not None


def test_cloudformation_renames_onto_nothing_that_somebody_else_made(services: Services, stack: Stack) -> None:
    theirs = terraform("create", {**NIGHTLY, "name": "weekly", "expr": "0 5 * * 1"})
    before, after = {"Schedule": json.dumps(NIGHTLY)}, {"Schedule": json.dumps({**NIGHTLY, "name": "weekly"})}
    made = stack.ask("Create", before)
    refused = stack.ask("Update", after, made["PhysicalResourceId"], before)
    assert (refused["Status"], refused["PhysicalResourceId"]) == ("FAILED", made["PhysicalResourceId"])
    assert "has a schedule 'weekly'" in refused["Reason"]
    assert stored(services, theirs["id"]).definition.expr == "0 5 * * 1"
    assert services.stores.schedules.get([Key("default", made["PhysicalResourceId"])])
    terraform("create", {**NIGHTLY, "expr": "0 6 * * *"}, adopt=True)  # meanwhile somebody edits what is its own
    for refused_properties in (after, {"Schedule": "{"}):
        back = stack.ask("Update", before, made["PhysicalResourceId"], refused_properties)
        assert (back["Status"], back["PhysicalResourceId"]) == ("SUCCESS", made["PhysicalResourceId"])
        assert stored(services, made["PhysicalResourceId"]).definition.expr == NIGHTLY["expr"]


def test_cloudformation_hears_what_is_wrong_and_can_roll_back(services: Services, stack: Stack) -> None:
    bad = {"Schedule": {"name": "x", "type": "CRON", "expr": "nonsense"}}
    refused = stack.ask("Create", bad)
    assert (refused["Status"], refused["PhysicalResourceId"]) == ("FAILED", "not-made")
    assert "expr" in refused["Reason"]
    assert stack.ask("Delete", bad, "not-made")["Status"] == "SUCCESS"
    for properties, said in (({"Schedule": "{"}, "Schedule: is no JSON"), ({"Plan": {}}, "Plan: is no property")):
        assert said in stack.ask("Create", properties)["Reason"]
