"""Segmentation over a real port, without plugins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from services.segmentation.context import service_of
from tests.support.postgres import DatabaseFactory, Originals
from tests.support.segmentation import World
from tests.support.stack import Served, serve


@pytest.fixture(scope="package")  # a module's share of its start would be longer than its tests
def running(admin_url: str, originals: Originals) -> Iterator[Served]:
    """The API process; it loads the plugins that come with Rapport."""
    factory = DatabaseFactory(admin_url, originals)
    url = factory.with_tables("segmentation")
    with serve("segmentation", url, settings={"plugins_allow": ("rfm", "loyalty")}) as served:
        yield served
    factory.close()


@pytest.fixture
def served(running: Served) -> Served:
    """The API process on an empty database."""
    World(service_of(running.runtime), running.clock).empty()
    return running


@pytest.fixture
def seg(served: Served) -> World:
    """What events did, and the work of a worker on demand."""
    return World(service_of(served.runtime), served.clock)


@pytest.fixture
def api(served: Served) -> Any:
    """The client with the owner's token."""
    return served.client
