"""``declare``: schedules as infrastructure. Terraform and CloudFormation invoke it when they create, change or destroy.

Terraform does so by ``aws_lambda_invocation`` with ``lifecycle_scope = "CRUD"``, CloudFormation by a custom resource.
A declaration is a schedule of a file (``:import``), known by its owner and name. It goes through the API's own
operations, so it is judged and recorded as a call is. Who may invoke the function may declare: that is IAM's to say.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from chalice.app import Blueprint
from msgspec import Struct

from chalicelib import bootstrap
from chalicelib.core.security.caller import DEFAULT_TENANT, Caller, caller_of
from chalicelib.core.security.permissions import ADMIN
from chalicelib.ports.identity import Credentials

log = logging.getLogger(__name__)

OWNER_DEFAULT: Final = "infrastructure"
CREDENTIAL: Final = "iam"
NOT_MADE: Final = "not-made"  # the id of what could not be created; CloudFormation deletes it all the same
_IMPORT: Final = "/api/v1/schedules:import"
_ONE: Final = "/api/v1/schedules/{schedule_ref}"

blueprint = Blueprint(__name__)


class DeclarationRefused(Exception):
    """Raised with what is wrong, in one line that names the field; Terraform shows it."""


class Declared(NamedTuple):
    """What exists after a declaration. The id is empty after a deletion."""

    tenant: str
    owner: str
    name: str
    id: str
    action: str

    def answer(self) -> dict[str, str]:
        """For Terraform's ``result`` and CloudFormation's ``Fn::GetAtt``."""
        return {**self._asdict(), "path": f"/api/v1/schedules/{self.id}" if self.id else ""}


class Declaration(Struct, frozen=True, forbid_unknown_fields=True):
    """``schedule`` is an entry of ``:import``. ``adopt`` takes over one that exists and is otherwise."""

    schedule: dict[str, Any]
    owner: str = OWNER_DEFAULT
    tenant: str = DEFAULT_TENANT
    adopt: bool = False

    @property
    def name(self) -> str:
        return str(self.schedule["name"])

    @property
    def identity(self) -> tuple[str, str, str]:
        """What a declared schedule is known by. Under another it is another schedule."""
        return self.tenant, self.owner, self.name


@blueprint.lambda_function(name="declare")
def handle(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """One step of Terraform's or CloudFormation's. Raises DeclarationRefused, to Terraform."""
    try:
        if "RequestType" in event:
            return _cloudformation(event)
        return _terraform(event)
    finally:
        bootstrap.flush()


def _terraform(event: Mapping[str, Any]) -> dict[str, Any]:
    step = event.get("tf")
    if not isinstance(step, Mapping) or step.get("action") not in ("create", "update", "delete"):
        raise DeclarationRefused('tf: set lifecycle_scope = "CRUD" on aws_lambda_invocation')
    wanted = read({name: value for name, value in event.items() if name != "tf"})
    if step["action"] == "delete":
        return _remove_named(wanted).answer()
    before = step.get("prev_input")
    old = read({name: value for name, value in before.items() if name != "tf"}) if before else wanted
    made = declare(wanted, was_there=step["action"] == "update" and old.identity == wanted.identity)
    if old.identity != wanted.identity:
        _remove_named(old)
    return made.answer()


def _cloudformation(event: Mapping[str, Any]) -> dict[str, Any]:
    from chalicelib.adapters.aws import custom_resource

    made: dict[str, str] = {}
    old_id = str(event.get("PhysicalResourceId") or NOT_MADE)
    try:
        properties = _own(event["ResourceProperties"])
        if event["RequestType"] == "Delete":
            if old_id != NOT_MADE:
                _remove(read_properties(properties), old_id)
        else:
            wanted = read_properties(properties)
            made = declare(wanted, _was_there(event, wanted, old_id)).answer()
        reason = None
    except DeclarationRefused as refused:
        reason = str(refused)
    except Exception:  # CloudFormation waits an hour for an answer that does not come
        log.exception("a declaration failed")
        reason = "internal error: see the log of the function declare"
    custom_resource.answer(event, made.get("id") or old_id, made, reason)
    return {"status": "FAILED" if reason else "SUCCESS"}


def _was_there(event: Mapping[str, Any], wanted: Declaration, old_id: str) -> bool:
    """Whether this resource had the schedule before, and so may change it."""
    if event["RequestType"] != "Update":
        return False
    try:
        old = read_properties(_own(event.get("OldResourceProperties") or event["ResourceProperties"]))
    except DeclarationRefused:  # it goes back from what was refused, and so made nothing
        return True
    return old.identity == wanted.identity or old_id in _ids_of(wanted)


def _own(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is CloudFormation's."""
    return {name: value for name, value in properties.items() if name != "ServiceToken"}


def read_properties(properties: Mapping[str, Any]) -> Declaration:
    """Properties of a custom resource. CloudFormation makes text of numbers and of true and false. So does it in a
    payload, but for a ``Schedule`` that is given as JSON text. Raises DeclarationRefused."""
    names = {"Schedule": "schedule", "Owner": "owner", "Tenant": "tenant", "Adopt": "adopt"}
    if unknown := set(properties) - set(names):
        raise DeclarationRefused(f"{sorted(unknown)[0]}: is no property (there are {', '.join(names)})")
    given = {names[name]: value for name, value in properties.items()}
    if isinstance(given.get("schedule"), str):
        try:
            given["schedule"] = json.loads(given["schedule"])
        except ValueError as wrong:
            raise DeclarationRefused(f"Schedule: is no JSON: {wrong}") from None
    return read(given, strict=False)


def read(given: Mapping[str, Any], strict: bool = True) -> Declaration:
    """Raises DeclarationRefused."""
    try:
        found = msgspec.convert(given, Declaration, strict=strict)
    except msgspec.ValidationError as wrong:
        raise DeclarationRefused(str(wrong)) from None
    if not strict:
        found = msgspec.structs.replace(found, schedule=_exact(found.schedule))
    name = found.schedule.get("name")
    if not isinstance(name, str) or not name:
        raise DeclarationRefused("schedule.name: is required: a declared schedule is known by its owner and name")
    if "owner" in found.schedule or "id" in found.schedule:
        raise DeclarationRefused("schedule: takes neither owner nor id: owner stands beside schedule")
    if not found.owner or not found.tenant:
        raise DeclarationRefused(f"{'owner' if not found.owner else 'tenant'}: must not be empty")
    return found


def _exact(schedule: dict[str, Any]) -> dict[str, Any]:
    """Numbers and booleans where the API has them, made of their texts."""
    from chalicelib.api.schedules.file_schemas import FileEntry

    try:
        entry = msgspec.json.decode(json.dumps(schedule), type=FileEntry, strict=False)
    except msgspec.ValidationError as wrong:
        raise DeclarationRefused(f"Schedule: {wrong}") from None
    exact: dict[str, Any] = json.loads(msgspec.json.encode(entry))
    return {name: exact[name] for name in schedule if name in exact}


def declare(wanted: Declaration, was_there: bool) -> Declared:
    """Let a schedule be as declared. Raises DeclarationRefused."""
    entry = {**wanted.schedule, "owner": wanted.owner}
    if not was_there and not wanted.adopt:
        [would] = _call(wanted, "POST", _IMPORT, {"schedules": [entry]}, {"dry_run": "true"})["items"]
        if would["action"] == "update":
            changes = ", ".join(sorted(would.get("changes", {})))
            raise DeclarationRefused(
                f"schedule.name: {wanted.owner} has a schedule {wanted.name!r}, and it differs in {changes}:"
                " set adopt to take it over"
            )
    [done] = _call(wanted, "POST", _IMPORT, {"schedules": [entry]})["items"]
    if done["action"] == "refused":
        raise DeclarationRefused(_line(done["error"]))
    return Declared(wanted.tenant, wanted.owner, wanted.name, done["id"], done["action"])


def _remove_named(wanted: Declaration) -> Declared:
    for schedule_id in _ids_of(wanted):
        _remove(wanted, schedule_id)
    return Declared(wanted.tenant, wanted.owner, wanted.name, "", "delete")


def _ids_of(wanted: Declaration) -> list[str]:
    found = bootstrap.services().stores.schedules.named(wanted.tenant, [(wanted.owner, wanted.name)])
    return list(found.values())


def _remove(wanted: Declaration, schedule_id: str) -> None:
    """What is gone already is as it should be."""
    _call(wanted, "DELETE", _ONE, reference=schedule_id, gone_is_well=True)


class _ByIam:
    """Every caller is who invoked the function: IAM judged them."""

    def __init__(self, tenant: str, owner: str) -> None:
        self._caller = caller_of(tenant, owner, [ADMIN], {}, credential=CREDENTIAL, expires_at_ms=None)

    def authenticate(self, credentials: Credentials) -> Caller:
        return self._caller

    def is_open(self) -> bool:
        return False

    def still_holds(self, caller: Caller) -> bool:
        return True


def _call(
    wanted: Declaration,
    method: str,
    route: str,
    body: object = None,
    query: Mapping[str, str] | None = None,
    reference: str | None = None,
    gone_is_well: bool = False,
) -> dict[str, Any]:
    """An operation of the API, as its owner; the answer. Raises DeclarationRefused."""
    from chalicelib.api.http.app import build
    from chalicelib.api.http.routes import place_of, table_at
    from chalicelib.functions.api import serve

    who = _ByIam(wanted.tenant, wanted.owner)
    app = build("declare", table_at(place_of(route)), bootstrap.services, bootstrap.settings, lambda: who)
    answer = serve(app, _request(method, route, body, query, reference), None)
    content = json.loads(answer["body"]) if answer.get("body") else {}
    if answer["statusCode"] >= 400 and not (gone_is_well and answer["statusCode"] in (404, 410)):
        raise DeclarationRefused(_line(content))
    found: dict[str, Any] = content
    return found


def _request(
    method: str, route: str, body: object, query: Mapping[str, str] | None, reference: str | None
) -> dict[str, Any]:
    """As API Gateway would hand it on."""
    kind = {} if body is None else {"content-type": "application/json"}
    return {
        "path": route.replace("{schedule_ref}", reference or ""),
        "requestContext": {"resourcePath": route, "httpMethod": method, "identity": {}},
        "pathParameters": {"schedule_ref": reference} if reference else None,
        "multiValueQueryStringParameters": {name: [value] for name, value in (query or {}).items()} or None,
        "headers": kind,
        "multiValueHeaders": {name: [value] for name, value in kind.items()},
        "stageVariables": None,
        "isBase64Encoded": False,
        "body": None if body is None else json.dumps(body),
    }


def _line(problem: Mapping[str, Any]) -> str:
    """A problem in one line, with the fields that are wrong."""
    fields = [f"{e.get('field', '?')}: {e.get('message') or e.get('detail')}" for e in problem.get("errors") or ()]
    return "; ".join(fields) or f"{problem.get('code', 'refused')}: {problem.get('detail', '')}"
