"""TLS for the gRPC server: certificates that are read anew when their files change, and who showed one."""

from __future__ import annotations

import logging
from pathlib import Path

import grpc

from chalicelib.api.http.connection import ClientCertificate
from chalicelib.core.errors import SettingsError
from chalicelib.server.tls import TlsFiles, make_context

_log = logging.getLogger(__name__)


def credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """What a port is opened with. Raises SettingsError when a file is wrong."""
    make_context(files)  # says what is wrong with them, by the name of the variable
    seen = files.versions()

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        """At each handshake: new files, or None when they are as they were or cannot be used."""
        nonlocal seen
        try:
            now = files.versions()
            if now == seen:
                return None
            make_context(files)
            seen = now
            return _configuration(files)
        except (OSError, SettingsError) as problem:
            _log.warning("the certificates stay as they were: %s", problem)
            return None

    return grpc.dynamic_ssl_server_credentials(_configuration(files), fetch, files.client_ca is not None)


def _configuration(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    pair = [(Path(files.key).read_bytes(), Path(files.cert).read_bytes())]
    roots = None if files.client_ca is None else Path(files.client_ca).read_bytes()
    return grpc.ssl_server_certificate_configuration(pair, root_certificates=roots)


def certificate_of(context: grpc.ServicerContext) -> ClientCertificate | None:
    """The certificate that the caller showed, verified against the deployment's CA; None where there was none."""
    shown = context.auth_context().get("x509_pem_cert")
    if not shown:
        return None
    from cryptography import x509

    read = x509.load_pem_x509_certificate(shown[0])
    try:
        names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    return ClientCertificate(
        subject=read.subject.rfc4514_string(),
        issuer=read.issuer.rfc4514_string(),
        serial=f"{read.serial_number:X}",
        dns=tuple(names.get_values_for_type(x509.DNSName)),
        uris=tuple(names.get_values_for_type(x509.UniformResourceIdentifier)),
        emails=tuple(names.get_values_for_type(x509.RFC822Name)),
        addresses=tuple(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    )
