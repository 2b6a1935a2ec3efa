"""The whole system on one machine: a database server, and each service's processes, under one supervisor."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rapport_client import Rapport, connect

from services.cli.run import EXTRA_ROLES, command
from services.kit import migrations
from services.kit.auth import create_tokens
from services.kit.config import SERVICES, Settings
from services.kit.errors import FailedPrecondition
from services.kit.postgres import EmbeddedPostgres, provision
from services.kit.supervise import probes
from services.kit.supervise.events import Event, EventKind
from services.kit.supervise.spec import PortUse, ProcessSpec
from services.kit.supervisor import Supervisor

EXTENSIONS = ("unaccent", "pg_trgm", "btree_gin")
PLUGIN_SERVICES = ("segmentation",)
PORT_SETTING = "RAPPORT_BASE_PORT"


@dataclass(frozen=True, slots=True)
class Access:
    """Say how to reach a running stack: its address template, base port and the owner's token."""

    address: str
    base_port: int
    token: str


class Stack:
    """Start all services with what they need in a data folder, and stop them.

    with Stack(settings) as stack:
        stack.start()
        stack.client().contacts.count_contacts()
    """

    def __init__(
        self,
        settings: Settings,
        *,
        environment: Mapping[str, str] | None = None,
        on_event: Callable[[Event], None] | None = None,
        postgres_settings: Mapping[str, str] | None = None,
        database_prefix: str = "rapport",
        throwaway: bool = False,
    ) -> None:
        """Describe it; nothing happens before `start`.

        environment: variables for all processes, over those of this one. postgres_settings: of the embedded server.
        throwaway: for tests and demos; the embedded server's data is not durable to create.
        """
        self.settings = settings
        self.folder = settings.data_dir.absolute()
        self.supervisor = Supervisor(self.folder, on_event=on_event)
        self._say = on_event or (lambda event: None)
        self._environment = dict(environment or {})
        self._postgres_settings = dict(postgres_settings or {})
        self._prefix = database_prefix
        self._throwaway = throwaway
        self._postgres: EmbeddedPostgres | None = None
        self.access: Access | None = None

    def __enter__(self) -> Stack:
        self.supervisor.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Access:
        """Start everything and return how to reach it; raises what stands in the way, with everything stopped."""
        self._private_folder()
        self.supervisor.open()
        urls = self.prepare_databases()
        self._migrate(urls)
        tokens = create_tokens(self.folder / "tokens.json", owner_token=self._stored_owner_token())
        self.supervisor.start(self._specs(urls, tokens))
        address = self.settings.address or f"{self.settings.host}:{{port}}"
        self.access = Access(address, self.settings.base_port, tokens["owner"])
        write_private(
            self.folder / "client.json",
            json.dumps({"address": address, "base_port": self.settings.base_port, "token": tokens["owner"]})
            + "\n",
        )
        return self.access

    def stop(self) -> None:
        """Stop everything; harmless when it is stopped."""
        self.supervisor.stop()

    def destroy_database(self) -> None:
        """Remove the embedded server's data; the stack must be stopped."""
        if self._postgres is not None:
            self._postgres.destroy()

    def client(self, timeout: float = 30.0) -> Rapport:
        """Return a client with the owner's token."""
        if self.access is None:
            raise FailedPrecondition("the stack is not started", reason="NOT_STARTED")
        return connect(
            self.access.address, self.access.token, base_port=self.access.base_port, timeout=timeout
        )

    def prepare_databases(self) -> dict[str, str]:
        """Start the embedded server unless one is given, and return the URL of each service's database."""
        given = {service: getattr(self.settings, f"{service}_database_url") for service in SERVICES}
        missing = [service for service in SERVICES if not given[service]]
        admin_url = self.settings.database_url
        if missing and not admin_url:
            self._postgres = EmbeddedPostgres(
                self.folder / "postgres", settings=self._postgres_settings, throwaway=self._throwaway
            )
            self.supervisor.own(self._postgres)
            admin_url = self._postgres.admin_url
        return provision(
            admin_url,
            SERVICES,
            secrets_file=self.folder / "database.json",
            prefix=self._prefix,
            extensions=EXTENSIONS,
            plugin_services=PLUGIN_SERVICES,
            given=given,
        )

    def _migrate(self, urls: Mapping[str, str]) -> None:
        for service, url in urls.items():
            if migrations.current(service, url) != migrations.head(service):
                self._say(Event(EventKind.STARTING, f"{service} schema"))
                migrations.upgrade(service, url)
                self._say(Event(EventKind.READY, f"{service} schema"))

    def _specs(self, urls: Mapping[str, str], tokens: Mapping[str, str]) -> list[ProcessSpec]:
        shared = {
            **self._environment,
            "RAPPORT_DATA_DIR": str(self.folder),
            "RAPPORT_TOKENS_FILE": str(self.folder / "tokens.json"),
            "RAPPORT_SECRET_KEY": self.settings.secret_key or self._secret_key(),
            "RAPPORT_BASE_PORT": str(self.settings.base_port),
            "RAPPORT_HOST": self.settings.host,
            "RAPPORT_CLOCK": self.settings.clock,
            "RAPPORT_DATABASE_URL": "",
            "PYTHONUNBUFFERED": "1",
            # glibc would keep an arena for each of many threads.
            "MALLOC_ARENA_MAX": "2",
        }
        host, grace = self.settings.host, self.settings.shutdown_grace_seconds + 5
        specs = []
        for service in SERVICES:
            # A process gets its own service's database and token, and no other's.
            own = {f"RAPPORT_{name.upper()}_DATABASE_URL": "" for name in SERVICES} | {
                f"RAPPORT_{service.upper()}_DATABASE_URL": urls[service],
                "RAPPORT_TOKEN": tokens[service],
            }
            api_ports = [
                self.settings.port(service),
                self.settings.events_port(service),
                self.settings.metrics_port(service, "api"),
            ]
            if service == "care":
                api_ports.append(self.settings.inbound_mail_port)
            specs.append(
                ProcessSpec(
                    f"{service}-api",
                    command(service, "api"),
                    env={**shared, **own},
                    ready=probes.grpc_health(host, self.settings.port(service)),
                    stop_grace=grace,
                    ports=[PortUse(port, PORT_SETTING, host) for port in api_ports],
                )
            )
            worker_port = self.settings.metrics_port(service, "worker")
            specs.append(
                ProcessSpec(
                    f"{service}-worker",
                    command(service, "worker"),
                    env={**shared, **own},
                    ready=probes.http_ok(host, worker_port, "/healthz"),
                    stop_grace=grace,
                    ports=[PortUse(worker_port, PORT_SETTING, host)],
                )
            )
            specs.extend(
                ProcessSpec(
                    f"{service}-{role}", command(service, role), env={**shared, **own}, stop_grace=grace
                )
                for role in EXTRA_ROLES.get(service, ())
            )
        return specs

    def _private_folder(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise FailedPrecondition(
                f"cannot make the data folder {self.folder}: {error.strerror}; set RAPPORT_DATA_DIR to another one",
                reason="DATA_DIR_UNWRITABLE",
            ) from error

    def _stored_owner_token(self) -> str | None:
        try:
            return str(json.loads((self.folder / "client.json").read_text())["token"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _secret_key(self) -> str:
        path = self.folder / "secret.key"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(32) + "\n")
        return path.read_text().strip()


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, atomically."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def is_terminal() -> bool:
    """Say whether a person watches."""
    return sys.stdout.isatty()
