"""``GET /metrics``: who may, in which format, and what it shows at once."""

from __future__ import annotations

from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from chalicelib.adapters.identity import chain
from chalicelib.core.telemetry import exposition
from tests.kit.house import House

OPENMETRICS = {"accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.3"}


def samples(house: House) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = house.call("GET", "/metrics")
    assert answer.status == 200
    families = text_string_to_metric_families(answer.body.decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def test_shows_what_this_process_counted_at_once(house: House) -> None:
    house.call("GET", "/api/v1/time/now")
    house.call("POST", "/api/v1/leases:acquire", {"name": "reports", "holder_id": "a", "ttl_ms": 60_000})
    house.make()
    found = samples(house)
    assert found["chronowatch_time_now_latency_ms_count", ()] == 1
    assert found["chronowatch_lease_acquire_total", (("result", "granted"),)] == 1
    assert found["chronowatch_lease_held_gauge", (("name", "reports"),)] == 1
    assert found["chronowatch_schedules_total", (("enabled", "true"), ("type", "RATE"))] == 1
    assert samples(house) == found, "reading counts nothing"


def test_the_format_is_the_one_that_is_asked_for(house: House) -> None:
    text, openmetrics = house.call("GET", "/metrics"), house.call("GET", "/metrics", headers=OPENMETRICS)
    assert text.headers["Content-Type"] == exposition.TEXT
    assert openmetrics.headers["Content-Type"] == exposition.OPENMETRICS
    assert openmetrics.body.endswith(b"# EOF\n")
    assert text.headers["Vary"] == "Accept"
    assert house.call("HEAD", "/metrics").status == 200


def test_is_closed_unless_the_deployment_opens_it(house: House) -> None:
    house.authenticator = chain.choose("deny", {}, None)
    assert house.call("GET", "/metrics").status == 401
    house.settings.public_ops = True
    assert house.call("GET", "/metrics").status == 200
    assert house.call("GET", "/debug/cluster").status == 401


def test_on_lambda_it_says_where_the_metrics_are(house: House) -> None:
    config = replace(house.services.config, counts_kept=False)
    house.services = replace(house.services, config=config)
    answer = house.call("GET", "/metrics")
    assert answer.body.startswith(b"# This deployment writes its metrics to its log")
    assert b"chronowatch_clock_drift_ms" in answer.body
