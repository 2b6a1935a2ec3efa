"""Where the databases are: given one by one, on a given server, or on the stack's own server in its data folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from services.cli.stack import Stack, given_databases
from services.kit.config import SERVICES, Settings
from services.kit.errors import FailedPrecondition
from services.kit.postgres import EmbeddedPostgres, sqlalchemy_url
from services.kit.postgres.provision import DEFAULT_PREFIX
from services.kit.postgres.urls import rewrite


@contextmanager
def live_databases(settings: Settings) -> Iterator[dict[str, str]]:
    """Give the URLs of the databases, {service: URL}, whether a stack runs on them or not; makes none.

    Raises FailedPrecondition (NO_DATABASES), PostgresError.
    """
    given = {service: sqlalchemy_url(url) for service, url in given_databases(settings).items()}
    if len(given) == len(SERVICES):
        yield given
        return
    passwords = _passwords(settings)
    with _server(settings) as admin_url:
        urls = {}
        for service in SERVICES:
            role = f"{DEFAULT_PREFIX}_{service}"
            if service in given:
                urls[service] = given[service]
            elif role in passwords:
                urls[service] = rewrite(admin_url, database=role, user=role, password=passwords[role])
            else:
                raise _nothing(settings)
        yield urls


@contextmanager
def _server(settings: Settings) -> Iterator[str]:
    """Give the administrator's URL of the server; starts the stack's own one when it does not run."""
    if settings.database_url:
        yield settings.database_url
        return
    status = EmbeddedPostgres(settings.data_dir.absolute() / "postgres").status()
    if status.admin_url is not None:
        yield status.admin_url
        return
    server = EmbeddedPostgres(settings.data_dir.absolute() / "postgres", reattach=True)
    server.start()
    try:
        yield server.admin_url
    finally:
        server.stop()


@contextmanager
def target_databases(settings: Settings) -> Iterator[dict[str, str]]:
    """Give the URLs of the databases to restore into, made where they are missing; no stack runs on them meanwhile.

    Raises SupervisorError when a stack runs in the data folder.
    """
    given = given_databases(settings)
    if len(given) == len(SERVICES):
        yield {service: sqlalchemy_url(url) for service, url in given.items()}
        return
    with Stack(settings) as stack:
        yield stack.prepare_databases()


def _passwords(settings: Settings) -> Mapping[str, str]:
    try:
        found: dict[str, str] = json.loads((settings.data_dir.absolute() / "database.json").read_text())
        return found
    except (OSError, ValueError) as error:
        raise _nothing(settings) from error


def _nothing(settings: Settings) -> FailedPrecondition:
    return FailedPrecondition(
        f"no databases are known in {settings.data_dir.absolute()}: set RAPPORT_DATA_DIR to the folder of the stack, "
        "or RAPPORT_CONTACTS_DATABASE_URL and the like",
        reason="NO_DATABASES",
    )
