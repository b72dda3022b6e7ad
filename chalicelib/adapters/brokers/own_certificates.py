"""Certificates that a target's secret brings: a CA of its own, and what is shown to a server that asks who calls."""

from __future__ import annotations

import ssl
import tempfile
from typing import Final, NamedTuple

from chalicelib.adapters.brokers.credentials import BrokerCredentials
from chalicelib.adapters.http.trust import trusting
from chalicelib.ports.secrets import SecretMissing


class OwnCertificates(NamedTuple):
    """In PEM; empty texts where the secret holds nothing. Its repr shows no key."""

    ca: str = ""
    certificate: str = ""
    key: str = ""

    def __repr__(self) -> str:
        return "OwnCertificates()"


FIELDS: Final = OwnCertificates._fields  # of a secret, beside those that a kind has


def read_certificates(credentials: BrokerCredentials) -> OwnCertificates:
    """The certificates of a secret. Raises SecretMissing, which quotes none of it."""
    found = OwnCertificates(*(credentials.get(name) or "" for name in FIELDS))
    if bool(found.certificate) != bool(found.key):
        raise SecretMissing(f"{credentials.ref}: certificate and key go together")
    _loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), found, credentials.ref)
    return found


def tls_context(credentials: BrokerCredentials, ca_file: str | None) -> ssl.SSLContext:
    """What checks a server by the secret's CA, else by the system's and ``ca_file``. Raises SecretMissing."""
    found = read_certificates(credentials)
    context = ssl.create_default_context(cadata=found.ca) if found.ca else trusting(ca_file)
    return _loaded(context, found, credentials.ref)


def _loaded(context: ssl.SSLContext, found: OwnCertificates, ref: str) -> ssl.SSLContext:
    if found.ca:
        try:
            context.load_verify_locations(cadata=found.ca)
        except ssl.SSLError:
            raise SecretMissing(f"{ref}: ca is no certificate in PEM") from None
    if found.certificate:
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:  # of this user alone; ssl reads from files only
            file.write(f"{found.certificate}\n{found.key}\n")
            file.flush()
            try:
                context.load_cert_chain(file.name, password=lambda: "")  # else it would ask a terminal
            except (ssl.SSLError, ValueError):
                raise SecretMissing(f"{ref}: certificate and key are no pair in PEM") from None
    return context
