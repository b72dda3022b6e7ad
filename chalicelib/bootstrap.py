"""The composition root: settings to adapters, lazily, once a process. Importing it does nothing.

Every adapter is imported when the services are made, every AWS client when it is first used. So a function pays for
what it uses, and the workers never load the API.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

from msgspec import Struct

from chalicelib.core.secrets.secret_policy import SecretPolicy
from chalicelib.core.targets import registry
from chalicelib.core.targets.default_target import settled
from chalicelib.ports.clock import Clock
from chalicelib.ports.external_policies import ExternalPolicies, NoExternalPolicies
from chalicelib.ports.inlet_signatures import InletSignatures
from chalicelib.ports.rego import RegoEngine
from chalicelib.ports.sealing import UNSEALED, Sealing
from chalicelib.ports.services import Config, Machine, Services, assemble
from chalicelib.ports.tracing import NoTracer, Tracer
from chalicelib.ports.webhook_keys import NoWebhookKeys, WebhookKeys
from chalicelib.process.admission import Caps
from chalicelib.settings import Settings, environment_secret, from_environment

if TYPE_CHECKING:
    from chalicelib.adapters.aws.clients import Clients
    from chalicelib.adapters.identity.bootstrap_key import BootstrapKey
    from chalicelib.adapters.machine.storage import Storage
    from chalicelib.adapters.machine.system import SystemClock
    from chalicelib.adapters.targets.target_parts import TargetParts
    from chalicelib.ports.checkpoints import CheckpointSigner, CheckpointStore
    from chalicelib.ports.identity import Authenticator, TokenAuthenticator
    from chalicelib.ports.secrets import Secrets
    from chalicelib.ports.target import Delivery, Target

QUOTA_READ_TIMEOUT_S = 0.5  # a request waits for it: a table that takes longer counts as away
TARGET_READ_TIMEOUT_S = 10.0  # an AWS service that takes longer to accept a firing is away


class _Made(Struct):
    """What this process has made so far."""

    settings: Settings | None = None
    services: Services | None = None
    authenticator: Authenticator | None = None


_lock = threading.RLock()
_made = _Made()


def settings() -> Settings:
    """The settings of this process, read once. Raises SettingsError."""
    with _lock:
        if _made.settings is None:
            _made.settings = from_environment()
        return _made.settings


def services() -> Services:
    """The services of this process, made once. Raises SettingsError; does no I/O."""
    found = _made.services
    if found is not None:
        return found
    with _lock:
        if _made.services is None:
            chosen = settings()
            _prepare_process(chosen)
            _made.services = build(chosen)
        return _made.services


def authenticator() -> Authenticator:
    """What judges the credentials of requests, made once. Raises SettingsError; does no I/O."""
    found = _made.authenticator
    if found is not None:
        return found
    with _lock:
        if _made.authenticator is None:
            _made.authenticator = identity(settings(), services())
        return _made.authenticator


def identity(chosen: Settings, s: Services) -> Authenticator:
    """The schemes that ``chosen.auth`` names, each loaded when a token of its kind first arrives."""
    from chalicelib.adapters.identity import chain
    from chalicelib.adapters.identity.identity_parts import IdentityParts
    from chalicelib.usecases import roles

    parts = IdentityParts(
        stores=s.stores,
        key_notes=s.process.keys,
        now_ms=s.clock.now_ms,
        monotonic_s=lambda: s.clock.read().monotonic_nanos / 1e9,
        jwt=chosen.jwt,
        custom_roles=lambda tenant: roles.granted_by(s, tenant),
    )

    def tokens() -> TokenAuthenticator:
        from chalicelib.adapters.identity import jwt_tokens

        return jwt_tokens.make(parts)

    def keys() -> TokenAuthenticator:
        from chalicelib.adapters.identity import api_keys

        return api_keys.make(parts)

    return chain.choose(chosen.auth, {chain.JWT: tokens, chain.API_KEY: keys}, _bootstrap_key(chosen))


def _bootstrap_key(chosen: Settings) -> BootstrapKey | None:
    if chosen.bootstrap_key is None:
        return None
    from chalicelib.adapters.identity.bootstrap_key import BootstrapKey

    return BootstrapKey(chosen.bootstrap_key)


def flush() -> None:
    """At the end of a call on Lambda: what is said about it leaves before the process is frozen."""
    s = services()
    if s.config.counts_kept:
        return
    from chalicelib.adapters.aws import emf, telemetry

    telemetry.emit(emf.counted(*s.process.meter.drain()), s.clock.now_ms())
    s.tracer.flush()


def clock() -> Clock:
    """This machine's clock, for callers that need nothing else."""
    from chalicelib.adapters.machine.system import SystemClock

    found = _made.services
    return SystemClock() if found is None else found.clock


@contextmanager
def override(other: Services, chosen: Settings | None = None) -> Iterator[Services]:
    """In tests: let everything in this process use ``other`` (and ``chosen``) until the end of the block."""
    with _lock:
        before = (_made.settings, _made.services, _made.authenticator)
        _made.services, _made.authenticator = other, None
        if chosen is not None:
            _made.settings = chosen
    try:
        yield other
    finally:
        with _lock:
            _made.settings, _made.services, _made.authenticator = before


def build(chosen: Settings) -> Services:
    """The services that ``chosen`` describes, on AWS or on the emulator at ``chosen.endpoint_url``. Does no I/O."""
    from chalicelib.adapters.aws.clients import Clients
    from chalicelib.adapters.machine.hlc_clock import HlcClock
    from chalicelib.adapters.machine.lazy_sessions import lazy_sessions
    from chalicelib.adapters.machine.lazy_sources import lazy_sources
    from chalicelib.adapters.machine.lazy_targets import LazyTargets
    from chalicelib.adapters.machine.signals import LoopbackSignals, ThreadSignals
    from chalicelib.adapters.machine.system import SystemClock, SystemIds, SystemTasks
    from chalicelib.adapters.machine.time_sources import SystemTimeSources
    from chalicelib.adapters.machine.zone_data import zone_data_version
    from chalicelib.adapters.workflows.step_parts import make_parts

    own_clock = SystemClock()
    ids = SystemIds(HlcClock(lambda: own_clock.read().wall_unix_nanos, chosen.max_drift_ms))
    time_sources = SystemTimeSources()
    clients = Clients(chosen.region, chosen.endpoint_url, listener=time_sources)
    sealing = _sealing(chosen, own_clock, clients)
    stores, queue, steps = _storage(chosen, clients, sealing)
    unoffered = frozenset() if chosen.db_dsn is None else registry.OF_AWS
    config = Config(
        origin=chosen.stage,
        instance=ids.ulid(own_clock.now_ms()),
        shards=chosen.shards,
        lead_ms=chosen.deliver_lead_ms,
        catch_up_per_minute=chosen.catch_up_per_minute,
        max_drift_ms=chosen.max_drift_ms,
        default_timezone=chosen.timezone,
        zone_data=zone_data_version(),
        webhook_allow=chosen.webhook_allow,
        secrets=_secret_policy(chosen),
        webhook_timeout_ms=chosen.webhook_timeout_ms,
        attempt_timeout_ms=chosen.attempt_timeout_ms,
        default_sla_ms=chosen.default_sla_ms,
        max_attempts=chosen.max_attempts,
        job_limit=chosen.job_limit,
        memory_limit_bytes=chosen.memory_limit_bytes,
        failure_threshold=chosen.failure_threshold,
        slot_gap_ms=chosen.slot_gap_ms,
        ticks=chosen.ticks,
        tick_catch_up=chosen.ticks_catch_up,
        bootstrap_admin=chosen.bootstrap_key is not None,
        caps=Caps(
            owner_in_flight=chosen.max_inflight_per_owner,
            target_in_flight=chosen.max_inflight_per_target,
            owner_rate=chosen.max_rate_per_owner,
            target_rate=chosen.max_rate_per_target,
        ),
        changes_retention_ms=chosen.changes_retention_ms,
        reads_per_s=chosen.reads_per_s,
        writes_per_s=chosen.writes_per_s,
        trace_sample=chosen.telemetry.sample,
        trace_url_template=chosen.telemetry.url_template,
        counts_kept=not chosen.on_lambda,
        audit=chosen.audit.mode,
        audit_retention_ms=chosen.audit.retention_ms,
        default_target=settled(chosen.default_target, chosen.webhook_allow, _secret_policy(chosen), unoffered),
        unoffered=unoffered,
        listens=chosen.listening.listens,
        trigger_queues=chosen.listening.queues,
        run_retention_ms=chosen.retention_ms,
    )
    machine = Machine(
        clock=own_clock,
        ids=ids,
        tasks=SystemTasks(own_clock),
        signals=(LoopbackSignals if chosen.loopback and not chosen.on_lambda else ThreadSignals)(own_clock.now_ms),
        time_sources=time_sources,
    )
    secrets = _secrets(chosen, own_clock, clients)

    def start_run(delivery: Delivery) -> str:
        from chalicelib.usecases import run_starts

        return run_starts.of_firing(made, delivery)

    parts = _target_parts(chosen, own_clock, clients, secrets, start_run)
    made = assemble(
        config,
        machine,
        stores,
        queue,
        LazyTargets(_target_makers(parts)),
        _webhook_keys(chosen, secrets),
        sealing,
        _tracer(chosen, config.instance, own_clock),
        _external_policies(chosen, own_clock),
        lazy_sessions(chosen, authenticator, own_clock),
        *_audit_proofs(chosen, clients),
        workflows=make_parts(parts, steps, chosen.stage, clients.factory if chosen.on_lambda else None),
        rego=_rego(own_clock),
        inlet_signatures=_inlet_signatures(own_clock, secrets),
        event_sources=lazy_sources(parts, chosen.stage, chosen.listening.queues),
    )
    return made


def _storage(chosen: Settings, clients: Clients, sealing: Sealing) -> Storage:
    """What is stored and queued: in DynamoDB and SQS, or in PostgreSQL."""
    from chalicelib.adapters.machine import storage

    kept = storage.Retention(chosen.retention_ms // 1000, -(-chosen.changes_retention_ms // 1000))
    if chosen.db_dsn is not None:
        return storage.on_postgres(chosen.db_dsn, chosen.stage, kept, sealing)
    return storage.on_aws(clients.factory, QUOTA_READ_TIMEOUT_S, chosen.stage, kept, sealing, chosen.value_bucket)


def _secret_policy(chosen: Settings) -> SecretPolicy:
    return SecretPolicy(environment=chosen.loopback, header_refs=chosen.secrets.header_refs)


def _secrets(chosen: Settings, own_clock: SystemClock, clients: Clients) -> Secrets:
    from chalicelib.adapters.machine.lazy_secrets import lazy_secrets

    return lazy_secrets(
        chosen.secrets,
        client=lambda service: clients.factory(service, TARGET_READ_TIMEOUT_S),
        now_ms=own_clock.now_ms,
        monotonic_s=lambda: own_clock.read().monotonic_nanos / 1e9,
        environment=environment_secret if chosen.loopback else None,
    )


def _sealing(chosen: Settings, own_clock: SystemClock, clients: Clients) -> Sealing:
    if chosen.secrets.kms_key_id is None:
        return UNSEALED
    from chalicelib.adapters.secrets.kms_sealing import KmsSealing

    steady = lambda: own_clock.read().monotonic_nanos / 1e9  # noqa: E731
    return KmsSealing(clients.factory("kms"), chosen.secrets.kms_key_id, monotonic_s=steady)


def _tracer(chosen: Settings, instance: str, own_clock: SystemClock) -> Tracer:
    if chosen.telemetry.otlp is None:
        return NoTracer()
    from chalicelib import VERSION
    from chalicelib.adapters.telemetry import otlp_tracer

    return otlp_tracer.make(chosen.telemetry.otlp, VERSION, instance, lambda: own_clock.read().monotonic_nanos / 1e9)


def _external_policies(chosen: Settings, own_clock: SystemClock) -> ExternalPolicies:
    if chosen.opa is None:
        return NoExternalPolicies()
    from chalicelib.adapters.policies.opa import OpaPolicies

    return OpaPolicies(chosen.opa, lambda: own_clock.read().monotonic_nanos / 1e9)


def _rego(own_clock: SystemClock) -> RegoEngine:
    from chalicelib.adapters.machine.lazy import Lazy

    def made() -> RegoEngine:
        from chalicelib.adapters.policies.rego import RegoProcess

        return RegoProcess(lambda: own_clock.read().monotonic_nanos / 1e9)

    return Lazy(made)


def _inlet_signatures(own_clock: SystemClock, secrets: Secrets) -> InletSignatures:
    from chalicelib.adapters.machine.lazy import Lazy

    def made() -> InletSignatures:
        from chalicelib.adapters.secrets.inlet_signatures import StoredInletSignatures

        return StoredInletSignatures(secrets, own_clock.now_ms)

    return Lazy(made)


def _audit_proofs(chosen: Settings, clients: Clients) -> tuple[CheckpointStore | None, CheckpointSigner | None]:
    """Where checkpoints of the audit go, and what signs them. A function has no disk that stays."""
    from chalicelib.adapters.machine import checkpoint_places

    disk = None if chosen.on_lambda else chosen.data_dir
    return checkpoint_places.make(
        clients.factory("s3", TARGET_READ_TIMEOUT_S),
        clients.factory("kms", TARGET_READ_TIMEOUT_S),
        checkpoint_places.ProofPlaces(chosen.stage, disk, chosen.audit.bucket, chosen.audit.kms_key_id),
    )


def _webhook_keys(chosen: Settings, secrets: Secrets) -> WebhookKeys:
    if chosen.secrets.signing_key is None:
        return NoWebhookKeys()
    from chalicelib.adapters.secrets.service_key import ServiceKey

    return ServiceKey(secrets, chosen.secrets.signing_key)


def _target_makers(parts: TargetParts) -> dict[str, Callable[[], Target]]:
    """By kind, what loads and makes its sender: the module that the registry names, in ``adapters.targets``."""

    def make(module: str) -> Target:
        made: Target = import_module(f"chalicelib.adapters.targets.{module}").make(parts)
        return made

    return {kind: partial(make, module) for kind, module in registry.MODULES.items()}


def _target_parts(
    chosen: Settings,
    own_clock: SystemClock,
    clients: Clients,
    secrets: Secrets,
    start_run: Callable[[Delivery], str],
) -> TargetParts:
    from chalicelib.adapters.targets.target_parts import TargetParts

    return TargetParts(
        client=lambda service: clients.factory(service, TARGET_READ_TIMEOUT_S),
        now_ms=own_clock.now_ms,
        monotonic_s=lambda: own_clock.read().monotonic_nanos / 1e9,
        webhook_allow=chosen.webhook_allow,
        event_bus=chosen.event_bus,
        secrets=secrets,
        secret_policy=_secret_policy(chosen),
        service_key=chosen.secrets.signing_key,
        start_run=start_run,
    )


def _prepare_process(chosen: Settings) -> None:
    """Plan with the zone rules that were shipped, wherever this runs. On Lambda also: logs as JSON lines, and traces
    when they are wanted; elsewhere the operator of the process decides about these."""
    from chalicelib.adapters.machine.zone_data import use_packaged_zones

    use_packaged_zones()
    if not chosen.on_lambda:
        return
    from chalicelib.adapters.aws import telemetry

    telemetry.configure_logging(chosen.log_level)
    if chosen.tracing:
        telemetry.trace_aws_calls()
