"""What is chosen for one package: the stage and its state, what the functions run on, and how they start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from infra.announcing import ANNOUNCERS, takes_events
from infra.layers import LAYERS, Layer, layers_of
from infra.state import State
from infra.vendor import Target

SEALING_KEY = "CHRONO_KMS_KEY_ID"


class Build(NamedTuple):
    """``seals``: the stage seals payloads with a KMS key. ``snapstart``: functions start from snapshots.
    ``default_target`` is CHRONO_DEFAULT_TARGET, if it is set."""

    state: State
    target: Target = Target()
    seals: bool = False
    snapstart: bool = False
    default_target: Mapping[str, object] | None = None

    @property
    def stage(self) -> str:
        return self.state.stage

    def layers(self) -> tuple[Layer, ...]:
        """Every layer there is: they are small, and a stage that begins to seal needs no other."""
        return LAYERS

    def layers_of(self, function: str) -> list[Layer]:
        """The layers of a function, by its name in a template."""
        announces = function in ANNOUNCERS and self.default_target is not None and takes_events(self.default_target)
        kind = str(self.default_target["type"]) if announces and self.default_target is not None else None
        return layers_of(function, self.seals, kind)


def seals(variables: dict[str, Any]) -> bool:
    """Whether functions with these variables seal or open payloads."""
    return bool(str(variables.get(SEALING_KEY, "")).strip())
