"""What is kept about a subject, as administrators see it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from chalicelib.core.audit.limits import SUBJECT_MAX_CHARS

SubjectName = Annotated[str, Meta(min_length=1, max_length=SUBJECT_MAX_CHARS, examples=["ann@example.com"])]


class ErasureView(msgspec.Struct, kw_only=True):
    """What one call erased. With a `next_page_token` there is more: call again with it."""

    pseudonym: Annotated[str, Meta(description="What stands for the subject in the audit from now on.")]
    schedules: int
    executions: int
    keys: int
    leases: int
    triggers: int
    monitors: int
    notification_rules: int
    workflows: int
    audit_entries: int
    completed: bool
    next_page_token: str | None
