"""The calls of the API, noun by noun. Made by scripts/generate-clients: do not edit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from chronowatch.calling import UNSET, Caller, Unset, key_of_call, place, said

if TYPE_CHECKING:
    from chronowatch import models
    from chronowatch.transport import Transport


class Schedules(Caller):
    """The calls of schedules."""

    def create(
        self,
        type: Literal["AT", "CRON", "DELAY", "ISO8601", "RATE", "RRULE"],
        expr: str,
        *,
        name: str | None | Unset = UNSET,
        timezone: str | Unset = UNSET,
        start_at_unix_ms: int | None | Unset = UNSET,
        end_at_unix_ms: int | None | Unset = UNSET,
        max_runs: int | None | Unset = UNSET,
        payload: Any | Unset = UNSET,
        target: models.Target | Unset = UNSET,
        enabled: bool | Unset = UNSET,
        owner: str | Unset = UNSET,
        sla_ms: int | Unset = UNSET,
        overlap: Literal["allow", "forbid", "queue", "replace"] | Unset = UNSET,
        catch_up_window_ms: int | Unset = UNSET,
        jitter_ms: int | Unset = UNSET,
        dst_gap: Literal["run_after", "shift", "skip"] | Unset = UNSET,
        dst_overlap: Literal["once", "twice"] | Unset = UNSET,
        exclude: Sequence[str | models.Range] | Unset = UNSET,
        retry_policy: models.RetryPolicyBody | Unset = UNSET,
        timeout_ms: int | Unset = UNSET,
        pause_after_failures: int | None | Unset = UNSET,
        monitor: models.MonitorBody | None | Unset = UNSET,
        tags: Sequence[str] | Unset = UNSET,
        shard_key: str | None | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> models.ScheduleView:
        """Create a schedule."""
        return cast(
            "models.ScheduleView",
            self._call(
                "POST",
                "/api/v1/schedules",
                body=said(
                    name=name,
                    type=type,
                    expr=expr,
                    timezone=timezone,
                    start_at_unix_ms=start_at_unix_ms,
                    end_at_unix_ms=end_at_unix_ms,
                    max_runs=max_runs,
                    payload=payload,
                    target=target,
                    enabled=enabled,
                    owner=owner,
                    sla_ms=sla_ms,
                    overlap=overlap,
                    catch_up_window_ms=catch_up_window_ms,
                    jitter_ms=jitter_ms,
                    dst_gap=dst_gap,
                    dst_overlap=dst_overlap,
                    exclude=exclude,
                    retry_policy=retry_policy,
                    timeout_ms=timeout_ms,
                    pause_after_failures=pause_after_failures,
                    monitor=monitor,
                    tags=tags,
                    shard_key=shard_key,
                ),
                key=key_of_call(idempotency_key),
            ),
        )

    def list(
        self,
        *,
        limit: int | Unset = UNSET,
        owner: str | Unset = UNSET,
        enabled: bool | Unset = UNSET,
        type: Literal["AT", "CRON", "DELAY", "ISO8601", "RATE", "RRULE"] | Unset = UNSET,
        tag: str | Unset = UNSET,
        name_prefix: str | Unset = UNSET,
    ) -> Iterator[models.ScheduleView]:
        """List schedules, newest first. Pages are fetched as they are needed."""
        return self._pages(
            "GET",
            "/api/v1/schedules",
            query=said(limit=limit, owner=owner, enabled=enabled, type=type, tag=tag, name_prefix=name_prefix),
        )

    def preview(
        self,
        type: Literal["AT", "CRON", "DELAY", "ISO8601", "RATE", "RRULE"],
        expr: str,
        *,
        timezone: str | Unset = UNSET,
        start_at_unix_ms: int | None | Unset = UNSET,
        end_at_unix_ms: int | None | Unset = UNSET,
        exclude: Sequence[str | models.Range] | Unset = UNSET,
        dst_gap: Literal["run_after", "shift", "skip"] | Unset = UNSET,
        dst_overlap: Literal["once", "twice"] | Unset = UNSET,
        after_unix_ms: int | None | Unset = UNSET,
        count: int | Unset = UNSET,
    ) -> models.PreviewView:
        """Show the coming runs of a recurrence; nothing is written."""
        return cast(
            "models.PreviewView",
            self._call(
                "POST",
                "/api/v1/schedules:preview",
                body=said(
                    type=type,
                    expr=expr,
                    timezone=timezone,
                    start_at_unix_ms=start_at_unix_ms,
                    end_at_unix_ms=end_at_unix_ms,
                    exclude=exclude,
                    dst_gap=dst_gap,
                    dst_overlap=dst_overlap,
                    after_unix_ms=after_unix_ms,
                    count=count,
                ),
            ),
        )

    def get(self, schedule_id: str) -> models.ScheduleView:
        """One schedule."""
        return cast(
            "models.ScheduleView", self._call("GET", place("/api/v1/schedules/{schedule_id}", schedule_id=schedule_id))
        )

    def edit(
        self,
        schedule_id: str,
        *,
        name: str | None | Unset = UNSET,
        type: Literal["AT", "CRON", "DELAY", "ISO8601", "RATE", "RRULE"] | Unset = UNSET,
        expr: str | Unset = UNSET,
        timezone: str | Unset = UNSET,
        start_at_unix_ms: int | None | Unset = UNSET,
        end_at_unix_ms: int | None | Unset = UNSET,
        max_runs: int | None | Unset = UNSET,
        payload: Any | Unset = UNSET,
        target: models.Target | Unset = UNSET,
        enabled: bool | Unset = UNSET,
        owner: str | Unset = UNSET,
        sla_ms: int | Unset = UNSET,
        overlap: Literal["allow", "forbid", "queue", "replace"] | Unset = UNSET,
        catch_up_window_ms: int | Unset = UNSET,
        jitter_ms: int | Unset = UNSET,
        dst_gap: Literal["run_after", "shift", "skip"] | Unset = UNSET,
        dst_overlap: Literal["once", "twice"] | Unset = UNSET,
        exclude: Sequence[str | models.Range] | Unset = UNSET,
        retry_policy: models.RetryPolicyBody | Unset = UNSET,
        timeout_ms: int | Unset = UNSET,
        pause_after_failures: int | None | Unset = UNSET,
        monitor: models.MonitorBody | None | Unset = UNSET,
        tags: Sequence[str] | Unset = UNSET,
        if_match: str | None = None,
    ) -> models.ScheduleView:
        """Change some fields of a schedule. Fields left out stay; null clears `name`, `start_at_unix_ms`,
        `end_at_unix_ms`, `max_runs`. `shard_key` is fixed for life."""
        return cast(
            "models.ScheduleView",
            self._call(
                "PATCH",
                place("/api/v1/schedules/{schedule_id}", schedule_id=schedule_id),
                body=said(
                    name=name,
                    type=type,
                    expr=expr,
                    timezone=timezone,
                    start_at_unix_ms=start_at_unix_ms,
                    end_at_unix_ms=end_at_unix_ms,
                    max_runs=max_runs,
                    payload=payload,
                    target=target,
                    enabled=enabled,
                    owner=owner,
                    sla_ms=sla_ms,
                    overlap=overlap,
                    catch_up_window_ms=catch_up_window_ms,
                    jitter_ms=jitter_ms,
                    dst_gap=dst_gap,
                    dst_overlap=dst_overlap,
                    exclude=exclude,
                    retry_policy=retry_policy,
                    timeout_ms=timeout_ms,
                    pause_after_failures=pause_after_failures,
                    monitor=monitor,
                    tags=tags,
                ),
                if_match=if_match,
            ),
        )

    def delete(self, schedule_id: str, *, if_match: str | None = None) -> models.Deleted:
        """Delete a schedule. What was queued is not delivered; its executions stay readable until their retention
        ends."""
        return cast(
            "models.Deleted",
            self._call("DELETE", place("/api/v1/schedules/{schedule_id}", schedule_id=schedule_id), if_match=if_match),
        )

    def pause(
        self,
        schedule_id: str,
        *,
        note: str | None | Unset = UNSET,
        until_unix_ms: int | Unset = UNSET,
        if_match: str | None = None,
    ) -> models.ScheduleView:
        """Stop firing. Instants before now stay owed. With `until_unix_ms` it goes on by itself: `enabled` stays
        true, `state` is `paused` until then, and the first instant from then on fires in its time."""
        return cast(
            "models.ScheduleView",
            self._call(
                "POST",
                place("/api/v1/schedules/{schedule_id}:pause", schedule_id=schedule_id),
                body=said(note=note, until_unix_ms=until_unix_ms),
                if_match=if_match,
            ),
        )

    def resume(self, schedule_id: str, *, if_match: str | None = None) -> models.ScheduleView:
        """Go on firing, in step with the grid. Nothing is caught up for the time of the pause."""
        return cast(
            "models.ScheduleView",
            self._call(
                "POST",
                place("/api/v1/schedules/{schedule_id}:resume", schedule_id=schedule_id),
                body=said(),
                if_match=if_match,
            ),
        )

    def trigger(
        self,
        schedule_id: str,
        *,
        payload: Any | Unset = UNSET,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> models.Triggered:
        """Fire once, now. Leaves `next_run_unix_ms` alone, and works while the schedule is paused."""
        return cast(
            "models.Triggered",
            self._call(
                "POST",
                place("/api/v1/schedules/{schedule_id}:trigger", schedule_id=schedule_id),
                body=said(payload=payload),
                key=key_of_call(idempotency_key),
                if_match=if_match,
            ),
        )

    def backfill(
        self,
        schedule_id: str,
        from_unix_ms: int,
        to_unix_ms: int,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> models.Backfilled:
        """Fire the instants of a span that have no execution. At most 1000 instants, up to now; also such as lie
        before the schedule's creation. Repeating it repeats nothing."""
        return cast(
            "models.Backfilled",
            self._call(
                "POST",
                place("/api/v1/schedules/{schedule_id}:backfill", schedule_id=schedule_id),
                body=said(from_unix_ms=from_unix_ms, to_unix_ms=to_unix_ms),
                key=key_of_call(idempotency_key),
                if_match=if_match,
            ),
        )

    def ledger(
        self,
        schedule_id: str,
        *,
        from_unix_ms: int | Unset = UNSET,
        to_unix_ms: int | Unset = UNSET,
        limit: int | Unset = UNSET,
    ) -> Iterator[models.LedgerLine]:
        """Every instant owed, against what became of it. An owed instant that left no trace is `lost`, and counted.
        Pages are fetched as they are needed."""
        return self._pages(
            "GET",
            place("/api/v1/schedules/{schedule_id}/ledger", schedule_id=schedule_id),
            query=said(from_unix_ms=from_unix_ms, to_unix_ms=to_unix_ms, limit=limit),
        )

    def executions(
        self,
        schedule_id: str,
        *,
        limit: int | Unset = UNSET,
        state: Literal["cancelled", "completed", "failed", "in_progress", "missed", "pending", "skipped", "timeout"]
        | Unset = UNSET,
        from_unix_ms: int | Unset = UNSET,
        to_unix_ms: int | Unset = UNSET,
    ) -> Iterator[models.ExecutionView]:
        """The executions of a schedule, newest firing first. Pages are fetched as they are needed."""
        return self._pages(
            "GET",
            place("/api/v1/schedules/{schedule_id}/executions", schedule_id=schedule_id),
            query=said(limit=limit, state=state, from_unix_ms=from_unix_ms, to_unix_ms=to_unix_ms),
        )

    def batch(
        self, operations: Sequence[models.BatchOperation], *, idempotency_key: str | None = None
    ) -> models.BatchView:
        """Up to 100 creates, patches, pauses, resumes and deletes. Done in their order, each with its own result:
        one that is refused does not stop the others."""
        return cast(
            "models.BatchView",
            self._call(
                "POST", "/api/v1/schedules:batch", body=said(operations=operations), key=key_of_call(idempotency_key)
            ),
        )

    def pause_tagged(
        self,
        tag: str,
        *,
        note: str | None | Unset = UNSET,
        until_unix_ms: int | Unset = UNSET,
        dry_run: bool | Unset = UNSET,
    ) -> Iterator[models.TagItem]:
        """Pause every schedule with a tag. `dry_run=true` answers with what would change and the next runs, and
        changes nothing. At most 1000 schedules a call: with a `next_page_token` call again. Pages are fetched as
        they are needed."""
        return self._pages(
            "POST",
            "/api/v1/schedules:pause",
            body=said(tag=tag, note=note, until_unix_ms=until_unix_ms),
            query=said(dry_run=dry_run),
        )

    def resume_tagged(self, tag: str, *, dry_run: bool | Unset = UNSET) -> Iterator[models.TagItem]:
        """Resume every schedule with a tag. `dry_run=true` answers with what would change and the next runs, and
        changes nothing. At most 1000 schedules a call: with a `next_page_token` call again. Pages are fetched as
        they are needed."""
        return self._pages("POST", "/api/v1/schedules:resume", body=said(tag=tag), query=said(dry_run=dry_run))

    def delete_tagged(self, tag: str, *, dry_run: bool | Unset = UNSET) -> Iterator[models.TagItem]:
        """Delete every schedule with a tag. `dry_run=true` answers with what would change and the next runs, and
        changes nothing. At most 1000 schedules a call: with a `next_page_token` call again. Pages are fetched as
        they are needed."""
        return self._pages("POST", "/api/v1/schedules:delete", body=said(tag=tag), query=said(dry_run=dry_run))

    def export(
        self,
        *,
        page_token: str | Unset = UNSET,
        owner: str | Unset = UNSET,
        enabled: bool | Unset = UNSET,
        type: Literal["AT", "CRON", "DELAY", "ISO8601", "RATE", "RRULE"] | Unset = UNSET,
        tag: str | Unset = UNSET,
        name_prefix: str | Unset = UNSET,
    ) -> str:
        """Schedules as a YAML file. At most 1000 of them; where there are more, `X-Chrono-Next-Page-Token` is the
        page token of the rest."""
        return self._text(
            "GET",
            "/api/v1/schedules:export",
            query=said(
                page_token=page_token, owner=owner, enabled=enabled, type=type, tag=tag, name_prefix=name_prefix
            ),
        )

    def import_(
        self,
        schedules: Sequence[models.FileEntry],
        *,
        version: Literal[1] | Unset = UNSET,
        dry_run: bool | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> models.ImportView:
        """Make schedules as a YAML file says. Owner and name say which schedule an entry means; without a name its
        id does. What is left out has its default, and an AT may lie in the past. Importing a file again changes
        nothing. `dry_run=true` answers with the differences and the next runs, and changes nothing. The body may be
        YAML too (`Content-Type: text/yaml`): the same document in another spelling."""
        return cast(
            "models.ImportView",
            self._call(
                "POST",
                "/api/v1/schedules:import",
                body=said(version=version, schedules=schedules),
                query=said(dry_run=dry_run),
                key=key_of_call(idempotency_key),
            ),
        )

    def explain(self, schedule_id: str, *, at_unix_ms: int | Unset = UNSET) -> models.ExplanationView:
        """Why an instant did or did not fire, will or will not. `owed` is false for instants that are off the grid,
        excluded, paused, or outside its bounds."""
        return cast(
            "models.ExplanationView",
            self._call(
                "GET",
                place("/api/v1/schedules/{schedule_id}:explain", schedule_id=schedule_id),
                query=said(at_unix_ms=at_unix_ms),
            ),
        )

    def versions(self, schedule_id: str) -> models.VersionList:
        """The versions of a schedule, the one in force first. At most 100, kept as long as executions. To go back
        to one, `PATCH` the schedule with its fields: that makes a new version."""
        return cast(
            "models.VersionList",
            self._call("GET", place("/api/v1/schedules/{schedule_id}/versions", schedule_id=schedule_id)),
        )

    def upcoming(self, *, from_unix_ms: int | Unset = UNSET, to_unix_ms: int | Unset = UNSET) -> models.UpcomingView:
        """What will run in the next hours, and how much in each minute. Of the caller's schedules, or every
        owner's, as the roles say. Jitter is not foreseen, and of a DELAY only the next run is known."""
        return cast(
            "models.UpcomingView",
            self._call("GET", "/api/v1/upcoming", query=said(from_unix_ms=from_unix_ms, to_unix_ms=to_unix_ms)),
        )

    def parse(
        self, text: str, *, timezone: str | Unset = UNSET, language: Literal["en", "es", "pt", "ru"] | Unset = UNSET
    ) -> models.ParsedText:
        """Read a schedule that is written in words; nothing is written. English, Russian, Spanish and Portuguese.
        Every word is accounted for: else 422 `not_understood`, and `errors[].at` has the code points of the words
        at fault. A text that may mean several schedules gives `choices`."""
        return cast(
            "models.ParsedText",
            self._call("POST", "/api/v1/schedules:parse", body=said(text=text, timezone=timezone, language=language)),
        )

    def policies(self, schedule_id: str) -> models.EvaluationView:
        """What each policy says of a schedule's next firing."""
        return cast(
            "models.EvaluationView",
            self._call("GET", place("/api/v1/schedules/{schedule_id}/policies", schedule_id=schedule_id)),
        )


class Jobs(Caller):
    """The calls of jobs."""

    def create(
        self,
        type: Literal["recurrente", "unico"],
        *,
        timestamp: str | None | Unset = UNSET,
        cron_expression: str | None | Unset = UNSET,
        last_date: str | None | Unset = UNSET,
        webhook_url: str | None | Unset = UNSET,
        payload: Any | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> models.JobView:
        """Create a job. A job is a schedule: its id is good for `/api/v1/schedules` too."""
        return cast(
            "models.JobView",
            self._call(
                "POST",
                "/jobs",
                body=said(
                    type=type,
                    timestamp=timestamp,
                    cron_expression=cron_expression,
                    last_date=last_date,
                    webhook_url=webhook_url,
                    payload=payload,
                ),
                key=key_of_call(idempotency_key),
            ),
        )

    def list(
        self,
        *,
        limit: int | Unset = UNSET,
        status: Literal["cancelled", "completed", "failed", "in_progress", "pending", "timeout"] | Unset = UNSET,
    ) -> Iterator[models.JobView]:
        """List jobs, newest first. By `status` an index finds them, however many others there are. Behind those
        come the ones that are looked for: in progress, pending before a further run, completed after an earlier run
        had failed. Where few of these are, a page may be short (even empty) and still have a next one. Every
        schedule is a job. Pages are fetched as they are needed."""
        return self._pages("GET", "/jobs", query=said(limit=limit, status=status))

    def get(self, job_id: str) -> models.JobView:
        """One job."""
        return cast("models.JobView", self._call("GET", place("/jobs/{job_id}", job_id=job_id)))

    def delete(self, job_id: str, *, if_match: str | None = None) -> None:
        """Delete a job."""
        self._call("DELETE", place("/jobs/{job_id}", job_id=job_id), if_match=if_match)

    def status(self, job_id: str) -> models.JobStatusView:
        """How a job stands. The status of its last execution that was attempted; `pending` before the first."""
        return cast("models.JobStatusView", self._call("GET", place("/jobs/{job_id}/status", job_id=job_id)))

    def executions(self, job_id: str, *, limit: int | Unset = UNSET) -> Iterator[models.ExecutionView]:
        """The executions of a job, newest first. Pages are fetched as they are needed."""
        return self._pages("GET", place("/jobs/{job_id}/executions", job_id=job_id), query=said(limit=limit))

    def cancel(
        self, job_id: str, *, reason: str | None | Unset = UNSET, if_match: str | None = None
    ) -> models.JobStatusView:
        """Stop a job and what it runs. No further run begins, one under way is cancelled. Resuming its schedule
        takes it up again."""
        return cast(
            "models.JobStatusView",
            self._call(
                "POST", place("/jobs/{job_id}/cancel", job_id=job_id), body=said(reason=reason), if_match=if_match
            ),
        )


class Executions(Caller):
    """The calls of executions."""

    def list(
        self,
        *,
        limit: int | Unset = UNSET,
        state: Literal["cancelled", "completed", "failed", "in_progress", "missed", "pending", "skipped", "timeout"]
        | Unset = UNSET,
        from_unix_ms: int | Unset = UNSET,
        to_unix_ms: int | Unset = UNSET,
        schedule_id: str | Unset = UNSET,
        owner: str | Unset = UNSET,
    ) -> Iterator[models.ExecutionView]:
        """List executions, newest firing first. Where few match, a page may be short (even empty) and still have a
        next one. Pages are fetched as they are needed."""
        return self._pages(
            "GET",
            "/api/v1/executions",
            query=said(
                limit=limit,
                state=state,
                from_unix_ms=from_unix_ms,
                to_unix_ms=to_unix_ms,
                schedule_id=schedule_id,
                owner=owner,
            ),
        )

    def get(self, execution_id: str) -> models.ExecutionView:
        """One execution."""
        return cast(
            "models.ExecutionView",
            self._call("GET", place("/api/v1/executions/{execution_id}", execution_id=execution_id)),
        )

    def retry(
        self, execution_id: str, *, payload: Any | Unset = UNSET, if_match: str | None = None
    ) -> models.ExecutionView:
        """A further attempt of an execution that ended without success, with another payload if one is given."""
        return cast(
            "models.ExecutionView",
            self._call(
                "POST",
                place("/api/v1/executions/{execution_id}:retry", execution_id=execution_id),
                body=said(payload=payload),
                if_match=if_match,
                safe=False,
            ),
        )

    def cancel(
        self, execution_id: str, *, reason: str | None | Unset = UNSET, if_match: str | None = None
    ) -> models.ExecutionView:
        """Cancel a pending or running execution."""
        return cast(
            "models.ExecutionView",
            self._call(
                "POST",
                place("/api/v1/executions/{execution_id}:cancel", execution_id=execution_id),
                body=said(reason=reason),
                if_match=if_match,
            ),
        )

    def complete(
        self, execution_id: str, *, result: Any | Unset = UNSET, if_match: str | None = None
    ) -> models.ExecutionView:
        """Report the success of an execution whose target answered 202 with `X-Chrono-Async: true`."""
        return cast(
            "models.ExecutionView",
            self._call(
                "POST",
                place("/api/v1/executions/{execution_id}:complete", execution_id=execution_id),
                body=said(result=result),
                if_match=if_match,
            ),
        )

    def fail(self, execution_id: str, error: str, *, if_match: str | None = None) -> models.ExecutionView:
        """Report the failure of such an execution."""
        return cast(
            "models.ExecutionView",
            self._call(
                "POST",
                place("/api/v1/executions/{execution_id}:fail", execution_id=execution_id),
                body=said(error=error),
                if_match=if_match,
            ),
        )

    def heartbeat(self, execution_id: str, *, if_match: str | None = None) -> models.ExecutionView:
        """Start the time-out of such an execution anew."""
        return cast(
            "models.ExecutionView",
            self._call(
                "POST",
                place("/api/v1/executions/{execution_id}:heartbeat", execution_id=execution_id),
                body=said(),
                if_match=if_match,
            ),
        )

    def logs(self, execution_id: str, *, limit: int | Unset = UNSET) -> Iterator[models.LogLineView]:
        """The log of an execution, oldest line first. Pages are fetched as they are needed."""
        return self._pages(
            "GET", place("/api/v1/executions/{execution_id}/logs", execution_id=execution_id), query=said(limit=limit)
        )

    def log(
        self,
        execution_id: str,
        message: str,
        *,
        level: Literal["debug", "error", "info", "warning"] | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> models.LogLineView:
        """Add a line to the log of an execution. At most 1000 lines, kept as long as executions are."""
        return cast(
            "models.LogLineView",
            self._call(
                "POST",
                place("/api/v1/executions/{execution_id}/logs", execution_id=execution_id),
                body=said(message=message, level=level),
                key=key_of_call(idempotency_key),
            ),
        )

    def bulk(
        self,
        action: Literal["cancel", "retry"],
        filter: models.BulkFilter,
        *,
        dry_run: bool | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> models.BulkStarted:
        """Retry or cancel all executions that a filter finds. A job does it, to at most 10000 executions.
        Cancelling needs `executions:cancel` besides. With `dry_run` it only counts: the answer is 200 without
        `job_id`."""
        return cast(
            "models.BulkStarted",
            self._call(
                "POST",
                "/api/v1/executions:bulk",
                body=said(action=action, filter=filter, dry_run=dry_run),
                key=key_of_call(idempotency_key),
            ),
        )


class BulkJobs(Caller):
    """The calls of bulk-jobs."""

    def get(self, bulk_id: str) -> models.BulkJobView:
        """How far a bulk job has come."""
        return cast("models.BulkJobView", self._call("GET", place("/api/v1/bulk-jobs/{bulk_id}", bulk_id=bulk_id)))

    def cancel(self, bulk_id: str, *, if_match: str | None = None) -> models.BulkJobView:
        """Stop a bulk job; what is done stays done."""
        return cast(
            "models.BulkJobView",
            self._call(
                "POST", place("/api/v1/bulk-jobs/{bulk_id}:cancel", bulk_id=bulk_id), body=said(), if_match=if_match
            ),
        )


class Keys(Caller):
    """The calls of keys."""

    def create(
        self,
        name: str,
        *,
        owner: str | Unset = UNSET,
        roles: Sequence[str] | Unset = UNSET,
        permissions: Sequence[
            Literal[
                "audit:read",
                "cluster:read",
                "cluster:write",
                "docs:read",
                "executions:cancel",
                "executions:read",
                "executions:report",
                "executions:retry",
                "health:read",
                "keys:read",
                "keys:write",
                "leases:acquire",
                "leases:break",
                "leases:read",
                "monitors:read",
                "monitors:write",
                "notifications:read",
                "notifications:write",
                "policies:read",
                "policies:write",
                "queue:pause",
                "roles:read",
                "roles:write",
                "schedules:read",
                "schedules:trigger",
                "schedules:write",
                "subjects:read",
                "subjects:write",
                "ticks:read",
                "ticks:write",
                "time:read",
                "triggers:read",
                "triggers:write",
                "workflows:approve",
                "workflows:read",
                "workflows:start",
                "workflows:write",
            ]
        ]
        | Unset = UNSET,
        expires_at_unix_ms: int | None | Unset = UNSET,
        cidrs: Sequence[str] | None | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> models.MadeKeyView:
        """Make an API key. For admins. `key` is in this answer and in no other: keep it. It can do no more than its
        maker can. A tenant has at most 1000 keys."""
        return cast(
            "models.MadeKeyView",
            self._call(
                "POST",
                "/api/v1/keys",
                body=said(
                    name=name,
                    owner=owner,
                    roles=roles,
                    permissions=permissions,
                    expires_at_unix_ms=expires_at_unix_ms,
                    cidrs=cidrs,
                ),
                key=key_of_call(idempotency_key),
            ),
        )

    def list(self, *, limit: int | Unset = UNSET) -> Iterator[models.KeyView]:
        """List API keys, newest first. For admins. Keys that have ended are listed for 30 days more. Pages are
        fetched as they are needed."""
        return self._pages("GET", "/api/v1/keys", query=said(limit=limit))

    def get(self, key_id: str) -> models.KeyView:
        """One API key."""
        return cast("models.KeyView", self._call("GET", place("/api/v1/keys/{key_id}", key_id=key_id)))

    def delete(self, key_id: str, *, if_match: str | None = None) -> models.DeletedKey:
        """End an API key. That holds everywhere within 30 seconds, and ends open streams too. 409 `last_admin_key`
        for the last admin key, where the caller came with a key and no bootstrap key is set."""
        return cast(
            "models.DeletedKey", self._call("DELETE", place("/api/v1/keys/{key_id}", key_id=key_id), if_match=if_match)
        )

    def rotate(
        self,
        key_id: str,
        *,
        overlap_ms: int | Unset = UNSET,
        expires_at_unix_ms: int | Unset = UNSET,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> models.MadeKeyView:
        """Replace an API key by a new one. The new key has the name, rights and networks of the old one. The old
        one ends after `overlap_ms`. That holds everywhere within 30 seconds, and ends open streams too."""
        return cast(
            "models.MadeKeyView",
            self._call(
                "POST",
                place("/api/v1/keys/{key_id}:rotate", key_id=key_id),
                body=said(overlap_ms=overlap_ms, expires_at_unix_ms=expires_at_unix_ms),
                key=key_of_call(idempotency_key),
                if_match=if_match,
            ),
        )

    def report_leaked(self, items: Sequence[models.LeakedToken]) -> Any:
        """End keys that were found in public. For secret scanners, in the shape of GitHub's partner programme. It
        needs no credentials: a caller that knows a key may end it, also the last one. Each server judges a bounded
        number a minute."""
        return self._call("POST", "/api/v1/keys:report-leaked", body=items, safe=False)


class TickStreams(Caller):
    """The calls of ticks."""

    def list(self) -> models.TickStreamList:
        """Where the streams of ticks stand."""
        return cast("models.TickStreamList", self._call("GET", "/api/v1/ticks"))

    def get(
        self,
        frequency: Literal["day", "hour", "minute", "second"],
        *,
        limit: int | Unset = UNSET,
        after_sequence: int | Unset = UNSET,
    ) -> Iterator[models.TickView]:
        """Ticks of a stream, oldest first. `frequency` is second, minute, hour or day. With `Accept:
        text/event-stream` ticks come as Server-Sent Events, `event: tick` with the sequence as `id`;
        `Last-Event-ID` goes on from there, without loss or repeat. To a subscriber that falls far behind, `event:
        dropped` reports the numbers that it did not get. A server that cannot stream answers with the ticks there
        are, and the subscriber comes back. Pages are fetched as they are needed."""
        return self._pages(
            "GET",
            place("/api/v1/ticks/{frequency}", frequency=frequency),
            query=said(limit=limit, after_sequence=after_sequence),
        )

    def enable(
        self,
        frequency: Literal["day", "hour", "minute", "second"],
        *,
        target: models.Target | None | Unset = UNSET,
        if_match: str | None = None,
    ) -> models.TickStreamView:
        """Start a stream of ticks. For admins. After a pause nothing is owed, and numbers go on."""
        return cast(
            "models.TickStreamView",
            self._call(
                "POST",
                place("/api/v1/ticks/{frequency}:enable", frequency=frequency),
                body=said(target=target),
                if_match=if_match,
            ),
        )

    def disable(
        self, frequency: Literal["day", "hour", "minute", "second"], *, if_match: str | None = None
    ) -> models.TickStreamView:
        """Stop a stream of ticks. For admins. The stream ends within two seconds; ticks up to `reserved_sequence`
        still come."""
        return cast(
            "models.TickStreamView",
            self._call(
                "POST", place("/api/v1/ticks/{frequency}:disable", frequency=frequency), body=said(), if_match=if_match
            ),
        )


class Changes(Caller):
    """The calls of changes."""

    def list(
        self, *, after: str | Unset = UNSET, limit: int | Unset = UNSET, types: str | Unset = UNSET
    ) -> models.ChangePageView:
        """What changed after a position, oldest first. Every change of an execution, a schedule or a lease, and
        every new state of a workflow's run, that the caller may see, each once and in order. Without `after` there
        are no items, and `next_after` is where the feed ends now. A cursor is good for `CHRONO_CHANGES_RETENTION`;
        an older one is 410 `cursor_expired`: take a snapshot and begin anew."""
        return cast(
            "models.ChangePageView",
            self._call("GET", "/api/v1/changes", query=said(after=after, limit=limit, types=types)),
        )


class Tasks(Caller):
    """The calls of tasks."""

    def list(
        self,
        *,
        limit: int | Unset = UNSET,
        status: Literal["cancelled", "completed", "failed", "in_progress", "missed", "pending", "skipped", "timeout"]
        | Unset = UNSET,
        name: str | Unset = UNSET,
        owner: str | Unset = UNSET,
        id: str | Unset = UNSET,
        sort: Literal[
            "-created_at_unix_ms",
            "-duration_ms",
            "-id",
            "-name",
            "-owner",
            "-status",
            "created_at_unix_ms",
            "duration_ms",
            "id",
            "name",
            "owner",
            "status",
        ]
        | Unset = UNSET,
    ) -> Iterator[models.TaskView]:
        """List tasks: executions as people see them. Where few match, a page may be short (even empty) and still
        have a next one. Pages are fetched as they are needed."""
        return self._pages(
            "GET", "/api/tasks", query=said(limit=limit, status=status, name=name, owner=owner, id=id, sort=sort)
        )

    def metrics(self) -> models.TaskMetricsView:
        """How the tasks are doing. Of what the caller may see, at most five seconds old: the newest 2000 executions
        of 24 hours."""
        return cast("models.TaskMetricsView", self._call("GET", "/api/tasks/metrics"))

    def get(self, task_id: str) -> models.TaskDetailView:
        """One task with its history, logs and result."""
        return cast("models.TaskDetailView", self._call("GET", place("/api/tasks/{task_id}", task_id=task_id)))

    def cancel(self, task_id: str, *, if_match: str | None = None) -> models.TaskView:
        """Cancel a pending or running task."""
        return cast(
            "models.TaskView", self._call("DELETE", place("/api/tasks/{task_id}", task_id=task_id), if_match=if_match)
        )

    def retry(self, task_id: str, *, payload: Any | Unset = UNSET, if_match: str | None = None) -> models.TaskView:
        """A further attempt of a task that ended without success."""
        return cast(
            "models.TaskView",
            self._call(
                "POST",
                place("/api/tasks/{task_id}/retry", task_id=task_id),
                body=said(payload=payload),
                if_match=if_match,
                safe=False,
            ),
        )


class Time(Caller):
    """The calls of time."""

    def now(self, *, consistency: Literal["cluster", "local"] | Unset = UNSET) -> models.NowView:
        """The time, and a hybrid logical clock stamp. `error_bound_nanos` is how wrong the wall clock may be, as
        far as the deployment states it and sources of true time support it."""
        return cast("models.NowView", self._call("GET", "/api/v1/time/now", query=said(consistency=consistency)))

    def drift(self) -> models.DriftView:
        """How steadily this instance's wall clock runs."""
        return cast("models.DriftView", self._call("GET", "/api/v1/time/drift"))


class Service(Caller):
    """The calls of service."""

    def health(self) -> models.HealthView:
        """Whether schedules fire. 503 carries the same `checks` in its problem document. `degraded`: of the
        executions of the last hour more failed than HEALTH_FAILURE_THRESHOLD allows, or a policy cannot be read."""
        return cast("models.HealthView", self._call("GET", "/health"))

    def cluster(self) -> models.ClusterView:
        """Which workers live, who has which shard, and how old the oldest sweep is. Workers on Lambda are no nodes:
        they own a shard for half a minute."""
        return cast("models.ClusterView", self._call("GET", "/debug/cluster"))

    def join(self, node_id: str, address: str) -> models.JoinedView:
        """Register a worker node of yours, or keep it registered. It counts as alive for 30 s after each call, by a
        lease with a fencing token, and shows up in `/debug/cluster` with its address. It owns no shards."""
        return cast(
            "models.JoinedView", self._call("POST", "/join", body=said(node_id=node_id, address=address), safe=False)
        )

    def metrics(self) -> str:
        """Metrics, in Prometheus's text format. Counts are of all processes and of all tenants together. With
        `Accept: application/openmetrics-text` the answer is OpenMetrics 1.0, whose histograms have exemplars with
        trace ids. `name` of a lease is one of the caller's tenant; the others are `__other__`."""
        return self._text("GET", "/metrics")

    def openapi(self) -> Any:
        """This document."""
        return self._call("GET", "/api/v1/openapi.json")


class Roles(Caller):
    """The calls of roles."""

    def list(self, *, limit: int | Unset = UNSET) -> Iterator[models.RoleView]:
        """List the built-in roles and the tenant's own, by name. Pages are fetched as they are needed."""
        return self._pages("GET", "/api/v1/roles", query=said(limit=limit))

    def get(self, role: str) -> models.RoleView:
        """One role."""
        return cast("models.RoleView", self._call("GET", place("/api/v1/roles/{role}", role=role)))

    def set(
        self,
        role: str,
        permissions: Sequence[
            Literal[
                "audit:read",
                "cluster:read",
                "cluster:write",
                "docs:read",
                "executions:cancel",
                "executions:read",
                "executions:report",
                "executions:retry",
                "health:read",
                "keys:read",
                "keys:write",
                "leases:acquire",
                "leases:break",
                "leases:read",
                "monitors:read",
                "monitors:write",
                "notifications:read",
                "notifications:write",
                "policies:read",
                "policies:write",
                "queue:pause",
                "roles:read",
                "roles:write",
                "schedules:read",
                "schedules:trigger",
                "schedules:write",
                "subjects:read",
                "subjects:write",
                "ticks:read",
                "ticks:write",
                "time:read",
                "triggers:read",
                "triggers:write",
                "workflows:approve",
                "workflows:read",
                "workflows:start",
                "workflows:write",
            ]
        ],
        *,
        every_owner: bool | Unset = UNSET,
        description: str | Unset = UNSET,
        if_match: str | None = None,
    ) -> models.RoleView:
        """Make or replace a role of the tenant's own. At most 50 a tenant. It holds everywhere within 30 s. A
        caller grants only what they have themselves."""
        return cast(
            "models.RoleView",
            self._call(
                "PUT",
                place("/api/v1/roles/{role}", role=role),
                body=said(permissions=permissions, every_owner=every_owner, description=description),
                if_match=if_match,
            ),
        )

    def delete(self, role: str, *, if_match: str | None = None) -> models.RoleDeleted:
        """Delete a role of the tenant's own. It grants nothing any more, everywhere within 30 s."""
        return cast(
            "models.RoleDeleted", self._call("DELETE", place("/api/v1/roles/{role}", role=role), if_match=if_match)
        )


class Queue(Caller):
    """The calls of queue."""

    def get(self) -> models.QueueView:
        """Whether the tenant's queue is paused, since when, by whom and why. All roles see it. It also stands in
        `GET /api/tasks/metrics`."""
        return cast("models.QueueView", self._call("GET", "/api/admin/queue"))

    def pause(self, *, note: str | Unset = UNSET, until_unix_ms: int | Unset = UNSET) -> models.QueueView:
        """Let nothing of the tenant be dispatched until the queue is resumed. It answers after about a second: then
        nothing begins any more. What is under way goes on to its end. What falls due is held as `pending`. A
        schedule's `catch_up_window_ms` goes on: what has passed it ends as `missed`, and its reason names the
        pause. One-time firings, triggers and retries wait. A pause of a paused queue replaces note and end."""
        return cast(
            "models.QueueView",
            self._call("POST", "/api/admin/queue/pause", body=said(note=note, until_unix_ms=until_unix_ms)),
        )

    def resume(self) -> models.QueueView:
        """Dispatch again, what was held first. What is more than 2 s late goes out at the pace of catch-up.
        Resuming an active queue changes nothing."""
        return cast("models.QueueView", self._call("POST", "/api/admin/queue/resume", body=said()))


class Policies(Caller):
    """The calls of policies."""

    def create(
        self,
        name: str,
        rules: Sequence[models.RuleBody],
        *,
        description: str | Unset = UNSET,
        mode: Literal["audit", "enforce"] | Unset = UNSET,
        match: models.MatchBody | Unset = UNSET,
        exceptions: Sequence[models.ExceptionBody] | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> models.PolicyView:
        """Make a policy. A rule is an assertion: its action applies where its condition does not hold. The policy
        is in force for every firing and call that begins after this answer. At most 1000 a tenant. The body may be
        YAML too (`Content-Type: text/yaml`): the same document in another spelling."""
        return cast(
            "models.PolicyView",
            self._call(
                "POST",
                "/api/v1/policies",
                body=said(
                    name=name, description=description, mode=mode, match=match, rules=rules, exceptions=exceptions
                ),
                key=key_of_call(idempotency_key),
            ),
        )

    def list(self, *, limit: int | Unset = UNSET) -> Iterator[models.PolicyView]:
        """List policies, by name. Pages are fetched as they are needed."""
        return self._pages("GET", "/api/v1/policies", query=said(limit=limit))

    def get(self, policy: str) -> models.PolicyView:
        """One policy."""
        return cast("models.PolicyView", self._call("GET", place("/api/v1/policies/{policy}", policy=policy)))

    def set(
        self,
        policy: str,
        rules: Sequence[models.RuleBody],
        *,
        name: str | Unset = UNSET,
        description: str | Unset = UNSET,
        mode: Literal["audit", "enforce"] | Unset = UNSET,
        match: models.MatchBody | Unset = UNSET,
        exceptions: Sequence[models.ExceptionBody] | Unset = UNSET,
        if_match: str | None = None,
    ) -> models.PolicyView:
        """Make or replace a policy. It is in force for every firing and call that begins after this answer. The
        body may be YAML too (`Content-Type: text/yaml`): the same document in another spelling."""
        return cast(
            "models.PolicyView",
            self._call(
                "PUT",
                place("/api/v1/policies/{policy}", policy=policy),
                body=said(
                    name=name, description=description, mode=mode, match=match, rules=rules, exceptions=exceptions
                ),
                if_match=if_match,
            ),
        )

    def delete(self, policy: str, *, if_match: str | None = None) -> models.PolicyDeleted:
        """Delete a policy."""
        return cast(
            "models.PolicyDeleted",
            self._call("DELETE", place("/api/v1/policies/{policy}", policy=policy), if_match=if_match),
        )

    def versions(self, policy: str) -> models.PolicyVersions:
        """The forms that a policy has had, newest first."""
        return cast(
            "models.PolicyVersions", self._call("GET", place("/api/v1/policies/{policy}/versions", policy=policy))
        )

    def schedules(self, policy: str, *, limit: int | Unset = UNSET) -> Iterator[models.UseView]:
        """The schedules that a policy is about, with its verdict on each. Those that the caller may see. A page may
        be short and still have a next one. Pages are fetched as they are needed."""
        return self._pages("GET", place("/api/v1/policies/{policy}/schedules", policy=policy), query=said(limit=limit))

    def dry_run(
        self,
        policy_name: str,
        *,
        policy: models.PolicyBody | Unset = UNSET,
        page_token: str | Unset = UNSET,
        if_match: str | None = None,
    ) -> models.DryRunView:
        """Which schedules and firings a policy would deny. In its form of now, or in the one that is proposed. A
        call judges up to 1000 schedules, then at the firings of the last week, and takes some seconds; with a
        `next_page_token` call again. Nothing is written."""
        return cast(
            "models.DryRunView",
            self._call(
                "POST",
                place("/api/v1/policies/{policy}:dry-run", policy=policy_name),
                body=said(policy=policy),
                query=said(page_token=page_token),
                if_match=if_match,
            ),
        )

    def dry_run_all(self, *, page_token: str | Unset = UNSET) -> models.DryRunView:
        """Which schedules and firings all policies would deny. A call judges up to 1000 schedules, then at the
        firings of the last week, and takes some seconds; with a `next_page_token` call again. Nothing is written."""
        return cast(
            "models.DryRunView",
            self._call("POST", "/api/v1/policies:dry-run", body=said(), query=said(page_token=page_token)),
        )

    def evaluate(
        self,
        subject: Mapping[str, Any],
        *,
        action: Literal[
            "executions:retry",
            "firing",
            "leases:acquire",
            "leases:break",
            "schedules:create",
            "schedules:edit",
            "schedules:trigger",
            "workflows:approve",
            "workflows:publish",
            "workflows:start",
        ]
        | Unset = UNSET,
    ) -> models.EvaluationView:
        """What all policies say of a schedule or a lease, and why. The subject need not exist; what it leaves out
        has its default."""
        return cast(
            "models.EvaluationView",
            self._call("POST", "/api/v1/policies:evaluate", body=said(subject=subject, action=action)),
        )


class Audit(Caller):
    """The calls of audit."""

    def list(
        self,
        *,
        limit: int | Unset = UNSET,
        actor: str | Unset = UNSET,
        action: str | Unset = UNSET,
        resource: str | Unset = UNSET,
        from_unix_ms: int | Unset = UNSET,
        to_unix_ms: int | Unset = UNSET,
    ) -> Iterator[models.AuditEntryView]:
        """Who did what, and who was refused, newest first. For admins. What is recorded: docs/security.md. A page
        may be short, or empty, and have a `next_page_token` all the same. Pages are fetched as they are needed."""
        return self._pages(
            "GET",
            "/api/v1/audit",
            query=said(
                limit=limit,
                actor=actor,
                action=action,
                resource=resource,
                from_unix_ms=from_unix_ms,
                to_unix_ms=to_unix_ms,
            ),
        )

    def verify(self) -> models.AuditVerdictView:
        """Whether the audit is what it was. For admins. Judges each entry, each link, each erasure, and all of it
        by the signed checkpoints. `scripts/verify-audit` does the same to an export, without this service."""
        return cast("models.AuditVerdictView", self._call("POST", "/api/v1/audit:verify", body=said()))

    def export(self, *, page_token: str | Unset = UNSET, limit: int | Unset = UNSET) -> str:
        """The audit and its checkpoints as JSON lines, oldest first. For admins. Each line is `{"entry": …}` or
        `{"checkpoint": …}`. Where there are more, `X-Chrono-Next-Page-Token` is the page token of the rest."""
        return self._text("GET", "/api/v1/audit:export", query=said(page_token=page_token, limit=limit))


class Subjects(Caller):
    """The calls of subjects."""

    def export(self, subject_id: str, *, page_token: str | Unset = UNSET, if_match: str | None = None) -> str:
        """Everything that is kept about a subject, as JSON lines. For admins. Each line is `{"kind","data"}`:
        `schedule`, `execution`, `log`, `key`, `lease`, `trigger`, `monitor`, `notification_rule`, `workflow`, `run`
        or `audit`. Where there is more, `X-Chrono-Next-Page-Token` is the page token of the rest.
        docs/compliance.md."""
        return self._text(
            "POST",
            place("/api/v1/subjects/{subject_id}:export", subject_id=subject_id),
            body=said(),
            query=said(page_token=page_token),
            if_match=if_match,
            safe=False,
        )

    def erase(
        self, subject_id: str, *, page_token: str | Unset = UNSET, if_match: str | None = None
    ) -> models.ErasureView:
        """Erase a subject. For admins. Deletes the subject's schedules, triggers, monitors, notification rules and
        workflows, ends its keys, breaks its leases. In ended executions and in the audit a pseudonym stands for it.
        The audit stays valid. docs/compliance.md."""
        return cast(
            "models.ErasureView",
            self._call(
                "POST",
                place("/api/v1/subjects/{subject_id}:erase", subject_id=subject_id),
                body=said(),
                query=said(page_token=page_token),
                if_match=if_match,
                safe=False,
            ),
        )


class Workflows(Caller):
    """The calls of workflows."""

    def create(
        self,
        name: str,
        nodes: Sequence[Mapping[str, Any]],
        *,
        format: Literal["chronowatch.workflow/v1"] | Unset = UNSET,
        description: str | Unset = UNSET,
        input_schema: Mapping[str, Any] | Unset = UNSET,
        concurrency: Mapping[str, Any] | Unset = UNSET,
        timeout_ms: int | Unset = UNSET,
        sla_ms: int | Unset = UNSET,
        on_failure: str | Unset = UNSET,
        edges: Sequence[Mapping[str, Any]] | Unset = UNSET,
        layout: Mapping[str, Any] | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> models.WorkflowView:
        """Publish a workflow. All that is wrong with it is said at once, with the place: cycles, unknown nodes,
        expressions that cannot be read, workflows that would begin themselves. The version is the hash of the
        definition without `layout`. The body may be YAML too (`Content-Type: text/yaml`): the same document in
        another spelling."""
        return cast(
            "models.WorkflowView",
            self._call(
                "POST",
                "/api/v1/workflows",
                body=said(
                    format=format,
                    name=name,
                    description=description,
                    input_schema=input_schema,
                    concurrency=concurrency,
                    timeout_ms=timeout_ms,
                    sla_ms=sla_ms,
                    on_failure=on_failure,
                    nodes=nodes,
                    edges=edges,
                    layout=layout,
                ),
                key=key_of_call(idempotency_key),
            ),
        )

    def list(self, *, limit: int | Unset = UNSET) -> Iterator[models.WorkflowSummaryView]:
        """List workflows, by name. Those that the caller may see. A page may be short and still have a next one.
        Pages are fetched as they are needed."""
        return self._pages("GET", "/api/v1/workflows", query=said(limit=limit))

    def get(self, workflow: str) -> models.WorkflowView:
        """A workflow in its live version."""
        return cast("models.WorkflowView", self._call("GET", place("/api/v1/workflows/{workflow}", workflow=workflow)))

    def set(
        self,
        workflow: str,
        nodes: Sequence[Mapping[str, Any]],
        *,
        format: Literal["chronowatch.workflow/v1"] | Unset = UNSET,
        name: str | Unset = UNSET,
        description: str | Unset = UNSET,
        input_schema: Mapping[str, Any] | Unset = UNSET,
        concurrency: Mapping[str, Any] | Unset = UNSET,
        timeout_ms: int | Unset = UNSET,
        sla_ms: int | Unset = UNSET,
        on_failure: str | Unset = UNSET,
        edges: Sequence[Mapping[str, Any]] | Unset = UNSET,
        layout: Mapping[str, Any] | Unset = UNSET,
        if_match: str | None = None,
    ) -> models.WorkflowView:
        """Publish a new version. It is live for every run that starts after this answer. Runs that started before
        go on under their own version. The same definition again publishes nothing; an earlier one makes that
        version live. The body may be YAML too (`Content-Type: text/yaml`): the same document in another spelling."""
        return cast(
            "models.WorkflowView",
            self._call(
                "PUT",
                place("/api/v1/workflows/{workflow}", workflow=workflow),
                body=said(
                    format=format,
                    name=name,
                    description=description,
                    input_schema=input_schema,
                    concurrency=concurrency,
                    timeout_ms=timeout_ms,
                    sla_ms=sla_ms,
                    on_failure=on_failure,
                    nodes=nodes,
                    edges=edges,
                    layout=layout,
                ),
                if_match=if_match,
            ),
        )

    def delete(self, workflow: str, *, if_match: str | None = None) -> models.WorkflowDeleted:
        """Delete a workflow. Its runs go on, and can be seen."""
        return cast(
            "models.WorkflowDeleted",
            self._call("DELETE", place("/api/v1/workflows/{workflow}", workflow=workflow), if_match=if_match),
        )

    def version(self, workflow: str, version: str) -> models.WorkflowView:
        """One version, by its hash or its number."""
        return cast(
            "models.WorkflowView",
            self._call(
                "GET", place("/api/v1/workflows/{workflow}/versions/{version}", workflow=workflow, version=version)
            ),
        )

    def validate(
        self,
        workflow: str,
        nodes: Sequence[Mapping[str, Any]],
        *,
        format: Literal["chronowatch.workflow/v1"] | Unset = UNSET,
        name: str | Unset = UNSET,
        description: str | Unset = UNSET,
        input_schema: Mapping[str, Any] | Unset = UNSET,
        concurrency: Mapping[str, Any] | Unset = UNSET,
        timeout_ms: int | Unset = UNSET,
        sla_ms: int | Unset = UNSET,
        on_failure: str | Unset = UNSET,
        edges: Sequence[Mapping[str, Any]] | Unset = UNSET,
        layout: Mapping[str, Any] | Unset = UNSET,
        if_match: str | None = None,
    ) -> models.ValidatedView:
        """Judge a definition. Nothing is published, and the workflow need not exist, but under `If-Match`. The body
        may be YAML too (`Content-Type: text/yaml`): the same document in another spelling."""
        return cast(
            "models.ValidatedView",
            self._call(
                "POST",
                place("/api/v1/workflows/{workflow}:validate", workflow=workflow),
                body=said(
                    format=format,
                    name=name,
                    description=description,
                    input_schema=input_schema,
                    concurrency=concurrency,
                    timeout_ms=timeout_ms,
                    sla_ms=sla_ms,
                    on_failure=on_failure,
                    nodes=nodes,
                    edges=edges,
                    layout=layout,
                ),
                if_match=if_match,
            ),
        )

    def test(
        self,
        *,
        definition: Mapping[str, Any] | Unset = UNSET,
        workflow: str | Unset = UNSET,
        version: str | Unset = UNSET,
        node: str | Unset = UNSET,
        input: Any | Unset = UNSET,
        outputs: Mapping[str, Any] | Unset = UNSET,
        item: Any | Unset = UNSET,
        fork: models.ForkBody | Unset = UNSET,
        mocks: Mapping[str, Any] | Unset = UNSET,
    ) -> models.TestedView:
        """Try a node with sample input, or rehearse a run. Nothing is stored and nothing outside is called. A
        rehearsed run takes no time, however long its delays; nodes that reach outside are answered by `mocks`, or
        well."""
        return cast(
            "models.TestedView",
            self._call(
                "POST",
                "/api/v1/workflows:test",
                body=said(
                    definition=definition,
                    workflow=workflow,
                    version=version,
                    node=node,
                    input=input,
                    outputs=outputs,
                    item=item,
                    fork=fork,
                    mocks=mocks,
                ),
                safe=False,
            ),
        )

    def start(
        self,
        workflow: str,
        *,
        input: Any | Unset = UNSET,
        version: str | Unset = UNSET,
        run_id: str | Unset = UNSET,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> models.StartedView:
        """Start a run. With a `run_id` that exists the answer is that run's, and nothing starts. `If-Match` takes
        the workflow's version."""
        return cast(
            "models.StartedView",
            self._call(
                "POST",
                place("/api/v1/workflows/{workflow}:start", workflow=workflow),
                body=said(input=input, version=version, run_id=run_id),
                key=key_of_call(idempotency_key),
                if_match=if_match,
            ),
        )

    def export(self, workflow: str, *, as_: Literal["asl", "mermaid"] | Unset = UNSET) -> str:
        """The live version as a Mermaid flowchart, or in Amazon States Language."""
        return self._text("GET", place("/api/v1/workflows/{workflow}:export", workflow=workflow), query=said(as_=as_))


class Runs(Caller):
    """The calls of runs."""

    def list(
        self,
        *,
        limit: int | Unset = UNSET,
        workflow: str | Unset = UNSET,
        state: Literal[
            "cancelled",
            "cancelling",
            "compensating",
            "compensation_failed",
            "completed",
            "failed",
            "running",
            "waiting",
        ]
        | Unset = UNSET,
    ) -> Iterator[models.RunSummaryView]:
        """List runs, newest first. The list may lag behind by some seconds. A page may be short and still have a
        next one. Pages are fetched as they are needed."""
        return self._pages("GET", "/api/v1/runs", query=said(limit=limit, workflow=workflow, state=state))

    def get(self, run_id: str, *, inline_bytes: int | Unset = UNSET) -> models.RunView:
        """One run. Values over `inline_bytes`, by default 64 KiB, are shown as `{"$ref", "size"}`."""
        return cast(
            "models.RunView",
            self._call("GET", place("/api/v1/runs/{run_id}", run_id=run_id), query=said(inline_bytes=inline_bytes)),
        )

    def events(self, run_id: str, *, after: int | Unset = UNSET, limit: int | Unset = UNSET) -> models.EventList:
        """The log of a run."""
        return cast(
            "models.EventList",
            self._call(
                "GET", place("/api/v1/runs/{run_id}/events", run_id=run_id), query=said(after=after, limit=limit)
            ),
        )

    def cancel(self, run_id: str, *, reason: str | Unset = UNSET, if_match: str | None = None) -> models.RunView:
        """Cancel a run. What waits ends at once, what is under way within 5 s. What had not begun never begins."""
        return cast(
            "models.RunView",
            self._call(
                "POST",
                place("/api/v1/runs/{run_id}:cancel", run_id=run_id),
                body=said(reason=reason),
                if_match=if_match,
            ),
        )

    def redrive(
        self,
        run_id: str,
        *,
        from_: str | Unset = UNSET,
        version: str | Unset = UNSET,
        patch_input: Any | Unset = UNSET,
        dry_run: bool | Unset = UNSET,
        if_match: str | None = None,
    ) -> models.RedriveView:
        """Let a run that ended go on. What completed is kept; what failed or never ran runs again, under the same
        keys. With `from` that node and all after it run again, under new ones. A dry run is 200."""
        return cast(
            "models.RedriveView",
            self._call(
                "POST",
                place("/api/v1/runs/{run_id}:redrive", run_id=run_id),
                body=said(from_=from_, version=version, patch_input=patch_input, dry_run=dry_run),
                if_match=if_match,
                safe=False,
            ),
        )

    def approve(
        self, run_id: str, node: str, nonce: str, *, comment: str | Unset = UNSET, if_match: str | None = None
    ) -> models.RunView:
        """Approve at a gate. The first decision wins; the others are 409. `nonce` is that of this entry of the
        gate."""
        return cast(
            "models.RunView",
            self._call(
                "POST",
                place("/api/v1/runs/{run_id}/nodes/{node}:approve", run_id=run_id, node=node),
                body=said(nonce=nonce, comment=comment),
                if_match=if_match,
                safe=False,
            ),
        )

    def reject(
        self, run_id: str, node: str, nonce: str, *, comment: str | Unset = UNSET, if_match: str | None = None
    ) -> models.RunView:
        """Reject at a gate. The first decision wins; the others are 409. `nonce` is that of this entry of the gate."""
        return cast(
            "models.RunView",
            self._call(
                "POST",
                place("/api/v1/runs/{run_id}/nodes/{node}:reject", run_id=run_id, node=node),
                body=said(nonce=nonce, comment=comment),
                if_match=if_match,
                safe=False,
            ),
        )

    def complete(
        self,
        run_id: str,
        node: str,
        *,
        output: Any | Unset = UNSET,
        result: Any | Unset = UNSET,
        if_match: str | None = None,
    ) -> models.RunView:
        """Say that a job ended well. For jobs whose target answered 202 with `X-Chrono-Async: true`."""
        return cast(
            "models.RunView",
            self._call(
                "POST",
                place("/api/v1/runs/{run_id}/nodes/{node}:complete", run_id=run_id, node=node),
                body=said(output=output, result=result),
                if_match=if_match,
            ),
        )

    def fail(
        self, run_id: str, node: str, error: str, *, error_type: str | Unset = UNSET, if_match: str | None = None
    ) -> models.RunView:
        """Say that a job failed."""
        return cast(
            "models.RunView",
            self._call(
                "POST",
                place("/api/v1/runs/{run_id}/nodes/{node}:fail", run_id=run_id, node=node),
                body=said(error=error, error_type=error_type),
                if_match=if_match,
            ),
        )


class Monitors(Caller):
    """The calls of monitors."""

    def create(
        self,
        name: str,
        type: Literal["CRON", "ISO8601", "RATE", "RRULE"],
        expr: str,
        grace_ms: int,
        *,
        timezone: str | Unset = UNSET,
        tags: Sequence[str] | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> models.MonitorView:
        """Make a monitor of a job that others run."""
        return cast(
            "models.MonitorView",
            self._call(
                "POST",
                "/api/v1/monitors",
                body=said(name=name, type=type, expr=expr, timezone=timezone, grace_ms=grace_ms, tags=tags),
                key=key_of_call(idempotency_key),
            ),
        )

    def list(self, *, limit: int | Unset = UNSET, tag: str | Unset = UNSET) -> Iterator[models.MonitorView]:
        """List monitors, newest first. Pages are fetched as they are needed."""
        return self._pages("GET", "/api/v1/monitors", query=said(limit=limit, tag=tag))

    def get(self, monitor_id: str) -> models.MonitorView:
        """One monitor, with its last pings."""
        return cast(
            "models.MonitorView", self._call("GET", place("/api/v1/monitors/{monitor_id}", monitor_id=monitor_id))
        )

    def edit(
        self,
        monitor_id: str,
        *,
        name: str | Unset = UNSET,
        type: Literal["CRON", "ISO8601", "RATE", "RRULE"] | Unset = UNSET,
        expr: str | Unset = UNSET,
        timezone: str | Unset = UNSET,
        grace_ms: int | Unset = UNSET,
        tags: Sequence[str] | Unset = UNSET,
        if_match: str | None = None,
    ) -> models.MonitorView:
        """Change some fields of a monitor."""
        return cast(
            "models.MonitorView",
            self._call(
                "PATCH",
                place("/api/v1/monitors/{monitor_id}", monitor_id=monitor_id),
                body=said(name=name, type=type, expr=expr, timezone=timezone, grace_ms=grace_ms, tags=tags),
                if_match=if_match,
            ),
        )

    def delete(self, monitor_id: str, *, if_match: str | None = None) -> models.MonitorDeleted:
        """Delete a monitor."""
        return cast(
            "models.MonitorDeleted",
            self._call("DELETE", place("/api/v1/monitors/{monitor_id}", monitor_id=monitor_id), if_match=if_match),
        )

    def pause(self, monitor_id: str, *, if_match: str | None = None) -> models.MonitorView:
        """Expect nothing until the monitor is resumed."""
        return cast(
            "models.MonitorView",
            self._call(
                "POST",
                place("/api/v1/monitors/{monitor_id}:pause", monitor_id=monitor_id),
                body=said(),
                if_match=if_match,
            ),
        )

    def resume(self, monitor_id: str, *, if_match: str | None = None) -> models.MonitorView:
        """Expect pings again."""
        return cast(
            "models.MonitorView",
            self._call(
                "POST",
                place("/api/v1/monitors/{monitor_id}:resume", monitor_id=monitor_id),
                body=said(),
                if_match=if_match,
            ),
        )


class NotificationRules(Caller):
    """The calls of notification-rules."""

    def create(
        self,
        name: str,
        when: Sequence[Literal["approval", "dead_letter", "failed", "late", "quota", "recovered", "silent"]],
        channels: Sequence[models.ChannelBody],
        *,
        match: models.NoticeMatchBody | Unset = UNSET,
        group_ms: int | Unset = UNSET,
        quiet: models.QuietTimesBody | None | Unset = UNSET,
        enabled: bool | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> models.NotificationRuleView:
        """Make a notification rule. An incident is one schedule or monitor and this rule, until its next success.
        Each channel hears of it once, and once of its end where `when` has `recovered`."""
        return cast(
            "models.NotificationRuleView",
            self._call(
                "POST",
                "/api/v1/notification-rules",
                body=said(
                    name=name,
                    when=when,
                    match=match,
                    channels=channels,
                    group_ms=group_ms,
                    quiet=quiet,
                    enabled=enabled,
                ),
                key=key_of_call(idempotency_key),
            ),
        )

    def list(self, *, limit: int | Unset = UNSET) -> Iterator[models.NotificationRuleView]:
        """List notification rules, newest first. Pages are fetched as they are needed."""
        return self._pages("GET", "/api/v1/notification-rules", query=said(limit=limit))

    def get(self, rule_id: str) -> models.NotificationRuleView:
        """One notification rule."""
        return cast(
            "models.NotificationRuleView",
            self._call("GET", place("/api/v1/notification-rules/{rule_id}", rule_id=rule_id)),
        )

    def edit(
        self,
        rule_id: str,
        *,
        name: str | Unset = UNSET,
        when: Sequence[Literal["approval", "dead_letter", "failed", "late", "quota", "recovered", "silent"]]
        | Unset = UNSET,
        match: models.NoticeMatchBody | Unset = UNSET,
        channels: Sequence[models.ChannelBody] | Unset = UNSET,
        group_ms: int | Unset = UNSET,
        quiet: models.QuietTimesBody | None | Unset = UNSET,
        enabled: bool | Unset = UNSET,
        if_match: str | None = None,
    ) -> models.NotificationRuleView:
        """Change some fields of a notification rule."""
        return cast(
            "models.NotificationRuleView",
            self._call(
                "PATCH",
                place("/api/v1/notification-rules/{rule_id}", rule_id=rule_id),
                body=said(
                    name=name,
                    when=when,
                    match=match,
                    channels=channels,
                    group_ms=group_ms,
                    quiet=quiet,
                    enabled=enabled,
                ),
                if_match=if_match,
            ),
        )

    def delete(self, rule_id: str, *, if_match: str | None = None) -> models.NotificationRuleDeleted:
        """Delete a notification rule. What it has not sent yet is not sent."""
        return cast(
            "models.NotificationRuleDeleted",
            self._call("DELETE", place("/api/v1/notification-rules/{rule_id}", rule_id=rule_id), if_match=if_match),
        )

    def test(self, rule_id: str, *, if_match: str | None = None) -> models.Tested:
        """Send a test to every channel of a rule."""
        return cast(
            "models.Tested",
            self._call(
                "POST",
                place("/api/v1/notification-rules/{rule_id}:test", rule_id=rule_id),
                body=said(),
                if_match=if_match,
                safe=False,
            ),
        )


class Notifications(Caller):
    """The calls of notifications."""

    def list(
        self, *, limit: int | Unset = UNSET, rule_id: str | Unset = UNSET, incident_id: str | Unset = UNSET
    ) -> Iterator[models.SentView]:
        """The ledger of what was sent, newest first. One line an incident and channel. It is kept for 30 days.
        Pages are fetched as they are needed."""
        return self._pages(
            "GET", "/api/v1/notifications", query=said(limit=limit, rule_id=rule_id, incident_id=incident_id)
        )


class Sessions(Caller):
    """The calls of sessions."""

    def begin(
        self, run_id: str, *, live: bool | Unset = UNSET, idempotency_key: str | None = None
    ) -> models.TravelView:
        """Travel through the log of a run."""
        return cast(
            "models.TravelView",
            self._call(
                "POST",
                place("/api/v1/runs/{run_id}/sessions", run_id=run_id),
                body=said(live=live),
                key=key_of_call(idempotency_key),
            ),
        )

    def step_forward(self, session_id: str, *, if_match: str | None = None) -> models.MomentView:
        """One event on."""
        return cast(
            "models.MomentView",
            self._call(
                "POST",
                place("/api/v1/sessions/{session_id}:step-forward", session_id=session_id),
                body=said(),
                if_match=if_match,
                safe=False,
            ),
        )

    def step_backward(self, session_id: str, *, if_match: str | None = None) -> models.MomentView:
        """One event back."""
        return cast(
            "models.MomentView",
            self._call(
                "POST",
                place("/api/v1/sessions/{session_id}:step-backward", session_id=session_id),
                body=said(),
                if_match=if_match,
                safe=False,
            ),
        )

    def jump(
        self, session_id: str, position: int, *, watch: Sequence[str] | Unset = UNSET, if_match: str | None = None
    ) -> models.MomentView:
        """To any event."""
        return cast(
            "models.MomentView",
            self._call(
                "POST",
                place("/api/v1/sessions/{session_id}:jump", session_id=session_id),
                body=said(position=position, watch=watch),
                if_match=if_match,
            ),
        )

    def continue_(self, session_id: str, *, if_match: str | None = None) -> models.MomentView:
        """To the next breakpoint."""
        return cast(
            "models.MomentView",
            self._call(
                "POST",
                place("/api/v1/sessions/{session_id}:continue", session_id=session_id),
                body=said(),
                if_match=if_match,
                safe=False,
            ),
        )

    def breakpoints(
        self, session_id: str, items: Sequence[models.BreakpointBody], *, if_match: str | None = None
    ) -> Any:
        """Replace the breakpoints. `step` takes a node, `type` a type of node; both stop before the node begins."""
        return self._call(
            "PUT",
            place("/api/v1/sessions/{session_id}/breakpoints", session_id=session_id),
            body=items,
            if_match=if_match,
        )

    def export(self, session_id: str) -> models.ExportedSession:
        """The session as one document."""
        return cast(
            "models.ExportedSession",
            self._call("GET", place("/api/v1/sessions/{session_id}:export", session_id=session_id)),
        )

    def import_(
        self,
        format: Literal["chronowatch.session/v1"],
        run_id: str,
        position: int,
        events: Sequence[Mapping[str, Any]],
        document: Mapping[str, Any],
        *,
        breakpoints: Sequence[models.ImportedBreakpointBody] | Unset = UNSET,
        payloads: Mapping[str, str] | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> models.TravelView:
        """A session from its export."""
        return cast(
            "models.TravelView",
            self._call(
                "POST",
                "/api/v1/sessions:import",
                body=said(
                    format=format,
                    run_id=run_id,
                    position=position,
                    events=events,
                    document=document,
                    breakpoints=breakpoints,
                    payloads=payloads,
                ),
                key=key_of_call(idempotency_key),
            ),
        )


class Triggers(Caller):
    """The calls of triggers."""

    def create(
        self,
        name: str,
        source: models.Source,
        *,
        filter: models.CelBody | None | Unset = UNSET,
        dedupe: models.DedupeBody | None | Unset = UNSET,
        debounce_ms: int | Unset = UNSET,
        throttle: models.ThrottleBody | None | Unset = UNSET,
        absence: models.AbsenceBody | None | Unset = UNSET,
        target: models.Target | Unset = UNSET,
        enabled: bool | Unset = UNSET,
        owner: str | Unset = UNSET,
        retry_policy: models.RetryPolicyBody | Unset = UNSET,
        timeout_ms: int | Unset = UNSET,
        tags: Sequence[str] | Unset = UNSET,
        idempotency_key: str | None = None,
    ) -> models.TriggerView:
        """Make a trigger. Each event that matches fires once: by its source and id there is one execution, with the
        same journal, retries and policies as any. See docs/triggers.md for the sources."""
        return cast(
            "models.TriggerView",
            self._call(
                "POST",
                "/api/v1/triggers",
                body=said(
                    name=name,
                    source=source,
                    filter=filter,
                    dedupe=dedupe,
                    debounce_ms=debounce_ms,
                    throttle=throttle,
                    absence=absence,
                    target=target,
                    enabled=enabled,
                    owner=owner,
                    retry_policy=retry_policy,
                    timeout_ms=timeout_ms,
                    tags=tags,
                ),
                key=key_of_call(idempotency_key),
            ),
        )

    def list(self, *, limit: int | Unset = UNSET) -> Iterator[models.TriggerView]:
        """List triggers, newest first. Those that the caller may see. A page may be short and still have a next
        one. Pages are fetched as they are needed."""
        return self._pages("GET", "/api/v1/triggers", query=said(limit=limit))

    def get(self, trigger_id: str) -> models.TriggerView:
        """One trigger."""
        return cast(
            "models.TriggerView", self._call("GET", place("/api/v1/triggers/{trigger_id}", trigger_id=trigger_id))
        )

    def edit(
        self,
        trigger_id: str,
        *,
        name: str | Unset = UNSET,
        source: models.Source | Unset = UNSET,
        filter: models.CelBody | None | Unset = UNSET,
        dedupe: models.DedupeBody | None | Unset = UNSET,
        debounce_ms: int | Unset = UNSET,
        throttle: models.ThrottleBody | None | Unset = UNSET,
        absence: models.AbsenceBody | None | Unset = UNSET,
        target: models.Target | Unset = UNSET,
        enabled: bool | Unset = UNSET,
        owner: str | Unset = UNSET,
        retry_policy: models.RetryPolicyBody | Unset = UNSET,
        timeout_ms: int | Unset = UNSET,
        tags: Sequence[str] | Unset = UNSET,
        if_match: str | None = None,
    ) -> models.TriggerView:
        """Change fields of a trigger. Events that come after the answer are judged by the changed rules."""
        return cast(
            "models.TriggerView",
            self._call(
                "PATCH",
                place("/api/v1/triggers/{trigger_id}", trigger_id=trigger_id),
                body=said(
                    name=name,
                    source=source,
                    filter=filter,
                    dedupe=dedupe,
                    debounce_ms=debounce_ms,
                    throttle=throttle,
                    absence=absence,
                    target=target,
                    enabled=enabled,
                    owner=owner,
                    retry_policy=retry_policy,
                    timeout_ms=timeout_ms,
                    tags=tags,
                ),
                if_match=if_match,
            ),
        )

    def delete(self, trigger_id: str, *, if_match: str | None = None) -> models.TriggerDeleted:
        """Delete a trigger. What it fired and is not sent yet is cancelled. Executions stay readable."""
        return cast(
            "models.TriggerDeleted",
            self._call("DELETE", place("/api/v1/triggers/{trigger_id}", trigger_id=trigger_id), if_match=if_match),
        )

    def pause(self, trigger_id: str, *, if_match: str | None = None) -> models.TriggerView:
        """Let no event fire. Events that come meanwhile are answered `paused`; brokers and queues keep theirs."""
        return cast(
            "models.TriggerView",
            self._call(
                "POST",
                place("/api/v1/triggers/{trigger_id}:pause", trigger_id=trigger_id),
                body=said(),
                if_match=if_match,
            ),
        )

    def resume(self, trigger_id: str, *, if_match: str | None = None) -> models.TriggerView:
        """Let events fire again."""
        return cast(
            "models.TriggerView",
            self._call(
                "POST",
                place("/api/v1/triggers/{trigger_id}:resume", trigger_id=trigger_id),
                body=said(),
                if_match=if_match,
            ),
        )

    def executions(self, trigger_id: str, *, limit: int | Unset = UNSET) -> Iterator[models.ExecutionView]:
        """What a trigger fired, newest first. Pages are fetched as they are needed."""
        return self._pages(
            "GET", place("/api/v1/triggers/{trigger_id}/executions", trigger_id=trigger_id), query=said(limit=limit)
        )


class Nouns:
    """Every noun of the API."""

    def __init__(self, transport: Transport) -> None:
        self.schedules = Schedules(transport)
        self.jobs = Jobs(transport)
        self.executions = Executions(transport)
        self.bulk_jobs = BulkJobs(transport)
        self.keys = Keys(transport)
        self.tick_streams = TickStreams(transport)
        self.changes = Changes(transport)
        self.tasks = Tasks(transport)
        self.time = Time(transport)
        self.service = Service(transport)
        self.roles = Roles(transport)
        self.queue = Queue(transport)
        self.policies = Policies(transport)
        self.audit = Audit(transport)
        self.subjects = Subjects(transport)
        self.workflows = Workflows(transport)
        self.runs = Runs(transport)
        self.monitors = Monitors(transport)
        self.notification_rules = NotificationRules(transport)
        self.notifications = Notifications(transport)
        self.sessions = Sessions(transport)
        self.triggers = Triggers(transport)
