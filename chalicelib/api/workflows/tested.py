"""Tests of workflows as they are asked for and shown."""

from __future__ import annotations

from msgspec import UNSET

from chalicelib.api.http.requests import given
from chalicelib.api.workflows.schemas import TestedView, TestStoryView, TestWorkflowBody
from chalicelib.core.workflows.tried import Rehearsed, TriedStep
from chalicelib.usecases.workflow_tests import TestRequest


def request(body: TestWorkflowBody) -> TestRequest:
    """What the caller wants to try."""
    fork = given(body.fork)
    return TestRequest(
        definition=given(body.definition),
        workflow=given(body.workflow),
        version=given(body.version),
        node=given(body.node),
        input=body.input,
        outputs=given(body.outputs) or {},
        item=None if body.item is UNSET else body.item,
        has_item=body.item is not UNSET,
        mocks=given(body.mocks) or {},
        fork_run_id=None if fork is None else fork.run_id,
        fork_position=None if fork is None else given(fork.position),
    )


def view(found: TriedStep | Rehearsed) -> TestedView:
    """What it came to."""
    return _of_step(found) if isinstance(found, TriedStep) else _of_run(found)


def _of_step(found: TriedStep) -> TestedView:
    return TestedView(
        state=found.status,
        output=found.output,
        case=found.case or UNSET,
        error=found.error or UNSET,
        error_type=found.error_type or UNSET,
        retry_in_ms=UNSET if found.retry_in_ms is None else found.retry_in_ms,
        due_unix_ms=UNSET if found.due_ms is None else found.due_ms,
        items=UNSET if found.items is None else found.items,
        request=UNSET if found.request is None else dict(found.request),
    )


def _of_run(found: Rehearsed) -> TestedView:
    state = found.state
    ended_ms = state.finished_ms or found.story[-1].event.at_ms
    story = [
        TestStoryView(
            after_ms=one.event.at_ms - found.began_ms,
            run=one.run_id,
            type=one.event.type,
            node=one.event.node or UNSET,
            data=dict(one.event.data),
        )
        for one in found.story
    ]
    return TestedView(
        state=state.shown_status,
        output=found.output,
        error=state.error or UNSET,
        error_type=state.error_type or UNSET,
        took_ms=ended_ms - found.began_ms,
        nodes={name: node.status for name, node in state.nodes.items()},
        story=story,
    )
