"""The package as it is handed to AWS: reproducible, small, complete. Nothing is deployed here: see tests/e2e."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from chalicelib.functions.subscribe import HOLD_MS
from infra import functions, native, vendor
from infra.build import Build
from infra.layers import ALL, FOLDER, LAYERS
from infra.package import (
    CONFIG,
    ZIP_MOST_BYTES,
    Package,
    PackageFailed,
    check_replaceable,
    check_settings,
    check_sizes,
    main,
    package,
)
from infra.state import DELIVER_TIMEOUT_S, state
from infra.vendor import ARM64, MACHINES, X86_64, Target
from localdev.interpreters import find, lambda_python

pytestmark = pytest.mark.slow

FUNCTIONS = {"APIHandler", "Workflow", "Script", "Deliver", "Sweep", "Reconcile", "Feed", "Declare", "Subscribe"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """For what this machine can run."""
    target = vendor.this_machine(lambda_python())
    return package("prod", "cloudformation", tmp_path_factory.mktemp("package") / "out", target=target)


@pytest.fixture(scope="module")
def for_lambda(tmp_path_factory: pytest.TempPathFactory) -> Package:
    """As AWS gets it."""
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


def test_the_same_sources_give_the_same_bytes(for_lambda: Package, tmp_path: Path) -> None:
    again = package("prod", "cloudformation", tmp_path / "out")
    for one, other in zip(_files(for_lambda), _files(again), strict=True):
        assert hashlib.sha256(one.read_bytes()).hexdigest() == hashlib.sha256(other.read_bytes()).hexdigest(), one.name


def _files(made: Package) -> list[Path]:
    return [made.zip, *made.layers, made.template]


def test_the_zip_is_small_and_holds_no_leftovers(for_lambda: Package) -> None:
    assert for_lambda.zip.stat().st_size <= ZIP_MOST_BYTES == 8_000_000
    with zipfile.ZipFile(for_lambda.zip) as archive:
        names = archive.namelist()
    assert not [name for name in names if name.endswith(".pyc") or name.startswith(("tests/", "localdev/", "infra/"))]
    assert {"app.py", "chalicelib/functions/deliver.py", "chalice/app.py"} <= set(names)
    assert not [name for name in names if name.startswith(("pip/", "inquirer/", "click/"))]
    assert not [name for name in names if name.startswith(("cryptography/", "joserfc/", "_cffi_backend"))]


def test_a_zip_beyond_the_budget_is_not_handed_out(tmp_path: Path) -> None:
    (tmp_path / "deployment.zip").write_bytes(b"x" * (ZIP_MOST_BYTES + 1))
    with pytest.raises(PackageFailed, match=r"deployment\.zip is 8\.00 MB, more than 8: see infra/layers\.py"):
        check_sizes(tmp_path / "deployment.zip", [])


@pytest.mark.parametrize("which", ["made", "for_lambda"])
def test_what_is_compiled_loads_on_its_target_and_nowhere_else(
    which: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    packed: Package = request.getfixturevalue(which)
    for path in (packed.zip, *packed.layers):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(tmp_path)
    libraries = [path for path in tmp_path.rglob("*.so*") if path.is_file()]
    assert {path.name.partition(".")[0] for path in libraries} > {"_core", "parser", "_cffi_backend", "_rust"}
    machine = MACHINES[packed.target.architecture][1]
    assert native.problems(tmp_path, packed.target.python, machine) == []
    # The check is no formality: the same files are refused for another Python and another processor.
    other = native.problems(tmp_path, "3.12", native.X86_64 + native.AARCH64 - machine)
    assert [
        problem for problem in other if f"is for Python {packed.target.python}, the functions run on 3.12" in problem
    ]
    assert len([problem for problem in other if "is for another processor" in problem]) == len(libraries)
    template = json.loads(packed.template.read_text())
    for name in FUNCTIONS:
        properties = template["Resources"][name]["Properties"]
        wanted = (packed.target.runtime, [packed.target.architecture])
        assert (properties["Runtime"], properties["Architectures"]) == wanted


def test_aws_gets_the_python_that_it_has_whatever_packages(for_lambda: Package) -> None:
    assert for_lambda.target == Target("3.13", ARM64)


@pytest.mark.parametrize("architecture", [ARM64, X86_64])
def test_there_are_wheels_for_each_processor(architecture: str) -> None:
    target = Target(architecture=architecture)
    vendor.ensure(target)
    for layer in LAYERS:
        vendor.ensure(target, layer.lock, layer.without(target), f"layer-{layer.name}")


def test_a_library_for_a_newer_glibc_is_found(tmp_path: Path) -> None:
    header = b"\x7fELF".ljust(18, b"\0") + native.X86_64.to_bytes(2, "little")
    (tmp_path / "a.abi3.so").write_bytes(header + b"\0GLIBC_2.17\0GLIBC_2.38\0")
    (tmp_path / "b.abi3.so").write_bytes(header + b"\0GLIBC_2.34\0GLIBC_2.2.5\0")
    assert native.problems(tmp_path, "3.13", native.X86_64) == ["a.abi3.so needs GLIBC_2.38, Lambda has 2.34"]


def test_each_layer_reaches_its_functions_and_no_other(for_lambda: Package) -> None:
    resources = json.loads(for_lambda.template.read_text())["Resources"]
    for name in FUNCTIONS:
        wanted = [{"Ref": layer.logical} for layer in LAYERS if name in layer.functions]
        assert resources[name]["Properties"].get("Layers", []) == wanted
    for layer, path in zip(LAYERS, for_lambda.layers, strict=True):
        properties = resources[layer.logical]["Properties"]
        assert (path.name, properties["ContentUri"]) == (layer.zip_name, f"./{layer.zip_name}")
        assert properties["CompatibleRuntimes"] == ["python3.13"]
        with zipfile.ZipFile(path) as archive:
            assert all(name.startswith(f"{FOLDER}/") for name in archive.namelist())
    assert set(ALL) == FUNCTIONS


def test_snapshots_are_an_option_and_everything_calls_them(for_lambda: Package) -> None:
    assert "SnapStart" not in for_lambda.template.read_text()
    resources = json.loads(for_lambda.template.read_text())["Resources"]
    functions.complete(resources, Build(state("prod"), snapstart=True))
    for name in FUNCTIONS:
        assert resources[name]["Properties"]["SnapStart"] == {"ApplyOn": "PublishedVersions"}
        assert resources[name]["Properties"]["AutoPublishAlias"] == "live"
    gateway = json.dumps(resources["RestAPI"])
    assert "${APIHandler.Alias}" in gateway
    assert "${APIHandler.Arn}" not in gateway
    assert "${Subscribe.Alias}" in gateway
    assert "${Subscribe.Arn}" not in gateway
    for name in ("APIHandler", "Subscribe"):
        assert resources[f"{name}InvokePermission"]["Properties"]["FunctionName"] == {"Ref": f"{name}.Alias"}


def test_subscribers_have_a_small_function_of_their_own_and_a_bound(template: dict[str, Any]) -> None:
    resources = template["Resources"]
    paths = resources["RestAPI"]["Properties"]["DefinitionBody"]["paths"]
    assert [path for path, asked in paths.items() if "${Subscribe.Arn}" in json.dumps(asked)] == [
        "/api/tasks/subscribe"
    ]
    assert "${APIHandler.Arn}" not in json.dumps(paths["/api/tasks/subscribe"])
    properties = resources["Subscribe"]["Properties"]
    assert properties["MemorySize"] == 128
    assert HOLD_MS / 1000 + 5 < properties["Timeout"] <= 29
    assert properties["ReservedConcurrentExecutions"]["Fn::If"][1] == {"Ref": "SubscribersMaximum"}
    assert template["Parameters"]["SubscribersMaximum"]["Default"] == 20
    assert resources["SubscribeInvokePermission"]["Properties"]["FunctionName"] == {"Ref": "Subscribe"}
    gateway = resources["RestAPI"]["Properties"]["DefinitionBody"]["x-amazon-apigateway-gateway-responses"]
    refused = gateway["INTEGRATION_FAILURE"]
    assert refused["statusCode"] == "503"
    assert "gatewayresponse.header.Retry-After" in refused["responseParameters"]


def _run_from(folder: Path, program: str) -> str:
    """What the program prints as an error when it runs with nothing but the standard library and the zips' files."""
    start = f"import sys; sys.path[:] = [{str(folder)!r}, *(p for p in sys.path if 'site-packages' not in p)]\n"
    start += f"sys.path.append({str(folder / FOLDER)!r})\n"
    python = find(lambda_python())
    assert python is not None
    ran = subprocess.run([python, "-I", "-c", start + program], capture_output=True, text=True, check=False)
    return ran.stderr


@pytest.fixture(scope="module")
def unpacked(made: Package, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    for path in (made.zip, *made.layers):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
    return folder


def test_every_handler_loads_from_the_zip_alone(unpacked: Path, template: dict[str, Any]) -> None:
    for name in sorted(FUNCTIONS):
        module, _, function = template["Resources"][name]["Properties"]["Handler"].rpartition(".")
        assert _run_from(unpacked, f"import {module}; assert callable({module}.{function})") == ""


def test_what_is_in_the_layer_loads_beside_the_zip(unpacked: Path) -> None:
    program = (
        "import joserfc.jws, cryptography.hazmat.primitives.asymmetric.ed25519 as e; e.Ed25519PrivateKey.generate()"
    )
    assert _run_from(unpacked, program) == ""


@pytest.mark.parametrize("name", ["deliver", "sweep", "reconcile", "feed"])
def test_workers_load_neither_the_api_nor_aws_nor_a_layer(unpacked: Path, name: str) -> None:
    unwanted = ("chalicelib.api", "app", "botocore", "boto3", "pynamodb", "cryptography", "joserfc")
    program = f"import chalicelib.functions.{name}\nsys.exit([m for m in sys.modules if m.startswith({unwanted})] or 0)"
    assert _run_from(unpacked, program) == ""


def test_the_template_says_what_chalice_has_no_words_for(template: dict[str, Any]) -> None:
    resources = template["Resources"]
    (queue,) = resources["Deliver"]["Properties"]["Events"].values()
    assert queue["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert queue["Properties"]["Queue"] == {"Fn::GetAtt": ["WorkQueue", "Arn"]}
    streams = resources["Feed"]["Properties"]["Events"].values()
    fed = {s["Properties"]["Stream"]["Fn::GetAtt"][0]: "FilterCriteria" in s["Properties"] for s in streams}
    assert fed == {
        "ExecutionsTable": False,
        "SchedulesTable": True,
        "WorkflowsTable": True,
        "RegistryTable": True,
    }
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


def test_large_values_of_runs_have_a_bucket_that_who_uses_it_is_told(
    template: dict[str, Any], terraform: dict[str, Any]
) -> None:
    made = template["Resources"]
    told = {n for n in FUNCTIONS if "CHRONO_VALUE_BUCKET" in made[n]["Properties"]["Environment"]["Variables"]}
    assert told == {"APIHandler", "Deliver", "Workflow"}
    functions = terraform["resource"]["aws_lambda_function"]
    told = {n for n, each in functions.items() if "CHRONO_VALUE_BUCKET" in each["environment"]["variables"]}
    assert told == {"api_handler", "deliver", "workflow"}
    bucket = made["ValueBucket"]
    assert bucket["DeletionPolicy"] == bucket["UpdateReplacePolicy"] == "Retain"
    assert "BucketName" not in bucket["Properties"], "a name of ours would be taken in another region or account"
    assert bucket["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}
    (rule,) = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    assert rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 35
    assert "ExpirationInDays" not in rule, "a value ends with its run, however long that is kept"
    (rules,) = bucket["Properties"]["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    _, own, other = rules["ServerSideEncryptionByDefault"]["Fn::If"]
    assert (own["SSEAlgorithm"], other["SSEAlgorithm"]) == ("aws:kms", "AES256")
    assert set(bucket["Properties"]["PublicAccessBlockConfiguration"].values()) == {True}
    assert made["ValueBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"][0]["Effect"] == "Deny"
    buckets = terraform["resource"]["aws_s3_bucket"]["values"]
    assert len(buckets["bucket_prefix"]) <= 37
    assert {name for name in terraform["resource"] if name.startswith("aws_s3_bucket_")} == {
        "aws_s3_bucket_lifecycle_configuration",
        "aws_s3_bucket_ownership_controls",
        "aws_s3_bucket_policy",
        "aws_s3_bucket_public_access_block",
        "aws_s3_bucket_server_side_encryption_configuration",
        "aws_s3_bucket_versioning",
    }


def test_a_deployed_stage_asks_for_keys_and_its_secret_is_nowhere(
    template: dict[str, Any], terraform: dict[str, Any]
) -> None:
    for name in FUNCTIONS:
        variables = template["Resources"][name]["Properties"]["Environment"]["Variables"]
        assert (variables["CHRONO_AUTH"], variables["CHRONO_STAGE"]) == ("apikey", "prod")
        assert ("CHRONO_PAGE_TOKEN_SECRET" in variables) == (name in ("APIHandler", "Subscribe"))
    assert template["Parameters"]["PageTokenSecret"]["NoEcho"] is True
    assert "Default" not in template["Parameters"]["PageTokenSecret"]
    assert terraform["variable"]["page_token_secret"]["sensitive"] is True


def test_the_gateway_leaves_every_path_and_method_to_the_service(template: dict[str, Any]) -> None:
    body = template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]
    assert all("x-amazon-apigateway-any-method" in operations for operations in body["paths"].values())
    assert "/{proxy+}" in body["paths"]
    assert body["x-amazon-apigateway-binary-media-types"] == ["*/*"], "protobuf goes both ways"
    assert template["Resources"]["RestAPI"]["Properties"]["BinaryMediaTypes"] == ["*/*"]
    for answer in body["x-amazon-apigateway-gateway-responses"].values():
        assert answer["responseParameters"]["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
        text = answer["responseTemplates"]["application/json"]
        problem = json.loads(text.replace("$context.error.messageString", '""').replace("$context.status", "0"))
        assert set(problem) == {"type", "title", "status", "detail", "code", "trace_id"}


def test_the_gateway_of_terraform_takes_bytes(terraform: dict[str, Any]) -> None:
    swagger = json.loads(terraform["locals"]["chalice_api_swagger"])
    assert swagger["x-amazon-apigateway-binary-media-types"] == ["*/*"]
    assert terraform["resource"]["aws_api_gateway_rest_api"]["rest_api"]["binary_media_types"] == ["*/*"]


def test_the_terraform_is_for_present_releases(terraform: dict[str, Any]) -> None:
    assert "null_data_source" not in terraform["data"]
    assert set(terraform["terraform"]["required_providers"]) == {"aws"}
    deployment = terraform["resource"]["aws_api_gateway_deployment"]["rest_api"]
    assert "stage_name" not in deployment
    mappings = terraform["resource"]["aws_lambda_event_source_mapping"].values()
    assert {m["event_source_arn"] for m in mappings} == {
        "${aws_sqs_queue.work.arn}",
        "${aws_sqs_queue.steps.arn}",
        *(
            f"${{aws_dynamodb_table.{name}.stream_arn}}"
            for name in ("executions", "schedules", "workflows", "registry")
        ),
    }


@pytest.mark.parametrize(("own", "said"), [(".", "is not empty and holds no package"), ("notes.txt", "is a file")])
def test_a_directory_of_other_things_is_never_emptied(
    tmp_path: Path, own: str, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    monkeypatch.setenv("CALLED_FROM", str(tmp_path))
    assert main(["--stage", "dev", "--out", own]) == 1
    assert said in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_only_a_new_directory_or_that_of_a_package_is_written_to(tmp_path: Path) -> None:
    check_replaceable(tmp_path)
    check_replaceable(tmp_path / "new")
    (tmp_path / "deployment.zip").write_bytes(b"")
    check_replaceable(tmp_path)


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
    assert set(config["stages"]) == {"local", "deployed", "dev", "recovery", "prod"}
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


def test_the_server_of_machines_stays_out_of_the_zip(for_lambda: Package) -> None:
    names = zipfile.ZipFile(for_lambda.zip).namelist()
    assert not [name for name in names if name.startswith(("chalicelib/server/", "uvicorn/", "websockets/"))]
    assert "chalicelib/api/http/connection.py" in names
