"""What stands before a Kafka broker in tests: signs callers in by SASL (PLAIN, SCRAM), over TLS where it is asked to.

Brokers that a test can start take no users, or none by the protocol's own calls. So this speaks the two calls of
signing in (SaslHandshake, SaslAuthenticate) and hands on all others. The broker must advertise the front's port.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections import Counter
from collections.abc import Mapping

from tests.kit.scram import HASHES, ScramServer

SASL_HANDSHAKE = 17
API_VERSIONS = 18
SASL_AUTHENTICATE = 36
ILLEGAL_STATE = 34
UNSUPPORTED_MECHANISM = 33
MECHANISMS = ("PLAIN", *HASHES)
REFUSED = 58  # SASL_AUTHENTICATION_FAILED


class KafkaFront:
    """Listens from the start until ``close``. ``asked`` counts attempts to sign in, by mechanism."""

    def __init__(self, port: int, behind: int, users: Mapping[str, str], tls: ssl.SSLContext | None = None) -> None:
        self._behind = behind
        self._users = users
        self._tls = tls
        self.asked: Counter[str] = Counter()
        self._listening = socket.create_server(("127.0.0.1", port))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        for each in (self._listening, *self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        self._open.append(plain)
        with contextlib.suppress(OSError, EOFError):
            caller = plain if self._tls is None else self._tls.wrap_socket(plain, server_side=True)
            self._open.append(caller)
            with socket.create_connection(("127.0.0.1", self._behind)) as broker, caller:
                self._open.append(broker)
                if self._users:
                    self._sign_in(caller, broker)
                back = threading.Thread(target=_pipe, args=(broker, caller), daemon=True)
                back.start()
                _pipe(caller, broker)
                back.join()

    def _sign_in(self, caller: socket.socket, broker: socket.socket) -> None:
        """Answer until the caller is known. Raises EOFError when it is refused."""
        mechanism, scram = "", None
        while True:
            request = _frame(caller)
            key, version, number = struct.unpack(">hhi", request[:8])
            body = request[10 + max(0, struct.unpack(">h", request[8:10])[0]) :]
            if key == API_VERSIONS:
                broker.sendall(_framed(request))
                caller.sendall(_framed(_frame(broker)))
            elif key == SASL_HANDSHAKE:
                mechanism = body[2:].decode()
                code = 0 if mechanism in MECHANISMS else UNSUPPORTED_MECHANISM
                names = b"".join(struct.pack(">h", len(name)) + name.encode() for name in MECHANISMS)
                caller.sendall(_framed(struct.pack(">ihi", number, code, len(MECHANISMS)) + names))
            elif key == SASL_AUTHENTICATE:
                text, answer, is_last = body[4:].decode(), None, True
                if mechanism == "PLAIN":
                    _, user, password = text.split("\0")
                    answer = "" if self._users.get(user) == password else None
                elif scram is None:
                    scram, is_last = ScramServer(mechanism, self._users), False
                    answer = scram.challenge(text)
                else:
                    answer = scram.verdict(text)
                self.asked[mechanism] += is_last
                caller.sendall(_framed(struct.pack(">i", number) + _verdict(answer, version)))
                if answer is None:
                    raise EOFError
                if is_last:
                    return
            else:
                raise EOFError  # as a broker does with a caller that has not signed in


def _verdict(answer: str | None, version: int) -> bytes:
    """What follows the number of a SaslAuthenticate response; None: the caller is refused."""
    why = b"no such user, or another password" if answer is None else b""
    said = (answer or "").encode()
    head = struct.pack(">hh", REFUSED if answer is None else 0, len(why)) + why
    return head + struct.pack(">i", len(said)) + said + (struct.pack(">q", 0) if version else b"")


def _framed(content: bytes) -> bytes:
    return struct.pack(">i", len(content)) + content


def _frame(source: socket.socket) -> bytes:
    return _exactly(source, struct.unpack(">i", _exactly(source, 4))[0])


def _exactly(source: socket.socket, count: int) -> bytes:
    read = b""
    while len(read) < count:
        piece = source.recv(count - len(read))
        if not piece:
            raise EOFError
        read += piece
    return read


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
