"""Campaign over a real port, between neighbours and a mail server that listen on real ports too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rapport_testing.smtp import SmtpServer

from tests.support.campaign_desk import Desk, open_desk
from tests.support.campaign_fakes import Directory, serve_neighbours
from tests.support.postgres import DatabaseFactory, Originals
from tests.support.stack import Served, serve


@pytest.fixture(scope="package")  # a module's share of its start would be longer than its tests
def database_url(admin_url: str, originals: Originals) -> Iterator[str]:
    """The database of the service."""
    factory = DatabaseFactory(admin_url, originals)
    yield factory.with_tables("campaign")
    factory.close()


@pytest.fixture(scope="package")
def open_service(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """The API process, its neighbours, and a sender with a mail server."""
    directory = Directory()
    with serve_neighbours(directory, tmp_path_factory.mktemp("neighbours")) as reached:
        settings = {**reached, "plugins_allow": ("email",), "mail_domain": "shop.test"}
        with (
            serve("campaign", database_url, settings=settings) as served,
            SmtpServer() as smtp,
            open_desk(served, directory, smtp) as desk,
        ):
            yield desk


@pytest.fixture
def desk(open_service: Desk) -> Desk:
    """The service on an empty database, and its work on demand."""
    open_service.empty()
    return open_service


@pytest.fixture
def served(desk: Desk) -> Served:
    """The API process on an empty database."""
    return desk.served


@pytest.fixture
def api(desk: Desk) -> Any:
    """The client with the owner's token."""
    return desk.api


@pytest.fixture
def directory(desk: Desk) -> Directory:
    """What contacts and segmentation know: nobody, and the segment of everybody."""
    return desk.directory
