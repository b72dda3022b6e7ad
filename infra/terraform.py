"""Terraform: Chalice's ``chalice.tf.json`` made to work with present releases, and the rest of the deployment.

Chalice writes for Terraform before 1.4 and the AWS provider before 5. What changed since: the null provider's data
source is gone, and an API's stage is a resource of its own. What holds state is in ``infra.terraform_state``.
"""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any, Final

from infra import terraform_state, value_bucket
from infra.build import Build
from infra.choices import (
    ACCESS_LOGS,
    CONCURRENCY,
    NUMBERS,
    POLLERS,
    POLLERS_LEAST,
    SECRET_LENGTH_MIN,
    SUBSCRIBERS,
    SWITCHES,
    TEXTS,
)
from infra.cloudformation import (
    API_HANDLER,
    BINARY_TYPES,
    FEED_BATCH_WINDOW_S,
    FEED_RETRIES,
    FEED_STREAMS,
    FEED_TUMBLING_S,
    MEDIA_TYPES,
    access_log_format,
    gateway_responses,
    open_paths,
)
from infra.functions import ALIAS
from infra.layers import Layer
from infra.terraform_state import log_group

Json = dict[str, Any]

REQUIRED_VERSION: Final = ">= 1.5"
SECRET_VARIABLE = "page_token_secret"  # noqa: S105 - the name of a variable, not a secret
DOMAIN_VARIABLE = "domain_name"
CERTIFICATE_VARIABLE = "domain_certificate_arn"
TRUSTSTORE_VARIABLE = "truststore_uri"
_SWAGGER = "chalice_api_swagger"
# Functions by their names here; layers are given by the names of CloudFormation's template.
_FUNCTIONS: Final = {
    "api_handler": "APIHandler",
    "deliver": "Deliver",
    "sweep": "Sweep",
    "reconcile": "Reconcile",
    "feed": "Feed",
    "declare": "Declare",
    "workflow": "Workflow",
    "script": "Script",
    "subscribe": "Subscribe",
}


def complete(document: Json, build: Build) -> Json:
    """Chalice's document with everything else in it; the argument is left as it is."""
    whole = copy.deepcopy(document)
    whole["terraform"] = {
        "required_version": REQUIRED_VERSION,
        "required_providers": {"aws": {"source": "hashicorp/aws", "version": ">= 5.0, < 7.0"}},
    }
    whole["data"].pop("null_data_source", None)
    whole["variable"] = {
        SECRET_VARIABLE: {
            "type": "string",
            "sensitive": True,
            "description": f"Signs page tokens: {SECRET_LENGTH_MIN} random characters or more, kept between releases",
            "validation": {
                "condition": f"${{length(var.{SECRET_VARIABLE}) >= {SECRET_LENGTH_MIN}}}",
                "error_message": f"must have at least {SECRET_LENGTH_MIN} characters",
            },
        },
        **_domain_variables(),
        **_choices(),
    }
    resources: Json = whole["resource"]
    resources.update(terraform_state.resources(build.state))
    _functions(resources, build)
    _bound_subscribers(resources)
    _event_sources(resources["aws_lambda_event_source_mapping"])
    _gateway(whole, build)
    _check_pollers(resources)
    if build.snapstart:
        _call_snapshots(whole)
    return whole


def _choices() -> Json:
    def validation(variable: str, condition: str, wrong: str) -> Json:
        return {"condition": f"${{{condition}}}".replace("VALUE", f"var.{variable}"), "error_message": wrong}

    found: Json = {}
    for switch in SWITCHES:
        found[switch.variable] = {"type": "bool", "default": switch.default, "description": switch.description}
    for number in NUMBERS:
        bounds = f"{number.least} to {number.most}"
        condition = f"VALUE == 0 || (VALUE >= {number.least} && VALUE <= {number.most} && floor(VALUE) == VALUE)"
        found[number.variable] = {
            "type": "number",
            "default": number.default,
            "description": f"{number.description}: 0, or {bounds}",
            "validation": validation(number.variable, condition, f"must be 0, or a whole number from {bounds}"),
        }
    for text in TEXTS:
        condition = f'VALUE == "" || can(regex("{text.pattern}", VALUE))'
        found[text.variable] = {
            "type": "string",
            "default": "",
            "description": f"{text.description}; empty: none",
            "validation": validation(text.variable, condition, f"must be empty, or match {text.pattern}"),
        }
    return found


def _check_pollers(resources: Json) -> None:
    """Lambda refuses both, long after everything else was made: the plan says so."""
    concurrency, least, most = (f"var.{each.variable}" for each in (CONCURRENCY, POLLERS_LEAST, POLLERS))
    exclusive = {
        "condition": f"${{{concurrency} == 0 || {most} == 0}}",
        "error_message": f"{CONCURRENCY.variable} and {POLLERS.variable} exclude each other",
    }
    whole = {
        "condition": f"${{({least} == 0) == ({most} == 0)}}",
        "error_message": f"{POLLERS_LEAST.variable} and {POLLERS.variable} are given together",
    }
    checks = resources.setdefault("terraform_data", {})
    checks["pollers_are_whole"] = {"lifecycle": {"precondition": [exclusive, whole]}}


def _functions(resources: Json, build: Build) -> None:
    groups = {}
    resources["aws_lambda_function"]["api_handler"]["function_name"] = f"chronowatch-{build.stage}-api"
    for name, function in resources["aws_lambda_function"].items():
        groups[name] = log_group(f"/aws/lambda/{function['function_name']}")
        # A function that is still at work would make its group anew: groups go after functions.
        function["depends_on"] = [f"aws_cloudwatch_log_group.{name}"]
        function["runtime"] = build.target.runtime
        function["architectures"] = [build.target.architecture]
        layers = build.layers_of(_FUNCTIONS[name])
        if layers:
            function["layers"] = [f"${{aws_lambda_layer_version.{layer.name}.arn}}" for layer in layers]
        if build.snapstart:
            function |= {"publish": True, "snap_start": {"apply_on": "PublishedVersions"}}
    resources["aws_lambda_layer_version"] = {layer.name: _layer(layer, build) for layer in build.layers()}
    resources["aws_cloudwatch_log_group"] = groups
    api = resources["aws_lambda_function"]["api_handler"]
    api["handler"] = API_HANDLER
    for function in (api, resources["aws_lambda_function"]["subscribe"]):  # both read sessions, sealed with it
        function["environment"]["variables"]["CHRONO_PAGE_TOKEN_SECRET"] = f"${{var.{SECRET_VARIABLE}}}"
    value_bucket.tell_terraform(resources["aws_lambda_function"], _FUNCTIONS)
    for rule in resources["aws_cloudwatch_event_rule"].values():
        rule["name"] = f"chronowatch-{build.stage}-{rule['name']}"  # Chalice's name is the same in every stage
        rule.pop("description", None)


def _bound_subscribers(resources: Json) -> None:
    """Each holds an invocation. What is reserved for them they cannot exceed, and nothing else can use."""
    most = f"var.{SUBSCRIBERS.variable}"
    function = resources["aws_lambda_function"]["subscribe"]
    function["reserved_concurrent_executions"] = f"${{{most} == 0 ? -1 : {most}}}"
    permissions = resources["aws_lambda_permission"]
    for name, permission in list(permissions.items()):
        if "aws_lambda_function.api_handler." in permission["function_name"]:
            own = json.loads(json.dumps(permission).replace("_function.api_handler.", "_function.subscribe."))
            permissions[f"subscribe_{name}"] = own


def _layer(layer: Layer, build: Build) -> Json:
    path = f"${{path.module}}/{layer.zip_name}"
    return {
        "layer_name": f"chronowatch-{build.stage}-{layer.name}",
        "filename": path,
        "source_code_hash": f'${{filebase64sha256("{path}")}}',
        "compatible_runtimes": [build.target.runtime],
        "compatible_architectures": [build.target.architecture],
    }


def _call_snapshots(whole: Json) -> None:
    """Only published versions have snapshots, so everything calls the alias in place of the function."""
    resources: Json = whole["resource"]
    resources["aws_lambda_alias"] = {
        name: {
            "name": ALIAS,
            "function_name": f"${{aws_lambda_function.{name}.function_name}}",
            "function_version": f"${{aws_lambda_function.{name}.version}}",
        }
        for name in resources["aws_lambda_function"]
    }
    for kind in ("aws_lambda_event_source_mapping", "aws_cloudwatch_event_target"):
        text = json.dumps(resources[kind])
        for name in resources["aws_lambda_function"]:
            text = text.replace(f"${{aws_lambda_function.{name}.arn}}", f"${{aws_lambda_alias.{name}.arn}}")
        resources[kind] = json.loads(text)
    for permission in resources["aws_lambda_permission"].values():
        permission["qualifier"] = ALIAS
        permission["function_name"] = permission["function_name"].replace(".arn}", ".function_name}")
        name = permission["function_name"].split(".")[1]
        permission["depends_on"] = [f"aws_lambda_alias.{name}"]
    swagger = whole["locals"][_SWAGGER]
    for function in ("api_handler", "subscribe"):
        for attribute in ("invoke_arn", "arn"):
            swagger = swagger.replace(
                f"aws_lambda_function.{function}.{attribute}", f"aws_lambda_alias.{function}.{attribute}"
            )
    whole["locals"][_SWAGGER] = swagger


def _event_sources(mappings: Json) -> None:
    for name, mapping in list(mappings.items()):
        queue = next((q for f, q in (("deliver", "work"), ("workflow", "steps")) if f in mapping["function_name"]), "")
        if queue:
            mapping["event_source_arn"] = f"${{aws_sqs_queue.{queue}.arn}}"
            mapping["function_response_types"] = ["ReportBatchItemFailures"]
            mapping["dynamic"] = _pollers()
            continue
        for logical, filters in FEED_STREAMS.items():
            one = copy.deepcopy(mapping)
            one["event_source_arn"] = f"${{aws_dynamodb_table.{logical}.stream_arn}}"
            one["maximum_batching_window_in_seconds"] = FEED_BATCH_WINDOW_S
            one["maximum_retry_attempts"] = FEED_RETRIES
            one["bisect_batch_on_function_error"] = True
            one["tumbling_window_in_seconds"] = FEED_TUMBLING_S
            if filters:
                one["filter_criteria"] = {"filter": [{"pattern": json.dumps(f)} for f in filters]}
            mappings[name if logical == "executions" else f"{name}_{logical}"] = one


def _pollers() -> Json:
    """Lambda's own pollers, of which a most can be set, or provisioned ones."""

    def when(variable: str) -> str:
        return f"${{var.{variable} == 0 ? [] : [var.{variable}]}}"

    concurrency = {"maximum_concurrency": "${scaling_config.value}"}
    pollers = {
        "minimum_pollers": f"${{var.{POLLERS_LEAST.variable}}}",
        "maximum_pollers": "${provisioned_poller_config.value}",
    }
    return {
        "scaling_config": {"for_each": when(CONCURRENCY.variable), "content": concurrency},
        "provisioned_poller_config": {"for_each": when(POLLERS.variable), "content": pollers},
    }


def _domain_variables() -> Json:
    """A domain and what it needs; each needs the one before it."""

    def text(description: str, condition: str, wrong: str) -> Json:
        validation = {"condition": condition, "error_message": wrong}
        return {"type": "string", "default": "", "description": description, "validation": validation}

    uri = f'${{var.{TRUSTSTORE_VARIABLE} == "" || can(regex("^s3://.+/.+$", var.{TRUSTSTORE_VARIABLE}))}}'
    return {
        DOMAIN_VARIABLE: {
            "type": "string",
            "default": "",
            "description": "A domain for the API; empty: API Gateway's own address",
        },
        CERTIFICATE_VARIABLE: {
            "type": "string",
            "default": "",
            "description": "The domain's certificate in ACM, in this region",
        },
        TRUSTSTORE_VARIABLE: text(
            "s3://BUCKET/KEY of the CAs of callers' certificates; set: no caller gets in without one",
            uri,
            "must be s3://BUCKET/KEY",
        ),
    }


def _domain() -> Json:
    """As ``infra.cloudformation`` has it: with a truststore no caller gets in without a certificate."""
    only = f'${{var.{DOMAIN_VARIABLE} == "" ? 0 : 1}}'
    truststores = f'${{var.{TRUSTSTORE_VARIABLE} == "" ? [] : [var.{TRUSTSTORE_VARIABLE}]}}'
    uri = "${mutual_tls_authentication.value}"
    mutual = {"for_each": truststores, "content": {"truststore_uri": uri}}
    needs_domain = f'${{var.{TRUSTSTORE_VARIABLE} == "" || var.{DOMAIN_VARIABLE} != ""}}'
    needs_certificate = f'${{var.{CERTIFICATE_VARIABLE} != ""}}'
    demand = {"condition": needs_domain, "error_message": f"{TRUSTSTORE_VARIABLE} needs {DOMAIN_VARIABLE}"}
    certified = {"condition": needs_certificate, "error_message": f"{DOMAIN_VARIABLE} needs {CERTIFICATE_VARIABLE}"}
    return {
        "terraform_data": {"domain_is_whole": {"lifecycle": {"precondition": [demand]}}},
        "aws_api_gateway_domain_name": {
            "domain": {
                "count": only,
                "domain_name": f"${{var.{DOMAIN_VARIABLE}}}",
                "regional_certificate_arn": f"${{var.{CERTIFICATE_VARIABLE}}}",
                "security_policy": "TLS_1_2",
                "endpoint_configuration": {"types": ["REGIONAL"]},
                "dynamic": {"mutual_tls_authentication": mutual},
                "lifecycle": {"precondition": [certified]},
            }
        },
        "aws_api_gateway_base_path_mapping": {
            "domain": {
                "count": only,
                "api_id": "${aws_api_gateway_rest_api.rest_api.id}",
                "stage_name": "${aws_api_gateway_stage.rest_api.stage_name}",
                "domain_name": "${aws_api_gateway_domain_name.domain[0].domain_name}",
            }
        },
    }


def _gateway(whole: Json, build: Build) -> None:
    """The stage as a resource, and a deployment that is made anew when the API changes."""
    swagger = json.loads(whole["locals"][_SWAGGER])
    open_paths(swagger, "aws_lambda_function.api_handler.", "aws_lambda_function.subscribe.")
    swagger["x-amazon-apigateway-gateway-responses"] = gateway_responses()
    swagger[MEDIA_TYPES] = list(BINARY_TYPES)
    text = json.dumps(swagger, sort_keys=True)
    whole["locals"][_SWAGGER] = text
    resources: Json = whole["resource"]
    resources["aws_api_gateway_rest_api"]["rest_api"]["endpoint_configuration"] = {"types": ["REGIONAL"]}
    resources["aws_api_gateway_rest_api"]["rest_api"]["binary_media_types"] = list(BINARY_TYPES)
    deployment = resources["aws_api_gateway_deployment"]["rest_api"]
    stage_name = deployment.pop("stage_name")
    deployment.pop("stage_description", None)
    deployment["triggers"] = {"redeployment": hashlib.sha256(text.encode()).hexdigest()}
    resources["aws_api_gateway_stage"] = {
        "rest_api": {
            "stage_name": stage_name,
            "rest_api_id": "${aws_api_gateway_rest_api.rest_api.id}",
            "deployment_id": "${aws_api_gateway_deployment.rest_api.id}",
            "dynamic": {
                "access_log_settings": {
                    "for_each": "${aws_cloudwatch_log_group.access}",
                    "content": {
                        "destination_arn": "${access_log_settings.value.arn}",
                        "format": access_log_format(),
                    },
                }
            },
        }
    }
    group = log_group(f"/aws/apigateway/chronowatch-{build.stage}")
    resources["aws_cloudwatch_log_group"]["access"] = {"count": f"${{var.{ACCESS_LOGS.variable} ? 1 : 0}}", **group}
    rest_api = resources["aws_api_gateway_rest_api"]["rest_api"]
    rest_api["disable_execute_api_endpoint"] = f'${{var.{TRUSTSTORE_VARIABLE} != ""}}'
    domain = _domain()
    resources.setdefault("terraform_data", {}).update(domain.pop("terraform_data"))
    resources.update(domain)
    whole["output"]["ValueBucket"] = {"value": "${aws_s3_bucket.values.bucket}"}
    whole["output"]["DeclareFunction"] = {"value": "${aws_lambda_function.declare.function_name}"}
    whole["output"]["EndpointURL"] = {"value": "${aws_api_gateway_stage.rest_api.invoke_url}"}
