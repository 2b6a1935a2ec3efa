"""A runtime of campaign on an empty database, its neighbours, an SMTP server, and a sender in this process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rapport_testing.smtp import SmtpServer

from services.campaign import channels
from services.campaign.usecases.sending import Sender
from services.kit.clock import FixedClock
from services.kit.config import load_settings
from services.kit.locks import Locks
from services.kit.plugins import PluginHost, PluginManager
from services.kit.runtime import Runtime, make_runtime
from tests.support.campaign import NOW, World, neighbours, smtp_environment
from tests.support.campaign_tracking import Tracked, tracked
from tests.support.postgres import DatabaseFactory

PLUGINS = ("email", "recipients")


@pytest.fixture
def world() -> World:
    """What contacts and segmentation know: nobody."""
    return World(members={"segments/all": []})


@pytest.fixture
def smtp() -> Iterator[SmtpServer]:
    """A mail server."""
    with SmtpServer() as server:
        yield server


@pytest.fixture(scope="session")
def plugin_host() -> Iterator[PluginHost]:
    """A plugin host for all tests of this process; it keeps no state."""
    host = PluginHost(allowed=PLUGINS, environment={})
    yield host
    host.close()


@pytest.fixture
def neighbours_at(world: World) -> Iterator[str]:
    """The address of contacts and segmentation."""
    with neighbours(world) as address:
        yield address


@pytest.fixture
def database_url(make_database: DatabaseFactory) -> str:
    """The URL of a database with the schema of campaign."""
    url = make_database.with_tables("campaign")
    return url


@pytest.fixture
def runtime(database_url: str, neighbours_at: str, plugin_host: PluginHost) -> Iterator[Runtime]:
    """A runtime whose clock stands at NOW."""
    settings = load_settings(
        campaign_database_url=database_url,
        secret_key="k" * 32,
        address=neighbours_at,
        events_address=neighbours_at,
        mail_domain="shop.test",
    )
    made = make_runtime("campaign", "worker", settings, clock=FixedClock(NOW))
    channels.provide(made, plugin_host)
    yield made
    with channels._lock:
        channels._hosts.pop(id(made), None)
    made.close()


@pytest.fixture
def manager(smtp: SmtpServer) -> PluginManager:
    """The plugins of a sender, whose mail goes to the test's server."""
    made = PluginManager(PLUGINS, (), smtp_environment(smtp.port))
    made.load()
    return made


@pytest.fixture
def sender(runtime: Runtime, manager: PluginManager) -> Iterator[Sender]:
    """A sender in this process."""
    locks = Locks(runtime.db.engine)
    # However slow the machine is: all that is ready goes in one call.
    made = Sender(runtime, manager, locks, call_seconds=60)
    yield made
    made.close()
    locks.close()


@pytest.fixture(scope="module")
def module_tracked(make_module_database: DatabaseFactory) -> Iterator[Tracked]:
    """Campaign on a database that the tests of a module share, with its neighbours."""
    url = make_module_database.with_tables("campaign")
    world = World(members={"segments/all": []})
    with neighbours(world) as address, tracked(url, address, world) as made:
        yield made
