"""``scripts/dev`` with TLS: only callers with a certificate get in, and a wrong file is one line."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from tests.e2e.dev_server import ROOT, DevServer, wait_for
from tests.e2e.stopping import check_stop
from tests.kit.containers import over_emulator
from tests.kit.ports import free_port

NewServer = Callable[..., DevServer]

KEY = "the-first-admin-key-of-the-tls-test"


def issue(ca: trustme.CA, folder: Path) -> None:
    issued = ca.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))


def files(folder: Path) -> dict[str, str]:
    names = (("CHRONO_TLS_CERT", "cert"), ("CHRONO_TLS_KEY", "key"), ("CHRONO_TLS_CLIENT_CA", "ca"))
    return {variable: str(folder / f"{name}.pem") for variable, name in names}


def health(server: DevServer, context: ssl.SSLContext) -> tuple[int, str]:
    """The status, and the serial number of the server's certificate."""
    connection = http.client.HTTPSConnection("127.0.0.1", server.http_port, timeout=10, context=context)
    try:
        connection.request("GET", "/health")
        assert isinstance(connection.sock, ssl.SSLSocket)
        shown = connection.sock.getpeercert()
        answer = connection.getresponse()
        json.loads(answer.read())
        return answer.status, str((shown or {})["serialNumber"])
    finally:
        connection.close()


def test_it_serves_callers_with_certificates_renews_its_own_and_stops(new_server: NewServer, tmp_path: Path) -> None:
    ca = trustme.CA()
    issue(ca, tmp_path)
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = new_server(env=files(tmp_path))
    server.launch()
    wait_for("the greeting", lambda: "ChronoWatch serves on https://127.0.0.1:" in server.output(), 60)
    stranger, caller = ssl.create_default_context(), ssl.create_default_context()
    for context in (stranger, caller):
        ca.configure_trust(context)
    ca.issue_cert("ann").configure_cert(caller)
    status, first = health(server, caller)
    assert status == 200
    with pytest.raises((ssl.SSLError, ConnectionError, http.client.BadStatusLine)):
        health(server, stranger)
    issue(ca, tmp_path)
    wait_for("the new certificate", lambda: health(server, caller)[1] != first)
    os.kill(server.pids()["server"], signal.SIGKILL)  # it is started again, with TLS
    wait_for("the server to be back", lambda: _answers(server, caller))
    check_stop(server, signal.SIGTERM)


def _answers(server: DevServer, context: ssl.SSLContext) -> bool:
    try:
        return health(server, context)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"CHRONO_TLS_CERT": ""}, "CHRONO_TLS_CERT: is required with CHRONO_TLS_KEY: the path of a PEM file"),
        ({"CHRONO_TLS_KEY": ""}, "CHRONO_TLS_KEY: is required with CHRONO_TLS_CERT: the path of a PEM file"),
        ({"CHRONO_TLS_CERT": "/nowhere"}, "CHRONO_TLS_CERT: /nowhere cannot be read: No such file or directory"),
    ],
)
def test_a_wrong_file_is_one_line(new_server: NewServer, tmp_path: Path, changes: dict[str, str], line: str) -> None:
    issue(trustme.CA(), tmp_path)
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = new_server(env={**files(tmp_path), **changes})
    assert server.launch().wait(60) == 2
    assert server.output() == f"scripts/dev: {line}\n"


def test_a_container_serves_with_tls_too(aws: str, tmp_path: Path) -> None:
    """It has no supervisor that would wait for a note."""
    ca = trustme.CA()
    issue(ca, tmp_path)
    port = free_port()
    env = {
        "PATH": os.environ["PATH"],
        **over_emulator(aws, port, KEY),
        "CHRONO_DATA_DIR": str(tmp_path / "data"),
        **{variable: path for variable, path in files(tmp_path).items() if variable != "CHRONO_TLS_CLIENT_CA"},
    }
    container = [sys.executable, "-m", "container"]
    subprocess.run([*container, "init"], cwd=ROOT, env=env, check=True)
    caller = ssl.create_default_context()
    ca.configure_trust(caller)
    with subprocess.Popen([*container, "api"], cwd=ROOT, env=env) as process:
        try:
            wait_for("the API to answer", lambda: _status(port, caller) == 401, 60)
            time.sleep(1)  # it may end when it has found itself healthy
            assert process.poll() is None
            assert _status(port, caller) == 401
        finally:
            process.terminate()
    assert process.returncode == 0


def _status(port: int, context: ssl.SSLContext) -> int | None:
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        connection.request("GET", "/api/v1/schedules")
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()
