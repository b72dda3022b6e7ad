"""What a deployment chooses, read once from the environment and validated whole.

This is the only module that reads ``os.environ``. Every variable has a row in docs/configuration.md (a test compares
the two). A wrong value stops the start of the process with one line that names the variable and what would be right.
"""

from __future__ import annotations

import ipaddress
import os
import re
import zoneinfo
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from chalicelib.core.cluster.limits import SHARDS_DEFAULT, SHARDS_MAX
from chalicelib.core.errors import SettingsError
from chalicelib.core.executions.limits import HISTORY_RETENTION_S, MESSAGE_SPAN_MS
from chalicelib.core.limits import DURATION_MAX_MS
from chalicelib.core.policies.limits import CATCH_UP_PER_MINUTE, CATCH_UP_PER_MINUTE_MAX
from chalicelib.core.schedules.limits import RETRY_MAX_ATTEMPTS, TIMEOUT_DEFAULT_MS
from chalicelib.core.security import bootstrap_setting, jwt_settings
from chalicelib.core.security.jwt_settings import JwtSettings
from chalicelib.core.security.source import Network
from chalicelib.core.targets.limits import WEBHOOK_TIMEOUT_DEFAULT_MS, WEBHOOK_TIMEOUT_MAX_MS
from chalicelib.core.ticks.frequencies import FREQUENCIES, Frequency
from chalicelib.core.ticks.limits import TICK_CATCH_UP_LIMIT_COUNT, TICK_CATCH_UP_MAX_COUNT
from chalicelib.process.limits import IN_FLIGHT_LIMIT_MAX

VARIABLES = (
    "CHRONO_STAGE",
    "CHRONO_HTTP_HOST",
    "CHRONO_HTTP_PORT",
    "CHRONO_EMULATOR_PORT",
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_LAMBDA_FUNCTION_NAME",
    "CHRONO_DATA_DIR",
    "CHRONO_TZ",
    "CHRONO_SHARDS",
    "CHRONO_EVENT_BUS",
    "CHRONO_MAX_DRIFT_MS",
    "CHRONO_DELIVER_LEAD_MS",
    "CHRONO_CATCH_UP_PER_MINUTE",
    "CHRONO_MAX_INFLIGHT_PER_OWNER",
    "CHRONO_MAX_INFLIGHT_PER_TARGET",
    "CHRONO_MAX_RATE_PER_OWNER",
    "CHRONO_MAX_RATE_PER_TARGET",
    "CHRONO_WEBHOOK_ALLOW",
    "CHRONO_TICKS",
    "CHRONO_TICKS_CATCH_UP",
    "CHRONO_AUTH",
    "CHRONO_JWT_ISSUER",
    "CHRONO_JWT_AUDIENCE",
    "CHRONO_JWKS_URL",
    "CHRONO_JWT_TENANT_CLAIM",
    "CHRONO_JWT_SUBJECT_CLAIM",
    "CHRONO_JWT_ROLES_CLAIM",
    "CHRONO_PUBLIC_OPS",
    "CHRONO_TRUSTED_PROXIES",
    "CHRONO_BOOTSTRAP_KEY",
    "CHRONO_PAGE_TOKEN_SECRET",
    "CHRONO_TRACING",
    "JOB_EXECUTION_TIMEOUT",
    "JOB_INPROGRESS_TIMEOUT",
    "MAX_EXECUTION_ATTEMPTS",
    "EXECUTION_HISTORY_RETENTION",
    "HEALTH_FAILURE_THRESHOLD",
    "QUEUE_MEMORY_LIMIT",
    "QUEUE_MEMORY_PERCENT",
    "QUEUE_JOB_LIMIT",
    "SLOT_GAP",
    "LOG_LEVEL",
)

LOCAL_STAGE = "local"
LOOPBACK_ALLOW = ("127.0.0.1", "::1", "localhost")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
SECRET_MIN_CHARS = 32
DAY_MS = 86_400_000
UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}
UNITS_BYTES = {"B": 1, "KB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}
JOB_LIMIT_DEFAULT = 100_000
MEMORY_PERCENT_DEFAULT = 50
# Callers on this machine can read everything anyway, and several instances over one endpoint must accept each other's
# page tokens: so instances bound to loopback share a secret that is none.
LOCAL_PAGE_TOKEN_SECRET = "chronowatch-on-loopback-needs-no-secret"  # noqa: S105


class Settings(NamedTuple):  # no struct: scripts/dev reads it before anything is installed
    """The validated choices of one process. Durations are milliseconds.

    ``loopback`` says that only this machine can reach the service. ``auth`` is ``off`` (every caller is admin, only
    ever with ``loopback``), ``deny`` (every request is answered 401) or a list of ``jwt`` and ``apikey``. ``jwt`` is
    None where it is not in that list. ``public_ops`` opens /health and /metrics to callers without credentials.
    ``page_token_secret`` is None where none was given and none can be assumed: the API then refuses to start.
    ``job_limit``, ``memory_limit_bytes``, ``max_inflight_*`` and ``max_rate_*`` are None where there is no limit.
    """

    stage: str
    http_host: str
    http_port: int
    emulator_port: int
    endpoint_url: str | None
    region: str
    on_lambda: bool
    data_dir: str
    timezone: str
    shards: int
    event_bus: str
    max_drift_ms: int
    deliver_lead_ms: int
    catch_up_per_minute: int
    max_inflight_per_owner: int | None
    max_inflight_per_target: int | None
    max_rate_per_owner: int | None
    max_rate_per_target: int | None
    webhook_allow: tuple[str, ...]
    ticks: tuple[Frequency, ...]
    ticks_catch_up: int
    auth: str
    jwt: JwtSettings | None
    public_ops: bool
    trusted_proxies: tuple[Network, ...]
    bootstrap_key: str | None
    page_token_secret: str | None
    tracing: bool
    webhook_timeout_ms: int
    attempt_timeout_ms: int
    max_attempts: int
    retention_ms: int
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
    """The settings of this process; raises SettingsError."""
    return load(os.environ)


def load(env: Mapping[str, str]) -> Settings:
    """The settings that ``env`` states, defaults filled in; raises SettingsError for the first that is wrong."""
    stage = _name(env, "CHRONO_STAGE", LOCAL_STAGE, 32)
    host = env.get("CHRONO_HTTP_HOST") or "127.0.0.1"
    endpoint = _endpoint(env)
    on_lambda = bool(env.get("AWS_LAMBDA_FUNCTION_NAME"))
    loopback = _loopback(stage, host, endpoint, on_lambda)
    auth = _auth(env, loopback)
    return Settings(
        stage=stage,
        http_host=host,
        http_port=_integer(env, "CHRONO_HTTP_PORT", 8080, 1, 65_535),
        emulator_port=_integer(env, "CHRONO_EMULATOR_PORT", 4566, 1, 65_535),
        endpoint_url=endpoint,
        region=env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1",
        on_lambda=on_lambda,
        data_dir=env.get("CHRONO_DATA_DIR") or ".chronowatch",
        timezone=_timezone(env),
        shards=_integer(env, "CHRONO_SHARDS", SHARDS_DEFAULT, 1, SHARDS_MAX),
        event_bus=_name(env, "CHRONO_EVENT_BUS", "chronowatch", 256),
        max_drift_ms=_integer(env, "CHRONO_MAX_DRIFT_MS", 20, 0, 10_000),
        deliver_lead_ms=_integer(env, "CHRONO_DELIVER_LEAD_MS", 1000, 0, 15_000),
        catch_up_per_minute=_integer(
            env, "CHRONO_CATCH_UP_PER_MINUTE", CATCH_UP_PER_MINUTE, 1, CATCH_UP_PER_MINUTE_MAX
        ),
        max_inflight_per_owner=_bound(env, "CHRONO_MAX_INFLIGHT_PER_OWNER"),
        max_inflight_per_target=_bound(env, "CHRONO_MAX_INFLIGHT_PER_TARGET"),
        max_rate_per_owner=_bound(env, "CHRONO_MAX_RATE_PER_OWNER"),
        max_rate_per_target=_bound(env, "CHRONO_MAX_RATE_PER_TARGET"),
        webhook_allow=_webhook_allow(env, loopback),
        ticks=_ticks(env, on_lambda),
        ticks_catch_up=_integer(env, "CHRONO_TICKS_CATCH_UP", TICK_CATCH_UP_MAX_COUNT, 0, TICK_CATCH_UP_LIMIT_COUNT),
        auth=auth,
        jwt=jwt_settings.read(env) if "jwt" in auth.split(",") else None,
        public_ops=_choice(env, "CHRONO_PUBLIC_OPS", "0", ("0", "1")) == "1",
        trusted_proxies=_trusted_proxies(env),
        bootstrap_key=bootstrap_setting.read(env, auth),
        page_token_secret=_page_token_secret(env, loopback),
        tracing=_choice(env, "CHRONO_TRACING", "off", ("off", "xray")) == "xray",
        webhook_timeout_ms=_duration(
            env, "JOB_EXECUTION_TIMEOUT", WEBHOOK_TIMEOUT_DEFAULT_MS, 1, WEBHOOK_TIMEOUT_MAX_MS
        ),
        attempt_timeout_ms=_duration(env, "JOB_INPROGRESS_TIMEOUT", TIMEOUT_DEFAULT_MS, 1, DURATION_MAX_MS),
        max_attempts=_integer(env, "MAX_EXECUTION_ATTEMPTS", 3, 1, RETRY_MAX_ATTEMPTS),
        retention_ms=_duration(env, "EXECUTION_HISTORY_RETENTION", HISTORY_RETENTION_S * 1000, 60_000, 3660 * DAY_MS),
        failure_threshold=_ratio(env, "HEALTH_FAILURE_THRESHOLD", 0.1),
        memory_limit_bytes=_memory_limit(env, on_lambda),
        job_limit=_integer(env, "QUEUE_JOB_LIMIT", 0 if on_lambda else JOB_LIMIT_DEFAULT, 0, 999_999_999) or None,
        slot_gap_ms=_duration(env, "SLOT_GAP", MESSAGE_SPAN_MS, 1000, MESSAGE_SPAN_MS),
        log_level=_choice({"LOG_LEVEL": env.get("LOG_LEVEL", "").upper()}, "LOG_LEVEL", "INFO", LOG_LEVELS),
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


def _integer(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name, "").strip()
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise SettingsError(name, f"must be a whole number from {low} to {high}, not {text[:40]!r}")
    return int(text)


def _duration(env: Mapping[str, str], name: str, default_ms: int, low_ms: int, high_ms: int) -> int:
    """Milliseconds of ``500ms``, ``90s``, ``5m``, ``1h30m`` or ``30d``."""
    text = env.get(name, "").strip()
    if not text:
        return default_ms
    parts = re.findall(r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise SettingsError(name, f"must be a duration such as 500ms, 30s, 5m, 1h30m or 30d, not {text[:40]!r}")
    found = round(sum(float(number) * UNITS_MS[unit] for number, unit in parts))
    if not low_ms <= found <= high_ms:
        raise SettingsError(name, f"must be from {_spoken(low_ms)} to {_spoken(high_ms)}, not {text[:40]!r}")
    return found


def _spoken(duration_ms: int) -> str:
    """A duration in the largest unit that it is whole in."""
    unit = next(u for u in reversed(UNITS_MS) if duration_ms % UNITS_MS[u] == 0)
    return f"{duration_ms // UNITS_MS[unit]}{unit}"


def _size(env: Mapping[str, str], name: str) -> int | None:
    """Bytes of ``2GB``, ``500MB``, ``1.5GB`` or ``1048576`` (units of 1024); None when nothing is set."""
    text = env.get(name, "").strip()
    if not text:
        return None
    found = re.fullmatch(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s?([KMGT]?B)?", text, re.IGNORECASE)
    if found is None or not float(found[1]):
        raise SettingsError(name, f"must be a size such as 2GB, 500MB or 65536, not {text[:40]!r}")
    return max(1, int(float(found[1]) * UNITS_BYTES[(found[2] or "B").upper()]))


def _ratio(env: Mapping[str, str], name: str, default: float, most: float = 1.0) -> float:
    text = env.get(name, "").strip()
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,6})?", text) or float(text) > most:
        raise SettingsError(name, f"must be a number from 0 to {most:g}, not {text[:40]!r}")
    return float(text)


def _memory_limit(env: Mapping[str, str], on_lambda: bool) -> int | None:
    """What all schedules together may weigh: a size, or a percentage of the memory of this machine. On Lambda there is
    no machine that they would fill, and no limit unless one is given."""
    size = _size(env, "QUEUE_MEMORY_LIMIT")
    percent = _ratio(env, "QUEUE_MEMORY_PERCENT", 0 if on_lambda else MEMORY_PERCENT_DEFAULT, 100)
    if size is not None:
        return size
    return int(_machine_memory_bytes() * percent / 100) or None


def _machine_memory_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _choice(env: Mapping[str, str], name: str, default: str, choices: tuple[str, ...]) -> str:
    text = env.get(name, "").strip() or default
    if text not in choices:
        raise SettingsError(name, f"must be one of {', '.join(choices)}, not {text[:40]!r}")
    return text


def _name(env: Mapping[str, str], name: str, default: str, longest: int) -> str:
    text = env.get(name, "").strip() or default
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text) or len(text) > longest:
        raise SettingsError(name, f"must be 1 to {longest} letters, digits, '.', '_' or '-', not {text[:40]!r}")
    return text


def _endpoint(env: Mapping[str, str]) -> str | None:
    text = env.get("AWS_ENDPOINT_URL", "").strip().rstrip("/")
    if not text:
        return None
    parts = urlsplit(text)
    try:
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
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise SettingsError("CHRONO_TZ", f"must be an IANA time zone such as Europe/Paris, not {name[:40]!r}") from None
    return name


def _bound(env: Mapping[str, str], name: str) -> int | None:
    """A limit of deliveries; None for 0."""
    return _integer(env, name, 0, 0, IN_FLIGHT_LIMIT_MAX) or None


def _webhook_allow(env: Mapping[str, str], loopback: bool) -> tuple[str, ...]:
    """Hosts and addresses that webhooks may reach although they are private; set but empty = none."""
    text = env.get("CHRONO_WEBHOOK_ALLOW")
    if text is None:
        return LOOPBACK_ALLOW if loopback else ()
    entries = tuple(entry.strip().lower() for entry in text.split(",") if entry.strip())
    for entry in entries:
        if not re.fullmatch(r"[a-z0-9._-]+|\[?[0-9a-f:.]+\]?|[0-9a-f:.]+/[0-9]{1,3}", entry):
            raise SettingsError(
                "CHRONO_WEBHOOK_ALLOW", f"must list host names, addresses or networks, not {entry[:80]!r}"
            )
    return entries


def _ticks(env: Mapping[str, str], on_lambda: bool) -> tuple[Frequency, ...]:
    """The streams of ticks that run until an admin switches them; set but empty = none. Unset: all; on Lambda, where a
    stream of seconds keeps a function running all the time, all but that one."""
    text = env.get("CHRONO_TICKS")
    if text is None:
        return FREQUENCIES[1:] if on_lambda else FREQUENCIES
    names = {name.strip() for name in text.split(",") if name.strip()}
    if names - set(FREQUENCIES):
        raise SettingsError("CHRONO_TICKS", f"must list some of {', '.join(FREQUENCIES)}, not {text[:80]!r}")
    return tuple(f for f in FREQUENCIES if f in names)


def _auth(env: Mapping[str, str], loopback: bool) -> str:
    choice = env.get("CHRONO_AUTH", "").strip()
    if not choice:
        return "off" if loopback else "deny"
    kinds = [kind.strip() for kind in choice.split(",")]
    if set(kinds) <= {"jwt", "apikey"}:
        return ",".join(sorted(set(kinds), reverse=True))
    _choice(env, "CHRONO_AUTH", "deny", ("off", "deny", "jwt", "apikey", "jwt,apikey"))
    if choice == "off" and not loopback:
        raise SettingsError(
            "CHRONO_AUTH", "off is only for a service bound to loopback: use jwt or apikey, or bind 127.0.0.1"
        )
    return choice


def _trusted_proxies(env: Mapping[str, str]) -> tuple[Network, ...]:
    """The networks whose X-Forwarded-For says where a request comes from."""
    found: list[Network] = []
    for entry in filter(None, (part.strip() for part in env.get("CHRONO_TRUSTED_PROXIES", "").split(","))):
        try:
            found.append(ipaddress.ip_network(entry))
        except ValueError:
            raise SettingsError(
                "CHRONO_TRUSTED_PROXIES", f"must list addresses or networks such as 10.0.0.0/8, not {entry[:80]!r}"
            ) from None
    return tuple(found)


def _page_token_secret(env: Mapping[str, str], loopback: bool) -> str | None:
    secret = env.get("CHRONO_PAGE_TOKEN_SECRET", "")
    if secret:
        if len(secret) < SECRET_MIN_CHARS:
            raise SettingsError("CHRONO_PAGE_TOKEN_SECRET", f"must have at least {SECRET_MIN_CHARS} characters")
        return secret
    return LOCAL_PAGE_TOKEN_SECRET if loopback else None
