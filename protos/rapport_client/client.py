"""The way in: one object for all services."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Self

import grpc
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor

from rapport_client.config import SERVICES, Location, locate
from rapport_client.method import CallSettings, Metadata
from rapport_client.retry import RetryPolicy
from rapport_client.service import ServiceClient

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
        token: str,
        events_address: str = "",
        base_port: int = 7400,
        timeout: float = 30.0,
        wait_for_ready: bool = False,
        retry: RetryPolicy | None = None,
        metadata: Callable[[], Metadata] | None = None,
        tls: bool = False,
        root_certificates: Path | bytes | None = None,
    ) -> None:
        """Prepare; nothing is connected yet.

        address: `host:port`, where `{service}` and `{port}` are filled in; timeout: seconds for a unary call,
        retries included; wait_for_ready: wait for a service that is down, up to the timeout, instead of
        failing at once; metadata: gives pairs to send with each call; tls: encrypt, and check the server
        against the system's roots or `root_certificates` (PEM; implies tls).
        """
        self._location = Location(address, events_address, base_port, token)
        extra = metadata or (lambda: ())
        authorization = (("authorization", f"Bearer {token}"),) if token else ()
        self._settings = CallSettings(
            timeout=timeout,
            wait_for_ready=wait_for_ready,
            retry=retry or RetryPolicy(),
            metadata=lambda: (*authorization, *extra()),
        )
        self._credentials = _credentials(tls, root_certificates)
        self._lock = threading.Lock()
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
            channels = list(self._channels.values())
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
        client = self._clients.get((kind, service))
        if client is not None:
            return client
        target = self._location.events(service) if kind == "events" else self._location.api(service)
        with self._lock:
            client = self._clients.get((kind, service))
            if client is None:
                client = ServiceClient(self._channel(target), services(), self._settings)
                self._clients[kind, service] = client
            return client

    def _channel(self, target: str) -> grpc.Channel:
        channel = self._channels.get(target)
        if channel is None:
            if self._credentials is None:
                channel = grpc.insecure_channel(target, options=_CHANNEL_OPTIONS)
            else:
                channel = grpc.secure_channel(target, self._credentials, options=_CHANNEL_OPTIONS)
            self._channels[target] = channel
        return channel


def connect(
    address: str | None = None,
    token: str | None = None,
    *,
    events_address: str | None = None,
    base_port: int | None = None,
    timeout: float = 30.0,
    wait_for_ready: bool = False,
    retry: RetryPolicy | None = None,
    tls: bool = False,
    root_certificates: Path | bytes | None = None,
) -> Rapport:
    """Return the client of an installation.

    Without arguments it follows RAPPORT_ADDRESS and RAPPORT_TOKEN, or else the `.rapport/client.json` of a
    stack started by `rapport up` in this folder or one above it. The other arguments are those of Rapport.
    Raises ValueError when no installation is found.
    """
    found = locate(address, token, events_address=events_address, base_port=base_port)
    return Rapport(
        address=found.address,
        token=found.token,
        events_address=found.events_address,
        base_port=found.base_port,
        timeout=timeout,
        wait_for_ready=wait_for_ready,
        retry=retry,
        tls=tls,
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


def _credentials(tls: bool, roots: Path | bytes | None) -> grpc.ChannelCredentials | None:
    if roots is None:
        return grpc.ssl_channel_credentials() if tls else None
    return grpc.ssl_channel_credentials(roots.read_bytes() if isinstance(roots, Path) else roots)
