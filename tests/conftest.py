"""Fixtures that any test may use: databases on one embedded PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import rabbit
from tests.support.postgres import ADMIN_URL_VARIABLE, DatabaseFactory, Originals, shared_server


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The administrator's URL of the run's server: embedded, one for all processes of the run.

    RAPPORT_TEST_ADMIN_URL names another server to use instead.
    """
    given = os.environ.get(ADMIN_URL_VARIABLE)
    if given:
        yield given
        return
    with shared_server(_run_folder(tmp_path_factory)) as url:
        yield url


@pytest.fixture(scope="session")
def admin_url(postgres_server: str) -> str:
    """The superuser's SQLAlchemy URL."""
    return postgres_server


@pytest.fixture(scope="session")
def originals(admin_url: str) -> Iterator[Originals]:
    """What databases are copied from."""
    made = Originals(admin_url)
    yield made
    made.close()


@pytest.fixture
def make_database(admin_url: str, originals: Originals) -> Iterator[DatabaseFactory]:
    """Make databases for one test; returns SQLAlchemy URLs.

    `make_database("contacts")` makes an empty one, `make_database.with_tables("contacts")` one with its tables.
    """
    factory = DatabaseFactory(admin_url, originals)
    yield factory
    factory.close()


@pytest.fixture(scope="module")
def make_module_database(admin_url: str, originals: Originals) -> Iterator[DatabaseFactory]:
    """Like `make_database`, for databases that the tests of a module share."""
    factory = DatabaseFactory(admin_url, originals)
    yield factory
    factory.close()


@pytest.fixture(scope="session")
def make_session_database(admin_url: str, originals: Originals) -> Iterator[DatabaseFactory]:
    """Like `make_database`, for databases that all tests of this process share."""
    factory = DatabaseFactory(admin_url, originals)
    yield factory
    factory.close()


@pytest.fixture(scope="session")
def rabbit_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the run's RabbitMQ, one for all its processes: its own, unless RAPPORT_AMQP_URL names another."""
    if rabbit.GIVEN:
        yield rabbit.GIVEN
        return
    try:
        rabbit.find_server()
    except rabbit.NoRabbit as error:
        if rabbit.is_required():
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))
    with rabbit.shared_node(_run_folder(tmp_path_factory)) as url:
        yield url


@pytest.fixture(autouse=True)
def chosen_transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run workers on what `--transport` says; a test's own fixture may choose otherwise."""
    if request.config.getoption("--transport") == "amqp":
        use_rabbit(monkeypatch, request.getfixturevalue("rabbit_url"))
    else:
        use_streams(monkeypatch)


@pytest.fixture(params=["stream", "rabbitmq"])
def each_transport(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, chosen_transport: None
) -> str:
    """Run the test twice, on the event streams and on RabbitMQ."""
    if request.param == "rabbitmq":
        use_rabbit(monkeypatch, request.getfixturevalue("rabbit_url"))
    else:
        use_streams(monkeypatch)
    return str(request.param)


@pytest.fixture
def on_rabbit(monkeypatch: pytest.MonkeyPatch, chosen_transport: None, rabbit_url: str) -> str:
    """Run the test on RabbitMQ; returns its URL."""
    use_rabbit(monkeypatch, rabbit_url)
    return rabbit_url


@pytest.fixture
def on_streams(monkeypatch: pytest.MonkeyPatch, chosen_transport: None) -> None:
    """Run the test on the event streams, as it is about them."""
    use_streams(monkeypatch)


def use_rabbit(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Let settings and processes made from now on use RabbitMQ, under names that no other test has."""
    for name, value in rabbit.variables(url).items():
        monkeypatch.setenv(name, value)


def use_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let settings and processes made from now on use the event streams."""
    monkeypatch.delenv(rabbit.URL_VARIABLE, raising=False)


def _run_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the temporary folder of the whole run; below pytest-xdist each process has one inside of it."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
