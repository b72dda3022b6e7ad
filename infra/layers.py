"""The Lambda layers: what only some functions need travels in a zip of its own, beside the base zip that all load.

A layer is a requirement file at top level, its lock (``scripts/lock``), and the functions that get it. To add one:
write the file, include it in ``requirements-dev.txt``, add its lock to ``LAYERED`` in ``localdev.locks``, and a line
here. What the base zip has already is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from infra import vendor
from infra.vendor import Target
from localdev.locks import BROKERS, CRYPTO, GRPC, SHIPPED, WORKFLOWS, Lock, locked

FOLDER: Final = "python"  # under /opt, where Lambda lets Python look for packages
ALL: Final = ("APIHandler", "Deliver", "Sweep", "Reconcile", "Feed", "Declare", "Workflow", "Script", "Subscribe")


@dataclass(frozen=True, slots=True)
class Layer:
    """``functions`` get it always, ``sealed`` also where payloads are sealed (CHRONO_PAYLOAD_KMS_KEY_ID). ``kinds`` are
    the targets whose client it has: where one of them is the default target, those that announce get it too.
    ``leaves_out`` names packages of the lock that another layer has."""

    name: str
    lock: Lock
    functions: tuple[str, ...]
    sealed: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    leaves_out: tuple[str, ...] = ()

    @property
    def logical(self) -> str:
        """Its name in a template."""
        return f"{self.name.title()}Layer"

    @property
    def zip_name(self) -> str:
        return f"layer-{self.name}.zip"

    def without(self, target: Target) -> frozenset[str]:
        """What the base zip brings to this target, and what another layer does."""
        based = vendor.requirements(SHIPPED.path.read_text(), target)
        return frozenset(locked(based)) | set(self.leaves_out)


_RUNNERS = ("pydantic-monty", "pydantic-monty-client", "pydantic-monty-runtime", "jlens", "typing-extensions")
LAYERS: Final[tuple[Layer, ...]] = (
    Layer("crypto", CRYPTO, functions=("APIHandler", "Deliver", "Workflow", "Subscribe"), sealed=ALL),
    Layer("brokers", BROKERS, functions=("Deliver", "Workflow"), kinds=("kafka", "nats", "rabbitmq", "mqtt", "redis")),
    Layer("grpc", GRPC, functions=("Deliver", "Workflow"), leaves_out=("grpcio-health-checking", "grpcio-reflection")),
    Layer("cel", WORKFLOWS, functions=("APIHandler", "Workflow"), leaves_out=_RUNNERS),
    Layer("scripts", WORKFLOWS, functions=("Script",), leaves_out=("cel-expr-python",)),
)


def layers_of(function: str, seals: bool, announces_to: str | None = None) -> list[Layer]:
    """The layers of a function, by its name in a template. ``announces_to`` is the kind of target that gets the
    service's own events from this function, if it is not the bus."""
    return [
        layer
        for layer in LAYERS
        if function in layer.functions or (seals and function in layer.sealed) or announces_to in layer.kinds
    ]
