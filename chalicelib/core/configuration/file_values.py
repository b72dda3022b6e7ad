"""What a configuration file says, as variables. Imported before anything is installed.

A value of the file counts where the environment has no variable of that name. So a file may be shared by deployments,
and each says what is its own.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from chalicelib.core.configuration.file_keys import SECTIONS, SHAPED, keys_of
from chalicelib.core.errors import SettingsError

Value = str | Sequence[str]
KAFKA: Final = "kafka"
BROKERS: Final = (KAFKA, "nats", "rabbitmq")
TOPIC: Final = "chronowatch.firings.v1"
METRICS_PATH: Final = "/metrics"
GRPC_COLLECTOR: Final = ":4317"
OFF: Final = "off"
HOST_DEFAULT: Final = "127.0.0.1"
# Of these a list without entries means none, and not the default.
EMPTY_ALLOWED: Final = ("CHRONO_WEBHOOK_ALLOW", "CHRONO_HEADER_SECRETS", "CHRONO_TICKS", "CHRONO_TRIGGER_QUEUES")


class FileVariables(NamedTuple):
    """``values`` by variable, and under which ``section.key`` each is stated."""

    values: Mapping[str, str]
    places: Mapping[str, str]


def variables_of(document: Mapping[str, Mapping[str, Value]], known: Collection[str]) -> FileVariables:
    """The variables that a file sets; ``known`` are those that this version reads.

    Raises SettingsError, which names the section and the key.
    """
    _refuse_unknown(document)
    made = _Made(document, known)
    for section, keys in document.items():
        for key, value in keys.items():
            variable = SECTIONS[section].get(key)
            if variable is not None:
                empty = not value and (variable == EMPTY_ALLOWED[0] or not isinstance(value, str))
                text = value if isinstance(value, str) else ",".join(value)
                made.put(variable, f"{section}.{key}", text, empty=empty and variable in EMPTY_ALLOWED)
    made.put_shaped()
    return FileVariables(made.values, made.places)


def nearest(word: str, known: Collection[str]) -> str:
    """A hint at what ``word`` was meant to be, the first of those that are as near; empty when nothing is near."""
    from difflib import SequenceMatcher  # only a typo needs it

    near = {each: SequenceMatcher(None, each, word).ratio() for each in known}
    found = max(near, key=near.__getitem__, default="")
    return f"; did you mean {found}?" if found and near[found] >= 0.6 else ""


def _refuse_unknown(document: Mapping[str, Mapping[str, Value]]) -> None:
    for section, keys in document.items():
        if section not in SECTIONS:
            hint = nearest(section, SECTIONS) or f": there are {', '.join(SECTIONS)}"
            raise SettingsError(section, f"is no section of the configuration{hint}")
        for key in keys:
            if key not in keys_of(section):
                raise SettingsError(f"{section}.{key}", f"is no setting{_elsewhere(section, key)}")


def _elsewhere(section: str, key: str) -> str:
    """Where an unknown key may belong."""
    for other in SECTIONS:
        if key in keys_of(other):
            return f" of this section; did you mean {other}.{key}?"
    return nearest(key, keys_of(section))


class _Made:
    """The variables so far."""

    def __init__(self, document: Mapping[str, Mapping[str, Value]], known: Collection[str]) -> None:
        self.values: dict[str, str] = {}
        self.places: dict[str, str] = {}
        self._document = document
        self._known = known

    def put(self, variable: str, place: str, value: str, instead: str = "", empty: bool = False) -> None:
        """Set a variable. One that the file leaves empty is set only where that has a meaning of its own (``empty``).
        ``instead`` advises where this version has none."""
        if not value and not empty:
            return
        if variable not in self._known:
            raise SettingsError(place, instead or f"is not of this version, which has no {variable}")
        self.values[variable] = value
        self.places[variable] = place

    def put_shaped(self) -> None:
        """The keys that are no plain value of one variable."""
        self._put_addresses()
        self._put_security()
        self._put_bus()
        self._put_rest()

    def _text(self, place: str) -> str:
        section, _, key = place.partition(".")
        value = self._document.get(section, {}).get(key, "")
        if not isinstance(value, str):
            raise SettingsError(place, "must be one value, not a list")
        return value

    def _put_addresses(self) -> None:
        host, port = _address("server.http_addr", self._text("server.http_addr"))
        self.put("CHRONO_HTTP_HOST", "server.http_addr", host)
        self.put("CHRONO_HTTP_PORT", "server.http_addr", port)
        place = "server.grpc_addr"
        if (text := self._text(place)) == OFF:
            self.put("CHRONO_GRPC_PORT", place, OFF)
            return
        grpc_host, grpc_port = _address(place, text)
        self.put("CHRONO_GRPC_PORT", place, grpc_port)
        if grpc_host and grpc_host != (host or HOST_DEFAULT):
            wanted = f"must have the host of server.http_addr ({host or HOST_DEFAULT})"
            raise SettingsError(place, f"{wanted}, not {grpc_host!r}")

    def _put_security(self) -> None:
        place = "security.mtls_enabled"
        mutual = self._text(place).lower()
        if mutual not in ("", "true", "false"):
            raise SettingsError(place, f"must be true or false, not {mutual[:40]!r}")
        if mutual == "true" and "CHRONO_TLS_CLIENT_CA" not in self.values:
            raise SettingsError(place, "true needs security.ca_cert_path: a PEM file of the callers' CAs")
        if mutual == "false":
            self.values.pop("CHRONO_TLS_CLIENT_CA", None)
        place = "security.opa_policy_path"
        path = self._text(place)
        if path.endswith(".rego"):
            raise SettingsError(
                place, "is the path of a rule such as chronowatch/allow; the file is for OPA: opa run --server FILE"
            )
        self.put("CHRONO_OPA_POLICY_PATH", place, path)
        # A file that names an issuer means its tokens to be asked for. Else it would be ignored on loopback.
        if "CHRONO_JWT_ISSUER" in self.values and "CHRONO_AUTH" not in self.values:
            self.put("CHRONO_AUTH", "security.jwt_issuer", "jwt")

    def _put_bus(self) -> None:
        bus, topic = self._text("scheduler.event_bus"), self._text("scheduler.event_topic")
        brokers = self._document.get("scheduler", {}).get("event_brokers", "")
        brokers = [brokers] if isinstance(brokers, str) and brokers else list(brokers)
        if bus != KAFKA:
            if bus in BROKERS:
                raise SettingsError(
                    "scheduler.event_bus", f"is for {KAFKA}: leave it out, and set CHRONO_DEFAULT_TARGET"
                )
            if topic not in ("", TOPIC):
                raise SettingsError("scheduler.event_topic", f"is {TOPIC} on EventBridge, and cannot be chosen")
            if brokers:
                raise SettingsError("scheduler.event_brokers", f"is for event_bus: {KAFKA}")
            self.put("CHRONO_EVENT_BUS", "scheduler.event_bus", "" if bus == "eventbridge" else bus)
            return
        if not brokers:
            raise SettingsError("scheduler.event_brokers", f"is required with event_bus: {KAFKA}, as host:port")
        target = {"type": KAFKA, "brokers": brokers, "topic": topic or TOPIC}
        self.put("CHRONO_DEFAULT_TARGET", "scheduler.event_bus", json.dumps(target))

    def _put_rest(self) -> None:
        path = self._text("observability.prometheus_path")
        if path not in ("", METRICS_PATH):
            raise SettingsError("observability.prometheus_path", f"is {METRICS_PATH}, and cannot be chosen")
        place = "observability.otlp_endpoint"
        collector = self._text(place).rstrip("/")
        if collector.endswith(GRPC_COLLECTOR):
            raise SettingsError(place, "names the collector's gRPC port; spans are sent over HTTP: port 4318")
        self.put("OTEL_EXPORTER_OTLP_ENDPOINT", place, collector)
        self.put("CHRONO_DB_DSN", "db.dsn", self._text("db.dsn"))


def _address(place: str, text: str) -> tuple[str, str]:
    """Host and port of ``host:port``."""
    if not text:
        return "", ""
    host, colon, port = text.rpartition(":")
    if not host or not colon or not port.isascii() or not port.isdigit():
        raise SettingsError(place, f"must be HOST:PORT such as 127.0.0.1:8080, not {text[:80]!r}")
    return host.strip("[]"), port


assert all(name.partition(".")[0] in SECTIONS for name in SHAPED)
