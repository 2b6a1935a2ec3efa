"""The way in: one object for all services."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Self

import grpc
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor

from rapport_client.config import SERVICES, Location, locate, tls_of_environment
from rapport_client.method import CallSettings, Metadata
from rapport_client.retry import RetryPolicy
from rapport_client.service import ServiceClient
from rapport_client.tls import ChannelSecurity, Tls

__all__ = ["SERVICES", "Rapport", "connect"]

_CHANNEL_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_metadata_size", 64 << 10),
    # A service that restarts should be found again soon: the default back-off grows to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Where a name stands for several processes, each gets its share of the calls.
    ("grpc.lb_policy_name", "round_robin"),
)


class Rapport:
    """Call all services of one installation; channels are opened when first used.

    Safe to share between threads.
    """

    def __init__(
        self,
        *,
        address: str,
        token: str | Callable[[str], str],
        events_address: str = "",
        base_port: int = 7400,
        timeout: float = 30.0,
        wait_for_ready: bool = False,
        retry: RetryPolicy | None = None,
        metadata: Callable[[], Metadata] | None = None,
        tls: bool | Tls = False,
        root_certificates: Path | bytes | None = None,
    ) -> None:
        """Prepare; nothing is connected yet.

        address: `host:port`, where `{service}` and `{port}` are filled in, or several with commas between (see
        Location), which share the calls; timeout: seconds for a unary call, retries included; wait_for_ready: wait for
        a service that is down, up to the timeout, instead of failing at once; metadata: gives pairs to send with each
        call; token: shown with each call, or a function that is called before each with the service's name and returns
        it; tls: encrypt, and check the server against the system's roots or `root_certificates` (PEM; implies tls); a
        Tls names files, which are read again when they change.
        """
        self._location = Location(address, events_address, base_port, "")
        self._token = token
        self._extra = metadata or (lambda: ())
        self._timeout = timeout
        self._wait_for_ready = wait_for_ready
        self._retry = retry or RetryPolicy()
        self._security = _security(tls, root_certificates)
        self._lock = threading.Lock()
        self._retired: list[grpc.Channel] = []
        self._channels: dict[str, grpc.Channel] = {}
        self._clients: dict[tuple[str, str], ServiceClient] = {}

    @property
    def contacts(self) -> ServiceClient:
        """Call contacts: persons and organisations, identities, consents, activities, imports."""
        return self.service("contacts")

    @property
    def sales(self) -> ServiceClient:
        """Call sales: products, orders, returns, payments."""
        return self.service("sales")

    @property
    def segmentation(self) -> ServiceClient:
        """Call segmentation: segments, members, traits."""
        return self.service("segmentation")

    @property
    def campaign(self) -> ServiceClient:
        """Call campaign: templates, campaigns, journeys, coupons."""
        return self.service("campaign")

    @property
    def care(self) -> ServiceClient:
        """Call care: cases, messages, agents, SLA, the customer at a glance."""
        return self.service("care")

    def service(self, name: str) -> ServiceClient:
        """Call a service by name, its long-running operations included."""
        return self._client("api", name, lambda: (*service_descriptors(name), *_operation_service()))

    def operations(self, service: str) -> ServiceClient:
        """Call the long-running operations of a service."""
        # The service's own stubs hold the types of the results.
        return self._client(
            "operations", service, lambda: (service_descriptors(service), _operation_service())[1]
        )

    def events(self, service: str) -> ServiceClient:
        """Call the event stream of a service, which has its own port."""
        return self._client("events", service, _event_service)

    def close(self) -> None:
        """Close all channels; calls under way end."""
        with self._lock:
            channels = [*self._channels.values(), *self._retired]
            self._retired.clear()
            self._channels.clear()
            self._clients.clear()
        for channel in channels:
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _client(
        self, kind: str, service: str, services: Callable[[], Iterable[ServiceDescriptor]]
    ) -> ServiceClient:
        if self._security.changed():
            self._renew()
        client = self._clients.get((kind, service))
        if client is not None:
            return client
        target = self._location.events(service) if kind == "events" else self._location.api(service)
        with self._lock:
            client = self._clients.get((kind, service))
            if client is None:
                client = ServiceClient(self._channel(target), services(), self._call_settings(service))
                self._clients[kind, service] = client
            return client

    def _call_settings(self, service: str) -> CallSettings:
        token, extra = self._token, self._extra
        if callable(token):

            def metadata() -> Metadata:
                return (("authorization", f"Bearer {token(service)}"), *extra())
        else:
            authorization = (("authorization", f"Bearer {token}"),) if token else ()

            def metadata() -> Metadata:
                return (*authorization, *extra())

        return CallSettings(
            timeout=self._timeout, wait_for_ready=self._wait_for_ready, retry=self._retry, metadata=metadata
        )

    def _renew(self) -> None:
        """Make channels anew, with the certificates of now; calls under way on the old ones go on."""
        with self._lock:
            # Whoever still holds a client of the former generation may use it until the next change.
            for channel in self._retired:
                channel.close()
            self._retired = list(self._channels.values())
            self._channels.clear()
            self._clients.clear()

    def _channel(self, target: str) -> grpc.Channel:
        channel = self._channels.get(target)
        if channel is None:
            credentials = self._security.credentials()
            if credentials is None:
                channel = grpc.insecure_channel(target, options=_CHANNEL_OPTIONS)
            else:
                channel = grpc.secure_channel(target, credentials, options=_CHANNEL_OPTIONS)
            self._channels[target] = channel
        return channel


def connect(
    address: str | None = None,
    token: str | Callable[[str], str] | None = None,
    *,
    events_address: str | None = None,
    base_port: int | None = None,
    timeout: float = 30.0,
    wait_for_ready: bool = False,
    retry: RetryPolicy | None = None,
    tls: bool | Tls = False,
    root_certificates: Path | bytes | None = None,
) -> Rapport:
    """Return the client of an installation.

    Without arguments it follows RAPPORT_ADDRESS, RAPPORT_TOKEN and RAPPORT_TLS_CA_FILE (which encrypts; with
    RAPPORT_TLS_CERT_FILE and RAPPORT_TLS_KEY_FILE where clients must show a certificate), or else the
    `.rapport/client.json` of a stack started by `rapport up` in this folder or one above it. The other arguments are
    those of Rapport. Raises ValueError when no installation is found.
    """
    provider = token if callable(token) else None
    found = locate(
        address, "" if callable(token) else token, events_address=events_address, base_port=base_port
    )
    return Rapport(
        address=found.address,
        token=provider or found.token,
        events_address=found.events_address,
        base_port=found.base_port,
        timeout=timeout,
        wait_for_ready=wait_for_ready,
        retry=retry,
        tls=tls or tls_of_environment() or False,
        root_certificates=root_certificates,
    )


def service_descriptors(name: str) -> tuple[ServiceDescriptor, ...]:
    """Return the descriptors of the gRPC services in the package `rapport.<name>.v1`."""
    package = importlib.import_module(f"rapport.{name}.v1")
    found: list[ServiceDescriptor] = []
    for module in sorted(
        info.name for info in pkgutil.iter_modules(package.__path__) if info.name.endswith("_pb2")
    ):
        file: FileDescriptor = importlib.import_module(f"rapport.{name}.v1.{module}").DESCRIPTOR
        found.extend(file.services_by_name.values())
    return tuple(found)


def _operation_service() -> tuple[ServiceDescriptor, ...]:
    return service_descriptors("operations")


def _event_service() -> tuple[ServiceDescriptor, ...]:
    return service_descriptors("events")


def _security(tls: bool | Tls, roots: Path | bytes | None) -> ChannelSecurity:
    files = tls if isinstance(tls, Tls) else Tls() if tls or isinstance(roots, Path) else None
    if isinstance(roots, Path) and files is not None:
        files = replace(files, ca=roots)
    return ChannelSecurity(files, roots if isinstance(roots, bytes) else None)
