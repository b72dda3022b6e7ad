"""``scripts/dev --deployed``: the packaged zip as a CloudFormation stack on the emulator, with Lambda in the middle."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chalicelib.adapters.aws.clients import Clients
from chalicelib.settings import LOCAL_PAGE_TOKEN_SECRET, VARIABLES
from infra.choices import DELETION_PROTECTION
from infra.cloudformation import SECRET_PARAMETER
from infra.functions import API, WORKERS
from infra.package import Package, package
from localdev.interpreters import LAMBDA
from localdev.invocations import scheduled_event

STAGE = "deployed"
STACK = "chronowatch-deployed"
BUCKET = "chronowatch-deployments"
TEMPLATE_KEY = "template.json"
TIMEOUT_S = 180.0  # a machine may be busy
METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
PAGE_TOKENS = "CHRONO_PAGE_TOKEN_SECRET"  # a parameter of the stack
# What Lambda or the stage says to the functions, and what is the supervisor's. The rest is the caller's choice.
NOT_THEIRS = ("AWS_", "CHRONO_STAGE", "CHRONO_HTTP_", "CHRONO_TLS_", "CHRONO_EMULATOR_", "CHRONO_DATA_DIR", PAGE_TOKENS)


class DeployFailed(Exception):
    """Raised when the stack does not come up; the message is one line."""


def deploy(clients: Clients, data_dir: Path, env: Mapping[str, str], say: Callable[[str], None]) -> str:
    """Package, upload, create or update the stack; the path under which its API answers. The functions get what
    ``env`` chooses. Raises DeployFailed."""
    chosen = {name: env[name] for name in VARIABLES if name in env and not name.startswith(NOT_THEIRS)}
    made = package(STAGE, "cloudformation", data_dir / "package", variables=chosen)
    say(f"packaged for {made.target.runtime}: {made.zip} ({made.zip.stat().st_size / 1e6:.1f} MB)")
    if made.target.python != LAMBDA:
        say(f"(on AWS it is python{LAMBDA}, which is not installed here)")
    template = json.loads(made.template.read_text())
    _spell_out_any_method(template)
    for function in (API, *WORKERS):
        template["Resources"][function]["Properties"]["Environment"]["Variables"].update(chosen)
    _upload(clients.get("s3"), made, template)
    url = f"{clients.get('s3').meta.endpoint_url}/{BUCKET}/{TEMPLATE_KEY}"
    outputs = _stack(clients.get("cloudformation"), url, env.get(PAGE_TOKENS) or LOCAL_PAGE_TOKEN_SECRET)
    api = template["Resources"]["RestAPI"]["Properties"]["StageName"]
    _sweep_once(clients.get("lambda", read_timeout_s=TIMEOUT_S))
    say(f"deployed: stack {STACK}, REST API {outputs['RestAPIId']}")
    return f"/restapis/{outputs['RestAPIId']}/{api}/_user_request_"


def first_key(clients: Clients) -> str | None:
    """The first admin key, asked for as an operator on AWS does; None where there ever was one. Raises DeployFailed."""
    functions = clients.get("lambda", read_timeout_s=TIMEOUT_S)
    answer = functions.invoke(FunctionName=f"chronowatch-{STAGE}-api", Payload=json.dumps({"chronowatch": "first_key"}))
    made = json.loads(answer["Payload"].read())
    if "FunctionError" in answer or "made" not in made:
        raise DeployFailed("the first admin key could not be made: see the log of the function api")
    return str(made["key"]) if made["made"] else None


def _spell_out_any_method(template: dict[str, Any]) -> None:
    """The emulator's import does not know ``x-amazon-apigateway-any-method``: give each method its own entry."""
    for operations in template["Resources"]["RestAPI"]["Properties"]["DefinitionBody"]["paths"].values():
        any_method = operations.pop("x-amazon-apigateway-any-method")
        for method in METHODS:
            operations.setdefault(method, any_method)


def _sweep_once(functions: Any) -> None:
    """What the minute rule will do, once at once: the first sweep must not wait a minute."""
    event = scheduled_event("sweep", "us-east-1")
    answer = functions.invoke(FunctionName=f"chronowatch-{STAGE}-sweep", Payload=json.dumps(event))
    if "FunctionError" in answer:
        raise DeployFailed(f"the first sweep failed: {answer['Payload'].read().decode()[:500]}")


def _upload(s3: Any, made: Package, template: dict[str, Any]) -> None:
    """What ``aws cloudformation package`` and ``deploy --s3-bucket`` do. The zips go into a bucket, their addresses
    into the template, and the template, too long for a request, into the bucket as well."""
    s3.create_bucket(Bucket=BUCKET)
    for path in (made.zip, *made.layers):
        s3.put_object(Bucket=BUCKET, Key=path.name, Body=path.read_bytes())
    for resource in template["Resources"].values():
        for name in ("CodeUri", "ContentUri"):
            if name in resource.get("Properties", {}):
                resource["Properties"][name] = f"s3://{BUCKET}/{Path(resource['Properties'][name]).name}"
    s3.put_object(Bucket=BUCKET, Key=TEMPLATE_KEY, Body=json.dumps(template).encode())


def _stack(cloudformation: Any, template_url: str, page_token_secret: str) -> dict[str, str]:
    """Create the stack, or bring it up to date; its outputs."""
    arguments = {
        "StackName": STACK,
        "TemplateURL": template_url,
        "Parameters": [
            {"ParameterKey": SECRET_PARAMETER, "ParameterValue": page_token_secret},
            {"ParameterKey": DELETION_PROTECTION.parameter, "ParameterValue": "false"},
        ],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"],
    }
    if _status(cloudformation) is None:
        cloudformation.create_stack(**arguments)
    else:
        try:
            cloudformation.update_stack(**arguments)
        except cloudformation.exceptions.ClientError as problem:
            if "No updates" not in str(problem):
                raise
    until = time.monotonic() + TIMEOUT_S
    while (status := _status(cloudformation)) is not None and status.endswith("_IN_PROGRESS"):
        if time.monotonic() > until:
            raise DeployFailed(f"stack {STACK} is {status} after {TIMEOUT_S:.0f} s")
        time.sleep(0.1)
    if status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise DeployFailed(f"stack {STACK} is {status}: {_reason(cloudformation)}")
    described = cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in described["Outputs"]}


def _status(cloudformation: Any) -> str | None:
    try:
        return str(cloudformation.describe_stacks(StackName=STACK)["Stacks"][0]["StackStatus"])
    except cloudformation.exceptions.ClientError:
        return None


def _reason(cloudformation: Any) -> str:
    events = cloudformation.describe_stack_events(StackName=STACK)["StackEvents"]
    failures = [
        f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '?')}"
        for event in events
        if event["ResourceStatus"].endswith("FAILED")
    ]
    return "; ".join(failures[:3])
