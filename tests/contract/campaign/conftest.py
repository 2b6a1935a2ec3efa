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


@pytest.fixture(scope="package")
def directory_of_all() -> Directory:
    """What the neighbours of the service know."""
    return Directory()


@pytest.fixture(scope="package")  # a module's share of its start would be longer than its tests
def running(
    admin_url: str,
    originals: Originals,
    directory_of_all: Directory,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    """The API process between its neighbours."""
    factory = DatabaseFactory(admin_url, originals)
    url = factory.with_tables("campaign")
    with serve_neighbours(directory_of_all, tmp_path_factory.mktemp("neighbours")) as reached:
        settings = {**reached, "plugins_allow": ("email",), "mail_domain": "shop.test"}
        with serve("campaign", url, settings=settings) as served:
            yield served
    factory.close()


@pytest.fixture(scope="module")
def open_service(running: Served, directory_of_all: Directory) -> Iterator[Desk]:
    """The API process, and a sender of the module's with a mail server, which remember what was sent."""
    with SmtpServer() as smtp, open_desk(running, directory_of_all, smtp) as desk:
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
