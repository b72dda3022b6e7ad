"""Firings to Step Functions: StartExecution."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence

from chalicelib.adapters.targets.aws_sender import DONE, AwsSender, field_of
from chalicelib.adapters.targets.target_parts import TargetParts
from chalicelib.core.targets.kinds.stepfunctions import KIND
from chalicelib.ports.target import Delivery, Outcome

EXECUTION_NAME_MAX_CHARS = 80


class StepFunctionsSender(AwsSender):
    """Starts one run of a state machine for each delivery, named after execution and attempt."""

    max_batch = KIND.max_batch

    def _send(self, batch: Sequence[Delivery]) -> list[Outcome]:
        delivery = batch[0]
        client = self._client()
        # The name is this attempt's own: when it exists, an earlier call started it and its answer was lost.
        with contextlib.suppress(client.exceptions.ExecutionAlreadyExists):
            client.start_execution(
                stateMachineArn=field_of(delivery, "state_machine_arn"),
                name=run_name(delivery.execution_id, delivery.attempt),
                input=delivery.event.decode(),
            )
        return [DONE]


def make(parts: TargetParts) -> StepFunctionsSender:
    """The sender of a process."""
    return StepFunctionsSender(parts.client("stepfunctions"))


def run_name(execution_id: str, attempt: int) -> str:
    """The name of a state machine's run: the same for the same attempt, so that it cannot start twice."""
    name = f"{execution_id}-{attempt}"
    if len(name) <= EXECUTION_NAME_MAX_CHARS:
        return name
    digest = hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    return f"{name[: EXECUTION_NAME_MAX_CHARS - len(digest) - 1]}-{digest}"
