"""What a deployment chooses about traces and logs, read out of its variables. Imported before anything is installed.

``OTEL_…`` are OpenTelemetry's own names: a machine that sets them for its other services needs no more.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import unquote, urlsplit

from chalicelib.core import variables
from chalicelib.core.errors import SettingsError

VARIABLES: Final = (
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_SERVICE_NAME",
    "OTEL_RESOURCE_ATTRIBUTES",
    "CHRONO_TRACE_SAMPLE",
    "CHRONO_TRACE_URL_TEMPLATE",
    "CHRONO_REQUEST_LOG",
)
TRACE_ID: Final = "{trace_id}"
TRACES_PATH: Final = "/v1/traces"
SERVICE_NAME: Final = "chronowatch"


class OtlpSettings(NamedTuple):
    """The collector: its URL without ``/v1/traces``, and what is sent with every call to it."""

    endpoint: str
    headers: Mapping[str, str]
    ca_file: str | None
    resource: Mapping[str, str]

    def __repr__(self) -> str:
        """Without the headers, which may hold a token: a repr ends in logs."""
        return f"OtlpSettings(endpoint={self.endpoint!r})"


class TelemetrySettings(NamedTuple):
    """``otlp`` is None where no traces are exported. ``sample`` is the share of traces that are."""

    otlp: OtlpSettings | None = None
    sample: float = 1.0
    url_template: str | None = None
    request_log: bool = False


def load(env: Mapping[str, str]) -> TelemetrySettings:
    """The choices that ``env`` states. Raises SettingsError for the first that is wrong."""
    return TelemetrySettings(
        otlp=_otlp(env),
        sample=variables.ratio(env, "CHRONO_TRACE_SAMPLE", 1.0),
        url_template=_url_template(env),
        request_log=variables.choice(env, "CHRONO_REQUEST_LOG", "off", ("off", "on")) == "on",
    )


def _otlp(env: Mapping[str, str]) -> OtlpSettings | None:
    endpoint = env.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip().rstrip("/")
    if not endpoint:
        return None
    if not _is_http(endpoint):
        raise SettingsError(
            "OTEL_EXPORTER_OTLP_ENDPOINT", f"must be a URL such as http://127.0.0.1:4318, not {endpoint[:80]!r}"
        )
    # A collector takes both encodings at one port, so a machine's general http/protobuf means us as well.
    variables.choice(env, "OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", ("http/json", "http/protobuf"))
    resource = _pairs(env, "OTEL_RESOURCE_ATTRIBUTES")
    name = env.get("OTEL_SERVICE_NAME", "").strip() or resource.get("service.name") or SERVICE_NAME
    return OtlpSettings(
        endpoint=endpoint,
        headers=_headers(env),
        ca_file=variables.path_of_file(env, "OTEL_EXPORTER_OTLP_CERTIFICATE"),
        resource={**resource, "service.name": name},
    )


def _is_http(text: str) -> bool:
    try:
        parts = urlsplit(text)
        plain = not (parts.username or parts.query or parts.fragment) and bool(re.fullmatch(r"[\x21-\x7e]+", text))
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0 and plain
    except ValueError:
        return False


def _headers(env: Mapping[str, str]) -> dict[str, str]:
    found = _pairs(env, "OTEL_EXPORTER_OTLP_HEADERS")
    for name, value in found.items():  # the value may be a token: the error must not quote it
        if not re.fullmatch(r"[A-Za-z0-9_.-]+", name) or not re.fullmatch(r"[\x20-\x7e]*", value):
            raise SettingsError("OTEL_EXPORTER_OTLP_HEADERS", "must hold names and values of visible ASCII letters")
    return found


def _pairs(env: Mapping[str, str], name: str) -> dict[str, str]:
    """``a=1,b=2``, with values percent-encoded, as the specification of OpenTelemetry's variables has it."""
    found = {}
    for part in filter(None, (part.strip() for part in env.get(name, "").split(","))):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise SettingsError(name, "must be a list such as name=value,other=value")
        found[key.strip()] = unquote(value.strip())
    return found


def _url_template(env: Mapping[str, str]) -> str | None:
    text = env.get("CHRONO_TRACE_URL_TEMPLATE", "").strip()
    if text and (TRACE_ID not in text or not _is_template(text)):
        raise SettingsError(
            "CHRONO_TRACE_URL_TEMPLATE", f"must be an http(s) URL that holds {TRACE_ID}, not {text[:80]!r}"
        )
    return text or None


def _is_template(text: str) -> bool:
    return bool(re.fullmatch(r"https?://[^/\s\"'<>]+[\x21\x23-\x26\x28-\x3b\x3d\x3f-\x7e]*", text))


def trace_url(template: str | None, trace_id: str) -> str | None:
    """Where a trace can be read; None without a template."""
    return None if template is None else template.replace(TRACE_ID, trace_id)
