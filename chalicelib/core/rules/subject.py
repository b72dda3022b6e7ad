"""What rules judge: a schedule, a request for a lease, or a workflow, as one flat map of dotted names.

Null and an empty list are absent. URLs are there with scheme and host in lower case; ``shown`` has them as they were
given. A target's own fields are there as ``target.…``, those of a webhook as ``webhook.…`` too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, cast

import msgspec
from msgspec import Struct

from chalicelib.core.recurrence.expressions import KINDS, RecurrenceType, Spec
from chalicelib.core.schedules.schedule import Definition
from chalicelib.core.targets import registry, ssrf
from chalicelib.core.targets.ssrf import WebhookUrl

SubjectKind = Literal["schedule", "lease", "workflow"]
LEASE: Final = "lease"
WORKFLOW: Final = "workflow"

# Of a schedule, in the words of the API; a test compares them with a real one.
SCHEDULE_FIELDS: Final = frozenset(
    {
        "action", "id", "name", "owner", "tenant", "type", "expr", "timezone", "start_at_unix_ms", "end_at_unix_ms",
        "max_runs", "payload_bytes", "enabled", "shard_key", "sla_ms", "overlap", "catch_up_window_ms", "jitter_ms",
        "dst_gap", "dst_overlap", "exclude", "retry_policy", "retry_policy.max_attempts", "retry_policy.backoff",
        "retry_policy.base_ms", "retry_policy.max_ms", "retry_policy.jitter", "timeout_ms", "pause_after_failures",
        "monitor", "monitor.window_ms", "tags", "note", "target",
    }
)  # fmt: skip
TARGET_PREFIXES: Final = ("target.", "webhook.")
LEASE_FIELDS: Final = frozenset(
    f"{LEASE}.{name}" for name in ("action", "name", "owner", "tenant", "holder_id", "ttl_ms", "wait_ms")
)
WORKFLOW_FIELDS: Final = frozenset(
    f"{WORKFLOW}.{name}"
    for name in (
        "action", "name", "owner", "tenant", "caller", "version", "node", "node_count", "node_types", "target_types",
        "hosts", "timeout_ms", "has_limit",
    )
)  # fmt: skip
_RENAMED: Final = {"active": "enabled", "start_at_ms": "start_at_unix_ms", "end_at_ms": "end_at_unix_ms"}
_LEFT_OUT: Final = frozenset(
    {
        "version", "since_ms", "until_ms", "payload", "target", "retry_policy", "monitor", "failures_from_ms",
        "failure_pauses", "paused_until_ms", "zone_data", "depth", "created_at_ms", "updated_at_ms", "hlc", "origin",
    }
)  # fmt: skip
_PLAIN: Final = tuple(
    (name, _RENAMED.get(name, name)) for name in Definition.__struct_fields__ if name not in _LEFT_OUT
)


class Subject(Struct, frozen=True):
    """``recurrence`` is for what judges when a schedule runs; None: there is none that can be read."""

    kind: SubjectKind
    fields: Mapping[str, Any]
    shown: Mapping[str, Any]
    tags: tuple[str, ...] = ()
    recurrence: Spec | None = None

    def value(self, field: str) -> Any:
        """The value of a field as its owner gave it; None: absent."""
        return self.shown.get(field, self.fields.get(field))


def of_definition(definition: Definition, action: str) -> Subject:
    """A schedule, for what ``action`` (``schedules:create``) wants to do with it."""
    d = definition
    fields: dict[str, Any] = {
        name: value for own, name in _PLAIN if (value := getattr(d, own)) is not None and value != ()
    }
    fields["action"] = action
    fields["payload_bytes"] = len(d.payload.encode())
    fields.update(_flat("retry_policy", msgspec.structs.asdict(d.retry_policy)))
    if d.monitor is not None:
        fields.update(_flat("monitor", msgspec.structs.asdict(d.monitor)))
    return _with_target(fields, d.target, d.tags, d.created_at_ms)


def of_given(given: Mapping[str, Any], action: str, defaults: Definition) -> Subject:
    """A schedule as a caller describes it in JSON, with the service's defaults for what it leaves out."""
    fields = dict(of_definition(defaults, action).fields)
    fields = {name: value for name, value in fields.items() if not name.startswith("target.")}
    fields.pop("id", None)
    for name in ("type", "expr"):
        fields.pop(name, None)
    target = given.get("target", defaults.target)
    for name, value in given.items():
        if name in ("target", "payload"):
            continue
        for known in [known for known in fields if known == name or known.startswith(name + ".")]:
            del fields[known]
        fields.update(_flat(name, value))
    if "payload" in given:
        fields["payload_bytes"] = len(msgspec.json.encode(given["payload"]))
    fields["action"] = action
    tags = fields.get("tags", ())
    listed = tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list | tuple) else ()
    given_target = target if isinstance(target, Mapping) else {}
    return _with_target(fields, given_target, listed, defaults.created_at_ms)


def of_lease(action: str, **fields: Any) -> Subject:
    """A request for a lease: its ``name``, ``owner`` (who asks), ``holder_id``, ``ttl_ms``, ``wait_ms``."""
    named = {f"{LEASE}.{name}": value for name, value in fields.items() if value is not None}
    return Subject(LEASE, {**named, f"{LEASE}.action": action}, {})


def of_workflow(action: str, **fields: Any) -> Subject:
    """A workflow that is to be published or started, or a gate of its run that is to be decided."""
    named = {f"{WORKFLOW}.{name}": value for name, value in fields.items() if value not in (None, (), [])}
    return Subject(WORKFLOW, {**named, f"{WORKFLOW}.action": action}, {})


def _with_target(fields: dict[str, Any], target: Mapping[str, Any], tags: tuple[str, ...], anchor_ms: int) -> Subject:
    flat = dict(_flat("target", registry.normal_target(target)))
    shown: dict[str, Any] = {}
    url = flat.get("target.url")
    if isinstance(url, str):
        shown["target.url"] = url
        flat["target.url"] = in_lower_case(url)
    if target.get("type") == "webhook":
        for name in [*flat]:
            alias = "webhook" + name.removeprefix("target")
            flat[alias] = flat[name]
            shown |= {alias: shown[name]} if name in shown else {}
    fields.update(flat)
    return Subject("schedule", fields, shown, tags, _spec(fields, anchor_ms))


def _spec(fields: Mapping[str, Any], anchor_ms: int) -> Spec | None:
    kind, expr, zone = (fields.get(name) for name in ("type", "expr", "timezone"))
    if kind not in KINDS or not isinstance(expr, str) or not isinstance(zone, str):
        return None
    start_ms = fields.get("start_at_unix_ms")
    return Spec(cast(RecurrenceType, kind), expr, zone, anchor_ms, start_ms if isinstance(start_ms, int) else None)


def _flat(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        yield name, value
        for inner, inner_value in value.items():
            yield from _flat(f"{name}.{inner}", inner_value)
    elif value is not None and value not in ([], ()):
        yield name, value


@lru_cache(maxsize=4096)
def in_lower_case(url: str) -> str:
    """A URL with its scheme and host in lower case; anything else as it is."""
    scheme, found, rest = url.partition("://")
    if not found or not scheme.isascii():
        return url
    end = min((at for mark in "/?#\\" if (at := rest.find(mark)) >= 0), default=len(rest))
    return f"{scheme.lower()}://{rest[:end].lower()}{rest[end:]}"


@lru_cache(maxsize=4096)
def parsed(url: str) -> WebhookUrl | None:
    """A URL as the service would call it; None: it would call none of this form, such as one with credentials."""
    try:
        return ssrf.parse_url(url)
    except ValueError:
        return None
