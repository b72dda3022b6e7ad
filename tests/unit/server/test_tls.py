"""TLS: callers' certificates, files that change while it serves, files that are wrong."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from chalicelib.api.http import connection
from chalicelib.core.errors import SettingsError
from chalicelib.server.tls import TlsFiles, files_of, make_context
from tests.kit.house import House
from tests.kit.wires import HEAD, Wires, read_one, serving

NOW = b"GET /api/v1/time/now" + HEAD + b"\r\n"


class Pki:
    """Certificates of a server, and of its callers' CA."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.callers = trustme.CA(), trustme.CA()
        self.files = TlsFiles(*(str(folder / name) for name in ("cert.pem", "key.pem", "ca.pem")))
        self.issue()
        self.trust(self.callers)

    def issue(self) -> None:
        issued = self.ca.issue_cert("localhost")
        Path(self.files.key).write_bytes(issued.private_key_pem.bytes())
        Path(self.files.cert).write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))

    def trust(self, ca: trustme.CA) -> None:
        ca.cert_pem.write_to_path(self.files.client_ca)

    def caller(self, *names: str, ca: trustme.CA | None = None, **of: Any) -> ssl.SSLContext:
        context = ssl.create_default_context()
        self.ca.configure_trust(context)
        if names:
            (ca or self.callers).issue_cert(*names, **of).configure_cert(context)
        return context


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path)


def serial(sock: socket.socket) -> str:
    assert isinstance(sock, ssl.SSLSocket)
    found = sock.getpeercert()
    assert found is not None
    return str(found["serialNumber"])


def is_refused(wires: Wires, context: ssl.SSLContext) -> bool:
    """Whether a connection gets no answer; under TLS 1.3 its caller learns of that when it reads."""
    try:
        with wires.connect(context) as sock:
            sock.sendall(NOW)
            return sock.recv(1) == b""
    except (ssl.SSLError, ConnectionError):
        return True


def test_calls_go_through_tls(pki: Pki) -> None:
    with serving(pki.files._replace(client_ca=None)) as wires, wires.connect(pki.caller()) as sock:
        for _ in range(2):
            sock.sendall(NOW)
            assert read_one(sock).status == 200
        assert isinstance(sock, ssl.SSLSocket)
        assert sock.version() in ("TLSv1.2", "TLSv1.3")


def test_a_caller_without_a_certificate_or_with_anothers_is_refused_in_the_handshake(pki: Pki) -> None:
    with serving(pki.files) as wires:
        for context in (pki.caller(), pki.caller("ann", ca=trustme.CA())):
            assert is_refused(wires, context)
        with wires.connect(pki.caller("ann@example.com")) as sock:
            sock.sendall(NOW)
            assert read_one(sock).status == 200


def test_plain_http_gets_no_answer(pki: Pki) -> None:
    with serving(pki.files) as wires, wires.connect() as sock:
        sock.sendall(NOW)
        assert not sock.recv(100).startswith(b"HTTP")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused(pki: Pki, version: ssl.TLSVersion) -> None:
    context = pki.caller("ann")
    context.minimum_version = context.maximum_version = version
    with serving(pki.files) as wires, pytest.raises((ssl.SSLError, ConnectionError)):
        wires.connect(context)


def test_a_call_knows_the_certificate_of_its_caller(pki: Pki) -> None:
    house, seen = House(), list[connection.ClientCertificate | None]()
    was = house.app.http_api._authenticator
    house.app.http_api._authenticator = lambda: (seen.append(connection.current().client_certificate), was())[1]
    context = pki.caller("ann@example.com", "ann.example", common_name="ann, the first", organization_name="ACME")
    with serving(pki.files, house=house) as wires, wires.connect(context) as sock:
        sock.sendall(NOW)
        assert read_one(sock).status == 200
    shown = seen[0]
    assert shown is not None
    assert shown.subject.startswith("CN=ann\\, the first,")
    assert "O=ACME" in shown.subject
    assert (shown.emails, shown.dns) == (("ann@example.com",), ("ann.example",))
    assert int(shown.serial, 16) > 0


def test_changed_files_hold_for_new_connections_and_end_no_other(pki: Pki) -> None:
    with serving(pki.files) as wires, wires.connect(pki.caller("ann")) as old:
        before, other = serial(old), trustme.CA()
        pki.issue()
        pki.trust(other)
        bob = pki.caller("bob", ca=other)
        end = time.monotonic() + 10
        while True:
            assert time.monotonic() < end, "the files were not read anew"
            try:
                with wires.connect(bob) as new:
                    new.sendall(NOW)
                    if read_one(new).status == 200 and serial(new) != before:
                        break
            except (ssl.SSLError, ConnectionError, AssertionError):
                time.sleep(0.1)
        old.sendall(NOW)
        assert read_one(old).status == 200
        assert is_refused(wires, pki.caller("ann"))


def test_files_that_became_wrong_change_nothing(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    with serving(pki.files) as wires:
        Path(pki.files.key).write_text("half a fi")
        end = time.monotonic() + 10
        while "CHRONO_TLS_KEY" not in caplog.text:
            assert time.monotonic() < end
            time.sleep(0.05)
        with wires.connect(pki.caller("ann")) as sock:
            sock.sendall(NOW)
            assert read_one(sock).status == 200


def test_a_caller_that_begins_no_handshake_holds_nothing_up(pki: Pki) -> None:
    with serving(pki.files) as wires:
        silent = [wires.connect() for _ in range(50)]
        with wires.connect(pki.caller("ann")) as sock:
            sock.sendall(NOW)
            assert read_one(sock).status == 200
        for each in silent:
            each.close()


def _encrypted(key: str) -> bytes:
    from cryptography.hazmat.primitives import serialization

    loaded = serialization.load_pem_private_key(Path(key).read_bytes(), None)
    secret = serialization.BestAvailableEncryption(b"secret")
    return loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)


def test_a_wrong_file_is_named_by_its_variable(pki: Pki) -> None:
    files, other = pki.files, trustme.CA().issue_cert("localhost")
    good = {path: Path(path).read_bytes() for path in (files.cert, files.key, str(files.client_ca))}
    key = other.private_key_pem.bytes()
    wrong = [
        (files.cert, b"no pem", "CHRONO_TLS_CERT"),
        (files.cert, key, "CHRONO_TLS_CERT"),
        (files.key, b"no pem", "CHRONO_TLS_KEY"),
        (files.key, good[files.cert], "CHRONO_TLS_KEY"),
        (files.key, key, "CHRONO_TLS_KEY"),
        (files.key, _encrypted(files.key), "CHRONO_TLS_KEY"),
        (str(files.client_ca), key, "CHRONO_TLS_CLIENT_CA"),
        (str(files.client_ca), good[files.cert][: len(good[files.cert]) // 3], "CHRONO_TLS_CLIENT_CA"),
    ]
    for path, content, variable in wrong:
        Path(path).write_bytes(content)
        with pytest.raises(SettingsError) as raised:
            make_context(files)
        assert (raised.value.variable, "\n" in str(raised.value)) == (variable, False), content[:40]
        Path(path).write_bytes(good[path])
    make_context(files)
    with pytest.raises(SettingsError, match="CHRONO_TLS_CLIENT_CA: /nowhere cannot be read"):
        make_context(files._replace(client_ca="/nowhere"))
    assert files_of(None, None, None) is None
