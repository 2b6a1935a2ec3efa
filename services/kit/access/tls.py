"""Certificates of servers and clients, from files that are read again when they change."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from services.kit.access.watched import Watched
from services.kit.config import Settings
from services.kit.errors import InvalidArgument
from services.kit.log import get_logger

_log = get_logger("access")


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Name the PEM files of a server: its certificate (with the chain), its key, and who signs the clients' ones.

    client_ca: None lets clients come without a certificate.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


def server_tls(settings: Settings) -> ServerTls | None:
    """Return the files that the settings name, or None; raises InvalidArgument (TLS_FILES) for half of them."""
    if settings.tls_cert_file is None and settings.tls_key_file is None:
        if settings.tls_client_ca_file is not None:
            raise InvalidArgument(
                "RAPPORT_TLS_CLIENT_CA_FILE needs RAPPORT_TLS_CERT_FILE and RAPPORT_TLS_KEY_FILE",
                reason="TLS_FILES",
            )
        return None
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        raise InvalidArgument(
            "set both RAPPORT_TLS_CERT_FILE and RAPPORT_TLS_KEY_FILE, or neither", reason="TLS_FILES"
        )
    return ServerTls(settings.tls_cert_file, settings.tls_key_file, settings.tls_client_ca_file)


def server_credentials(files: ServerTls) -> grpc.ServerCredentials:
    """Return credentials that follow the files: connections made after a change see the new certificate.

    Raises InvalidArgument (TLS_FILES) when the files cannot be used.
    """
    paths = (
        (files.certificate, files.key)
        if files.client_ca is None
        else (
            files.certificate,
            files.key,
            files.client_ca,
        )
    )
    watched = Watched(paths, lambda: _load(files), "TLS files")

    def changed() -> grpc.ServerCertificateConfiguration | None:
        # gRPC asks at each connection.
        if not watched.refresh():
            return None
        # Who signs the clients' certificates decides who gets as far as showing a token.
        _log.warning("TLS files changed", audit="access.changed", client_ca=str(files.client_ca or ""))
        return watched.value

    return grpc.dynamic_ssl_server_credentials(
        watched.value,
        changed,  # type: ignore[arg-type] # None keeps what is there, which the stubs do not say
        files.client_ca is not None,
    )


def _load(files: ServerTls) -> grpc.ServerCertificateConfiguration:
    try:
        # Finds out whether certificate and key fit, which gRPC would only log.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            files.certificate, files.key, password=_no_password
        )
        roots = None if files.client_ca is None else files.client_ca.read_bytes()
        if roots is not None:
            ssl.create_default_context(cadata=roots.decode("ascii"))
        return grpc.ssl_server_certificate_configuration(
            [(files.key.read_bytes(), files.certificate.read_bytes())], roots
        )
    except (OSError, ValueError) as error:
        raise InvalidArgument(
            f"TLS files {files.certificate}, {files.key}, {files.client_ca or 'no client CA'}: {error}; "
            "expected PEM files, the key without a password and fitting the certificate",
            reason="TLS_FILES",
        ) from error


def _no_password() -> str:
    raise ValueError("the key has a password")
