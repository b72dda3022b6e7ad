"""CloudFormation: what Chalice's SAM template lacks to be the whole deployment.

Chalice knows functions, roles and the REST API. Added here is what holds state (``infra.cloudformation_state``), how
functions run (``infra.functions``), and what is chosen for a stack (``infra.choices``) as parameters. So are the secret
of page tokens, log groups with a retention, and partial batch answers for the queue. The API Gateway hands every path
and method to the service, so that also 404 and 405 are the service's own problem+json.
"""

from __future__ import annotations

import copy
import json
from typing import Any

from chalicelib.adapters.dynamodb.documents import DEFINITION_SK, STATE_SK
from chalicelib.adapters.dynamodb.stream_records import LEASES_SUFFIX, RUN_HEAD
from infra import cloudformation_state, functions, value_bucket
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
from infra.cloudformation_state import chosen, logical
from infra.functions import API, NO_VALUE, SUBSCRIBE, WORKERS

Json = dict[str, Any]

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
API_HANDLER = "chalicelib.functions.api.handle"
SUBSCRIBE_PATH = "/api/tasks/subscribe"
# The gateway then hands on all bodies as bytes, and a caller that accepts anything, as browsers do, gets protobuf as
# such. With a list of types it would get base64 (AWS: "Binary media types for REST APIs").
MEDIA_TYPES = "x-amazon-apigateway-binary-media-types"
BINARY_TYPES = ("*/*",)
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
    "workflows": [{"dynamodb": {"Keys": {"sk": {"S": [RUN_HEAD]}}, "NewImage": {"packed": {"B": [{"exists": True}]}}}}],
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


def complete(template: Json, build: Build) -> Json:
    """Chalice's template with everything else in it; the argument is left as it is."""
    whole = copy.deepcopy(template)
    state = build.state
    whole["Description"] = f"ChronoWatch, stage {state.stage}"
    whole["Parameters"] = {
        **_DOMAIN_PARAMETERS,
        SECRET_PARAMETER: {
            "Type": "String",
            "NoEcho": True,
            "MinLength": SECRET_LENGTH_MIN,
            "Description": "Signs page tokens: random characters, kept from release to release",
        },
        **_choices(),
    }
    whole["Conditions"] = {
        HAS_DOMAIN: {"Fn::Not": [{"Fn::Equals": [{"Ref": DOMAIN}, ""]}]},
        DEMANDS_CERTIFICATES: {"Fn::Not": [{"Fn::Equals": [{"Ref": TRUSTSTORE}, ""]}]},
        PINS_TRUSTSTORE: {"Fn::Not": [{"Fn::Equals": [{"Ref": TRUSTSTORE_VERSION}, ""]}]},
        **{chosen(each): {"Fn::Equals": [{"Ref": each.parameter}, "true"]} for each in SWITCHES},
        **{chosen(each): {"Fn::Not": [{"Fn::Equals": [{"Ref": each.parameter}, "0"]}]} for each in NUMBERS},
        **{chosen(each): {"Fn::Not": [{"Fn::Equals": [{"Ref": each.parameter}, ""]}]} for each in TEXTS},
    }
    whole["Rules"] = {
        "DomainIsWhole": {"Assertions": [_needs(DOMAIN, CERTIFICATE), _needs(TRUSTSTORE, DOMAIN)]},
        "PollersAreOfOneKind": {"Assertions": [_one_of_them(CONCURRENCY.parameter, POLLERS.parameter)]},
        "PollersAreWhole": {"Assertions": [_together(POLLERS_LEAST.parameter, POLLERS.parameter)]},
    }
    resources: Json = whole["Resources"]
    resources.update(cloudformation_state.resources(state))
    for name in (*WORKERS, API):
        _name_function(resources, name, build)
    resources[API]["Properties"]["Handler"] = API_HANDLER
    for name in (API, SUBSCRIBE):  # both read sessions, which are sealed with it
        resources[name]["Properties"]["Environment"]["Variables"]["CHRONO_PAGE_TOKEN_SECRET"] = {
            "Ref": SECRET_PARAMETER
        }
    value_bucket.tell(resources)
    _feed_from_queue(resources["Deliver"], "WorkQueue")
    _feed_from_queue(resources["Workflow"], "StepsQueue")
    _feed_from_streams(resources["Feed"])
    _bound_subscribers(resources)
    _open_gateway(resources, build)
    resources.update(_domain())
    functions.complete(resources, build)
    whole["Outputs"]["ValueBucketName"] = {"Value": {"Ref": value_bucket.LOGICAL}}
    whole["Outputs"]["DeclareFunctionArn"] = {"Value": {"Fn::GetAtt": ["Declare", "Arn"]}}
    return whole


def _choices() -> Json:
    def bounded(least: int, most: int) -> str:
        return f"0, or {least} to {most}"

    switches = {
        each.parameter: {
            "Type": "String",
            "AllowedValues": ["true", "false"],
            "Default": str(each.default).lower(),
            "Description": each.description,
        }
        for each in SWITCHES
    }
    numbers = {
        each.parameter: {
            "Type": "Number",
            "Default": each.default,
            "MinValue": 0,
            "MaxValue": each.most,
            "Description": f"{each.description}: {bounded(each.least, each.most)}",
        }
        for each in NUMBERS
    }
    texts = {
        each.parameter: {
            "Type": "String",
            "Default": "",
            "AllowedPattern": f"^$|{each.pattern}",
            "Description": f"{each.description}; empty: none",
        }
        for each in TEXTS
    }
    return switches | numbers | texts


def _is_zero(name: str) -> Json:
    return {"Fn::Equals": [{"Ref": name}, "0"]}


def _one_of_them(one: str, other: str) -> Json:
    return {
        "Assert": {"Fn::Or": [_is_zero(one), _is_zero(other)]},
        "AssertDescription": f"{one} and {other} exclude each other",
    }


def _together(one: str, other: str) -> Json:
    both, none = [{"Fn::Not": [_is_zero(one)]}, {"Fn::Not": [_is_zero(other)]}], [_is_zero(one), _is_zero(other)]
    return {
        "Assert": {"Fn::Or": [{"Fn::And": both}, {"Fn::And": none}]},
        "AssertDescription": f"{one} and {other} are given together",
    }


def _needs(one: str, other: str) -> Json:
    """A rule of a template: a parameter is given only together with another."""
    empty = [{"Fn::Equals": [{"Ref": one}, ""]}, {"Fn::Not": [{"Fn::Equals": [{"Ref": other}, ""]}]}]
    return {"Assert": {"Fn::Or": empty}, "AssertDescription": f"{one} needs {other}"}


def _domain() -> Json:
    """A domain of the deployment's own. With a truststore it takes callers with a certificate only (mutual TLS), and
    the API's default address, which asks for none, is closed."""
    truststore = {
        "TruststoreUri": {"Ref": TRUSTSTORE},
        "TruststoreVersion": {"Fn::If": [PINS_TRUSTSTORE, {"Ref": TRUSTSTORE_VERSION}, NO_VALUE]},
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
                "MutualTlsAuthentication": {"Fn::If": [DEMANDS_CERTIFICATES, truststore, NO_VALUE]},
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


def _name_function(resources: Json, name: str, build: Build) -> None:
    """A name of its own for the function, so that its log group can be declared, and forgets."""
    function = f"chronowatch-{build.stage}-{'api' if name == API else name.lower()}"
    resources[name]["Properties"]["FunctionName"] = function
    # A function that is still at work would make its group anew: groups go after functions.
    resources[name]["DependsOn"] = f"{name}Logs"
    resources[f"{name}Logs"] = cloudformation_state.log_group(f"/aws/lambda/{function}")


def _feed_from_queue(function: Json, queue: str) -> None:
    """Pollers are Lambda's own, of which a most can be set, or provisioned ones. Lambda takes one or the other."""
    (source,) = function["Properties"]["Events"].values()
    pollers = {"MinimumPollers": {"Ref": POLLERS_LEAST.parameter}, "MaximumPollers": {"Ref": POLLERS.parameter}}
    scaling = {"MaximumConcurrency": {"Ref": CONCURRENCY.parameter}}
    source["Properties"].update(
        {
            "Queue": {"Fn::GetAtt": [queue, "Arn"]},
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "ScalingConfig": {"Fn::If": [chosen(CONCURRENCY), scaling, NO_VALUE]},
            "ProvisionedPollerConfig": {"Fn::If": [chosen(POLLERS), pollers, NO_VALUE]},
        }
    )


def _feed_from_streams(function: Json) -> None:
    """What a batch sets off is done in order and never left out: a batch that cannot be done holds up its shard. Only
    with a window does a batch name the shard that it comes from, which the change feed counts by."""
    events = function["Properties"]["Events"]
    ((name, source),) = events.items()
    for table, filters in FEED_STREAMS.items():
        one = copy.deepcopy(source)
        one["Properties"].update(
            {
                "Stream": {"Fn::GetAtt": [logical(table, "Table"), "StreamArn"]},
                "MaximumBatchingWindowInSeconds": FEED_BATCH_WINDOW_S,
                "MaximumRetryAttempts": FEED_RETRIES,
                "BisectBatchOnFunctionError": True,
                "TumblingWindowInSeconds": FEED_TUMBLING_S,
            }
        )
        if filters:
            one["Properties"]["FilterCriteria"] = {"Filters": [{"Pattern": json.dumps(f)} for f in filters]}
        events[name if table == "executions" else f"{name}{table.title()}"] = one


def _bound_subscribers(resources: Json) -> None:
    """Each holds an invocation. What is reserved for them they cannot exceed, and nothing else can use."""
    most = {"Fn::If": [chosen(SUBSCRIBERS), {"Ref": SUBSCRIBERS.parameter}, NO_VALUE]}
    resources[SUBSCRIBE]["Properties"]["ReservedConcurrentExecutions"] = most
    permission = copy.deepcopy(resources["APIHandlerInvokePermission"])
    permission["Properties"]["FunctionName"] = {"Ref": SUBSCRIBE}
    resources[f"{SUBSCRIBE}InvokePermission"] = permission


def _open_gateway(resources: Json, build: Build) -> None:
    """Every method of every path reaches the service; what the gateway must answer itself it answers in our words."""
    api = resources["RestAPI"]["Properties"]
    api["EndpointConfiguration"] = {"Type": "REGIONAL"}
    api["DisableExecuteApiEndpoint"] = {"Fn::If": [DEMANDS_CERTIFICATES, True, NO_VALUE]}
    body = api["DefinitionBody"]
    open_paths(body, "${APIHandler.Arn}", "${Subscribe.Arn}")
    body["x-amazon-apigateway-gateway-responses"] = gateway_responses()
    body[MEDIA_TYPES] = api["BinaryMediaTypes"] = list(BINARY_TYPES)
    group = cloudformation_state.log_group(f"/aws/apigateway/chronowatch-{build.stage}")
    resources["AccessLogs"] = {**group, "Condition": chosen(ACCESS_LOGS)}
    written = {"DestinationArn": {"Fn::GetAtt": ["AccessLogs", "Arn"]}, "Format": access_log_format()}
    api["AccessLogSetting"] = {"Fn::If": [chosen(ACCESS_LOGS), written, NO_VALUE]}


def access_log_format() -> str:
    """One line of JSON for each request. It names the caller's address and no header, which may hold a key."""
    fields = {
        "request_id": "$context.requestId",
        "at": "$context.requestTimeEpoch",
        "ip": "$context.identity.sourceIp",
        "method": "$context.httpMethod",
        "path": "$context.path",
        "status": "$context.status",
        "bytes": "$context.responseLength",
        "ms": "$context.responseLatency",
        "lambda_ms": "$context.integrationLatency",
        "error": "$context.error.message",
    }
    return json.dumps(fields)


def open_paths(swagger: Json, api: str, subscribe: str) -> None:
    """In place: any method on each path, and any path at all, go to the function that the paths go to. One path goes
    to another: ``api`` and ``subscribe`` are what the tool puts in for their addresses."""
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
    paths[SUBSCRIBE_PATH] = json.loads(json.dumps(paths[SUBSCRIBE_PATH]).replace(api, subscribe))


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
