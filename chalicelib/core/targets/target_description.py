"""What a kind of target is: one description, from which every module reads what it needs.

The one ``KIND`` of a module in ``core.targets.kinds`` is the source. From it come the wire model, validation, the
stored form, the destination that limits count by, the size of a call, the rights on AWS. The row in docs/targets.md is
held to it by a test. What sends is the adapter of the same module name in ``adapters.targets``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from chalicelib.core.decoders import converted
from chalicelib.core.errors import FieldError
from chalicelib.core.secrets.secret_policy import STRICTEST, SecretPolicy
from chalicelib.core.targets.limits import TARGET_NAME_MAX_CHARS

TargetName = Annotated[str, Meta(min_length=1, max_length=TARGET_NAME_MAX_CHARS)]
StoredTarget = Mapping[str, object]


class TargetFields(Struct, tag_field="type", forbid_unknown_fields=True, kw_only=True):
    """The fields of one kind, as callers send them and as they are stored. ``type`` is the tag."""


class FieldRule(Struct, frozen=True):
    """What a value must be, in the words of an error; then what the field's type cannot say.

    ``pattern`` (ECMA-262, ASCII) is that of the whole text; the OpenAPI document states it. ``check`` is given a value
    that fits, and the private addresses that the deployment lets webhooks reach; it answers what is wrong, or None.
    """

    must_be: str
    pattern: str = ""
    check: Callable[[Any, Sequence[str]], str | None] | None = None


class Permission(Struct, frozen=True):
    """What the function that delivers must be allowed to do on AWS. ``via``: only on behalf of these services."""

    actions: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)  # the owner of a schedule chooses the destination
    via: tuple[str, ...] = ()


READS_SECRETS = (
    Permission(
        ("secretsmanager:GetSecretValue", "ssm:GetParameter"),
        ("arn:aws:secretsmanager:*:*:secret:*", "arn:aws:ssm:*:*:parameter/*"),
    ),
    Permission(("kms:Decrypt",), via=("secretsmanager.*.amazonaws.com", "ssm.*.amazonaws.com")),
)  # of a kind whose targets name secrets


class TargetDescription(Struct, frozen=True, kw_only=True):
    """One kind of target. What has no default here has to be decided for each kind."""

    fields: type[TargetFields]
    rules: Mapping[str, FieldRule]  # one for each field
    header_refs: Callable[[StoredTarget], Mapping[str, str]] = lambda _: {}  # references by field: values that are sent
    defaults: StoredTarget = {}  # filled in when a target is stored; the wire model distinguishes absent from given
    secret_fields: tuple[str, ...]  # those that name a secret
    destination: Callable[[StoredTarget], str]  # what the limits of destinations count by
    max_batch: int  # deliveries that one call carries
    permissions: tuple[Permission, ...]
    sent_as: str  # for docs/targets.md, like the next
    completed_means: str
    messaging: str = ""  # the system of messages that it is to OpenTelemetry; empty: it is called, and answers

    @property
    def name(self) -> str:
        """The value of ``type``."""
        return str(self.fields.__struct_config__.tag)

    @property
    def field_names(self) -> tuple[str, ...]:
        """In the order in which they are shown, without ``type``."""
        return self.fields.__struct_fields__

    @property
    def required(self) -> frozenset[str]:
        """The fields that a target cannot be without."""
        return frozenset(name for name, (_, required) in _shapes(self.fields).items() if required)

    def normal(self, target: StoredTarget) -> dict[str, object]:
        """The target as it is stored: defaults filled in, in the documented order. What is unknown stays."""
        filled = {**self.defaults, **{name: value for name, value in target.items() if value is not None}}
        order = ("type", *self.field_names)
        names = [*(name for name in order if name in filled), *(name for name in filled if name not in order)]
        return {name: filled[name] for name in names}

    def problems(
        self, target: StoredTarget, webhook_allow: Sequence[str], secrets: SecretPolicy = STRICTEST
    ) -> Iterator[FieldError]:
        """Everything that is wrong with a target by itself."""
        shapes = _shapes(self.fields)
        told: frozenset[str] = frozenset()
        for name in target:
            if name != "type" and name not in shapes:
                yield FieldError(f"target.{name}", f"is not a field of a target of type {self.name}")
        for name, (shape, required) in shapes.items():
            value = target.get(name)
            problem = "is required" if required else None
            if value is not None:
                problem = _problem(value, shape, self.rules[name], webhook_allow)
                if problem is None and name in self.secret_fields and isinstance(value, str):
                    problem = secrets.problem(value)
            if problem:
                yield FieldError(f"target.{name}", problem)
            told = told | {name} if problem else told
        for name, ref in self.header_refs(target).items():
            if name not in told and (problem := secrets.header_problem(ref)):
                yield FieldError(f"target.{name}", problem)


def named_by(kind: str, field: str) -> Callable[[StoredTarget], str]:
    """The destination of a kind whose field ``field`` names it: ``sqs/https://…``; without the field, the kind."""

    def destination(target: StoredTarget) -> str:
        value = target.get(field)
        return kind if value is None else f"{kind}/{value}"

    return destination


def sent_secret(target: StoredTarget) -> Mapping[str, str]:
    """The reference to credentials: their value goes to the broker that the schedule's owner chose."""
    ref = target.get("secret_ref")
    return {"secret_ref": ref} if isinstance(ref, str) else {}


def arn(service: str, resource: str) -> str:
    """The pattern of an ARN."""
    return rf"arn:[a-z-]+:{service}:[a-z0-9-]*:[0-9]{{12}}:{resource}"


@lru_cache(maxsize=64)
def _shapes(fields: type[TargetFields]) -> dict[str, tuple[Any, bool]]:
    """The type of each field, and whether it is required."""
    return {field.name: (field.type, field.required) for field in msgspec.structs.fields(fields)}


def _problem(value: object, shape: Any, rule: FieldRule, webhook_allow: Sequence[str]) -> str | None:
    try:
        converted(value, shape)
    except msgspec.ValidationError:
        return f"must be {rule.must_be}"
    if rule.pattern and not re.fullmatch(rule.pattern, str(value), re.ASCII):
        return f"must be {rule.must_be}"
    return None if rule.check is None else rule.check(value, webhook_allow)
