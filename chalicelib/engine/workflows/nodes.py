"""The types of node: what each does when its turn has come. One function a type; what it answers goes to the log."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

from msgspec import Struct

from chalicelib.core.channels import PAGERDUTY_URL, receivers, subject_line
from chalicelib.core.errors import ChronoError, Unavailable
from chalicelib.core.executions.retry import backoff_ms
from chalicelib.core.instants import parse_rfc3339
from chalicelib.core.limits import DURATION_MAX_MS, INSTANT_MAX_MS
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.targets import cloudevent, registry
from chalicelib.core.targets.webhook_signature import ref_of
from chalicelib.core.workflows import input_schema
from chalicelib.core.workflows.definition import WorkflowNode
from chalicelib.core.workflows.happenings import Ends, Fans, Waits
from chalicelib.core.workflows.limits import (
    ERROR_MAX_CHARS,
    ITEMS_MAX_COUNT,
    NESTING_MAX_DEPTH,
    STEP_TIMEOUT_DEFAULT_MS,
)
from chalicelib.core.workflows.node_rules import next_of_cron
from chalicelib.core.workflows.run_ids import generation_of
from chalicelib.core.workflows.run_state import Gate
from chalicelib.engine.workflows import children, outputs
from chalicelib.engine.workflows.run_access import LoadedRun, parts_of, workflow
from chalicelib.engine.workflows.scope import StepScope
from chalicelib.ports.services import Services
from chalicelib.ports.target import Delivery, Outcome
from chalicelib.ports.workflow_steps import HttpRequest, Mail, StepFailed

AT_ONCE_DEFAULT: Final = 10
SUMMARY_MAX_CHARS: Final = 1024
DEDUP_KEY_MAX_CHARS: Final = 255
ACCEPTED_MAX_MS: Final = 86_400_000
_RETRY_ALWAYS: Final = frozenset({"internal_error"})


class TakenStep(Struct, frozen=True):
    """A step in a worker's hands: it has claimed it under ``token``."""

    run: LoadedRun
    node: WorkflowNode
    token: int
    attempt: int
    scope: StepScope

    @property
    def key(self) -> str:
        """Its identity: the same through retries, crashes and redrives; another once it is chosen to run again."""
        state = self.run.state
        undoes = state.undoing if state.status == "compensating" else ""
        name = undoes or self.node.id
        where = "".join(f"/{index}" for index in state.indices)
        generation = generation_of(state, name)
        again = f"#{generation}" if generation else ""
        return f"{state.root or state.id}/{name}{where}{again}{'/comp' if undoes else ''}"

    @property
    def timeout_ms(self) -> int:
        """How long an attempt may take."""
        return self.node.timeout_ms or STEP_TIMEOUT_DEFAULT_MS


Answer = Ends | Waits | Fans


def take(s: Services, step: TakenStep) -> Answer:
    """Do what the node says. Never raises for what its author or the world outside got wrong."""
    try:
        return _TYPES[step.node.type](s, step)
    except StepFailed as problem:
        return _failed(step, problem)
    except Unavailable:
        raise  # a store or a queue of ours: the claim ends by itself, and the step is taken again
    except ChronoError as problem:
        return _failed(step, StepFailed(problem.code, problem.detail, retryable=problem.retryable))


def _failed(step: TakenStep, problem: StepFailed) -> Ends:
    retry_in_ms = None
    if problem.retryable or problem.error_type in _RETRY_ALWAYS:
        wait_ms = backoff_ms(step.node.retry, step.attempt, step.key)
        retry_in_ms = max(wait_ms, min(problem.retry_after_ms or 0, DURATION_MAX_MS))
    return Ends(
        step.node.id,
        step.token,
        "timeout" if problem.error_type == "timeout" else "failed",
        error_type=problem.error_type,
        error=problem.error[:ERROR_MAX_CHARS],
        retry_in_ms=retry_in_ms,
    )


def _done(s: Services, step: TakenStep, value: Any, case: str = "") -> Ends:
    state = step.run.state
    ref = outputs.keep(s, state.tenant, state.id, value)
    return Ends(step.node.id, step.token, "completed", output=ref, case=case)


def _condition(s: Services, step: TakenStep) -> Answer:
    chosen = str(step.node.fields.get("default", ""))
    for case in step.node.fields["cases"]:
        holds = step.scope.evaluate(case["when"]["cel"])
        if type(holds) is not bool:
            said = f"case {case['name']}: the expression is {json.dumps(holds)[:80]}, neither true nor false"
            raise StepFailed("expression_error", said)
        if holds:
            chosen = str(case["name"])
            break
    return _done(s, step, {"case": chosen or None}, chosen)


def _foreach(s: Services, step: TakenStep) -> Answer:
    each = step.node.fields["foreach"]
    items = each["items"] if isinstance(each["items"], list) else step.scope.evaluate(each["items"]["cel"])
    if not isinstance(items, list):
        raise StepFailed("expression_error", "foreach.items: the expression is not a list")
    if len(items) > ITEMS_MAX_COUNT:
        raise StepFailed("too_many_items", f"there are {len(items)} items; at most {ITEMS_MAX_COUNT} are taken")
    state = step.run.state
    return Fans(
        step.node.id,
        step.token,
        len(items),
        int(each.get("max_concurrency", AT_ONCE_DEFAULT)),
        int(each.get("tolerated_failures", 0)),
        outputs.keep(s, state.tenant, state.id, items),
    )


def _delay(s: Services, step: TakenStep) -> Answer:
    fields, now_ms = step.node.fields, s.clock.now_ms()
    if "until_cron" in fields:
        found = next_of_cron(fields["until_cron"], fields.get("timezone", "UTC"), now_ms)
        if found is None:
            raise StepFailed("expression_error", "until_cron has no instant to come")
        due_ms = found
    elif "for_ms" in fields:
        due_ms = now_ms + _milliseconds("for_ms", step.scope.fill(fields["for_ms"]), DURATION_MAX_MS)
    else:
        until = step.scope.fill(fields["until"])
        try:
            due_ms = parse_rfc3339(until) if isinstance(until, str) else _milliseconds("until", until, INSTANT_MAX_MS)
        except ValueError as wrong:
            raise StepFailed("expression_error", f"until: {wrong}") from None
    output = outputs.keep(s, step.run.state.tenant, step.run.state.id, {"due_unix_ms": due_ms})
    return Waits(step.node.id, step.token, max(due_ms, now_ms), "complete", output=output)


def _milliseconds(field: str, value: Any, most: int) -> int:
    whole = isinstance(value, float) and math.isfinite(value) and value == int(value)
    if isinstance(value, bool) or not (isinstance(value, int) or whole) or not 0 <= value <= most:
        raise StepFailed("expression_error", f"{field}: must be a whole number of 0 to {most}")
    return int(value)


def _approval(s: Services, step: TakenStep) -> Answer:
    fields, now_ms = step.node.fields, s.clock.now_ms()
    expires = fields.get("expires_in_ms")
    due_ms = None if expires is None else now_ms + expires
    gate = Gate(
        nonce=f"{s.ids.secret_bits():064x}"[:32],
        quorum=int(fields.get("quorum", 1)),
        approvers=tuple(fields["approvers"]),
        allow_self=bool(fields.get("allow_self", False)),
        expires_ms=due_ms,
    )
    return Waits(step.node.id, step.token, due_ms, fields.get("on_expiry", "reject") if expires else "", gate)


def _http(s: Services, step: TakenStep) -> Answer:
    fields = step.node.fields
    body = step.scope.fill(fields.get("body"))
    return _call(s, step, fields["method"], fields["url"], _headers(step, fields.get("headers", {})), body)


def _headers(step: TakenStep, given: Mapping[str, Any]) -> dict[str, Any]:
    """Headers with their expressions evaluated. A value that would be two headers is refused, not cut."""
    made: dict[str, Any] = {}
    for name, template in given.items():
        value = step.scope.fill(template)
        if isinstance(value, Mapping):  # a reference to a secret
            made[name] = value
            continue
        text = value if isinstance(value, str) else json.dumps(value)
        if any(ord(char) < 32 or ord(char) == 127 or ord(char) > 255 for char in text):
            raise StepFailed("invalid_header", f"headers.{name}: a value must be one line of Latin-1")
        made[name] = text
    return made


def _call(
    s: Services,
    step: TakenStep,
    method: str,
    url: str,
    headers: Mapping[str, Any],
    body: Any,
    into_body: Mapping[str, str] | None = None,
) -> Answer:
    content = None if body is None else json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    reply = parts_of(s).calls.call(
        HttpRequest(
            step.key, step.run.state.tenant, step.attempt, method, url, headers, content, step.timeout_ms,
            step.run.state.traceparent, step.run.state.depth, into_body or {},
        )
    )  # fmt: skip
    expected = (step.node.fields.get("expect") or {}).get("status")
    if reply.status not in expected if expected else not 200 <= reply.status < 300:
        again = reply.status >= 500 or reply.status in (408, 429)
        said = f"{method} {url.partition('?')[0]} answered {reply.status}"
        raise StepFailed("http_error", said, retryable=again, retry_after_ms=reply.retry_after_ms)
    answer = {"status": reply.status, "headers": dict(reply.headers), "body": _body(reply.body, reply.headers)}
    return _done(s, step, answer)


def _body(content: bytes, headers: Mapping[str, str]) -> Any:
    if "json" in headers.get("content-type", ""):
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            pass  # it said so and is not: the text is what there is
    return content.decode("utf-8", "replace") if content else None


def _job(s: Services, step: TakenStep) -> Answer:
    fields, state, now_ms = step.node.fields, step.run.state, s.clock.now_ms()
    payload = step.scope.fill(fields["payload"]) if "payload" in fields else step.scope.input()
    target = dict(fields["target"]) if "target" in fields else _target_of_schedule(s, step)
    event = cloudevent.build(
        execution_id=step.key,
        schedule_id=state.workflow,
        firing_unix_ms=now_ms,
        attempt=step.attempt,
        fencing_token=step.token,
        traceparent=state.traceparent,
        hlc=s.ids.hlc(),
        payload_json=json.dumps(payload, separators=(",", ":"), ensure_ascii=False),
    )
    [outcome] = s.targets[str(target["type"])].dispatch([_delivery(step, now_ms, target, event)])
    return _job_answer(s, step, outcome, now_ms)


def _delivery(step: TakenStep, now_ms: int, target: dict[str, object], event: bytes) -> Delivery:
    state = step.run.state
    return Delivery(
        execution_id=step.key,
        tenant=state.tenant,
        schedule_id=state.workflow,
        firing_unix_ms=now_ms,
        attempt=step.attempt,
        fencing_token=step.token,
        target=registry.normal_target(target),
        event=event,
        traceparent=state.traceparent,
        timeout_ms=step.timeout_ms,
        depth=state.depth,
    )


def _job_answer(s: Services, step: TakenStep, outcome: Outcome, now_ms: int) -> Answer:
    if outcome.kind == "completed":
        return _done(s, step, {"status": outcome.http_status})
    if outcome.kind == "accepted":
        # It reports its end by :complete or :fail; without a timeout_ms it has a day.
        due_ms = now_ms + (step.node.timeout_ms or ACCEPTED_MAX_MS)
        return Waits(step.node.id, step.token, due_ms, "timeout")
    raise StepFailed(
        outcome.error_type or "internal_error",
        outcome.error or "the target did not take it",
        retryable=not outcome.permanent,
        retry_after_ms=outcome.retry_after_ms,
    )


def _target_of_schedule(s: Services, step: TakenStep) -> dict[str, object]:
    key = Key(step.run.state.tenant, step.node.fields["schedule_id"])
    found = s.stores.schedules.definitions([key]).get(key)
    if found is None:
        raise StepFailed("not_found", f"there is no schedule {key.id}")
    return dict(found.target)


def _script(s: Services, step: TakenStep) -> Answer:
    fields = step.node.fields
    return _done(s, step, parts_of(s).scripts.run("python", fields["code"], step.scope.input(), step.timeout_ms))


def _transform(s: Services, step: TakenStep) -> Answer:
    code = step.node.fields["jsonata"]
    return _done(s, step, parts_of(s).scripts.run("jsonata", code, step.scope.input(), step.timeout_ms))


def _notification(s: Services, step: TakenStep) -> Answer:
    channel, message = step.node.fields["channel"], step.scope.fill(step.node.fields["message"])
    kind = channel["type"]
    text = message if isinstance(message, str) else json.dumps(message, ensure_ascii=False)
    if kind == "webhook":
        return _call(s, step, "POST", channel["url"], _headers(step, channel.get("headers", {})), {"message": message})
    if kind == "slack":
        return _call(s, step, "POST", channel["url"], {}, {"text": text})
    if kind == "pagerduty":
        return _pagerduty(s, step, channel, text)
    if kind == "email":
        return _email(s, step, channel, text)
    target = {"type": "sns", "topic_arn": channel["topic_arn"]}
    return _job(s, _with(step, {"target": target, "payload": message}))


def _pagerduty(s: Services, step: TakenStep, channel: Mapping[str, Any], text: str) -> Answer:
    """An event of version 2. The keys of deep children are longer than PagerDuty takes; their hash is as good."""
    key, is_secret = channel["routing_key"], ref_of(channel["routing_key"]) is not None
    fits = len(step.key) <= DEDUP_KEY_MAX_CHARS
    event = {
        **({} if is_secret else {"routing_key": key}),
        "event_action": "trigger",
        "dedup_key": step.key if fits else hashlib.sha256(step.key.encode()).hexdigest(),
        "payload": {
            "summary": text[:SUMMARY_MAX_CHARS].strip() or step.node.name or step.node.id,
            "source": step.run.state.workflow,
            "severity": "error",
        },
    }
    headers, into = ({"X-Routing-Key": key}, {"X-Routing-Key": "routing_key"}) if is_secret else ({}, {})
    return _call(s, step, "POST", channel.get("url", PAGERDUTY_URL), headers, event, into)


def _email(s: Services, step: TakenStep, channel: Mapping[str, Any], text: str) -> Answer:
    """Sent once for each identity: what was sent is kept beside the log, since SES knows no keys."""
    mailer, state, done = parts_of(s).mailer, step.run.state, f"mail/{step.key}"
    if mailer is None:
        raise StepFailed("not_configured", "this deployment sends no e-mail")
    sent = s.stores.runs.payloads(state.tenant, state.id, [done]).get(done)
    if sent is not None:
        return _done(s, step, {"message_id": sent.decode()})
    subject = step.scope.fill(channel.get("subject", f"{state.workflow}: {step.node.name or step.node.id}"))
    line = subject_line(subject if isinstance(subject, str) else json.dumps(subject, ensure_ascii=False))
    mail = Mail(step.key, channel["from"], receivers(channel["to"]), line, text)
    message_id = mailer.send(mail)
    s.stores.runs.put_payload(state.tenant, state.id, done, message_id.encode())
    return _done(s, step, {"message_id": message_id})


def _with(step: TakenStep, fields: dict[str, Any]) -> TakenStep:
    node = WorkflowNode(step.node.id, "job", fields=fields, timeout_ms=step.node.timeout_ms, retry=step.node.retry)
    return TakenStep(step.run, node, step.token, step.attempt, step.scope)


def _subworkflow(s: Services, step: TakenStep) -> Answer:
    state, fields = step.run.state, step.node.fields
    if state.depth + 1 >= NESTING_MAX_DEPTH:
        raise StepFailed("too_deep", f"runs are nested at most {NESTING_MAX_DEPTH} deep")
    value = step.scope.input()
    given = outputs.encoded(value, "the input of the subworkflow")
    made = children.child_fields(step.run, step.node.id, given.ref)
    schema = workflow(s, state.tenant, made["workflow"], made["version"]).definition.input_schema
    wrong = None if schema is None else next(input_schema.problems(schema, value), None)
    if wrong is not None:
        raise StepFailed("invalid_input", f"{made['workflow']}: {wrong.field}: {wrong.message}")
    child, began = made["id"], children.begin(s, made, given)
    if not fields.get("wait", True):
        return _done(s, step, {"run_id": child})
    if not began:
        children.send_recall(s, state.tenant, child)
    if step.node.timeout_ms is None:
        return Waits(step.node.id, step.token, child=child)
    return Waits(step.node.id, step.token, s.clock.now_ms() + step.node.timeout_ms, "timeout", child=child)


_TYPES: Final[Mapping[str, Callable[[Services, TakenStep], Answer]]] = {
    "condition": _condition,
    "parallel": _foreach,
    "delay": _delay,
    "approval": _approval,
    "http": _http,
    "job": _job,
    "script": _script,
    "transform": _transform,
    "notification": _notification,
    "subworkflow": _subworkflow,
}
