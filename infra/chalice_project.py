"""``--format chalice``: a Chalice project that ``chalice deploy`` deploys, and a stack of what Chalice does not know.

Chalice has no tables and no partial batch answers. Without these a firing would be lost when another of its batch
fails. So the stack has what holds state, the layers, the alarms, and the event sources of queues and streams. The
project has the functions, their roles, the API, and the rule of each minute. Both come from the same template as
``--format cloudformation``.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Final

from chalicelib.core.errors import SettingsError
from chalicelib.core.workflows.value_bucket import VARIABLE
from infra import cloudformation, value_bucket
from infra.build import Build
from infra.choices import ACCESS_LOGS, SECRET_LENGTH_MIN, SUBSCRIBERS
from infra.cloudformation import SECRET_PARAMETER
from infra.cloudformation_state import chosen
from infra.functions import API, WORKERS

Json = dict[str, Any]

SECRET: Final = "CHRONO_PAGE_TOKEN_SECRET"  # noqa: S105 - the name of a variable
DEPLOYED: Final = ".chalice/deployed"  # without its notes Chalice would make everything a second time
FIRST: Final = "first.json"  # the stack without what needs functions: they do not exist when a stage is new
BUCKET: Final = "ValueBucketName"
MAPPING: Final = "AWS::Lambda::EventSourceMapping"
# What Chalice makes itself, and what belongs to an API that a template describes.
_CHALICES: Final = ("AWS::Serverless::Function", "AWS::Serverless::Api", "AWS::Lambda::Permission", "AWS::IAM::Role")
_GATEWAYS: Final = ("AccessLogs", "Domain", "DomainMapping")
_PARAMETERS_OF_THE_API: Final = (
    SECRET_PARAMETER,
    ACCESS_LOGS.parameter,
    SUBSCRIBERS.parameter,
    cloudformation.DOMAIN,
    cloudformation.CERTIFICATE,
    cloudformation.TRUSTSTORE,
    cloudformation.TRUSTSTORE_VERSION,
)
_CONDITIONS_OF_THE_API: Final = (
    chosen(ACCESS_LOGS),
    chosen(SUBSCRIBERS),
    cloudformation.HAS_DOMAIN,
    cloudformation.DEMANDS_CERTIFICATES,
    cloudformation.PINS_TRUSTSTORE,
)

APP: Final = '''"""Written by scripts/package --format chalice: what ``chalice deploy`` deploys of ChronoWatch."""

import sys

from chalice.app import DynamoDBEventConfig, LambdaFunction, RouteEntry, SQSEventConfig

if sys.version_info[:2] != ({major}, {minor}):  # Chalice takes the runtime from it, and the wheels are for this one
    raise SystemExit("this project is for Python {major}.{minor}: run chalice with it")

from chalicelib.api.http.app import HttpApp
from chalicelib.functions import api, declare, deliver, feed, reconcile, script, subscribe, sweep, workflow

ANY_PATH = "/{{proxy+}}"


class Gateway(HttpApp):
    """Answers for every path, as the function that the other packages have."""

    def __call__(self, event, context):
        return api.handle(event, context)


app = api.whole()
app.__class__ = Gateway
for function in (deliver, sweep, reconcile, feed, declare, workflow, script, subscribe):
    app.register_blueprint(function.blueprint)

# The stack makes these event sources, since Chalice cannot make them whole.
for source in [s for s in app.event_sources if isinstance(s, SQSEventConfig | DynamoDBEventConfig)]:
    app.event_sources.remove(source)
    app.pure_lambda_functions.append(LambdaFunction(None, source.name, source.handler_string))

app.routes = dict(app.routes)
app.routes[ANY_PATH] = {{}}
for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
    entry = RouteEntry(api.handle, "any", ANY_PATH, method)
    entry.view_args = ["proxy"]
    app.routes[ANY_PATH][method] = entry
'''

LAYERS: Final = '''"""Put the stack's layers and its bucket, read from standard input, into .chalice/config.json."""

import json
import sys
from pathlib import Path

WANTED = {wanted}
USERS = {users}

outputs = {{each["OutputKey"]: each["OutputValue"] for each in json.load(sys.stdin)}}
if missing := sorted(({{"{bucket}"}} | {{layer for layers in WANTED.values() for layer in layers}}) - set(outputs)):
    sys.exit(f"these are no outputs of the stack of the state: it lacks {{missing[0]}}")
path = Path(__file__).with_name(".chalice") / "config.json"
config = json.loads(path.read_text())
for function, layers in WANTED.items():
    config["lambda_functions"].setdefault(function, {{}})["layers"] = [outputs[layer] for layer in layers]
(stage,) = config["stages"].values()
for function in USERS:  # Chalice merges variables of functions within a stage alone
    own = stage.setdefault("lambda_functions", {{}}).setdefault(function, {{}})
    own.setdefault("environment_variables", {{}})["{variable}"] = outputs["{bucket}"]
path.write_text(json.dumps(config, indent=1) + "\\n")
'''


def companion(template: Json, build: Build) -> Json:
    """The stack beside the project: all of a deployment that Chalice does not deploy."""
    whole = cloudformation.complete(template, build)
    given: Json = whole["Resources"]
    kept = {
        name: resource
        for name, resource in given.items()
        if resource["Type"] not in _CHALICES and name not in _GATEWAYS
    }
    whole["Parameters"] = {n: p for n, p in whole["Parameters"].items() if n not in _PARAMETERS_OF_THE_API}
    whole["Conditions"] = {n: c for n, c in whole["Conditions"].items() if n not in _CONDITIONS_OF_THE_API}
    whole["Rules"] = {name: rule for name, rule in whole["Rules"].items() if name != "DomainIsWhole"}
    for name in WORKERS:
        for event, source in (given[name]["Properties"].get("Events") or {}).items():
            mapping = _mapping(source, f"chronowatch-{build.stage}-{name.lower()}")
            if mapping is not None:
                kept[f"{name}{event.removeprefix(name)}Source"] = mapping
    whole["Resources"] = _named_by_chalice(kept, build.stage)
    whole["Outputs"] = {f"{layer.logical}Arn": {"Value": {"Ref": layer.logical}} for layer in build.layers()}
    whole["Outputs"][BUCKET] = {"Value": {"Ref": value_bucket.LOGICAL}}
    return whole


def without_mappings(whole: Json) -> Json:
    """The stack of a stage that has no functions yet."""
    kept = {name: resource for name, resource in whole["Resources"].items() if resource["Type"] != MAPPING}
    return {**whole, "Resources": kept}


def _mapping(source: Json, function: str) -> Json | None:
    """An event source of SAM as Lambda's own; None for a rule, which Chalice makes."""
    properties = dict(source["Properties"])
    if source["Type"] not in ("SQS", "DynamoDB"):
        return None
    properties["EventSourceArn"] = properties.pop("Queue" if source["Type"] == "SQS" else "Stream")
    return {
        "Type": MAPPING,
        "Properties": {**properties, "FunctionName": function},
    }


def _named_by_chalice(resources: Json, stage: str) -> Json:
    """Chalice names the function of the API after the stage alone."""
    text = json.dumps(resources).replace(f"chronowatch-{stage}-api", f"chronowatch-{stage}")
    renamed: Json = json.loads(text)
    return renamed


def keep(project: Path, out: Path, build: Build) -> None:
    """The project that was packaged, as one to deploy from, with what Chalice noted of its deployments there. Raises
    SettingsError without the secret of page tokens."""
    secret = os.environ.get(SECRET, "")
    if len(secret) < SECRET_LENGTH_MIN:
        raise SettingsError(
            SECRET, f"must have {SECRET_LENGTH_MIN} characters or more: Chalice takes it from its configuration"
        )
    target = out / "project"
    noted = {path.name: path.read_bytes() for path in (target / DEPLOYED).glob("*.json")}
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(project, target, symlinks=False, ignore=shutil.ignore_patterns("out", "__pycache__"))
    major, minor = build.target.python.split(".")
    (target / "app.py").write_text(APP.format(major=major, minor=minor))
    wanted = {_config_key(name): [f"{layer.logical}Arn" for layer in build.layers_of(name)] for name in (API, *WORKERS)}
    wanted = {name: found for name, found in wanted.items() if found}
    (target / "layers.py").write_text(LAYERS.format(wanted=json.dumps(wanted, indent=4), **_bucket()))
    path = target / ".chalice" / "config.json"
    config = json.loads(path.read_text())
    config["lambda_architecture"] = build.target.architecture
    config["stages"] = {build.stage: config["stages"][build.stage]}
    config["stages"][build.stage].setdefault("environment_variables", {})[SECRET] = secret
    path.write_text(json.dumps(config, indent=1) + "\n")
    path.chmod(0o600)
    (target / DEPLOYED).mkdir()
    for name, content in noted.items():
        (target / DEPLOYED / name).write_bytes(content)


def _bucket() -> Json:
    """Which functions use the bucket of large values, and by which variable they know it."""
    users = json.dumps([_config_key(name) for name in value_bucket.FUNCTIONS])
    return {"users": users, "variable": VARIABLE, "bucket": BUCKET}


def _config_key(function: str) -> str:
    """A function's name in Chalice's configuration."""
    return "api_handler" if function == API else function.lower()
