"""The kinds of target, one line each. A kind is loaded when it is first asked for: a worker pays for those it meets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any, Final, Union

from chalicelib.core.errors import FieldError
from chalicelib.core.secrets.secret_policy import STRICTEST, SecretPolicy
from chalicelib.core.targets.target_description import StoredTarget, TargetDescription

# The value of ``type``, and the name of its modules: the description in ``core.targets.kinds``, what sends in
# ``adapters.targets``. The order is that of documents and error texts.
MODULES: Final[Mapping[str, str]] = {
    "eventbridge": "eventbridge",
    "webhook": "webhook",
    "sqs": "sqs",
    "sns": "sns",
    "lambda": "aws_lambda",
    "stepfunctions": "stepfunctions",
    "log": "log",
    "kafka": "kafka",
    "nats": "nats",
    "rabbitmq": "rabbitmq",
    "mqtt": "mqtt",
    "redis": "redis",
    "grpc": "grpc",
    "workflow": "workflow",
}
NAMES: Final = tuple(MODULES)
OF_AWS: Final = frozenset({"eventbridge", "sqs", "sns", "lambda", "stepfunctions"})


@cache
def kind_of(name: str) -> TargetDescription:
    """The description of a kind. Raises LookupError when there is no such kind."""
    if name not in MODULES:
        raise LookupError(f"no kind of target is named {name!r}")
    found: TargetDescription = import_module(f"chalicelib.core.targets.kinds.{MODULES[name]}").KIND
    return found


def every_kind() -> tuple[TargetDescription, ...]:
    """All kinds, loaded."""
    return tuple(kind_of(name) for name in NAMES)


def wire_model() -> Any:
    """The union of all kinds' fields: what callers may send as a target."""
    return Union[tuple(kind.fields for kind in every_kind())]  # noqa: UP007 -- made at run time


def problems(
    target: StoredTarget, webhook_allow: Sequence[str], secrets: SecretPolicy = STRICTEST
) -> Iterator[FieldError]:
    """Everything that is wrong with a target by itself."""
    kind = _kind_in(target)
    if kind is None:
        yield FieldError("target.type", "must be one of " + ", ".join(NAMES))
    else:
        yield from kind.problems(target, webhook_allow, secrets)


def normal_target(target: StoredTarget) -> dict[str, object]:
    """The target as it is stored and shown: in the documented order, its kind's defaults filled in.

    Does not judge: what it does not know stays, for ``problems`` to name. Doing it twice changes nothing.
    """
    kind = _kind_in(target)
    return dict(target) if kind is None else kind.normal(target)


def destination_of(target: StoredTarget) -> str:
    """The destination that limits count by. Raises LookupError when there is no such kind."""
    return kind_of(str(target.get("type"))).destination(target)


def _kind_in(target: StoredTarget) -> TargetDescription | None:
    name = target.get("type")
    return kind_of(name) if isinstance(name, str) and name in MODULES else None
