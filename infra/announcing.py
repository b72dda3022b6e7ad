"""Who sends the service's own events, and what that takes where CHRONO_DEFAULT_TARGET takes them off the bus.

Policies write to the bus and to nothing else. Where the default target is another, the functions that announce get
the layer of its client, and the right to write to that very target. Elsewhere they load no more and may do no more.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from chalicelib.core.secrets import secret_ref
from chalicelib.core.targets import registry
from chalicelib.core.targets.target_description import Permission, TargetDescription

Json = dict[str, Any]
Target = Mapping[str, object]

# By their names in a template. The function of workflows announces too: it sends to targets of every kind anyway.
ANNOUNCERS: Final = ("Feed", "Reconcile")
SID: Final = "DefaultTarget"
_PLACES: Final = {"sqs": "queue_url", "sns": "topic_arn"}  # the field that names the one resource of a target


def takes_events(target: Target | None) -> bool:
    """Whether a default target gets the service's own events, and is not the bus, which policies know."""
    if target is None or target.get("type") in (None, "eventbridge"):
        return False
    return bool(registry.kind_of(str(target["type"])).messaging)


def statements(target: Target) -> list[Json]:
    """What a function must be allowed to send to this target, and nothing beside it."""
    kind = registry.kind_of(str(target["type"]))
    secrets = [ref for name in kind.secret_fields if isinstance(ref := target.get(name), str)]
    arns = _secret_arns([*secrets, *kind.header_refs(target).values()])
    found = []
    for number, permission in enumerate(kind.permissions):
        resources = _narrowed(kind, permission, target, arns)
        if not resources:
            continue
        statement: Json = {
            "Sid": f"{SID}{number or ''}",
            "Effect": "Allow",
            "Action": list(permission.actions),
            "Resource": resources,
        }
        if permission.via:
            statement["Condition"] = {"StringLike": {"kms:ViaService": list(permission.via)}}
        found.append(statement)
    return found


def grant(policies: Path, target: Target | None) -> None:
    """In place, in a project's ``.chalice``: let the functions that announce send to the default target."""
    if target is None or not takes_events(target):
        return
    for name in ANNOUNCERS:
        path = policies / f"policy-{name.lower()}.json"
        policy = json.loads(path.read_text())
        policy["Statement"] += statements(target)
        path.write_text(json.dumps(policy, indent=2) + "\n")


def _narrowed(kind: TargetDescription, permission: Permission, target: Target, secret_arns: Sequence[str]) -> list[str]:
    if permission.via:  # of the keys that secrets are sealed with, whose ARNs no target names
        return ["*"] if secret_arns else []
    if permission.resources != ("*",):
        return list(secret_arns)
    place = target.get(_PLACES.get(kind.name, ""))
    return [_arn_of(str(place))] if place else ["*"]


def _arn_of(place: str) -> str:
    """The ARN of a topic, or of the queue that a URL names."""
    if place.startswith("arn:"):
        return place
    account, name = place.rstrip("/").split("/")[-2:]
    return f"arn:aws:sqs:*:{account}:{name}"


def _secret_arns(refs: Sequence[str]) -> list[str]:
    found = []
    for ref in dict.fromkeys(refs):
        store, name, _ = secret_ref.parse(ref)
        if name.startswith("arn:"):
            found.append(name)
        elif store == "secretsmanager":  # which puts six characters behind a name
            found.append(f"arn:aws:secretsmanager:*:*:secret:{name}-*")
        elif store == "ssm":
            found.append(f"arn:aws:ssm:*:*:parameter/{name.removeprefix('/')}")
    return found
