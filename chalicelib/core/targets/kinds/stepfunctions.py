"""The kind ``stepfunctions``."""

from __future__ import annotations

from chalicelib.core.targets.target_description import (
    FieldRule,
    Permission,
    TargetDescription,
    TargetFields,
    TargetName,
    arn,
    named_by,
)


class StepFunctionsTarget(TargetFields, tag="stepfunctions", kw_only=True):
    """A Step Functions state machine; one run of it for each firing."""

    state_machine_arn: TargetName


KIND = TargetDescription(
    fields=StepFunctionsTarget,
    rules={
        "state_machine_arn": FieldRule("the ARN of a state machine", arn("states", r"stateMachine:[A-Za-z0-9:_-]+")),
    },
    secret_fields=(),
    destination=named_by("stepfunctions", "state_machine_arn"),
    max_batch=1,
    permissions=(Permission(("states:StartExecution",)),),
    sent_as="StartExecution",
    completed_means="the run was started",
)
