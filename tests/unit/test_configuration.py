"""The configuration file: its shape, what wins, and what is said of what is wrong."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chalicelib import configuration, settings
from chalicelib.core.configuration.file_keys import NOT_IN_THE_FILE, SECTIONS, SHAPED, keys_of
from chalicelib.core.configuration.file_values import variables_of
from chalicelib.core.errors import SettingsError
from chalicelib.server.limits import Patience

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / configuration.DEFAULT
LATER = (*settings.VARIABLES, "CHRONO_DEFAULT_TARGET")

# The file as the first description of ChronoWatch shows it.
FIRST = """\
server:
  http_addr: 0.0.0.0:8080
  grpc_addr: 0.0.0.0:9090
  read_timeout_ms: 5000
  write_timeout_ms: 5000
security:
  mtls_enabled: true
  ca_cert_path: /etc/chronowatch/pki/ca.pem
  server_cert_path: /etc/chronowatch/pki/server.pem
  server_key_path: /etc/chronowatch/pki/server.key
  jwt_issuer: https://auth.local/
  jwt_audience: chronowatch
time:
  timezone: Europe/Stockholm
  max_drift_ms: 20
scheduler:
  default_sla_ms: 1000
  shards: 16
  event_bus: kafka
  event_topic: chronowatch.firings.v1
  event_brokers: [kafka:9092]
db:
  dsn: postgresql+asyncpg://user:pass@postgres:5432/chronowatch
observability:
  prometheus_path: /metrics
  otlp_endpoint: http://otel-collector:4318
  log_level: info
"""

Written = Callable[[str], str]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes a file and answers its path."""

    def write(text: str) -> str:
        path = tmp_path / "chronowatch.yaml"
        path.write_text(text)
        return str(path)

    return write


def _read(path: str, known: tuple[str, ...] = settings.VARIABLES) -> dict[str, str]:
    return dict(configuration.read({"CHRONO_CONFIG": path}, known).values)


def _start(path: str | None, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    """What a process with this file takes for its settings, or the one line that it ends with."""
    program = (
        "from chalicelib import settings; from chalicelib.core.errors import SettingsError\n"
        "try: print(settings.from_environment())\n"
        "except SettingsError as problem: raise SystemExit(str(problem))"
    )
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("CHRONO_", "AWS_"))}
    own = {} if path is None else {"CHRONO_CONFIG": path}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env={**inherited, "PYTHONPATH": str(ROOT), **own, **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_first_description_of_the_file_is_understood_whole(written: Written) -> None:
    found = _read(written(FIRST), LATER)
    assert found["CHRONO_HTTP_HOST"] == "0.0.0.0"
    assert (found["CHRONO_HTTP_PORT"], found["CHRONO_GRPC_PORT"]) == ("8080", "9090")
    assert (found["CHRONO_READ_TIMEOUT_MS"], found["CHRONO_TLS_CLIENT_CA"]) == ("5000", "/etc/chronowatch/pki/ca.pem")
    assert (found["CHRONO_AUTH"], found["CHRONO_TZ"], found["LOG_LEVEL"]) == ("jwt", "Europe/Stockholm", "info")
    assert found["CHRONO_DEFAULT_TARGET"] == (
        '{"type": "kafka", "brokers": ["kafka:9092"], "topic": "chronowatch.firings.v1"}'
    )
    assert found["CHRONO_DB_DSN"].startswith("postgresql+asyncpg://")


def test_every_variable_has_a_key_and_every_key_a_variable() -> None:
    """A variable that is new needs a line in file_keys.SECTIONS, and one in the shipped file."""
    in_sections = [name for keys in SECTIONS.values() for name in keys.values()]
    shaped = {name for names in SHAPED.values() for name in names}
    assert len(in_sections) == len(set(in_sections))
    assert not set(in_sections) & shaped
    assert set(settings.VARIABLES) == (set(in_sections) | (shaped & set(settings.VARIABLES)) | set(NOT_IN_THE_FILE))


def test_the_shipped_file_has_every_key_and_says_what_holds_without_it(tmp_path: Path) -> None:
    text = SHIPPED.read_text()
    assert _start(str(SHIPPED)).stdout == _start("").stdout != ""
    uncommented = re.sub(r"^  # ([a-z_]+:)", r"  \1", text, flags=re.MULTILINE)
    keys: dict[str, list[str]] = {}
    for line in uncommented.splitlines():
        if found := re.match(r"([a-z]+):", line):
            keys[found[1]] = []
        elif found := re.match(r"  ([a-z_]+):", line):
            keys[list(keys)[-1]].append(found[1])
    assert {section: set(found) for section, found in keys.items()} == {
        section: set(keys_of(section)) for section in SECTIONS
    }


def test_the_server_waits_as_long_as_the_settings_say_by_default() -> None:
    chosen = settings.load({})
    assert (chosen.read_timeout_ms, chosen.write_timeout_ms) == (Patience().body_s * 1000, Patience().stall_s * 1000)


def test_a_variable_wins_over_the_file_and_the_file_over_the_default(written: Written) -> None:
    path = written("server:\n  http_addr: 127.0.0.1:9001\nscheduler:\n  shards: 4\n")
    assert "http_port=9001" in _start(path).stdout
    both = _start(path, CHRONO_HTTP_PORT="9002").stdout
    assert "http_port=9002" in both
    assert "shards=4," in both


def test_the_file_is_found_where_it_belongs_and_not_on_lambda(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "chronowatch.yaml").write_text("time:\n  timezone: Europe/Paris\n")
    assert "Europe/Paris" in _start(None, tmp_path).stdout
    assert "Europe/Paris" not in _start("", tmp_path).stdout  # named as nothing: none is read
    on_lambda = _start(None, tmp_path, AWS_LAMBDA_FUNCTION_NAME="f")
    assert "timezone='UTC'" in on_lambda.stdout


def test_the_parser_is_loaded_only_for_a_file(written: Written) -> None:
    program = "import sys; from chalicelib import settings; settings.from_environment(); print('yaml' in sys.modules)"
    for path, wanted in ("", "False\n"), (written("time:\n  timezone: UTC\n"), "True\n"):
        ran = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, "CHRONO_CONFIG": path}, cwd=ROOT,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert ran.stdout == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("server:\n  http_adr: 1\n", "server.http_adr: is no setting; did you mean http_addr?"),
        ("sever:\n  x: 1\n", "sever: is no section of the configuration; did you mean server?"),
        ("time:\n  shards: 1\n", "time.shards: is no setting of this section; did you mean scheduler.shards?"),
        ("qqq: {}\n", "qqq: is no section of the configuration: there are server, security, time"),
        ("scheduler:\n  shards: many\n", "scheduler.shards: must be a whole number from 1 to 256, not 'many'"),
        ("server:\n  http_addr: 8080\n", "server.http_addr: must be HOST:PORT"),
        ("server:\n  http_addr: 127.0.0.1:99999\n", "server.http_addr: must be a whole number from 1 to 65535"),
        ("server:\n  http_addr: [a, b]\n", "server.http_addr: must be one value"),
        ("server:\n  stage: {a: 1}\n", "server.stage: must be a value or a list of values"),
        ("server: 8080\n", "server: must hold keys and values"),
        ("- server\n", "CHRONO_CONFIG: must hold keys and values"),
        ("time:\n  timezone: UTC\n  timezone: UTC\n", "time.timezone: is there twice"),
        ("time:\n  timezone: UTC\ntime:\n  max_drift_ms: 1\n", "time: is there twice"),
        ("time:\n\ttimezone: UTC\n", "chronowatch.yaml line 2: found character"),
        ("--- {}\n--- {}\n", "but found another document"),
        ("security:\n  mtls_enabled: true\n", "security.mtls_enabled: true needs security.ca_cert_path"),
        ("security:\n  mtls_enabled: maybe\n", "security.mtls_enabled: must be true or false"),
        ("security:\n  jwt_issuer: https://a/\n", "CHRONO_JWT_AUDIENCE: is required"),
        ("security:\n  opa_policy_path: /etc/policy.rego\n", "security.opa_policy_path: is the path of a rule"),
        ("scheduler:\n  event_bus: kafka\n", "scheduler.event_brokers: is required with event_bus: kafka"),
        ("scheduler:\n  event_bus: nats\n", "scheduler.event_bus: is for kafka: leave it out, and set CHRONO_DEFAULT"),
        ("scheduler:\n  trigger_queues: [mine]\n", "scheduler.trigger_queues: must list ARNs such as arn:aws:sqs"),
        ("scheduler:\n  listen: maybe\n", "scheduler.listen: must be"),
        ("scheduler:\n  event_topic: mine\n", "scheduler.event_topic: is chronowatch.firings.v1"),
        ("db:\n  dsn: mysql://h/d\n", "db.dsn: must begin with postgresql://"),
        ("server:\n  http_addr: 127.0.0.1:80\n  grpc_addr: 0.0.0.0:9090\n", "server.grpc_addr: must have the host"),
        ("server:\n  grpc_addr: 0.0.0.0:9090\n", "must have the host of server.http_addr (127.0.0.1), not '0.0.0.0'"),
        ("observability:\n  prometheus_path: /m\n", "observability.prometheus_path: is /metrics"),
        ("observability:\n  otlp_endpoint: http://c:4317\n", "observability.otlp_endpoint: names the collector's gRPC"),
    ],
)
def test_what_is_wrong_is_one_line_that_names_section_and_key(written: Written, text: str, wanted: str) -> None:
    ended = _start(written(text))
    assert ended.returncode == 1
    assert wanted in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_variable_that_is_wrong_is_named_and_not_the_key_that_it_hides(written: Written) -> None:
    ended = _start(written("scheduler:\n  shards: 4\n"), CHRONO_SHARDS="many")
    assert ended.stderr.startswith("CHRONO_SHARDS: ")


def test_a_variable_that_is_missing_is_named_with_its_key_where_there_is_a_file(written: Written) -> None:
    ended = _start(written("security:\n  jwt_issuer: https://issuer.example/\n"))
    assert ended.stderr.startswith("CHRONO_JWT_AUDIENCE: is required")
    assert ended.stderr.endswith("(in the file: security.jwt_audience)\n")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "CHRONO_CONFIG: /nowhere.yaml cannot be read: No such file" in _start("/nowhere.yaml").stderr
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"time:\n  timezone: \xe9\n")
    assert "is not UTF-8" in _start(str(latin)).stderr
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (configuration.FILE_MAX_BYTES + 1))
    assert "more than 256 KiB" in _start(str(large)).stderr


def test_empty_keys_and_empty_sections_mean_the_default(written: Written) -> None:
    assert _read(written("server:\nscheduler:\n  shards:\n  slot_gap: ~\n")) == {}
    assert _read(written("")) == {}
    assert _read(written("scheduler:\n  ticks:\n  event_brokers: []\nserver:\n  trusted_proxies: []\n")) == {}


@pytest.mark.parametrize(
    ("place", "variable"),
    [
        ("security.webhook_allow", "CHRONO_WEBHOOK_ALLOW"),
        ("security.header_secrets", "CHRONO_HEADER_SECRETS"),
        ("scheduler.ticks", "CHRONO_TICKS"),
        ("scheduler.trigger_queues", "CHRONO_TRIGGER_QUEUES"),
    ],
)
def test_a_list_without_entries_is_none_as_the_variable_is(written: Written, place: str, variable: str) -> None:
    section, _, key = place.partition(".")
    assert _read(written(f"{section}:\n  {key}: []\n")) == {variable: ""}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("grpc_addr: 127.0.0.1:9091", {"CHRONO_GRPC_PORT": "9091"}),
        ("grpc_addr: off", {"CHRONO_GRPC_PORT": "off"}),
    ],
)
def test_grpc_has_an_address_or_none_without_the_http_one(written: Written, text: str, found: dict[str, str]) -> None:
    assert _read(written(f"server:\n  {text}\n")) == found


def test_mutual_tls_can_be_switched_off_in_one_place(written: Written) -> None:
    text = "security:\n  mtls_enabled: false\n  ca_cert_path: /ca.pem\n  server_cert_path: /s.pem\n"
    assert _read(written(text)) == {"CHRONO_TLS_CERT": "/s.pem"}


def test_text_stays_as_it_is_written(written: Written) -> None:
    found = _read(written("server:\n  stage: 1.20\nobservability:\n  request_log: off\n  tracing: off\n"))
    assert found == {"CHRONO_STAGE": "1.20", "CHRONO_REQUEST_LOG": "off", "CHRONO_TRACING": "off"}


def test_kafka_needs_its_brokers_where_it_is_known() -> None:
    with pytest.raises(SettingsError, match=r"scheduler\.event_brokers: is required"):
        variables_of({"scheduler": {"event_bus": "kafka"}}, LATER)
    with pytest.raises(SettingsError, match=r"scheduler\.event_brokers: is for event_bus: kafka"):
        variables_of({"scheduler": {"event_brokers": ["k:1"]}}, LATER)
