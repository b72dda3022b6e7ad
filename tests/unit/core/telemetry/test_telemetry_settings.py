from __future__ import annotations

import pytest

from chalicelib.core.errors import SettingsError
from chalicelib.core.telemetry.telemetry_settings import load, trace_url

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318/"}


def test_off_unless_a_collector_is_named() -> None:
    assert load({}) == (None, 1.0, None, False)
    assert load({"OTEL_SERVICE_NAME": "x"}).otlp is None


def test_what_opentelemetry_names_is_taken() -> None:
    otlp = load(
        {
            **ENDPOINT,
            "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20t%3D, x-a=b",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=prod,service.name=no",
            "OTEL_SERVICE_NAME": "clock",
        }
    ).otlp
    assert otlp is not None
    assert otlp.endpoint == "http://127.0.0.1:4318"
    assert otlp.headers == {"authorization": "Bearer t=", "x-a": "b"}
    assert otlp.resource == {"deployment.environment.name": "prod", "service.name": "clock"}
    assert "Bearer" not in repr(otlp)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "127.0.0.1:4318"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:pw@host"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://host/?token=x"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=%0d%0aHost:x"),
        ("OTEL_RESOURCE_ATTRIBUTES", "=1"),
        ("CHRONO_TRACE_SAMPLE", "2"),
        ("CHRONO_TRACE_URL_TEMPLATE", "https://traces.example/"),
        ("CHRONO_TRACE_URL_TEMPLATE", "javascript:alert('{trace_id}')"),
        ("CHRONO_REQUEST_LOG", "yes"),
    ],
)
def test_a_wrong_value_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({**ENDPOINT, name: value})
    assert caught.value.variable == name
    assert "pw" not in str(caught.value) or name == "OTEL_EXPORTER_OTLP_ENDPOINT"


def test_the_address_of_a_trace_holds_its_id() -> None:
    template = load({"CHRONO_TRACE_URL_TEMPLATE": "https://t.example/trace/{trace_id}"}).url_template
    assert trace_url(template, "ab") == "https://t.example/trace/ab"
    assert trace_url(None, "ab") is None
