"""A stage by Terraform, applied to the emulator: it fires, a declared schedule follows its file, nothing is left."""

from __future__ import annotations

import http.client
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from infra import vendor
from infra.package import ROOT, package
from infra.state import state
from infra.watch import FUNCTIONS
from localdev.interpreters import lambda_python
from tests.e2e.dev_server import wait_for
from tests.e2e.receiver import Receiver
from tests.kit.account import client, left
from tests.kit.emulator import REGION, running_emulator
from tests.kit.terraform import Terraform, environment

pytestmark = [pytest.mark.slow, pytest.mark.long]
SECRET = "0123456789" * 4


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with running_emulator() as found:
        yield found


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Laid out as a checkout, with the package of the stage."""
    made = tmp_path_factory.mktemp("terraform")
    target = vendor.this_machine(lambda_python())
    package("dev", "terraform", made / "build" / "terraform" / "dev", target=target)
    for name in ("environments", "modules"):
        shutil.copytree(ROOT / "infra" / name, made / "infra" / name)
    return made


@pytest.fixture(scope="module")
def stage(endpoint: str, root: Path) -> Terraform:
    """The environment dev."""
    env = environment(endpoint, page_token_secret=SECRET, region=REGION)
    made = Terraform(root / "infra" / "environments" / "dev", env)
    made.init()
    return made


@pytest.fixture(scope="module")
def schedules(endpoint: str, root: Path) -> Terraform:
    """Schedules, in a state of their own."""
    env = environment(endpoint, region=REGION, function_name="chronowatch-dev-declare")
    made = Terraform(root / "infra" / "environments" / "schedules", env)
    made.init()
    return made


class Api:
    """The stage's API, by the address that API Gateway has on the emulator."""

    def __init__(self, endpoint: str) -> None:
        (api,) = client(endpoint, "apigateway").get_rest_apis()["items"]
        self._host, self._path = urlsplit(endpoint).netloc, f"/restapis/{api['id']}/api/_user_request_"
        functions = client(endpoint, "lambda")
        answer = functions.invoke(FunctionName="chronowatch-dev-api", Payload=b'{"chronowatch": "first_key"}')
        self._key = json.loads(answer["Payload"].read())["key"]

    def get(self, path: str) -> tuple[int, Any]:
        connection = http.client.HTTPConnection(self._host, timeout=40)
        try:
            connection.request("GET", self._path + path, headers={"Authorization": f"Bearer {self._key}"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


def beat(receiver: Receiver, expr: str, n: int) -> dict[str, Any]:
    return {"name": "beat", "type": "RATE", "expr": expr, "payload": {"n": n}, "target": receiver.target()}


def test_what_we_wrote_is_formatted(root: Path) -> None:
    Terraform(ROOT / "infra", environment()).run("fmt", "-check", "-recursive", "-diff")


def test_every_environment_is_valid_and_says_what_it_needs(root: Path) -> None:
    shutil.copytree(root / "build" / "terraform" / "dev", root / "build" / "terraform" / "prod", dirs_exist_ok=True)
    prod = Terraform(root / "infra" / "environments" / "prod", environment(page_token_secret="short", region="nowhere"))
    prod.init()
    assert "The configuration is valid" in prod.run("validate")
    refused = prod.run("plan", "-input=false", "-refresh=false", "-var=alarm_topic_arn=no", expected=(1,))
    for said in ("must have at least 32", "must be empty, or match ^arn:", "must be a region"):
        assert said in " ".join(refused.split()), refused


# The tests from here on are one story, in this order.


def test_a_stage_goes_up(endpoint: str, stage: Terraform) -> None:
    stage.apply()
    assert stage.outputs()["declare_function"] == "chronowatch-dev-declare"
    wanted = state("dev", "chronowatch-dev")
    made = left(endpoint)
    assert set(made["tables"]) == {table.name for table in wanted.tables}
    assert {url.rpartition("/")[2] for url in made["queues"]} == {queue.name for queue in wanted.queues}
    functions = client(endpoint, "lambda").list_functions()["Functions"]
    assert {f["FunctionName"] for f in functions} == {f"chronowatch-dev-{name}" for name in FUNCTIONS}
    assert {f["Runtime"] for f in functions} == {f"python{lambda_python()}"}


def test_a_declared_schedule_fires_changes_and_does_not_drift(
    endpoint: str, schedules: Terraform, receiver: Receiver
) -> None:
    schedules.apply(beat=beat(receiver, "rate:1s", 1))
    api = Api(endpoint)
    path = f"/api/v1/schedules/{schedules.outputs()['beat']}"
    status, made = api.get(path)
    assert (status, made["name"], made["owner"], made["payload"]) == (200, "beat", "team-a", {"n": 1})
    wait_for("three firings by the stage that Terraform made", lambda: len(receiver.counts(made)) >= 3, 90)
    same = f"-var=beat={json.dumps(beat(receiver, 'rate:1s', 1))}"
    assert "No changes" in schedules.run("plan", "-input=false", "-detailed-exitcode", same)
    schedules.apply(beat=beat(receiver, "rate:2s", 2))
    status, changed = api.get(path)
    assert (status, changed["expr"], changed["payload"]) == (200, "rate:2s", {"n": 2})


def test_what_the_api_refuses_terraform_shows_and_a_destroyed_schedule_is_deleted(
    endpoint: str, schedules: Terraform, receiver: Receiver
) -> None:
    wrong = f"-var=beat={json.dumps(beat(receiver, 'rate:never', 2))}"
    assert "expr: " in schedules.run("apply", "-auto-approve", "-input=false", wrong, expected=(1,))
    made = schedules.outputs()["beat"]
    schedules.run("destroy", "-auto-approve", "-input=false")
    functions = client(endpoint, "lambda")
    wanted = {"schedule": beat(receiver, "rate:2s", 2), "owner": "team-a", "tf": {"action": "create"}}
    answer = functions.invoke(FunctionName="chronowatch-dev-declare", Payload=json.dumps(wanted))
    again = json.loads(answer["Payload"].read())
    assert again["action"] == "create", "it was deleted: else this would be unchanged"
    assert again["id"] != made


def test_nothing_is_left_of_the_stage(endpoint: str, stage: Terraform) -> None:
    known = stage.run("state", "pull")
    stage.run("destroy", "-auto-approve", "-input=false", "-parallelism=30")
    found = left(endpoint)
    # A mapping whose creation got no answer is asked for again. AWS refuses the second; the emulator makes two.
    assert not [uuid for uuid in found.pop("sources", []) if uuid in known]
    # A function that was at work when it went may have written its log once more, which makes the group anew.
    assert set(found) <= {"log groups"}
