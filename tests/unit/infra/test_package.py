"""The package as it is handed to AWS: reproducible, small, complete. Nothing is deployed here: see tests/e2e."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from infra.package import CONFIG, Package, PackageFailed, check_settings, package
from infra.state import DELIVER_TIMEOUT_S, state

pytestmark = pytest.mark.slow

SIZE_MAX_BYTES = 11_000_000  # of these cryptography is 4.5 million
FUNCTIONS = {"APIHandler", "Deliver", "Sweep", "Reconcile", "Feed"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return package("prod", "cloudformation", tmp_path_factory.mktemp("package") / "out")


@pytest.fixture(scope="module")
def template(made: Package) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(made.template.read_text())
    return document


@pytest.fixture(scope="module")
def terraform(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = package("prod", "terraform", tmp_path_factory.mktemp("package") / "out")
    document: dict[str, Any] = json.loads(made.template.read_text())
    return document


def test_the_same_sources_give_the_same_bytes(made: Package, tmp_path: Path) -> None:
    again = package("prod", "cloudformation", tmp_path / "out")
    assert again.zip.read_bytes() == made.zip.read_bytes()
    assert again.template.read_bytes() == made.template.read_bytes()


def test_the_zip_is_small_and_holds_no_leftovers(made: Package) -> None:
    assert made.zip.stat().st_size < SIZE_MAX_BYTES
    with zipfile.ZipFile(made.zip) as archive:
        names = archive.namelist()
    assert not [name for name in names if name.endswith(".pyc") or name.startswith(("tests/", "localdev/", "infra/"))]
    assert {"app.py", "chalicelib/functions/deliver.py", "chalice/app.py"} <= set(names)
    assert not [name for name in names if name.startswith(("pip/", "inquirer/", "click/"))]


def _run_from(folder: Path, program: str) -> str:
    """What the program prints as an error when it runs with nothing but the standard library and the zip's files."""
    start = f"import sys; sys.path[:] = [{str(folder)!r}, *(p for p in sys.path if 'site-packages' not in p)]\n"
    ran = subprocess.run([sys.executable, "-I", "-c", start + program], capture_output=True, text=True, check=False)
    return ran.stderr


@pytest.fixture(scope="module")
def unpacked(made: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(made.zip) as archive:
        archive.extractall(folder)
    return folder


def test_every_handler_loads_from_the_zip_alone(unpacked: Path, template: dict[str, Any]) -> None:
    for name in sorted(FUNCTIONS):
        module, _, function = template["Resources"][name]["Properties"]["Handler"].rpartition(".")
        assert _run_from(unpacked, f"import {module}; assert callable({module}.{function})") == ""


@pytest.mark.parametrize("name", ["deliver", "sweep", "reconcile", "feed"])
def test_workers_load_neither_the_api_nor_aws(unpacked: Path, name: str) -> None:
    unwanted = ("chalicelib.api", "app", "botocore", "boto3", "pynamodb")
    program = f"import chalicelib.functions.{name}\nsys.exit([m for m in sys.modules if m.startswith({unwanted})] or 0)"
    assert _run_from(unpacked, program) == ""


def test_the_template_says_what_chalice_has_no_words_for(template: dict[str, Any]) -> None:
    resources = template["Resources"]
    (queue,) = resources["Deliver"]["Properties"]["Events"].values()
    assert queue["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert queue["Properties"]["Queue"] == {"Fn::GetAtt": ["WorkQueue", "Arn"]}
    streams = resources["Feed"]["Properties"]["Events"].values()
    fed = {s["Properties"]["Stream"]["Fn::GetAtt"][0]: "FilterCriteria" in s["Properties"] for s in streams}
    assert fed == {"ExecutionsTable": False, "SchedulesTable": True, "RegistryTable": True}
    assert all(s["Properties"]["TumblingWindowInSeconds"] for s in streams), "else no batch names its shard"
    for name in ("Sweep", "Reconcile"):
        (rule,) = resources[name]["Properties"]["Events"].values()
        assert rule["Properties"]["Schedule"] == "rate(1 minute)"
    assert resources["Deliver"]["Properties"]["Timeout"] == DELIVER_TIMEOUT_S
    assert resources["WorkQueue"]["Properties"]["VisibilityTimeout"] >= resources["Deliver"]["Properties"]["Timeout"]
    assert resources["WorkQueue"]["Properties"]["RedrivePolicy"]["deadLetterTargetArn"] == {
        "Fn::GetAtt": ["PoisonQueue", "Arn"]
    }


def test_every_resource_that_holds_state_is_in_both_templates(
    template: dict[str, Any], terraform: dict[str, Any]
) -> None:
    wanted = state("prod")
    by_type: dict[str, list[dict[str, Any]]] = {}
    for resource in template["Resources"].values():
        by_type.setdefault(resource["Type"], []).append(resource["Properties"])
    names = {table.name for table in wanted.tables}
    assert {table["TableName"] for table in by_type["AWS::DynamoDB::Table"]} == names
    assert {table["name"] for table in terraform["resource"]["aws_dynamodb_table"].values()} == names
    names = {queue.name for queue in wanted.queues}
    assert {queue["QueueName"] for queue in by_type["AWS::SQS::Queue"]} == names
    assert {queue["name"] for queue in terraform["resource"]["aws_sqs_queue"].values()} == names
    assert [bus["Name"] for bus in by_type["AWS::Events::EventBus"]] == [wanted.event_bus]


def test_a_deployed_stage_asks_for_keys_and_its_secret_is_nowhere(
    template: dict[str, Any], terraform: dict[str, Any]
) -> None:
    for name in FUNCTIONS:
        variables = template["Resources"][name]["Properties"]["Environment"]["Variables"]
        assert (variables["CHRONO_AUTH"], variables["CHRONO_STAGE"]) == ("apikey", "prod")
        assert ("CHRONO_PAGE_TOKEN_SECRET" in variables) == (name == "APIHandler")
    assert template["Parameters"]["PageTokenSecret"]["NoEcho"] is True
    assert "Default" not in template["Parameters"]["PageTokenSecret"]
    assert terraform["variable"]["page_token_secret"]["sensitive"] is True


def test_the_gateway_leaves_every_path_and_method_to_the_service(template: dict[str, Any]) -> None:
    body = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    assert all("x-amazon-apigateway-any-method" in operations for operations in body["paths"].values())
    assert "/{proxy+}" in body["paths"]
    for answer in body["x-amazon-apigateway-gateway-responses"].values():
        assert answer["responseParameters"]["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
        text = answer["responseTemplates"]["application/json"]
        problem = json.loads(text.replace("$context.error.messageString", '""').replace("$context.status", "0"))
        assert set(problem) == {"type", "title", "status", "detail", "code", "trace_id"}


def test_the_terraform_is_for_present_releases(terraform: dict[str, Any]) -> None:
    assert "null_data_source" not in terraform["data"]
    assert set(terraform["terraform"]["required_providers"]) == {"aws"}
    deployment = terraform["resource"]["aws_api_gateway_deployment"]["rest_api"]
    assert "stage_name" not in deployment
    mappings = terraform["resource"]["aws_lambda_event_source_mapping"].values()
    assert {m["event_source_arn"] for m in mappings} == {
        "${aws_sqs_queue.work.arn}",
        "${aws_sqs_queue.steps.arn}",
        *(f"${{aws_dynamodb_table.{name}.stream_arn}}" for name in ("executions", "schedules", "registry")),
    }


def test_a_stage_that_is_not_configured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageFailed, match="no such stage: nowhere"):
        package("nowhere", "cloudformation", tmp_path)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"CHRONO_AUTH": "off"}, "CHRONO_AUTH: off is only for a service bound to loopback"),
        ({"CHRONO_AUTH": "jwt,apikey"}, "CHRONO_JWT_ISSUER: is required"),
        ({"CHRONO_AUTH": "jwt", "CHRONO_JWT_ISSUER": "https://issuer.example"}, "CHRONO_JWT_AUDIENCE: is required"),
        ({"CHRONO_AUTH": "jwt", "CHRONO_JWT_ISSUER": "http://issuer.example"}, "must begin with https://"),
        ({"CHRONO_AUTH": "apikey", "CHRONO_BOOTSTRAP_KEY": "short"}, "CHRONO_BOOTSTRAP_KEY: must have 32"),
        ({"CHRONO_SHARDS": "many"}, "CHRONO_SHARDS: "),
    ],
)
def test_a_stage_that_would_not_start_is_refused_with_its_variable(variables: dict[str, str], said: str) -> None:
    with pytest.raises(PackageFailed) as caught:
        check_settings("prod", {"stages": {"prod": {"environment_variables": {"CHRONO_STAGE": "prod", **variables}}}})
    assert str(caught.value).startswith("config.json: stage prod would not start: ")
    assert said in str(caught.value)


def test_each_stage_that_is_there_would_start() -> None:
    config = json.loads(CONFIG.read_text())
    assert set(config["stages"]) == {"local", "deployed", "prod"}
    for stage in config["stages"]:
        check_settings(stage, config)


def test_a_truststore_closes_every_way_in_without_a_certificate(
    template: dict[str, Any], terraform: dict[str, Any]
) -> None:
    domain = template["Resources"]["Domain"]
    mutual = domain["Properties"]["MutualTlsAuthentication"]["Fn::If"]
    assert (domain["Condition"], mutual[0]) == ("HasDomain", "DemandsCertificates")
    assert mutual[1]["TruststoreUri"] == {"Ref": "TruststoreUri"}
    closed = template["Resources"]["RestAPI"]["Properties"]["DisableExecuteApiEndpoint"]
    assert closed["Fn::If"][:2] == ["DemandsCertificates", True]
    assert all(template["Parameters"][name]["Default"] == "" for name in ("DomainName", "TruststoreUri"))
    resources = terraform["resource"]
    assert "truststore_uri" in resources["aws_api_gateway_rest_api"]["rest_api"]["disable_execute_api_endpoint"]
    assert "mutual_tls_authentication" in resources["aws_api_gateway_domain_name"]["domain"]["dynamic"]


def test_the_server_of_machines_stays_out_of_the_zip(made: Package) -> None:
    names = zipfile.ZipFile(made.zip).namelist()
    assert not [name for name in names if name.startswith(("chalicelib/server/", "uvicorn/", "websockets/"))]
    assert "chalicelib/api/http/connection.py" in names
