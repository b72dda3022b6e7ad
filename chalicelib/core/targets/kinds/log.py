"""The kind ``log``."""

from __future__ import annotations

from chalicelib.core.targets.target_description import StoredTarget, TargetDescription, TargetFields


class LogTarget(TargetFields, tag="log", kw_only=True):
    """The log of the function that delivers: one line for each firing, payload included."""


def _only_one(_target: StoredTarget) -> str:
    return "log"


KIND = TargetDescription(
    fields=LogTarget,
    rules={},
    secret_fields=(),
    destination=_only_one,
    max_batch=10,
    permissions=(),  # the function writes its own log anyway
    sent_as="the object as one JSON line on standard output: the log stream of the function on AWS",
    completed_means="the line was written",
)
