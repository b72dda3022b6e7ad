"""Terraform: Chalice's ``chalice.tf.json`` made to work with present releases, and the rest of the deployment.

Chalice writes for Terraform before 1.4 and the AWS provider before 5. What changed since: the null provider's data
source is gone, and an API's stage is a resource of its own.
"""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

from infra.cloudformation import (
    API_HANDLER,
    FEED_BATCH_WINDOW_S,
    FEED_RETRIES,
    FEED_STREAMS,
    FEED_TUMBLING_S,
    LOG_RETENTION_DAYS,
    gateway_responses,
    open_paths,
)
from infra.state import Queue, State, Table

Json = dict[str, Any]

SECRET_VARIABLE = "page_token_secret"  # noqa: S105 - the name of a variable, not a secret
DOMAIN_VARIABLE = "domain_name"
CERTIFICATE_VARIABLE = "domain_certificate_arn"
TRUSTSTORE_VARIABLE = "truststore_uri"
_SWAGGER = "chalice_api_swagger"


def complete(document: Json, state: State) -> Json:
    """Chalice's document with everything else in it; the argument is left as it is."""
    whole = copy.deepcopy(document)
    whole["terraform"] = {
        "required_version": ">= 1.4",
        "required_providers": {"aws": {"source": "hashicorp/aws", "version": ">= 5.0, < 7.0"}},
    }
    whole["data"].pop("null_data_source", None)
    whole["variable"] = {
        SECRET_VARIABLE: {
            "type": "string",
            "sensitive": True,
            "description": "Signs page tokens: at least 32 random characters, kept from release to release",
            "validation": {
                "condition": f"${{length(var.{SECRET_VARIABLE}) >= 32}}",
                "error_message": "at least 32 characters",
            },
        },
        **_domain_variables(),
    }
    resources: Json = whole["resource"]
    resources["aws_dynamodb_table"] = {table.logical: _table(table) for table in state.tables}
    resources["aws_sqs_queue"] = {queue.logical: _queue(queue) for queue in state.queues}
    resources["aws_cloudwatch_event_bus"] = {"bus": {"name": state.event_bus}}
    _functions(resources, state)
    _event_sources(resources["aws_lambda_event_source_mapping"])
    _gateway(whole)
    return whole


def _table(table: Table) -> Json:
    answer: Json = {
        "name": table.name,
        "billing_mode": "PAY_PER_REQUEST",
        "hash_key": table.hash_key.name,
        "range_key": table.range_key.name,
        "attribute": [{"name": key.name, "type": key.type} for key in table.key_parts],
        "ttl": {"attribute_name": table.ttl_attribute, "enabled": True},
        "point_in_time_recovery": {"enabled": True},
        "lifecycle": {"prevent_destroy": True},
    }
    if table.indexes:
        answer["global_secondary_index"] = [
            {
                "name": index.name,
                "hash_key": index.hash_key.name,
                "range_key": index.range_key.name,
                "projection_type": index.projection,
                **({"non_key_attributes": list(index.include)} if index.include else {}),
            }
            for index in table.indexes
        ]
    if table.stream:
        answer |= {"stream_enabled": True, "stream_view_type": table.stream}
    return answer


def _queue(queue: Queue) -> Json:
    answer: Json = {
        "name": queue.name,
        "visibility_timeout_seconds": queue.visibility_s,
        "message_retention_seconds": queue.retention_s,
        "sqs_managed_sse_enabled": True,
    }
    if queue.dead_letter is not None:
        arn = f"${{aws_sqs_queue.{queue.dead_letter}.arn}}"
        redrive = f'${{jsonencode({{deadLetterTargetArn = "{arn}", maxReceiveCount = {queue.max_receive_count}}})}}'
        answer["redrive_policy"] = redrive
    return answer


def _functions(resources: Json, state: State) -> None:
    groups = {}
    for name, function in resources["aws_lambda_function"].items():
        groups[name] = {"name": f"/aws/lambda/{function['function_name']}", "retention_in_days": LOG_RETENTION_DAYS}
    resources["aws_cloudwatch_log_group"] = groups
    api = resources["aws_lambda_function"]["api_handler"]
    api["handler"] = API_HANDLER
    api["environment"]["variables"]["CHRONO_PAGE_TOKEN_SECRET"] = f"${{var.{SECRET_VARIABLE}}}"
    for rule in resources["aws_cloudwatch_event_rule"].values():
        rule["name"] = f"chronowatch-{state.stage}-{rule['name']}"  # Chalice's name is the same in every stage
        rule.pop("description", None)


def _event_sources(mappings: Json) -> None:
    for name, mapping in list(mappings.items()):
        queue = next((q for f, q in (("deliver", "work"), ("workflow", "steps")) if f in mapping["function_name"]), "")
        if queue:
            mapping["event_source_arn"] = f"${{aws_sqs_queue.{queue}.arn}}"
            mapping["function_response_types"] = ["ReportBatchItemFailures"]
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


def _gateway(whole: Json) -> None:
    """The stage as a resource, and a deployment that is made anew when the API changes."""
    swagger = json.loads(whole["locals"][_SWAGGER])
    open_paths(swagger)
    swagger["x-amazon-apigateway-gateway-responses"] = gateway_responses()
    text = json.dumps(swagger, sort_keys=True)
    whole["locals"][_SWAGGER] = text
    resources: Json = whole["resource"]
    resources["aws_api_gateway_rest_api"]["rest_api"]["endpoint_configuration"] = {"types": ["REGIONAL"]}
    deployment = resources["aws_api_gateway_deployment"]["rest_api"]
    stage_name = deployment.pop("stage_name")
    deployment.pop("stage_description", None)
    deployment["triggers"] = {"redeployment": hashlib.sha256(text.encode()).hexdigest()}
    resources["aws_api_gateway_stage"] = {
        "rest_api": {
            "stage_name": stage_name,
            "rest_api_id": "${aws_api_gateway_rest_api.rest_api.id}",
            "deployment_id": "${aws_api_gateway_deployment.rest_api.id}",
        }
    }
    rest_api = resources["aws_api_gateway_rest_api"]["rest_api"]
    rest_api["disable_execute_api_endpoint"] = f'${{var.{TRUSTSTORE_VARIABLE} != ""}}'
    resources.update(_domain())
    whole["output"]["EndpointURL"] = {"value": "${aws_api_gateway_stage.rest_api.invoke_url}"}
