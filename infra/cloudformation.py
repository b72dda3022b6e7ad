"""CloudFormation: what Chalice's SAM template lacks to be the whole deployment.

Chalice knows functions, roles and the REST API. Added here are the tables, queues and bus of ``infra.state``, and
partial batch answers for the queue. So are the secret of page tokens as a parameter, and log groups with a retention.
The API Gateway hands every path and method to the service, so that also 404 and 405 are the service's own problem+json.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from chalicelib.adapters.dynamodb.documents import DEFINITION_SK, STATE_SK
from chalicelib.adapters.dynamodb.stream_records import LEASES_SUFFIX
from infra.state import Queue, State, Table

Json = dict[str, Any]

LOG_RETENTION_DAYS = 30
SECRET_PARAMETER = "PageTokenSecret"  # noqa: S105 - the name of a parameter, not a secret
DOMAIN = "DomainName"
CERTIFICATE = "DomainCertificateArn"
TRUSTSTORE = "TruststoreUri"
TRUSTSTORE_VERSION = "TruststoreVersion"
HAS_DOMAIN = "HasDomain"
DEMANDS_CERTIFICATES = "DemandsCertificates"
PINS_TRUSTSTORE = "PinsTruststore"
_DOMAIN_PARAMETERS = {
    DOMAIN: {"Type": "String", "Default": "", "Description": "A domain for the API; empty: API Gateway's own address"},
    CERTIFICATE: {"Type": "String", "Default": "", "Description": "The domain's certificate in ACM, in this region"},
    TRUSTSTORE: {
        "Type": "String",
        "Default": "",
        "AllowedPattern": "^$|^s3://.+/.+$",
        "Description": "s3://BUCKET/KEY of the CAs of callers' certificates; set: no caller gets in without one",
    },
    TRUSTSTORE_VERSION: {"Type": "String", "Default": "", "Description": "The version of that object; empty: the last"},
}
WORKERS = ("Deliver", "Sweep", "Reconcile", "Feed", "Workflow")
API = "APIHandler"
API_HANDLER = "chalicelib.functions.api.handle"
FEED_BATCH_WINDOW_S = 1  # how much later a subscriber may hear of a change, so that a batch has more of them
FEED_TUMBLING_S = 900  # the longest there is: a window ends with a call for nothing
FEED_RETRIES = -1  # for as long as the stream keeps records, a day: policies rest on them
# The streams that feed the function, and what of each is worth a call: all of it, or what one of the patterns matches.
FEED_STREAMS: dict[str, list[Json]] = {
    "executions": [],
    "schedules": [
        {"dynamodb": {"Keys": {"sk": {"S": [DEFINITION_SK]}}}},
        {"eventName": ["INSERT"], "dynamodb": {"Keys": {"sk": {"S": [STATE_SK]}}}},  # created
        {  # taken off the list of what is due
            "dynamodb": {
                "OldImage": {"due_shard": {"S": [{"exists": True}]}},
                "NewImage": {"due_shard": {"S": [{"exists": False}]}},
            }
        },
    ],
    "registry": [{"dynamodb": {"Keys": {"pk": {"S": [{"suffix": LEASES_SUFFIX}]}}}}],
}

# What API Gateway says itself, before the service is asked. The trace id is the gateway's own; $context is its syntax.
_GATEWAY_PROBLEMS = {
    "MISSING_AUTHENTICATION_TOKEN": (404, "Not found", "not_found"),
    "RESOURCE_NOT_FOUND": (404, "Not found", "not_found"),
    "BAD_REQUEST_BODY": (400, "Bad request", "bad_request"),
    "REQUEST_TOO_LARGE": (413, "Too large", "too_large"),
    "UNSUPPORTED_MEDIA_TYPE": (415, "Unsupported media type", "unsupported_media_type"),
    "THROTTLED": (429, "Too many requests", "too_many_requests"),
    "QUOTA_EXCEEDED": (429, "Too many requests", "too_many_requests"),
    "INTEGRATION_FAILURE": (503, "Service unavailable", "unavailable"),
    "INTEGRATION_TIMEOUT": (503, "Service unavailable", "unavailable"),
    "DEFAULT_4XX": (None, "Request refused", "request_refused"),
    "DEFAULT_5XX": (None, "Internal error", "internal_error"),
}


def complete(template: Json, state: State) -> Json:
    """Chalice's template with everything else in it; the argument is left as it is."""
    whole = copy.deepcopy(template)
    whole["Description"] = f"ChronoWatch, stage {state.stage}"
    whole["Parameters"] = {
        **_DOMAIN_PARAMETERS,
        SECRET_PARAMETER: {
            "Type": "String",
            "NoEcho": True,
            "MinLength": 32,
            "Description": "Signs page tokens: random characters, kept from release to release",
        },
    }
    whole["Conditions"] = {
        HAS_DOMAIN: {"Fn::Not": [{"Fn::Equals": [{"Ref": DOMAIN}, ""]}]},
        DEMANDS_CERTIFICATES: {"Fn::Not": [{"Fn::Equals": [{"Ref": TRUSTSTORE}, ""]}]},
        PINS_TRUSTSTORE: {"Fn::Not": [{"Fn::Equals": [{"Ref": TRUSTSTORE_VERSION}, ""]}]},
    }
    whole["Rules"] = {"DomainIsWhole": {"Assertions": [_needs(DOMAIN, CERTIFICATE), _needs(TRUSTSTORE, DOMAIN)]}}
    resources: Json = whole["Resources"]
    resources.update({_logical(table.logical, "Table"): _table(table) for table in state.tables})
    resources.update({_logical(queue.logical, "Queue"): _queue(queue, state) for queue in state.queues})
    resources["EventBus"] = {"Type": "AWS::Events::EventBus", "Properties": {"Name": state.event_bus}}
    for name in (*WORKERS, API):
        _name_function(resources, name, state)
    resources[API]["Properties"]["Handler"] = API_HANDLER
    resources[API]["Properties"]["Environment"]["Variables"]["CHRONO_PAGE_TOKEN_SECRET"] = {"Ref": SECRET_PARAMETER}
    _feed_from_queue(resources["Deliver"], "WorkQueue")
    _feed_from_queue(resources["Workflow"], "StepsQueue")
    _feed_from_streams(resources["Feed"])
    _open_gateway(resources["RestAPI"]["Properties"])
    resources.update(_domain())
    return whole


def _needs(one: str, other: str) -> Json:
    """A rule of a template: a parameter is given only together with another."""
    empty = [{"Fn::Equals": [{"Ref": one}, ""]}, {"Fn::Not": [{"Fn::Equals": [{"Ref": other}, ""]}]}]
    return {"Assert": {"Fn::Or": empty}, "AssertDescription": f"{one} needs {other}"}


def _domain() -> Json:
    """A domain of the deployment's own. With a truststore it takes callers with a certificate only (mutual TLS), and
    the API's default address, which asks for none, is closed."""
    truststore = {
        "TruststoreUri": {"Ref": TRUSTSTORE},
        "TruststoreVersion": {"Fn::If": [PINS_TRUSTSTORE, {"Ref": TRUSTSTORE_VERSION}, {"Ref": "AWS::NoValue"}]},
    }
    return {
        "Domain": {
            "Type": "AWS::ApiGateway::DomainName",
            "Condition": HAS_DOMAIN,
            "Properties": {
                "DomainName": {"Ref": DOMAIN},
                "RegionalCertificateArn": {"Ref": CERTIFICATE},
                "EndpointConfiguration": {"Types": ["REGIONAL"]},
                "SecurityPolicy": "TLS_1_2",
                "MutualTlsAuthentication": {"Fn::If": [DEMANDS_CERTIFICATES, truststore, {"Ref": "AWS::NoValue"}]},
            },
        },
        "DomainMapping": {
            "Type": "AWS::ApiGateway::BasePathMapping",
            "Condition": HAS_DOMAIN,
            "Properties": {
                "DomainName": {"Ref": "Domain"},
                "RestApiId": {"Ref": "RestAPI"},
                "Stage": {"Ref": "RestAPI.Stage"},
            },
        },
    }


def _logical(name: str, kind: str) -> str:
    return name.title().replace("_", "") + kind


def _table(table: Table) -> Json:
    properties: Json = {
        "TableName": table.name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": k.name, "AttributeType": k.type} for k in table.key_parts],
        "KeySchema": _key_schema(table.hash_key.name, table.range_key.name),
        "TimeToLiveSpecification": {"AttributeName": table.ttl_attribute, "Enabled": True},
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    }
    if table.indexes:
        properties["GlobalSecondaryIndexes"] = [
            {
                "IndexName": index.name,
                "KeySchema": _key_schema(index.hash_key.name, index.range_key.name),
                "Projection": {
                    "ProjectionType": index.projection,
                    **({"NonKeyAttributes": list(index.include)} if index.include else {}),
                },
            }
            for index in table.indexes
        ]
    if table.stream:
        properties["StreamSpecification"] = {"StreamViewType": table.stream}
    # What the service acknowledged outlives a stack that was deleted by mistake.
    return {
        "Type": "AWS::DynamoDB::Table",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": properties,
    }


def _key_schema(hash_key: str, range_key: str) -> list[Json]:
    return [{"AttributeName": hash_key, "KeyType": "HASH"}, {"AttributeName": range_key, "KeyType": "RANGE"}]


def _queue(queue: Queue, state: State) -> Json:
    properties: Json = {
        "QueueName": queue.name,
        "VisibilityTimeout": queue.visibility_s,
        "MessageRetentionPeriod": queue.retention_s,
        "SqsManagedSseEnabled": True,
    }
    if queue.dead_letter is not None:
        target = _logical(state.queue(queue.dead_letter).logical, "Queue")
        properties["RedrivePolicy"] = {
            "deadLetterTargetArn": {"Fn::GetAtt": [target, "Arn"]},
            "maxReceiveCount": queue.max_receive_count,
        }
    return {"Type": "AWS::SQS::Queue", "Properties": properties}


def _name_function(resources: Json, logical: str, state: State) -> None:
    """A name of its own for the function, so that its log group can be declared, and forgets."""
    name = f"chronowatch-{state.stage}-{'api' if logical == API else logical.lower()}"
    resources[logical]["Properties"]["FunctionName"] = name
    resources[f"{logical}Logs"] = {
        "Type": "AWS::Logs::LogGroup",
        "Properties": {"LogGroupName": f"/aws/lambda/{name}", "RetentionInDays": LOG_RETENTION_DAYS},
    }


def _feed_from_queue(function: Json, queue: str) -> None:
    (source,) = function["Properties"]["Events"].values()
    source["Properties"].update(
        {"Queue": {"Fn::GetAtt": [queue, "Arn"]}, "FunctionResponseTypes": ["ReportBatchItemFailures"]}
    )


def _feed_from_streams(function: Json) -> None:
    """What a batch sets off is done in order and never left out: a batch that cannot be done holds up its shard. Only
    with a window does a batch name the shard that it comes from, which the change feed counts by."""
    events = function["Properties"]["Events"]
    ((name, source),) = events.items()
    for logical, filters in FEED_STREAMS.items():
        one = copy.deepcopy(source)
        one["Properties"].update(
            {
                "Stream": {"Fn::GetAtt": [_logical(logical, "Table"), "StreamArn"]},
                "MaximumBatchingWindowInSeconds": FEED_BATCH_WINDOW_S,
                "MaximumRetryAttempts": FEED_RETRIES,
                "BisectBatchOnFunctionError": True,
                "TumblingWindowInSeconds": FEED_TUMBLING_S,
            }
        )
        if filters:
            one["Properties"]["FilterCriteria"] = {"Filters": [{"Pattern": json.dumps(f)} for f in filters]}
        events[name if logical == "executions" else f"{name}{logical.title()}"] = one


def _open_gateway(api: Json) -> None:
    """Every method of every path reaches the service; what the gateway must answer itself it answers in our words."""
    api["EndpointConfiguration"] = {"Type": "REGIONAL"}
    api["DisableExecuteApiEndpoint"] = {"Fn::If": [DEMANDS_CERTIFICATES, True, {"Ref": "AWS::NoValue"}]}
    body = api["DefinitionBody"]
    open_paths(body)
    body["x-amazon-apigateway-gateway-responses"] = gateway_responses()


def open_paths(swagger: Json) -> None:
    """In place: any method on each path, and any path at all, go to the function that the paths go to."""
    paths: Json = swagger["paths"]
    some = next(iter(paths.values()))
    integration = next(iter(some.values()))["x-amazon-apigateway-integration"]
    for path in (*list(paths), "/", "/{proxy+}"):
        parameters = [
            {"name": part.strip("{}+"), "in": "path", "required": True, "type": "string"}
            for part in path.split("/")
            if part.startswith("{")
        ]
        paths.setdefault(path, {})["x-amazon-apigateway-any-method"] = {
            "produces": ["application/json"],
            "responses": {},
            **({"parameters": parameters} if parameters else {}),
            "x-amazon-apigateway-integration": copy.deepcopy(integration),
        }


def gateway_responses() -> Json:
    """API Gateway's own answers as problem+json."""
    return {kind: _gateway_problem(*problem) for kind, problem in _GATEWAY_PROBLEMS.items()}


def _gateway_problem(status: int | None, title: str, code: str) -> Json:
    shown = status if status is not None else "$context.status"
    parameters = {"gatewayresponse.header.Content-Type": "'application/problem+json'"}
    if status in (429, 503):
        parameters["gatewayresponse.header.Retry-After"] = "'1'"
    template = (
        f'{{"type":"about:blank","title":"{title}","status":{shown},"detail":$context.error.messageString,'
        f'"code":"{code}","trace_id":"$context.requestId"}}'
    )
    answer: Json = {"responseParameters": parameters, "responseTemplates": {"application/json": template}}
    if status is not None:
        answer["statusCode"] = str(status)
    return answer
