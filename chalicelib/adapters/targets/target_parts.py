"""What a process lends to the senders of its targets."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from chalicelib.adapters.aws.clients import ClientFactory
from chalicelib.core.secrets.secret_policy import STRICTEST, SecretPolicy
from chalicelib.ports.secrets import NoSecrets, Secrets
from chalicelib.ports.target import Delivery


class TargetParts(Struct, frozen=True):
    """``client`` gives the factory of a service's client. ``webhook_allow`` is CHRONO_WEBHOOK_ALLOW taken apart,
    ``event_bus`` CHRONO_EVENT_BUS, ``service_key`` CHRONO_WEBHOOK_SIGNING_KEY. ``start_run``
    begins a run of a workflow; it raises ChronoError."""

    client: Callable[[str], ClientFactory]
    now_ms: Callable[[], int]
    monotonic_s: Callable[[], float]
    webhook_allow: tuple[str, ...]
    event_bus: str
    secrets: Secrets = NoSecrets()
    secret_policy: SecretPolicy = STRICTEST
    service_key: str | None = None
    start_run: Callable[[Delivery], str] | None = None
