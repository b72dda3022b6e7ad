"""Where firings go: the kinds of targets as callers send them and see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta

from chalicelib.api.http.requests import Body, Opt
from chalicelib.core.schedules import validation
from chalicelib.core.targets.limits import TARGET_NAME_MAX_CHARS, URL_MAX_CHARS, WEBHOOK_TIMEOUT_MAX_MS

TargetText = Annotated[str, Meta(min_length=1, max_length=TARGET_NAME_MAX_CHARS)]


class EventBridgeTarget(Body, tag_field="type", tag="eventbridge", kw_only=True):
    """An event bus; without `bus` the deployment's own."""

    bus: Opt[TargetText] = UNSET


class WebhookTarget(Body, tag_field="type", tag="webhook", kw_only=True):
    """An HTTP(S) endpoint, called with the firing's CloudEvent and Standard Webhooks headers."""

    url: Annotated[str, Meta(min_length=1, max_length=URL_MAX_CHARS, examples=["https://example.com/hook"])]
    method: Opt[Literal["POST", "PUT", "PATCH", "DELETE", "GET"]] = UNSET
    headers: Opt[dict[str, str]] = UNSET
    secret_ref: Annotated[
        Opt[TargetText], Meta(description="Where the signing key is kept: `secretsmanager:NAME` or `ssm:NAME`.")
    ] = UNSET
    timeout_ms: Opt[Annotated[int, Meta(ge=1, le=WEBHOOK_TIMEOUT_MAX_MS)]] = UNSET


class SqsTarget(Body, tag_field="type", tag="sqs", kw_only=True):
    """An SQS queue."""

    queue_url: Annotated[str, Meta(min_length=1, max_length=1024)]
    message_group_id: Opt[Annotated[str, Meta(min_length=1, max_length=128)]] = UNSET


class SnsTarget(Body, tag_field="type", tag="sns", kw_only=True):
    """An SNS topic."""

    topic_arn: TargetText


class LambdaTarget(Body, tag_field="type", tag="lambda", kw_only=True):
    """A Lambda function, invoked asynchronously."""

    function: TargetText


class StepFunctionsTarget(Body, tag_field="type", tag="stepfunctions", kw_only=True):
    """A Step Functions state machine; one run of it for each firing."""

    state_machine_arn: TargetText


Target = EventBridgeTarget | WebhookTarget | SqsTarget | SnsTarget | LambdaTarget | StepFunctionsTarget


def target_of(body: Body) -> dict[str, object]:
    """A target as it is stored, its defaults filled in."""
    target: Mapping[str, object] = msgspec.to_builtins(body)
    return validation.normal_target(target)
