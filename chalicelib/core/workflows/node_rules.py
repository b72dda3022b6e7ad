"""What each type of node must say: one function a type, which yields all that is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from chalicelib.core import channels
from chalicelib.core.errors import FieldError, InvalidField
from chalicelib.core.instants import parse_rfc3339
from chalicelib.core.limits import DURATION_MAX_MS, INSTANT_MAX_MS
from chalicelib.core.recurrence import expressions
from chalicelib.core.targets.ssrf import url_problem
from chalicelib.core.workflows.limits import CASES_MAX_COUNT, CODE_MAX_CHARS, CONCURRENCY_MAX_COUNT, ITEMS_MAX_COUNT
from chalicelib.core.workflows.templates import bounded_expression, is_expression, leaves

COMMON: Final = frozenset({"id", "type", "name", "retry", "timeout_ms", "sla_ms", "input", "compensate"})
# Types that do something outside, and that can be undone or undo.
EFFECTS: Final = frozenset({"job", "http", "notification", "script", "transform", "subworkflow"})
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
CHANNELS: Final[Mapping[str, tuple[str, ...]]] = {
    "webhook": ("url",), "slack": ("url",), "email": ("from",), "sns": ("topic_arn",), "pagerduty": ("routing_key",),
}  # fmt: skip
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}", re.ASCII)

Found = Iterator[FieldError]


def problems(kind: str, fields: Mapping[str, Any]) -> Found:
    """All that is wrong with the fields that only this type has. Places are relative to the node."""
    known, rule = _RULES[kind]
    for name in fields.keys() - set(known):
        yield FieldError(name, f"is not a field of {kind} nodes")
    yield from rule(fields)


def template_problems(place: str, template: Any) -> Found:
    """What is wrong with the expressions of a template, as forms."""
    for where, leaf in leaves(place, template):
        if (problem := bounded_expression(leaf)) is not None:
            yield FieldError(where, problem)


def header_problems(place: str, headers: Mapping[str, Any]) -> Found:
    """What is wrong with names of headers, and with the expressions in their values, as forms."""
    for name in headers:
        if not _HEADER.fullmatch(name):
            yield FieldError(f"{place}.{name}", "is no name of a header")
    yield from template_problems(place, headers)


def url_problems(place: str, url: str) -> Found:
    """What is wrong with a URL that is called as it stands."""
    if problem := url_problem(url):
        yield FieldError(place, problem)


def cases_of(fields: Mapping[str, Any]) -> list[str]:
    """The names of a condition's cases, the default among them."""
    given = fields.get("cases")
    named = [case.get("name") for case in given if isinstance(case, Mapping)] if isinstance(given, list) else []
    return [name for name in [*named, fields.get("default")] if isinstance(name, str)]


def reference_of(fields: Mapping[str, Any]) -> str:
    """Which workflow a ``subworkflow`` begins, as ``name@version``; ``live`` is what is live when the parent starts."""
    name, _, version = str(fields["workflow"]).partition("@")
    return f"{name}@{fields.get('version', version) or 'live'}"


def _integer(place: str, value: Any, least: int, most: int) -> Found:
    if type(value) is not int or not least <= value <= most:
        yield FieldError(place, f"must be an integer of {least} to {most}")


def _word(place: str, value: Any, *allowed: str) -> Found:
    if value not in allowed:
        yield FieldError(place, "must be one of " + ", ".join(allowed))


def _text(place: str, value: Any, most: int = 1024) -> Found:
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        yield FieldError(place, f"must be text of 1 to {most} characters")


def _expression(place: str, value: Any) -> Found:
    if (problem := bounded_expression(value)) is not None:
        yield FieldError(place, problem)


def _trigger(fields: Mapping[str, Any]) -> Found:
    yield from _word("on", fields.get("on"), "manual", "schedule", "webhook", "event")
    if "schedule_id" in fields:
        yield from _text("schedule_id", fields["schedule_id"], 128)
    if "filter" in fields:
        yield from _expression("filter", fields["filter"])


def _job(fields: Mapping[str, Any]) -> Found:
    if ("schedule_id" in fields) == ("target" in fields):
        yield FieldError("target", "a job has either schedule_id or target")
    if "schedule_id" in fields:
        yield from _text("schedule_id", fields["schedule_id"], 128)
    if "target" in fields and not isinstance(fields["target"], Mapping):
        yield FieldError("target", "must be an object")
    yield from template_problems("payload", fields.get("payload"))


def _condition(fields: Mapping[str, Any]) -> Found:
    cases = fields.get("cases")
    if not isinstance(cases, list) or not 1 <= len(cases) <= CASES_MAX_COUNT:
        yield FieldError("cases", f"must be a list of 1 to {CASES_MAX_COUNT} cases")
        return
    names: set[str] = set()
    for number, case in enumerate(cases):
        place = f"cases[{number}]"
        if not isinstance(case, Mapping):
            yield FieldError(place, "must be an object")
            continue
        for name in case.keys() - {"name", "when"}:
            yield FieldError(f"{place}.{name}", "is not a field of a case")
        yield from _text(f"{place}.name", case.get("name"), 64)
        yield from _expression(f"{place}.when", case.get("when"))
        if str(case.get("name")) in names:
            yield FieldError(f"{place}.name", "is there twice")
        names.add(str(case.get("name")))
    if "default" in fields:
        yield from _text("default", fields["default"], 64)


def _parallel(fields: Mapping[str, Any]) -> Found:
    if "foreach" not in fields:
        return
    each = fields["foreach"]
    if not isinstance(each, Mapping):
        yield FieldError("foreach", "must be an object")
        return
    for name in each.keys() - {"items", "max_concurrency", "tolerated_failures"}:
        yield FieldError(f"foreach.{name}", "is not a field of foreach")
    if not isinstance(each.get("items"), list):
        yield from _expression("foreach.items", each.get("items"))
    if "max_concurrency" in each:
        yield from _integer("foreach.max_concurrency", each["max_concurrency"], 1, CONCURRENCY_MAX_COUNT)
    if "tolerated_failures" in each:
        yield from _integer("foreach.tolerated_failures", each["tolerated_failures"], 0, ITEMS_MAX_COUNT)


def _join(fields: Mapping[str, Any]) -> Found:
    mode = fields.get("mode", "all")
    yield from _word("mode", mode, "all", "any", "n_of", "all_settled")
    if mode == "n_of":
        yield from _integer("n", fields.get("n"), 1, 500)
    elif "n" in fields:
        yield FieldError("n", "only n_of takes it")
    if "others" in fields:
        yield from _word("others", fields["others"], "cancel", "let_run")


def _delay(fields: Mapping[str, Any]) -> Found:
    given = [name for name in ("for_ms", "until", "until_cron") if name in fields]
    if len(given) != 1:
        yield FieldError("for_ms", "a delay has exactly one of for_ms, until, until_cron")
        return
    if is_expression(fields.get("for_ms")) or is_expression(fields.get("until")):
        yield from _expression(given[0], fields[given[0]])
    elif "for_ms" in fields:
        yield from _integer("for_ms", fields["for_ms"], 0, DURATION_MAX_MS)
    elif "until" in fields:
        yield from _until(fields["until"])
    elif "until_cron" in fields:
        yield from _until_cron(fields["until_cron"], fields.get("timezone", "UTC"))
    if "timezone" in fields and "until_cron" not in fields:
        yield FieldError("timezone", "only until_cron takes it")


def _until(instant: Any) -> Found:
    if not isinstance(instant, str):
        yield from _integer("until", instant, 0, INSTANT_MAX_MS)
        return
    try:
        parse_rfc3339(instant)
    except ValueError as wrong:
        yield FieldError("until", str(wrong))


def _until_cron(expr: Any, zone: Any) -> Found:
    if not isinstance(expr, str) or not isinstance(zone, str):
        yield FieldError("until_cron", "must be text, and so must the timezone")
        return
    try:
        next_of_cron(expr, zone, 0)
    except InvalidField as wrong:
        yield from (FieldError("timezone" if e.field == "timezone" else "until_cron", e.message) for e in wrong.errors)


def next_of_cron(expr: str, zone: str, after_ms: int) -> int | None:
    """The first instant of a cron expression after another (None: there is none). Raises InvalidField."""
    return expressions.compile(expressions.Spec("CRON", expr, zone)).next_after(after_ms)


def _approval(fields: Mapping[str, Any]) -> Found:
    who = fields.get("approvers")
    if not isinstance(who, list) or not 1 <= len(who) <= 100 or not all(isinstance(name, str) and name for name in who):
        yield FieldError("approvers", "must be a list of 1 to 100 subjects")
        return
    if "quorum" in fields:
        # A role counts as one entry and may be many people, so the count of entries does not bound a quorum.
        yield from _integer("quorum", fields["quorum"], 1, 100)
    if "expires_in_ms" in fields:
        yield from _integer("expires_in_ms", fields["expires_in_ms"], 1, DURATION_MAX_MS)
    if "on_expiry" in fields:
        yield from _word("on_expiry", fields["on_expiry"], "approve", "reject")
    if type(fields.get("allow_self", False)) is not bool:
        yield FieldError("allow_self", "must be true or false")


def _notification(fields: Mapping[str, Any]) -> Found:
    channel = fields.get("channel")
    if not isinstance(channel, Mapping):
        yield FieldError("channel", "must be an object")
        return
    kind = channel.get("type")
    yield from _word("channel.type", kind, *CHANNELS)
    if kind == "email":
        yield from _email(channel)
    for name in CHANNELS.get(str(kind), ()):
        if not isinstance(channel.get(name), str | Mapping):
            yield FieldError(f"channel.{name}", "is missing")
    yield from template_problems("channel.headers", channel.get("headers"))
    if "message" not in fields:
        yield FieldError("message", "is missing")
    yield from template_problems("message", fields.get("message"))


def _email(channel: Mapping[str, Any]) -> Found:
    for name in channel.keys() - {"type", "to", "from", "subject"}:
        yield FieldError(f"channel.{name}", "is not a field of this")
    if not channels.receivers(channel.get("to")):
        yield FieldError("channel.to", channels.RECEIVERS_WRONG)
    if isinstance(channel.get("from"), str) and not channels.is_address(channel["from"]):
        yield FieldError("channel.from", channels.SENDER_WRONG)
    yield from template_problems("channel.subject", channel.get("subject"))


def _script(fields: Mapping[str, Any]) -> Found:
    yield from _word("language", fields.get("language"), "python")
    yield from _text("code", fields.get("code"), CODE_MAX_CHARS)


def _http(fields: Mapping[str, Any]) -> Found:
    yield from _word("method", fields.get("method"), *METHODS)
    url = fields.get("url")
    yield from _text("url", url, 2048)
    if isinstance(url, str):
        yield from url_problems("url", url)
    headers = fields.get("headers", {})
    if not isinstance(headers, Mapping):
        yield FieldError("headers", "must be an object")
        return
    yield from header_problems("headers", headers)
    yield from template_problems("body", fields.get("body"))
    expect = fields.get("expect")
    if expect is not None:
        statuses = expect.get("status") if isinstance(expect, Mapping) and expect.keys() == {"status"} else None
        if not isinstance(statuses, Sequence) or not statuses or not all(_is_status(one) for one in statuses):
            yield FieldError("expect", 'must be {"status": [200, …]}')


def _is_status(value: Any) -> bool:
    return type(value) is int and 100 <= value <= 599


def _transform(fields: Mapping[str, Any]) -> Found:
    yield from _text("jsonata", fields.get("jsonata"), CODE_MAX_CHARS)


def _subworkflow(fields: Mapping[str, Any]) -> Found:
    yield from _text("workflow", fields.get("workflow"), 64)
    if "version" in fields:
        yield from _text("version", fields["version"], 64)
    if type(fields.get("wait", True)) is not bool:
        yield FieldError("wait", "must be true or false")


_RULES: Final[Mapping[str, tuple[tuple[str, ...], Callable[[Mapping[str, Any]], Found]]]] = {
    "trigger": (("on", "schedule_id", "filter"), _trigger),
    "job": (("schedule_id", "target", "payload"), _job),
    "condition": (("cases", "default"), _condition),
    "parallel": (("foreach",), _parallel),
    "join": (("mode", "n", "others"), _join),
    "delay": (("for_ms", "until", "until_cron", "timezone"), _delay),
    "approval": (("approvers", "quorum", "expires_in_ms", "on_expiry", "allow_self"), _approval),
    "notification": (("channel", "message"), _notification),
    "script": (("language", "code"), _script),
    "http": (("method", "url", "headers", "body", "expect"), _http),
    "transform": (("jsonata",), _transform),
    "subworkflow": (("workflow", "version", "wait"), _subworkflow),
}
