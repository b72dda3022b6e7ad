"""A target as callers send it: the models are the descriptions of the kinds themselves (``core.targets.kinds``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from chalicelib.core.decoders import converted
from chalicelib.core.targets import registry
from chalicelib.core.targets.target_description import StoredTarget, TargetFields

if TYPE_CHECKING:
    Target = TargetFields  # the union below is made at run time: a kind is added in the registry alone
else:
    Target = registry.wire_model()


def target_of(fields: TargetFields) -> dict[str, object]:
    """A target as it is stored, its defaults filled in."""
    return registry.normal_target(msgspec.to_builtins(fields))


def of_target(stored: StoredTarget) -> Target:
    """A stored target as its owner sees it."""
    return converted(stored, Target)
