"""TLS: the server's certificate, and the CA that callers' certificates must come from. Standard library only.

A context is made whole from its files and never changed. When the files change, connections that begin from then on
get a new one, and those that stand go on. Sessions are not resumed, so that every connection is judged by the CA of
its day.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from chalicelib.core.errors import SettingsError

CERT = "CHRONO_TLS_CERT"
KEY = "CHRONO_TLS_KEY"
CLIENT_CA = "CHRONO_TLS_CLIENT_CA"

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # for TLS 1.2: forward secrecy and AEAD only; TLS 1.3 has no others


class TlsFiles(NamedTuple):
    """Where the certificate chain, its key and, when callers must show certificates, their CA lie; all PEM."""

    cert: str
    key: str
    client_ca: str | None = None

    def versions(self) -> tuple[tuple[int, int, int] | None, ...]:
        """What changes when one of the files does; None for one that is not there."""
        return tuple(_version(path) for path in (self.cert, self.key, self.client_ca) if path is not None)


def files_of(cert: str | None, key: str | None, client_ca: str | None) -> TlsFiles | None:
    """The files that a deployment chose; None for plain HTTP."""
    return None if cert is None or key is None else TlsFiles(cert, key, client_ca)


def _version(path: str) -> tuple[int, int, int] | None:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def make_context(files: TlsFiles) -> ssl.SSLContext:
    """The server's side of TLS. Raises SettingsError, which names the variable of the wrong file."""
    for variable, path in zip((CERT, KEY, CLIENT_CA), files, strict=True):
        if path is not None:
            _check_readable(variable, path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.num_tickets = 0
    context.set_alpn_protocols(["http/1.1"])
    _load_chain(context, files)
    if files.client_ca is not None:
        _demand_certificates(context, files.client_ca)
    return context


def _check_readable(variable: str, path: str) -> None:
    try:
        content = Path(path).read_bytes()
    except OSError as problem:
        raise SettingsError(variable, f"{path} cannot be read: {problem.strerror}") from None
    if b"-----BEGIN " not in content:
        raise SettingsError(variable, f"{path} is not PEM")


def _load_chain(context: ssl.SSLContext, files: TlsFiles) -> None:
    probe = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        probe.load_verify_locations(files.cert)
    except ssl.SSLError:
        raise SettingsError(CERT, f"{files.cert} holds no certificate") from None
    if not Path(files.cert).read_bytes().count(b"-----BEGIN CERTIFICATE-----"):
        raise SettingsError(CERT, f"{files.cert} holds no certificate")
    try:
        context.load_cert_chain(files.cert, files.key, password=_no_password)
    except _Encrypted:
        raise SettingsError(KEY, f"{files.key} is encrypted; give it without a password") from None
    except ssl.SSLError as problem:
        if "KEY_VALUES_MISMATCH" in str(problem):
            raise SettingsError(KEY, f"{files.key} is not the key of {files.cert}") from None
        raise SettingsError(KEY, f"{files.key} holds no private key") from None


class _Encrypted(Exception):
    """Raised when a key asks for a password: without it OpenSSL would ask at the terminal."""


def _no_password() -> str:
    raise _Encrypted


def _demand_certificates(context: ssl.SSLContext, path: str) -> None:
    try:
        context.load_verify_locations(path)
    except ssl.SSLError:
        raise SettingsError(CLIENT_CA, f"{path} holds no certificate") from None
    if not context.cert_store_stats()["x509_ca"]:
        raise SettingsError(CLIENT_CA, f"{path} holds no certificate of a CA")
    context.verify_mode = ssl.CERT_REQUIRED


class Certificates:
    """The present context, made anew when a file has changed."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._seen = files.versions()
        self.context = make_context(files)

    def renew(self) -> bool:
        """Compare the files with what was read; True when there is a new context.

        What was there stays while they cannot be used, as in the middle of a change. Raises SettingsError, once for
        each wrong state of the files.
        """
        found = self._files.versions()
        if found == self._seen:
            return False
        self._seen = found
        self.context = make_context(self._files)
        return True
