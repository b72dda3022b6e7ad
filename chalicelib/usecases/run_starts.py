"""Runs that no call of the API begins: firings of schedules begin them, in the right of the schedule's owner."""

from __future__ import annotations

import json

from chalicelib.core.errors import InvalidField, NotFound
from chalicelib.core.schedules.schedule import Definition, Key
from chalicelib.core.security.authorize import Resource, authorize, missing
from chalicelib.core.security.caller import Caller
from chalicelib.core.workflows.limits import RUN_ID_MAX_CHARS
from chalicelib.engine.workflows import starting
from chalicelib.engine.workflows.starting import RunStart
from chalicelib.engine.workflows.versions import LIVE, hash_of, is_meant
from chalicelib.ports.services import Services
from chalicelib.ports.target import Delivery


def check(s: Services, caller: Caller, definition: Definition) -> None:
    """Whether who makes or edits a schedule may let it start its workflow. Raises InvalidField, also for one that the
    caller may not see, and Forbidden."""
    name, version = str(definition.target.get("workflow")), str(definition.target.get("version") or LIVE)
    authorize(caller, "workflows:start")
    head = s.stores.workflows.load(caller.tenant, name)
    try:
        if head is None:
            raise missing(f"workflow {name}")
        authorize(caller, "workflows:start", Resource(head.tenant, head.owner, f"workflow {name}"))
    except NotFound as hidden:
        raise InvalidField.of("target.workflow", hidden.detail) from None
    if version not in (LIVE, *(v for one in head.versions for v in (one.version, str(one.number)))):
        raise InvalidField.of("target.version", f"workflow {name} has no version {version}")


def of_firing(s: Services, delivery: Delivery) -> str:
    """Begin the run of a firing: the execution's id is its id, so that it begins once. The payload is its input.

    Raises NotFound, InvalidField, Conflict, Unavailable.
    """
    name = str(delivery.target["workflow"])
    head = s.stores.workflows.load(delivery.tenant, name)
    if head is None:
        raise missing(f"workflow {name}")
    if len(delivery.execution_id) > RUN_ID_MAX_CHARS:
        raise InvalidField.of("execution_id", f"has more than {RUN_ID_MAX_CHARS} characters")
    key = Key(delivery.tenant, delivery.schedule_id)
    schedule = s.stores.schedules.definitions([key]).get(key)
    if schedule is not None and not is_meant(s, head, (schedule.owner,), schedule.updated_at_ms):
        raise missing(f"workflow {name}")
    version = hash_of(head, str(delivery.target.get("version") or LIVE))
    wanted = RunStart(
        run_id=delivery.execution_id,
        given=json.loads(delivery.event)["data"],
        by=f"schedules/{key.id}" if schedule is None else schedule.owner,
        version=version,
        depth=delivery.depth + 1,
        traceparent=delivery.traceparent,
    )
    return starting.start(s, head, wanted)
