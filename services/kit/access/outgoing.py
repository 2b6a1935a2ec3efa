"""How a process proves itself to the services it calls, and checks that they are the right ones."""

from __future__ import annotations

from collections.abc import Callable

from rapport_client import Tls

from services.kit.access.service_tokens import ServiceTokens
from services.kit.config import Settings


def token_provider(settings: Settings, service: str) -> Callable[[str], str]:
    """Return what makes the token to show to a service; raises InvalidArgument (SERVICE_KEY_FILE).

    service: who calls. Its key wins over RAPPORT_TOKEN.
    """
    if settings.service_key_file is not None:
        return ServiceTokens(service, settings.service_key_file)
    return lambda _: settings.token


def client_tls(settings: Settings) -> Tls | None:
    """Return the files for calls to the services, or None for calls in the clear.

    With a certificate of its own a process shows it, so that servers that demand one let it in.
    """
    if settings.tls_ca_file is None:
        return None
    return Tls(settings.tls_ca_file, settings.tls_cert_file, settings.tls_key_file)
