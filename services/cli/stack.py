"""The whole system on one machine: a database server, and each service's processes, under one supervisor."""

from __future__ import annotations

import json
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from rapport_client import Rapport, connect
from sqlalchemy.exc import SQLAlchemyError

from services.cli import processes
from services.kit import revisions
from services.kit.auth import create_tokens
from services.kit.clock import parse_clock
from services.kit.config import SERVICES, Settings
from services.kit.errors import FailedPrecondition, InvalidArgument
from services.kit.log import safe_summary
from services.kit.postgres import EmbeddedPostgres, PostgresError, provision
from services.kit.postgres.errors import NO_SPACE, folder_error
from services.kit.postgres.initialise import write_private
from services.kit.supervise.errors import SupervisorError
from services.kit.supervise.events import Event, EventKind
from services.kit.supervise.ports import require_free_port
from services.kit.supervisor import Supervisor

EXTENSIONS = ("unaccent", "pg_trgm", "btree_gin")
PLUGIN_SERVICES = ("segmentation",)
_CONNECTIONS = 200
"""Of the embedded server, for each replica of the processes."""


@dataclass(frozen=True, slots=True)
class Access:
    """Say how to reach a running stack: its address templates, base port and the owner's token."""

    address: str
    events_address: str
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
        replicas: int = 1,
    ) -> None:
        """Describe it; nothing happens before `start`.

        environment: variables for all processes, over those of this one. postgres_settings: of the embedded server.
        throwaway: for tests and demos; the embedded server's data is not durable to create. replicas: of each process.
        Raises InvalidArgument where they cannot have an address.
        """
        self.settings = settings
        self.replicas = replicas
        self._address = settings.address or processes.replicated_address(settings.host, replicas)
        self._events_address = settings.events_address or processes.replicated_address(
            settings.host, replicas
        )
        self.folder = settings.data_dir.absolute()
        self.supervisor = Supervisor(self.folder, on_event=on_event)
        self._say = on_event or (lambda event: None)
        self._environment = dict(environment or {})
        # Each process has a pool of connections.
        room = {"max_connections": str(_CONNECTIONS * replicas)} if replicas > 1 else {}
        self._postgres_settings = {**room, **(postgres_settings or {})}
        self._prefix = database_prefix
        self._throwaway = throwaway
        self._postgres: EmbeddedPostgres | None = None
        self._claims: list[socket.socket] = []
        self._grants: processes.Grants | None = None
        self.access: Access | None = None

    def __enter__(self) -> Stack:
        private_folder(self.folder)
        self.supervisor.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Access:
        """Start everything and return how to reach it; within `with`, which stops everything when this raises.

        Raises PostgresError, SupervisorError or RapportError that says what stands in the way.
        """
        self._check_clock()
        self._check_broker()
        self._claim_ports()
        try:
            urls = self.prepare_databases()
            for service, url in urls.items():
                self._migrate(service, url)
            tokens = create_tokens(
                self.settings.effective_tokens_file.absolute(), owner_token=self._stored_owner_token()
            )
            shared = {**self._environment, **self._shared()}
            self._grants = processes.Grants(urls, tokens, shared)
            self.supervisor.start(processes.specs(self.settings, self._grants, self.replicas))
            self.access = Access(
                self._address,
                self._events_address,
                self.settings.base_port,
                tokens["owner"],
            )
            self._write_access(self.access)
        except OSError as error:
            raise folder_error(self.folder, error) from error
        return self.access

    def add_replicas(self, service: str, role: str, count: int) -> None:
        """Run so many of one process in all, and return when those that are new are ready.

        Their ports are not held beforehand, and the other processes were not told of their addresses.
        """
        if self._grants is None:
            raise FailedPrecondition("the stack is not started", reason="NOT_STARTED")
        wanted = {processes.process_name(service, role, number) for number in range(count)}
        new = wanted.difference(self.supervisor.names())
        self.supervisor.start(
            [spec for spec in processes.specs(self.settings, self._grants, count) if spec.name in new]
        )

    @property
    def database_pid(self) -> int | None:
        """Return the process number of the embedded server, None where another one is used."""
        return self._postgres.pid if self._postgres is not None else None

    def stop(self) -> None:
        """Stop everything; harmless when it is stopped."""
        self.supervisor.stop()
        while self._claims:
            self._claims.pop().close()

    def destroy_database(self) -> None:
        """Remove the embedded server's data; the stack must be stopped."""
        EmbeddedPostgres(self.folder / "postgres", throwaway=self._throwaway).destroy()

    def client(self, timeout: float = 30.0) -> Rapport:
        """Return a client with the owner's token."""
        if self.access is None:
            raise FailedPrecondition("the stack is not started", reason="NOT_STARTED")
        return connect(
            self.access.address,
            self.access.token,
            events_address=self.access.events_address,
            base_port=self.access.base_port,
            timeout=timeout,
        )

    def prepare_databases(self) -> dict[str, str]:
        """Start the embedded server unless one is given, and return the URL of each service's database."""
        given = given_databases(self.settings)
        admin_url = self.settings.database_url
        if len(given) < len(SERVICES) and not admin_url:
            self._postgres = EmbeddedPostgres(
                self.folder / "postgres",
                settings=self._postgres_settings,
                throwaway=self._throwaway,
                # Its passwords are kept, so there was a database: an empty one in its place would hide it.
                reattach=(self.folder / "database.json").exists(),
                on_progress=lambda text: self._say(Event(EventKind.STARTING, "postgres", text)),
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

    def _migrate(self, service: str, url: str) -> None:
        name = f"{service} schema"
        before, after = migrate_database(
            service, url, begin=lambda: self._say(Event(EventKind.STARTING, name)), accept_newer=True
        )
        if before != after:
            self._say(Event(EventKind.READY, name))

    def _shared(self) -> dict[str, str]:
        return {
            "RAPPORT_ADDRESS": self._address,
            "RAPPORT_EVENTS_ADDRESS": self._events_address,
            "RAPPORT_DATA_DIR": str(self.folder),
            "RAPPORT_TOKENS_FILE": str(self.settings.effective_tokens_file.absolute()),
            "RAPPORT_SECRET_KEY": self.settings.secret_key or self._secret_key(),
            "RAPPORT_BASE_PORT": str(self.settings.base_port),
            "RAPPORT_HOST": self.settings.host,
            "RAPPORT_AMQP_URL": self.settings.amqp_url,
            "RAPPORT_AMQP_PREFIX": self.settings.amqp_prefix,
            "RAPPORT_CLOCK": self.settings.clock,
            "RAPPORT_TIME_ZONE": self.settings.time_zone,
            "PYTHONUNBUFFERED": "1",
            # glibc would keep an arena for each of many threads.
            "MALLOC_ARENA_MAX": "2",
        }

    def _claim_ports(self) -> None:
        """Raise SupervisorError that names the first port in use.

        The base port of each replica, which no process uses, is held as long as the stack runs: another stack that
        starts with the same ports meanwhile, when none of them is bound yet, would take our servers for its own.
        """
        host = self.settings.host
        replicas = processes.replicas_of(self.settings, self.replicas)
        for base in () if self._claims else [one.own_base_port for one in replicas]:
            require_free_port(host, base, processes.PORT_SETTING, user="the stack")
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            try:
                self._claims.append(socket.create_server((host, base), family=family))
            except OSError as error:
                raise SupervisorError(
                    f"port {base} on {host} of the stack cannot be used: {error.strerror}. "
                    f"Free it, or change {processes.PORT_SETTING}"
                ) from error
        for name, uses in processes.all_ports(self.settings, self.replicas).items():
            for use in uses:
                require_free_port(use.host, use.port, use.setting, user=name)

    def _check_clock(self) -> None:
        try:
            parse_clock(self.settings.clock).now()
        except OSError as error:
            raise InvalidArgument(
                f"RAPPORT_CLOCK: cannot read {error.filename}: {error.strerror}", reason="INVALID_CLOCK"
            ) from error

    def _check_broker(self) -> None:
        """Raise Unavailable, before anything starts, when there is no broker where the settings say."""
        if self.settings.amqp_url:
            from services.kit.bus.amqp.broker import (  # which a stack without a broker need not load
                check,
                parse_url,
            )

            check(parse_url(self.settings.amqp_url))

    def _write_access(self, access: Access) -> None:
        content = {
            "address": access.address,
            "events_address": access.events_address,
            "base_port": access.base_port,
            "token": access.token,
        }
        write_private(self.folder / "client.json", json.dumps(content) + "\n")

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


def given_databases(settings: Settings) -> dict[str, str]:
    """Return the databases that the settings name one by one, {service: url}."""
    urls = {service: getattr(settings, f"{service}_database_url") for service in SERVICES}
    return {service: url for service, url in urls.items() if url}


def migrate_database(
    service: str,
    url: str,
    begin: Callable[[], None] = lambda: None,
    *,
    contract: bool = False,
    accept_newer: bool = False,
) -> tuple[str | None, str | None]:
    """Bring a database to the newest revision that expands, and return the revisions before and after.

    begin: called when there is something to do. contract: go on to what takes away what older releases use.
    accept_newer: leave alone what a newer release has only added to. Raises PostgresError when the database cannot be
    reached or written; its transaction has then changed nothing. Raises FailedPrecondition (RESTORE_UNFINISHED) too.
    """
    try:
        with revisions.connected(url) as connection:
            revisions.require_whole(connection)
            before = revisions.current(connection)
            if before is not None and before not in revisions.known(service) and accept_newer:
                revisions.require(service, connection)
                return before, before
            waiting = revisions.waiting(service, before, contract=contract)
        if waiting:
            begin()
        if waiting or before not in revisions.known(service):
            from services.kit import migrations  # Alembic, which most starts have no need of

            migrations.upgrade(service, url, contract=contract)
        return before, waiting[-1] if waiting else before
    except SQLAlchemyError as error:
        summary = safe_summary(error)
        if NO_SPACE in summary:
            raise PostgresError(
                f"the disk that holds the database of {service} is full; free some space, then start again"
            ) from error
        raise PostgresError(f"cannot migrate the database of {service}: {summary}") from error


def private_folder(folder: Path) -> None:
    """Make a folder that only its owner may enter, unless it is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except FileExistsError as error:
        raise PostgresError(
            f"cannot use the data folder {folder}: a file of that name is in the way; "
            "move it, or choose another folder (RAPPORT_DATA_DIR)"
        ) from error
    except OSError as error:
        raise folder_error(folder, error) from error
