"""Fixtures that any test may use: databases on one embedded PostgreSQL."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from services.kit.db import make_engine
from tests.support.postgres import ADMIN_URL_VARIABLE, DatabaseFactory, shared_server


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


@pytest.fixture
def make_database(admin_url: str) -> Iterator[DatabaseFactory]:
    """Make empty databases for one test: `make_database("contacts")` returns a SQLAlchemy URL."""
    factory = DatabaseFactory(admin_url)
    yield factory
    factory.close()


@pytest.fixture(scope="module")
def make_module_database(admin_url: str) -> Iterator[DatabaseFactory]:
    """Like `make_database`, for databases that the tests of a module share."""
    factory = DatabaseFactory(admin_url)
    yield factory
    factory.close()


@pytest.fixture(scope="session")
def make_session_database(admin_url: str) -> Iterator[DatabaseFactory]:
    """Like `make_database`, for databases that all tests of this process share."""
    factory = DatabaseFactory(admin_url)
    yield factory
    factory.close()


@pytest.fixture
def segmentation_database(make_database: DatabaseFactory) -> Iterator[Engine]:
    """An engine on an empty database of the segmentation service."""
    engine = make_engine(make_database("segmentation"))
    yield engine
    engine.dispose()


def _run_folder(factory: pytest.TempPathFactory) -> Path:
    """Return the temporary folder of the whole run; below pytest-xdist each process has one inside of it."""
    base = factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
