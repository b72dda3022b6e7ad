"""Workflows: published in versions that never change, judged before they are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from chalicelib.core import channels
from chalicelib.core.errors import (
    Conflict,
    FieldError,
    InvalidField,
    NotFound,
    PreconditionFailed,
    TooMany,
)
from chalicelib.core.rules.subject import parsed
from chalicelib.core.schedules import validation
from chalicelib.core.schedules.schedule import Key
from chalicelib.core.security.authorize import Resource, authorize, missing, only_owner
from chalicelib.core.security.caller import Caller
from chalicelib.core.security.permissions import Permission
from chalicelib.core.targets.ssrf import check_url, url_problem
from chalicelib.core.workflows import asl_export, expression_names, input_schema, mermaid
from chalicelib.core.workflows.channels import channel_problems, target_of
from chalicelib.core.workflows.definition import FORMAT, WorkflowDefinition, WorkflowNode
from chalicelib.core.workflows.node_rules import reference_of
from chalicelib.core.workflows.parse import parse
from chalicelib.engine.workflows.run_access import parts_of, workflow
from chalicelib.engine.workflows.versions import hash_of
from chalicelib.ports.services import Services
from chalicelib.ports.stores.workflows import PublishedVersion, WorkflowHead
from chalicelib.usecases.policy_gate import check_workflow
from chalicelib.usecases.target_offer import check_offered

CHANGE_ATTEMPTS = 16
VERSIONS_MAX = 1_000
_OF_TRIGGERS = frozenset({"schedule_id", "filter"})
_UNSTEADY = re.compile(r"(\$(?:now|millis|random|shuffle))\s*\(")
_WITHOUT_ATTEMPT = {
    "trigger": "",
    "condition": "",
    "join": "",
    "delay": "",
    "parallel": ": its steps may have one",
    "approval": ": expires_in_ms ends its wait",
}
_HOW = {
    "schedule": 'a schedule with the target {"type": "workflow", "workflow": "…"} begins its runs',
    "webhook": 'a trigger of /api/v1/triggers on webhook, with the target {"type": "workflow"}, begins its runs',
    "event": 'a trigger of /api/v1/triggers, with the target {"type": "workflow"}, begins its runs',
}


class ShownWorkflow(NamedTuple):
    """A workflow, and the document of one version of it."""

    head: WorkflowHead
    version: PublishedVersion
    document: Mapping[str, Any]


def page(s: Services, caller: Caller, limit: int, after: str | None) -> tuple[list[WorkflowHead], str | None]:
    """The workflows that the caller may see, by name, and the name to go on after (None: the end)."""
    authorize(caller, "workflows:read")
    owner = only_owner(caller, "workflows:read")
    found, after = s.stores.workflows.page(caller.tenant, limit, after)
    return [head for head in found if owner in (None, head.owner)], after


def get(s: Services, caller: Caller, name: str) -> ShownWorkflow:
    """A workflow in its live version. Raises NotFound."""
    head = _head(s, caller, name, "workflows:read")
    return _shown(s, head, head.live)


def version(s: Services, caller: Caller, name: str, wanted: str) -> ShownWorkflow:
    """One version, by its hash or its number. Raises NotFound."""
    head = _head(s, caller, name, "workflows:read")
    return _shown(s, head, hash_of(head, wanted))


def create(s: Services, caller: Caller, document: Mapping[str, Any], again: bool = False) -> ShownWorkflow:
    """Publish version 1. Raises InvalidField, Conflict (``name_taken``)."""
    authorize(caller, "workflows:write")
    made = judged(s, caller, document)
    known = s.stores.workflows.load(caller.tenant, made.name)
    if known is not None:
        if again and known.owner == caller.subject and known.live == made.version:
            return _shown(s, known, made.version)
        raise Conflict(f"there is a workflow {made.name} already: PUT makes a new version", code="name_taken")
    _check_policies(s, caller, made, caller.subject)
    now_ms = s.clock.now_ms()
    published = PublishedVersion(1, made.version, now_ms, caller.subject)
    head = WorkflowHead(caller.tenant, made.name, caller.subject, made.version, (published,), 1, now_ms, now_ms)
    _keep(s, caller.tenant, made)
    if not s.stores.workflows.save(head, 0):
        raise Conflict(f"there is a workflow {made.name} already", code="name_taken")
    return ShownWorkflow(head, published, made.document)


def put(
    s: Services, caller: Caller, name: str, document: Mapping[str, Any], versions: Sequence[str] | None
) -> ShownWorkflow:
    """Publish a new version; the same document again publishes nothing. Raises NotFound, PreconditionFailed."""
    made = judged(s, caller, {**document, "name": name})
    for _ in range(CHANGE_ATTEMPTS):
        head = _head(s, caller, name, "workflows:write")
        check_version(head, versions)
        _check_policies(s, caller, made, head.owner)
        known = next((one for one in head.versions if one.version == made.version), None)
        now_ms = s.clock.now_ms()
        _keep(s, caller.tenant, made)
        if known is not None and head.live == made.version:
            return ShownWorkflow(head, known, made.document)
        if len(head.versions) >= VERSIONS_MAX and known is None:
            raise InvalidField.of("name", f"a workflow may have at most {VERSIONS_MAX} versions")
        new = known or PublishedVersion(head.versions[-1].number + 1, made.version, now_ms, caller.subject)
        all_versions = head.versions if known is not None else (*head.versions, new)
        changed = WorkflowHead(
            head.tenant, name, head.owner, made.version, all_versions, head.rev + 1, head.created_ms, now_ms
        )
        if s.stores.workflows.save(changed, head.rev):
            return ShownWorkflow(changed, new, made.document)
    raise TooMany("the workflow is being changed by many callers at once", code="contended")


def delete(s: Services, caller: Caller, name: str, versions: Sequence[str] | None) -> None:
    """Delete a workflow. Its runs go on, under the versions that they began with. Raises NotFound."""
    for _ in range(CHANGE_ATTEMPTS):
        head = _head(s, caller, name, "workflows:write")
        check_version(head, versions)
        if s.stores.workflows.delete(caller.tenant, name, head.rev):
            return
    raise TooMany("the workflow is being changed by many callers at once", code="contended")


def check_match(s: Services, caller: Caller, name: str, versions: Sequence[str] | None) -> None:
    """Refuse what a caller says of a workflow that is not there, or has another version. Raises PreconditionFailed."""
    try:
        head = _head(s, caller, name, "workflows:read")
    except NotFound:
        raise PreconditionFailed(f"there is no workflow {name}") from None
    check_version(head, versions)


def problems(s: Services, caller: Caller, document: Mapping[str, Any]) -> tuple[FieldError, ...]:
    """All that is wrong with a document; nothing is published."""
    authorize(caller, "workflows:read")
    try:
        judged(s, caller, document)
    except InvalidField as wrong:
        return wrong.errors
    return ()


def flowchart(s: Services, caller: Caller, name: str) -> str:
    """The live version as Mermaid. Raises NotFound."""
    return mermaid.flowchart(_live(s, caller, name))


def state_machine(s: Services, caller: Caller, name: str) -> str:
    """The live version as a state machine. Raises NotFound, InvalidField for what has no such form."""
    return json.dumps(asl_export.state_machine(_live(s, caller, name)), indent=2)


def _live(s: Services, caller: Caller, name: str) -> WorkflowDefinition:
    shown = get(s, caller, name)
    return workflow(s, caller.tenant, name, shown.version.version).definition


def judged(s: Services, caller: Caller, document: Mapping[str, Any]) -> WorkflowDefinition:
    """The definition of a document that may be published. Raises InvalidField with all that is wrong."""
    made = parse({**document, "format": document.get("format", FORMAT)})
    errors = [*expression_names.unknown_nodes(made), *_schema(made), *_code(s, made), *_targets(s, made)]
    errors += _references(s, caller, made)
    errors += _handler(s, caller, made)
    errors += _schedules(s, caller, made)
    if errors:
        raise InvalidField(errors)
    return made


def _check_policies(s: Services, caller: Caller, made: WorkflowDefinition, owner: str) -> None:
    """Raises PolicyDenied."""
    check_workflow(s, caller, "workflows:publish", made.name, owner=owner, **seen_by_policies(made))


def seen_by_policies(made: WorkflowDefinition) -> dict[str, Any]:
    """What rules may judge of a definition."""
    given = [node.fields for node in made.nodes]
    places = [(f.get("url"), f.get("target"), f.get("channel")) for f in given]
    urls = [url for url, target, channel in places for url in (url, _url(target), _url(channel)) if url]
    hosts = {found.host for url in urls if isinstance(url, str) and (found := parsed(url)) is not None}
    targets = {str(f["target"]["type"]) for f in given if isinstance(f.get("target"), Mapping)}
    return {
        "version": made.version,
        "node_count": len(made.nodes),
        "node_types": sorted({node.type for node in made.nodes}),
        "target_types": sorted(targets),
        "hosts": sorted(hosts),
        "timeout_ms": made.timeout_ms,
        "has_limit": made.concurrency is not None,
    }


def _url(place: Any) -> Any:
    return place.get("url") if isinstance(place, Mapping) else None


def _schema(made: WorkflowDefinition) -> Iterator[FieldError]:
    if made.input_schema is not None:
        yield from input_schema.schema_problems(made.input_schema)


def _code(s: Services, made: WorkflowDefinition) -> Iterator[FieldError]:
    parts = parts_of(s)
    for place, language, text in expression_names.all_code(made):
        if language == "cel":
            problem = parts.expressions.check(text, expression_names.VARIABLES)
        else:
            problem = parts.scripts.check(language, text)
        if problem is not None:
            yield FieldError(place, problem)


def _targets(s: Services, made: WorkflowDefinition) -> Iterator[FieldError]:
    for node in made.nodes:
        kind = node.fields["channel"]["type"] if node.type == "notification" else ""
        if kind in channels.CLOUD_CHANNELS and s.config.unoffered:
            problem = f"{kind} {channels.UNOFFERED}"
            raise InvalidField.of(f"nodes.{node.id}.channel.type", problem, code="not_configured")
        if kind:
            yield from _channel(s, node)
        if node.type == "http":
            yield from _address(s, f"nodes.{node.id}.url", node.fields["url"])
        if node.type == "job" and "target" in node.fields:
            if node.fields["target"].get("type") == "workflow":
                yield FieldError(f"nodes.{node.id}.target.type", "a subworkflow node begins workflows, no job")
                continue
            check_offered(s, node.fields["target"], f"nodes.{node.id}.target")
            try:
                validation.check_target(node.fields["target"], s.config.webhook_allow, s.config.secrets)
            except InvalidField as wrong:
                yield from (FieldError(f"nodes.{node.id}.{e.field}", e.message) for e in wrong.errors)


def _channel(s: Services, node: WorkflowNode) -> Iterator[FieldError]:
    channel = node.fields["channel"]
    for found in channel_problems(channel):
        yield FieldError(f"nodes.{node.id}.{found.field}", found.message)
    yield from _address(s, f"nodes.{node.id}.channel.url", channel.get("url"))
    if (target := target_of(channel)) is not None:
        try:
            validation.check_target(target, s.config.webhook_allow, s.config.secrets)
        except InvalidField as wrong:
            place = f"nodes.{node.id}.channel"
            yield from (FieldError(place + e.field.removeprefix("target"), e.message) for e in wrong.errors)


def _address(s: Services, place: str, url: Any) -> Iterator[FieldError]:
    """Say whether the address that a URL names may be called. Names of hosts are judged at each call."""
    if not isinstance(url, str) or url_problem(url) is not None:  # the rules of the node say so already
        return
    if (problem := check_url(url, s.config.webhook_allow)) is not None:
        yield FieldError(place, problem)


def _begun(s: Services, caller: Caller, name: str) -> WorkflowHead | None:
    """A workflow that a workflow of the caller may begin; what it begins in turn is for its own publisher to say."""
    head = s.stores.workflows.load(caller.tenant, name)
    return head if head is not None and reaches(caller, head.owner, "workflows:start", "workflows:write") else None


def reaches(caller: Caller, owner: str, *permissions: Permission) -> bool:
    """Whether what the caller publishes may use a thing of this owner. A run has no caller to ask again."""
    return owner == caller.subject or any(one in caller.on_every_owner for one in permissions)


def _references(s: Services, caller: Caller, made: WorkflowDefinition) -> Iterator[FieldError]:
    """Subworkflows that are not there, or are another's, and those that would begin this one again."""
    tenant = caller.tenant
    for node in made.nodes:
        if node.type != "subworkflow":
            continue
        place, seen = f"nodes.{node.id}.workflow", {made.name}
        left: list[tuple[str, tuple[str, ...]]] = [(reference_of(node.fields), (made.name,))]
        while left:
            reference, way = left.pop()
            name, _, wanted = reference.partition("@")
            if name == made.name:
                yield FieldError(place, "it would begin itself: " + " -> ".join((*way, name)))
                break
            if name in seen:
                continue
            seen.add(name)
            head = _begun(s, caller, name) if len(way) == 1 else s.stores.workflows.load(tenant, name)
            try:
                if head is None:
                    raise NotFound(f"there is no workflow {name}")
                inner = workflow(s, tenant, name, hash_of(head, wanted)).definition
            except NotFound as problem:
                yield FieldError(place, problem.detail)
                break
            left += [(reference_of(n.fields), (*way, name)) for n in inner.nodes if n.type == "subworkflow"]


def _handler(s: Services, caller: Caller, made: WorkflowDefinition) -> Iterator[FieldError]:
    if made.on_failure:
        name, _, wanted = made.on_failure.partition("@")
        head = _begun(s, caller, name)
        known = () if head is None else (v for one in head.versions for v in (one.version, str(one.number), "live"))
        if name == made.name:
            yield FieldError("on_failure", "a workflow cannot handle its own failures")
        elif (wanted or "live") not in known:
            yield FieldError("on_failure", f"there is no workflow {made.on_failure}")


def _schedules(s: Services, caller: Caller, made: WorkflowDefinition) -> Iterator[FieldError]:
    """Jobs with the target of a schedule that is not there, or is another's: its target may have secrets."""
    wanted = {node.id: Key(caller.tenant, node.fields["schedule_id"]) for node in _by_schedule(made)}
    found = s.stores.schedules.definitions(list(set(wanted.values()))) if wanted else {}
    for node, key in wanted.items():
        if key not in found or not reaches(caller, found[key].owner, "schedules:trigger"):
            yield FieldError(f"nodes.{node}.schedule_id", f"there is no schedule {key.id}")


def _by_schedule(made: WorkflowDefinition) -> list[WorkflowNode]:
    return [node for node in made.nodes if node.type == "job" and "schedule_id" in node.fields]


def notes(document: Mapping[str, Any]) -> list[str]:
    """What its author may not have meant."""
    return [said for node in document["nodes"] for said in _notes(node)]


def _notes(node: Mapping[str, Any]) -> Iterator[str]:
    kind, place = node.get("type"), f"nodes.{node.get('id')}"
    if kind == "trigger":
        if node.get("on") in _HOW:
            yield _HOW[node["on"]]
        for field in node.keys() & _OF_TRIGGERS:
            yield f"{place}.{field} has no effect: it is for what begins the runs to say"
    if kind in _WITHOUT_ATTEMPT and node.get("timeout_ms") is not None:
        yield f"{place}.timeout_ms has no effect{_WITHOUT_ATTEMPT[kind]}"
    if kind == "transform" and (used := _UNSTEADY.search(str(node.get("jsonata")))) is not None:
        yield f"{place}.jsonata: {used[1]} knows no clock and no chance here, and comes to the same each time"


def _keep(s: Services, tenant: str, made: WorkflowDefinition) -> None:
    s.stores.workflows.save_version(tenant, made.name, made.version, _stored(made.document))


def _stored(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _head(s: Services, caller: Caller, name: str, permission: Any) -> WorkflowHead:
    head = s.stores.workflows.load(caller.tenant, name)
    if head is None:
        authorize(caller, permission)
        raise missing(f"workflow {name}")
    authorize(caller, permission, Resource(head.tenant, head.owner, f"workflow {name}"))
    return head


def _shown(s: Services, head: WorkflowHead, wanted: str) -> ShownWorkflow:
    document = s.stores.workflows.load_version(head.tenant, head.name, wanted)
    if document is None:
        raise missing(f"version {wanted} of workflow {head.name}")
    published = next(one for one in head.versions if one.version == wanted)
    return ShownWorkflow(head, published, json.loads(document))


def check_version(head: WorkflowHead, versions: Sequence[str] | None) -> None:
    """Refuse a live version other than those that a caller names. Raises PreconditionFailed."""
    if versions is not None and head.live not in versions:
        raise PreconditionFailed("the workflow has another version")
