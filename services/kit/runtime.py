"""What a process of a service works with: settings, clock, database, clients of the other services."""

from __future__ import annotations

from dataclasses import dataclass

from rapport_client import Rapport, ServiceClient

from services.kit import context, revisions
from services.kit.access.outgoing import client_tls, token_provider
from services.kit.clock import Clock, parse_clock
from services.kit.config import Settings
from services.kit.db import Database, make_engine
from services.kit.signing import Signer
from services.kit.telemetry.pools import POOLS


class Clients:
    """Call the other services with this service's token; request id and trace go along."""

    def __init__(self, settings: Settings, service: str = "") -> None:
        """service: who calls; raises InvalidArgument (SERVICE_KEY_FILE)."""
        self._rapport = Rapport(
            address=settings.address or f"{settings.host}:{{port}}",
            events_address=settings.events_address or f"{settings.host}:{{port}}",
            base_port=settings.base_port,
            token=token_provider(settings, service),
            timeout=settings.default_deadline_seconds,
            metadata=context.outgoing_metadata,
            tls=client_tls(settings) or False,
        )

    @property
    def contacts(self) -> ServiceClient:
        """Call contacts."""
        return self._rapport.contacts

    @property
    def sales(self) -> ServiceClient:
        """Call sales."""
        return self._rapport.sales

    @property
    def segmentation(self) -> ServiceClient:
        """Call segmentation."""
        return self._rapport.segmentation

    @property
    def campaign(self) -> ServiceClient:
        """Call campaign."""
        return self._rapport.campaign

    @property
    def care(self) -> ServiceClient:
        """Call care."""
        return self._rapport.care

    def operations(self, service: str) -> ServiceClient:
        """Call the long-running operations of a service."""
        return self._rapport.operations(service)

    def events(self, service: str) -> ServiceClient:
        """Call the event stream of a service."""
        return self._rapport.events(service)

    def close(self) -> None:
        """Close all channels."""
        self._rapport.close()


@dataclass(frozen=True, slots=True)
class Runtime:
    """Hold what the code of one process works with.

    service: such as `contacts`; role: `api`, `worker` or the name of another job.
    """

    service: str
    role: str
    settings: Settings
    clock: Clock
    db: Database
    clients: Clients
    signer: Signer

    def close(self) -> None:
        """Close channels and database connections."""
        self.clients.close()
        self.db.close()


def make_runtime(service: str, role: str, settings: Settings, *, clock: Clock | None = None) -> Runtime:
    """Build the runtime of a process from its settings; no connection is opened yet.

    clock: in place of the settings' one. Raises InvalidArgument when a setting is missing or malformed.
    """
    engine = make_engine(
        settings.service_database_url(service),
        pool_size=settings.database_pool_size,
        application_name=revisions.session_name(service, role),
        # A worker's statements may take as long as they need; nobody waits for an API's beyond its deadline.
        statement_timeout_seconds=2 * settings.default_deadline_seconds if role == "api" else None,
    )
    POOLS.watch(engine)
    return Runtime(
        service=service,
        role=role,
        settings=settings,
        clock=clock or parse_clock(settings.clock),
        db=Database(engine),
        clients=Clients(settings, service),
        signer=Signer(settings.secret_key, settings.accepted_secret_keys),
    )
