"""What adapters speak to in tests: a server on a real socket that answers as it is told, and certificates made here."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
GUARD_S = 30  # what would hang for ever fails by then


@dataclass
class Request:
    """One request as the receiver read it."""

    connection: int
    line: str
    headers: dict[str, str]
    names: list[str]
    body: bytes


Answer = Callable[[socket.socket], None]


def say(data: bytes) -> Answer:
    return lambda sock: sock.sendall(data)


def status(code: int, *headers: str) -> Answer:
    return say("\r\n".join([f"HTTP/1.1 {code} Because", *headers, "Content-Length: 0", "", ""]).encode())


def hang_up(sock: socket.socket) -> None:
    sock.shutdown(socket.SHUT_RDWR)


@dataclass
class Receiver:
    """Answers each request with the next of ``answers``; a connection stays open until either side closes it."""

    listener: socket.socket
    answers: list[Answer] = field(default_factory=list)
    tls: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    connections: int = 0
    arrived: SimpleQueue[Request] = field(default_factory=SimpleQueue)
    ready: SimpleQueue[int] = field(default_factory=SimpleQueue)
    closed: SimpleQueue[int] = field(default_factory=SimpleQueue)
    _open: list[socket.socket] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def start(self) -> None:
        self._thread(self._accept)

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.close_connections()
        for thread in self._threads:
            thread.join(GUARD_S)
            assert not thread.is_alive()

    def close_connections(self) -> None:
        for sock in self._open:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def _thread(self, job: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=job, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self._thread(self._serve, sock, self.connections)

    def _serve(self, sock: socket.socket, number: int) -> None:
        self._open.append(sock)
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(self.closed.put, number)
            stack.callback(sock.close)
            if self.tls is not None:
                sock = stack.enter_context(self.tls.wrap_socket(sock, server_side=True))
                self._open.append(sock)
            self.ready.put(number)
            with sock.makefile("rb") as stream:
                while (request := _read_request(stream, number)) is not None:
                    answer = self.answers.pop(0) if self.answers else say(OK)
                    self.requests.append(request)
                    self.arrived.put(request)
                    answer(sock)


def _read_request(stream: BinaryIO, number: int) -> Request | None:
    line = stream.readline().decode("latin-1").strip()
    if not line:
        return None
    pairs = []
    while header := stream.readline().decode("latin-1").strip():
        name, _, value = header.partition(":")
        pairs.append((name, value.strip()))
    headers = {name.lower(): value for name, value in pairs}
    body = stream.read(int(headers.get("content-length", 0)))
    return Request(number, line, headers, [name.lower() for name, _ in pairs], body)


@dataclass(frozen=True)
class Certificates:
    ca_file: Path
    good: Path
    expired: Path
    stranger: Path
    unlinked: Path


_CA_USAGE = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    signer: ec.EllipticCurvePrivateKey,
    days: int,
    ca: bool,
    linked: bool = True,
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = builder.add_extension(identifier, critical=False)
    if ca:
        builder = builder.add_extension(_CA_USAGE, critical=True)
    elif linked:  # Python 3.13 asks for it
        link = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
        builder = builder.add_extension(link, critical=False)
    if not ca:
        names = [x509.DNSName(name), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(signer, hashes.SHA256())


def _pem(path: Path, *parts: x509.Certificate | ec.EllipticCurvePrivateKey) -> Path:
    encoding = serialization.Encoding.PEM
    none = serialization.NoEncryption()
    with path.open("wb") as file:
        for part in parts:
            if isinstance(part, x509.Certificate):
                file.write(part.public_bytes(encoding))
            else:
                file.write(part.private_bytes(encoding, serialization.PrivateFormat.PKCS8, none))
    return path


def make_certificates(folder: Path) -> Certificates:
    """A CA, and certificates for hook.test: one of that CA, one that has expired, one that somebody else signed,
    and one that does not say by which key it was signed, as those of many private CAs."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test CA")])
    ca = _certificate("Test CA", ca_key, ca_name, ca_key, 10, True)
    return Certificates(
        ca_file=_pem(folder / "ca.pem", ca),
        good=_pem(folder / "good.pem", key, _certificate("hook.test", key, ca_name, ca_key, 10, False)),
        expired=_pem(folder / "expired.pem", key, _certificate("hook.test", key, ca_name, ca_key, -1, False)),
        stranger=_pem(folder / "stranger.pem", key, _certificate("hook.test", key, ca_name, key, 10, False)),
        unlinked=_pem(
            folder / "unlinked.pem", key, _certificate("hook.test", key, ca_name, ca_key, 10, False, linked=False)
        ),
    )


def serve_tls(receiver: Receiver, certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    receiver.tls = context
