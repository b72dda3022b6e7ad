"""The keys of the configuration file, by section, and the variable of each.

A key that is no plain value of one variable is in ``SHAPED``: ``file_values`` knows what it means.
"""

from __future__ import annotations

from typing import Final

SECTIONS: Final[dict[str, dict[str, str]]] = {
    "server": {
        "stage": "CHRONO_STAGE",
        "read_timeout_ms": "CHRONO_READ_TIMEOUT_MS",
        "write_timeout_ms": "CHRONO_WRITE_TIMEOUT_MS",
        "rate_reads_per_s": "CHRONO_RATE_READS_PER_S",
        "rate_writes_per_s": "CHRONO_RATE_WRITES_PER_S",
        "public_ops": "CHRONO_PUBLIC_OPS",
        "trusted_proxies": "CHRONO_TRUSTED_PROXIES",
        "page_token_secret": "CHRONO_PAGE_TOKEN_SECRET",
    },
    "security": {
        "ca_cert_path": "CHRONO_TLS_CLIENT_CA",
        "server_cert_path": "CHRONO_TLS_CERT",
        "server_key_path": "CHRONO_TLS_KEY",
        "auth": "CHRONO_AUTH",
        "bootstrap_key": "CHRONO_BOOTSTRAP_KEY",
        "jwt_issuer": "CHRONO_JWT_ISSUER",
        "jwt_audience": "CHRONO_JWT_AUDIENCE",
        "jwks_url": "CHRONO_JWKS_URL",
        "console_origin": "CHRONO_CONSOLE_ORIGIN",
        "oidc_client_id": "CHRONO_OIDC_CLIENT_ID",
        "oidc_client_secret": "CHRONO_OIDC_CLIENT_SECRET",
        "oidc_scopes": "CHRONO_OIDC_SCOPES",
        "jwt_tenant_claim": "CHRONO_JWT_TENANT_CLAIM",
        "jwt_subject_claim": "CHRONO_JWT_SUBJECT_CLAIM",
        "jwt_roles_claim": "CHRONO_JWT_ROLES_CLAIM",
        "opa_url": "CHRONO_OPA_URL",
        "webhook_allow": "CHRONO_WEBHOOK_ALLOW",
        "webhook_own_api": "CHRONO_WEBHOOK_OWN_API",
        "webhook_signing_key": "CHRONO_WEBHOOK_SIGNING_KEY",
        "header_secrets": "CHRONO_HEADER_SECRETS",
        "vault_addr": "CHRONO_VAULT_ADDR",
        "vault_token": "CHRONO_VAULT_TOKEN",
        "vault_role_id": "CHRONO_VAULT_ROLE_ID",
        "vault_secret_id": "CHRONO_VAULT_SECRET_ID",
        "vault_namespace": "CHRONO_VAULT_NAMESPACE",
        "vault_ca_file": "CHRONO_VAULT_CA_FILE",
        "kms_key_id": "CHRONO_KMS_KEY_ID",
        "audit": "CHRONO_AUDIT",
        "audit_retention": "CHRONO_AUDIT_RETENTION",
        "audit_bucket": "CHRONO_AUDIT_BUCKET",
        "audit_kms_key_id": "CHRONO_AUDIT_KMS_KEY_ID",
    },
    "time": {
        "timezone": "CHRONO_TZ",
        "max_drift_ms": "CHRONO_MAX_DRIFT_MS",
    },
    "scheduler": {
        "default_sla_ms": "CHRONO_DEFAULT_SLA_MS",
        "shards": "CHRONO_SHARDS",
        "deliver_lead_ms": "CHRONO_DELIVER_LEAD_MS",
        "catch_up_per_minute": "CHRONO_CATCH_UP_PER_MINUTE",
        "max_inflight_per_owner": "CHRONO_MAX_INFLIGHT_PER_OWNER",
        "max_inflight_per_target": "CHRONO_MAX_INFLIGHT_PER_TARGET",
        "max_rate_per_owner": "CHRONO_MAX_RATE_PER_OWNER",
        "max_rate_per_target": "CHRONO_MAX_RATE_PER_TARGET",
        "ticks": "CHRONO_TICKS",
        "ticks_catch_up": "CHRONO_TICKS_CATCH_UP",
        "listen": "CHRONO_LISTEN",
        "trigger_queues": "CHRONO_TRIGGER_QUEUES",
        "slot_gap": "SLOT_GAP",
        "execution_timeout": "JOB_EXECUTION_TIMEOUT",
        "inprogress_timeout": "JOB_INPROGRESS_TIMEOUT",
        "max_attempts": "MAX_EXECUTION_ATTEMPTS",
        "job_limit": "QUEUE_JOB_LIMIT",
        "memory_limit": "QUEUE_MEMORY_LIMIT",
        "memory_percent": "QUEUE_MEMORY_PERCENT",
    },
    "db": {
        "endpoint_url": "AWS_ENDPOINT_URL",
        "region": "AWS_REGION",
        "data_dir": "CHRONO_DATA_DIR",
        "value_bucket": "CHRONO_VALUE_BUCKET",
        "emulator_port": "CHRONO_EMULATOR_PORT",
        "history_retention": "EXECUTION_HISTORY_RETENTION",
        "changes_retention": "CHRONO_CHANGES_RETENTION",
    },
    "observability": {
        "otlp_headers": "OTEL_EXPORTER_OTLP_HEADERS",
        "otlp_protocol": "OTEL_EXPORTER_OTLP_PROTOCOL",
        "otlp_certificate": "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "service_name": "OTEL_SERVICE_NAME",
        "resource_attributes": "OTEL_RESOURCE_ATTRIBUTES",
        "trace_sample": "CHRONO_TRACE_SAMPLE",
        "trace_url_template": "CHRONO_TRACE_URL_TEMPLATE",
        "tracing": "CHRONO_TRACING",
        "request_log": "CHRONO_REQUEST_LOG",
        "log_level": "LOG_LEVEL",
        "health_failure_threshold": "HEALTH_FAILURE_THRESHOLD",
    },
}
# Keys that mean more, or less, than a variable: with the variables that they may set.
SHAPED: Final[dict[str, tuple[str, ...]]] = {
    "server.http_addr": ("CHRONO_HTTP_HOST", "CHRONO_HTTP_PORT"),
    "server.grpc_addr": ("CHRONO_GRPC_PORT",),
    "security.mtls_enabled": (),
    "security.opa_policy_path": ("CHRONO_OPA_POLICY_PATH",),
    "scheduler.event_bus": ("CHRONO_EVENT_BUS", "CHRONO_DEFAULT_TARGET"),
    "scheduler.event_topic": (),
    "scheduler.event_brokers": (),
    "db.dsn": ("CHRONO_DB_DSN",),
    "observability.prometheus_path": (),
    "observability.otlp_endpoint": ("OTEL_EXPORTER_OTLP_ENDPOINT",),
}
# What says where the file is, and what only the machine that runs the process can know.
NOT_IN_THE_FILE: Final = ("CHRONO_CONFIG", "AWS_DEFAULT_REGION", "AWS_LAMBDA_FUNCTION_NAME")


def keys_of(section: str) -> tuple[str, ...]:
    """All keys of a section."""
    shaped = (name.partition(".")[2] for name in SHAPED if name.startswith(f"{section}."))
    return (*shaped, *SECTIONS[section])


def place_of(variable: str) -> str | None:
    """The ``section.key`` that means no more and no less than this variable; None where there is none."""
    return next(
        (f"{section}.{key}" for section, keys in SECTIONS.items() for key in keys if keys[key] == variable), None
    )
