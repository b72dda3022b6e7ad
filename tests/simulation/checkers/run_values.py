"""Large values: what a log refers to is there before it does, and what is there ends with its run, also what was left
behind by a worker that died."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from chalicelib.core.workflows import output_ref


def check(play: Any) -> Iterator[str]:
    """What is missing, and what nothing would ever delete."""
    for run_id, log in play.runs.logs.items():
        for ref in output_ref.refs_in(event for stored in log for event in stored.events):
            if output_ref.is_large(ref) and (run_id, ref["ref"]) not in play.values.kept:
                yield f"{run_id} refers to a value of {ref['size']} bytes that is not there"
        for node, state in play.runs.states[run_id].nodes.items():
            if state.error_type == "value_missing":
                yield f"{run_id}: {node} found a value missing"
    referred = {
        (run_id, ref["ref"])
        for run_id, log in play.runs.logs.items()
        for ref in output_ref.refs_in(event for stored in log for event in stored.events)
    }
    for run_id, name in sorted(play.values.kept):
        if (run_id, name) not in referred:
            play.world.hit("value: left behind")
        if play.inner.runs.load("default", run_id) is None:
            yield f"a value of {run_id} is kept, and nothing knows of the run"
        elif not play.inner.runs.payloads("default", run_id, [output_ref.LARGE_MARK]):
            yield f"a value of {run_id} is kept, and nothing says so to what deletes the run"
