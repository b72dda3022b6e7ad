"""The kind ``lambda``."""

from __future__ import annotations

from chalicelib.core.targets.target_description import (
    FieldRule,
    Permission,
    TargetDescription,
    TargetFields,
    TargetName,
    named_by,
)


class LambdaTarget(TargetFields, tag="lambda", kw_only=True):
    """A Lambda function, invoked asynchronously."""

    function: TargetName


KIND = TargetDescription(
    fields=LambdaTarget,
    rules={"function": FieldRule("the name or ARN of a function", r"[A-Za-z0-9:$_-]+")},
    secret_fields=(),
    destination=named_by("lambda", "function"),
    max_batch=1,
    permissions=(Permission(("lambda:InvokeFunction",)),),
    sent_as="Invoke, asynchronous",
    completed_means="Lambda took it (its 202); the function's own errors go to its own destinations",
)
