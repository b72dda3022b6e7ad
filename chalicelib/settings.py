"""What a deployment chooses, read once from the environment and its configuration file, and validated whole.

This is the only module that reads ``os.environ``. Every variable has a row in docs/configuration.md (a test compares
the two). A wrong value stops the start of the process. One line names the variable, or the key of the file, and what
would be right.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from chalicelib import configuration
from chalicelib.core import variables
from chalicelib.core.audit import audit_settings
from chalicelib.core.audit.audit_settings import AuditSettings
from chalicelib.core.changes.limits import CHANGES_RETENTION_S
from chalicelib.core.cluster.limits import SHARDS_DEFAULT, SHARDS_MAX
from chalicelib.core.configuration import dsn_setting, file_keys
from chalicelib.core.errors import SettingsError
from chalicelib.core.executions.limits import HISTORY_RETENTION_S, MESSAGE_SPAN_MS
from chalicelib.core.limits import DURATION_MAX_MS
from chalicelib.core.policies.limits import CATCH_UP_PER_MINUTE, CATCH_UP_PER_MINUTE_MAX
from chalicelib.core.quotas.limits import RATE_MAX_PER_S
from chalicelib.core.rules import opa_settings
from chalicelib.core.rules.opa_settings import OpaSettings
from chalicelib.core.schedules.limits import RETRY_MAX_ATTEMPTS, SLA_DEFAULT_MS, TIMEOUT_DEFAULT_MS
from chalicelib.core.secrets import secret_settings
from chalicelib.core.secrets.secret_settings import SecretSettings
from chalicelib.core.security import bootstrap_setting, jwt_settings, proxies_setting, session_settings
from chalicelib.core.security.jwt_settings import JwtSettings
from chalicelib.core.security.session_settings import SessionSettings
from chalicelib.core.security.source import Network
from chalicelib.core.targets import allow_setting, default_target
from chalicelib.core.targets.limits import WEBHOOK_TIMEOUT_DEFAULT_MS, WEBHOOK_TIMEOUT_MAX_MS
from chalicelib.core.telemetry import telemetry_settings
from chalicelib.core.telemetry.telemetry_settings import TelemetrySettings
from chalicelib.core.ticks import tick_setting
from chalicelib.core.ticks.frequencies import Frequency
from chalicelib.core.ticks.limits import TICK_CATCH_UP_LIMIT_COUNT, TICK_CATCH_UP_MAX_COUNT
from chalicelib.core.triggers import listen_settings
from chalicelib.core.triggers.listen_settings import ListenSettings
from chalicelib.core.workflows import value_bucket
from chalicelib.process.limits import IN_FLIGHT_LIMIT_MAX

VARIABLES = (
    "CHRONO_CONFIG",
    "CHRONO_STAGE",
    "CHRONO_HTTP_HOST",
    "CHRONO_HTTP_PORT",
    "CHRONO_GRPC_PORT",
    "CHRONO_READ_TIMEOUT_MS",
    "CHRONO_WRITE_TIMEOUT_MS",
    "CHRONO_TLS_CERT",
    "CHRONO_TLS_KEY",
    "CHRONO_TLS_CLIENT_CA",
    "CHRONO_EMULATOR_PORT",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_LAMBDA_FUNCTION_NAME",
    "CHRONO_DB_DSN",
    "CHRONO_DATA_DIR",
    "CHRONO_TZ",
    "CHRONO_SHARDS",
    "CHRONO_EVENT_BUS",
    default_target.VARIABLE,
    *listen_settings.VARIABLES,
    "CHRONO_MAX_DRIFT_MS",
    "CHRONO_DEFAULT_SLA_MS",
    "CHRONO_DELIVER_LEAD_MS",
    "CHRONO_CATCH_UP_PER_MINUTE",
    "CHRONO_MAX_INFLIGHT_PER_OWNER",
    "CHRONO_MAX_INFLIGHT_PER_TARGET",
    "CHRONO_MAX_RATE_PER_OWNER",
    "CHRONO_MAX_RATE_PER_TARGET",
    "CHRONO_RATE_READS_PER_S",
    "CHRONO_RATE_WRITES_PER_S",
    "CHRONO_WEBHOOK_ALLOW",
    "CHRONO_WEBHOOK_OWN_API",
    *secret_settings.VARIABLES,
    *audit_settings.VARIABLES,
    value_bucket.VARIABLE,
    "CHRONO_TICKS",
    "CHRONO_TICKS_CATCH_UP",
    "CHRONO_AUTH",
    *jwt_settings.VARIABLES,
    *session_settings.VARIABLES,
    "CHRONO_OPA_URL",
    "CHRONO_OPA_POLICY_PATH",
    "CHRONO_PUBLIC_OPS",
    "CHRONO_TRUSTED_PROXIES",
    "CHRONO_BOOTSTRAP_KEY",
    "CHRONO_PAGE_TOKEN_SECRET",
    "CHRONO_TRACING",
    *telemetry_settings.VARIABLES,
    "JOB_EXECUTION_TIMEOUT",
    "JOB_INPROGRESS_TIMEOUT",
    "MAX_EXECUTION_ATTEMPTS",
    "EXECUTION_HISTORY_RETENTION",
    "CHRONO_CHANGES_RETENTION",
    "HEALTH_FAILURE_THRESHOLD",
    "QUEUE_MEMORY_LIMIT",
    "QUEUE_MEMORY_PERCENT",
    "QUEUE_JOB_LIMIT",
    "SLOT_GAP",
    "LOG_LEVEL",
)

LOCAL_STAGE = "local"
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
SECRET_MIN_CHARS = 32
READ_TIMEOUT_MS = 30_000  # a test holds the server's own defaults to these two
WRITE_TIMEOUT_MS = 60_000
URL_MAX_CHARS = 2048
DAY_MS = 86_400_000
JOB_LIMIT_DEFAULT = 100_000
MEMORY_PERCENT_DEFAULT = 50
# Callers on this machine can read everything anyway, and several instances over one endpoint must accept each other's
# page tokens: so instances bound to loopback share a secret that is none.
LOCAL_PAGE_TOKEN_SECRET = "chronowatch-on-loopback-needs-no-secret"  # noqa: S105


class Settings(NamedTuple):  # no struct: scripts/dev reads it before anything is installed
    """The validated choices of one process. Durations are milliseconds.

    ``loopback`` says that only this machine can reach the service. ``auth`` is ``off`` (every caller is admin, only
    ever with ``loopback``), ``deny`` (every request is answered 401) or a list of ``jwt`` and ``apikey``. ``jwt`` is
    None where it is not in that list, ``opa`` where there is no engine of policies beside the service. ``public_ops``
    opens /health and /metrics to callers without credentials.
    ``page_token_secret`` is None where none was given and none can be assumed: the API then refuses to start.
    ``job_limit``, ``memory_limit_bytes``, ``max_inflight_*``, ``max_rate_*``, ``reads_per_s`` and ``writes_per_s`` are
    None where there is no limit.
    ``grpc_port`` is None where gRPC is not served. ``db_dsn`` names a PostgreSQL in place of AWS.
    ``tls_*`` are files, None where the service speaks plain HTTP, or asks no caller for a certificate.
    """

    stage: str
    http_host: str
    http_port: int
    grpc_port: int | None
    read_timeout_ms: int
    write_timeout_ms: int
    tls_cert: str | None
    tls_key: str | None
    tls_client_ca: str | None
    emulator_port: int
    endpoint_url: str | None
    region: str
    on_lambda: bool
    db_dsn: str | None
    data_dir: str
    timezone: str
    shards: int
    event_bus: str
    default_target: Mapping[str, object] | None
    listening: ListenSettings
    max_drift_ms: int
    default_sla_ms: int
    deliver_lead_ms: int
    catch_up_per_minute: int
    max_inflight_per_owner: int | None
    max_inflight_per_target: int | None
    max_rate_per_owner: int | None
    max_rate_per_target: int | None
    reads_per_s: int | None
    writes_per_s: int | None
    webhook_allow: tuple[str, ...]
    own_api: bool
    secrets: SecretSettings
    audit: AuditSettings
    value_bucket: str | None
    ticks: tuple[Frequency, ...]
    ticks_catch_up: int
    auth: str
    jwt: JwtSettings | None
    sessions: SessionSettings
    opa: OpaSettings | None
    public_ops: bool
    trusted_proxies: tuple[Network, ...]
    bootstrap_key: str | None
    page_token_secret: str | None
    tracing: bool
    telemetry: TelemetrySettings
    webhook_timeout_ms: int
    attempt_timeout_ms: int
    max_attempts: int
    retention_ms: int
    changes_retention_ms: int
    failure_threshold: float
    memory_limit_bytes: int | None
    job_limit: int | None
    slot_gap_ms: int
    log_level: str
    loopback: bool

    def required_page_token_secret(self) -> str:
        """The secret that signs page tokens; raises SettingsError where the deployment gave none."""
        if self.page_token_secret is None:
            raise SettingsError(
                "CHRONO_PAGE_TOKEN_SECRET", f"is required beyond loopback: {SECRET_MIN_CHARS} random characters or more"
            )
        return self.page_token_secret


def from_environment() -> Settings:
    """The settings of this process, from its environment and its configuration file; raises SettingsError."""
    stated = configuration.read(os.environ, VARIABLES)
    try:
        return load({**stated.values, **os.environ})
    except SettingsError as problem:
        place, says = stated.places.get(problem.variable), str(problem).removeprefix(f"{problem.variable}: ")
        if problem.variable in os.environ:
            raise
        if place is not None:
            raise SettingsError(place, says) from None
        if stated.places and (missing := file_keys.place_of(problem.variable)):
            raise SettingsError(problem.variable, f"{says} (in the file: {missing})") from None
        raise


def environment() -> dict[str, str]:
    """The environment of this process, with what its configuration file adds; raises SettingsError."""
    return {**configuration.read(os.environ, VARIABLES).values, **os.environ}


def environment_secret(name: str) -> str | None:
    """The variable that ``env:NAME`` means. The service's own variables and AWS's credentials are no one's target."""
    return None if name in VARIABLES or name.startswith("AWS_") else os.environ.get(name)


def load(env: Mapping[str, str]) -> Settings:
    """The settings that ``env`` states, defaults filled in; raises SettingsError for the first that is wrong."""
    stage = variables.word(env, "CHRONO_STAGE", LOCAL_STAGE, 32)
    host = env.get("CHRONO_HTTP_HOST") or "127.0.0.1"
    endpoint = _endpoint(env)
    on_lambda = bool(env.get("AWS_LAMBDA_FUNCTION_NAME"))
    loopback = _loopback(stage, host, endpoint, on_lambda)
    auth = _auth(env, loopback)
    return Settings(
        stage=stage,
        http_host=host,
        http_port=variables.integer(env, "CHRONO_HTTP_PORT", 8080, 1, 65_535),
        grpc_port=variables.port_or_off(env, "CHRONO_GRPC_PORT", 9090),
        read_timeout_ms=variables.integer(env, "CHRONO_READ_TIMEOUT_MS", READ_TIMEOUT_MS, 100, 600_000),
        write_timeout_ms=variables.integer(env, "CHRONO_WRITE_TIMEOUT_MS", WRITE_TIMEOUT_MS, 100, 600_000),
        tls_cert=variables.path_of_file(env, "CHRONO_TLS_CERT", needed_by=("CHRONO_TLS_KEY", "CHRONO_TLS_CLIENT_CA")),
        tls_key=variables.path_of_file(env, "CHRONO_TLS_KEY", needed_by=("CHRONO_TLS_CERT",)),
        tls_client_ca=variables.path_of_file(env, "CHRONO_TLS_CLIENT_CA"),
        emulator_port=variables.integer(env, "CHRONO_EMULATOR_PORT", 4566, 1, 65_535),
        endpoint_url=endpoint,
        region=env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1",
        on_lambda=on_lambda,
        db_dsn=dsn_setting.read(env, on_lambda),
        data_dir=env.get("CHRONO_DATA_DIR") or ".chronowatch",
        timezone=_timezone(env),
        shards=variables.integer(env, "CHRONO_SHARDS", SHARDS_DEFAULT, 1, SHARDS_MAX),
        event_bus=variables.word(env, "CHRONO_EVENT_BUS", "chronowatch", 256),
        default_target=default_target.read(env),
        listening=listen_settings.load(env, loopback, on_lambda),
        max_drift_ms=variables.integer(env, "CHRONO_MAX_DRIFT_MS", 20, 0, 10_000),
        default_sla_ms=variables.integer(env, "CHRONO_DEFAULT_SLA_MS", SLA_DEFAULT_MS, 0, DURATION_MAX_MS),
        deliver_lead_ms=variables.integer(env, "CHRONO_DELIVER_LEAD_MS", 1000, 0, 15_000),
        catch_up_per_minute=variables.integer(
            env, "CHRONO_CATCH_UP_PER_MINUTE", CATCH_UP_PER_MINUTE, 1, CATCH_UP_PER_MINUTE_MAX
        ),
        max_inflight_per_owner=_bound(env, "CHRONO_MAX_INFLIGHT_PER_OWNER"),
        max_inflight_per_target=_bound(env, "CHRONO_MAX_INFLIGHT_PER_TARGET"),
        max_rate_per_owner=_bound(env, "CHRONO_MAX_RATE_PER_OWNER"),
        max_rate_per_target=_bound(env, "CHRONO_MAX_RATE_PER_TARGET"),
        reads_per_s=variables.integer(env, "CHRONO_RATE_READS_PER_S", 0, 0, RATE_MAX_PER_S) or None,
        writes_per_s=variables.integer(env, "CHRONO_RATE_WRITES_PER_S", 0, 0, RATE_MAX_PER_S) or None,
        webhook_allow=allow_setting.read(env, loopback),
        own_api=variables.choice(env, "CHRONO_WEBHOOK_OWN_API", "refuse", ("refuse", "allow")) == "allow",
        secrets=secret_settings.load(env, loopback),
        audit=audit_settings.load(env),
        value_bucket=value_bucket.read(env, stage, is_loopback_host(urlsplit(endpoint or "").hostname or "")),
        ticks=tick_setting.read(env, on_lambda),
        ticks_catch_up=variables.integer(
            env, "CHRONO_TICKS_CATCH_UP", TICK_CATCH_UP_MAX_COUNT, 0, TICK_CATCH_UP_LIMIT_COUNT
        ),
        auth=auth,
        jwt=jwt_settings.read(env) if "jwt" in auth.split(",") else None,
        sessions=session_settings.read(env, loopback, auth),
        opa=opa_settings.read(env),
        public_ops=variables.choice(env, "CHRONO_PUBLIC_OPS", "0", ("0", "1")) == "1",
        trusted_proxies=proxies_setting.read(env),
        bootstrap_key=bootstrap_setting.read(env, auth),
        page_token_secret=_page_token_secret(env, loopback),
        tracing=variables.choice(env, "CHRONO_TRACING", "off", ("off", "xray")) == "xray",
        telemetry=telemetry_settings.load(env),
        webhook_timeout_ms=variables.duration(
            env, "JOB_EXECUTION_TIMEOUT", WEBHOOK_TIMEOUT_DEFAULT_MS, 1, WEBHOOK_TIMEOUT_MAX_MS
        ),
        attempt_timeout_ms=variables.duration(env, "JOB_INPROGRESS_TIMEOUT", TIMEOUT_DEFAULT_MS, 1, DURATION_MAX_MS),
        max_attempts=variables.integer(env, "MAX_EXECUTION_ATTEMPTS", 3, 1, RETRY_MAX_ATTEMPTS),
        retention_ms=variables.duration(
            env, "EXECUTION_HISTORY_RETENTION", HISTORY_RETENTION_S * 1000, 60_000, 3660 * DAY_MS
        ),
        changes_retention_ms=variables.duration(
            env, "CHRONO_CHANGES_RETENTION", CHANGES_RETENTION_S * 1000, 1000, 3660 * DAY_MS
        ),
        failure_threshold=variables.ratio(env, "HEALTH_FAILURE_THRESHOLD", 0.1),
        memory_limit_bytes=_memory_limit(env, on_lambda),
        job_limit=variables.integer(env, "QUEUE_JOB_LIMIT", 0 if on_lambda else JOB_LIMIT_DEFAULT, 0, 999_999_999)
        or None,
        slot_gap_ms=variables.duration(env, "SLOT_GAP", MESSAGE_SPAN_MS, 1000, MESSAGE_SPAN_MS),
        log_level=variables.choice({"LOG_LEVEL": env.get("LOG_LEVEL", "").upper()}, "LOG_LEVEL", "INFO", LOG_LEVELS),
        loopback=loopback,
    )


def is_loopback_host(host: str) -> bool:
    """Whether ``host`` is an address that only this machine can reach (or the name every machine gives to that)."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _loopback(stage: str, host: str, endpoint: str | None, on_lambda: bool) -> bool:
    """A local process is as reachable as the address it binds; a Lambda on an emulator as the emulator's address."""
    if on_lambda or stage != LOCAL_STAGE:
        return endpoint is not None and is_loopback_host(urlsplit(endpoint).hostname or "")
    return is_loopback_host(host)


def _memory_limit(env: Mapping[str, str], on_lambda: bool) -> int | None:
    """What all schedules together may weigh: a size, or a percentage of the memory of this machine. On Lambda there is
    no machine that they would fill, and no limit unless one is given."""
    size = variables.size(env, "QUEUE_MEMORY_LIMIT")
    percent = variables.ratio(env, "QUEUE_MEMORY_PERCENT", 0 if on_lambda else MEMORY_PERCENT_DEFAULT, 100)
    if size is not None:
        return size
    return int(_machine_memory_bytes() * percent / 100) or None


def _machine_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _endpoint(env: Mapping[str, str]) -> str | None:
    text = env.get("AWS_ENDPOINT_URL", "").strip().rstrip("/")
    if not text:
        return None
    try:
        parts = urlsplit(text)
        well_formed = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        well_formed = False
    if not well_formed:
        raise SettingsError("AWS_ENDPOINT_URL", f"must be a URL such as http://127.0.0.1:4566, not {text[:80]!r}")
    return text


def _timezone(env: Mapping[str, str]) -> str:
    name = env.get("CHRONO_TZ", "").strip() or "UTC"
    if name == "UTC":
        return name
    import zoneinfo  # loaded for a zone of its own: each function pays for its imports at a cold start

    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError("CHRONO_TZ", f"must be an IANA time zone such as Europe/Paris, not {name[:40]!r}") from None
    return name


def _bound(env: Mapping[str, str], name: str) -> int | None:
    """A limit of deliveries; None for 0."""
    return variables.integer(env, name, 0, 0, IN_FLIGHT_LIMIT_MAX) or None


def _auth(env: Mapping[str, str], loopback: bool) -> str:
    choice = env.get("CHRONO_AUTH", "").strip()
    if not choice:
        return "off" if loopback else "deny"
    kinds = [kind.strip() for kind in choice.split(",")]
    if set(kinds) <= {"jwt", "apikey"}:
        return ",".join(sorted(set(kinds), reverse=True))
    variables.choice(env, "CHRONO_AUTH", "deny", ("off", "deny", "jwt", "apikey", "jwt,apikey"))
    if choice == "off" and not loopback:
        raise SettingsError(
            "CHRONO_AUTH", "off is only for a service bound to loopback: use jwt or apikey, or bind 127.0.0.1"
        )
    return choice


def _page_token_secret(env: Mapping[str, str], loopback: bool) -> str | None:
    secret = env.get("CHRONO_PAGE_TOKEN_SECRET", "")
    if secret:
        if len(secret) < SECRET_MIN_CHARS:
            raise SettingsError("CHRONO_PAGE_TOKEN_SECRET", f"must have at least {SECRET_MIN_CHARS} characters")
        return secret
    return LOCAL_PAGE_TOKEN_SECRET if loopback else None
