"""`rapport migrate` on a given server and on given databases."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from services.kit import migrations
from services.kit.config import SERVICES
from services.kit.postgres import libpq_url
from tests.support.cli import run_cli
from tests.support.postgres import DatabaseFactory


@pytest.fixture
def databases(make_database: DatabaseFactory) -> Iterator[dict[str, str]]:
    """An empty database for each service."""
    yield {service: make_database(service) for service in SERVICES}


def settings(databases: dict[str, str], folder: Path) -> dict[str, str]:
    urls = {f"RAPPORT_{service.upper()}_DATABASE_URL": url for service, url in databases.items()}
    return urls | {"RAPPORT_DATA_DIR": str(folder / "data")}


def test_given_databases_are_migrated_and_nothing_else_is_made(
    databases: dict[str, str], tmp_path: Path
) -> None:
    first = run_cli("migrate", environment=settings(databases, tmp_path))
    assert (first.code, first.err) == (0, "")
    for service in SERVICES:
        assert f"{service}: empty → {migrations.head(service)}" in first.out
        assert migrations.current(service, databases[service]) == migrations.head(service)
    again = run_cli("migrate", environment=settings(databases, tmp_path))
    assert len(re.findall("already at", again.out)) == len(SERVICES)
    assert list(tmp_path.iterdir()) == []


def test_a_database_of_a_newer_release_is_left_alone(databases: dict[str, str], tmp_path: Path) -> None:
    assert run_cli("migrate", environment=settings(databases, tmp_path)).code == 0
    with psycopg.connect(libpq_url(databases["sales"])) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    ran = run_cli("migrate", environment=settings(databases, tmp_path))
    assert ran.code == 1
    assert "9999" in ran.err
    assert "run the newer release" in ran.err
    assert migrations.current("sales", databases["sales"]) == "9999"


def test_a_server_that_cannot_be_reached_is_named_without_its_password(tmp_path: Path) -> None:
    url = "postgresql://someone:hidden-password@127.0.0.1:1/x"
    for environment in (
        {f"RAPPORT_{service.upper()}_DATABASE_URL": url for service in SERVICES},
        {"RAPPORT_DATABASE_URL": url, "RAPPORT_DATA_DIR": str(tmp_path / "data")},
        {"RAPPORT_DATABASE_URL": "nonsense", "RAPPORT_DATA_DIR": str(tmp_path / "data")},
    ):
        ran = run_cli("migrate", environment=environment)
        assert ran.code == 1
        assert ran.err.startswith("rapport: ")
        assert "hidden-password" not in ran.err


def test_check_finds_that_models_and_migrations_match() -> None:
    ran = run_cli("migrate", "--check")
    assert (ran.code, ran.err) == (0, "")
    assert sorted(ran.out.splitlines()) == sorted(
        f"{service}: migrations match the models" for service in SERVICES
    )


def test_check_says_how_they_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlalchemy as sa

    from services.sales import models

    table = models.metadata.tables["product"]
    extra = sa.Column("nobody_migrated_this", sa.Text)
    table.append_column(extra)
    try:
        ran = run_cli("migrate", "--check")
    finally:
        table._columns.remove(extra)
    assert ran.code == 1
    assert "sales: migrations and models differ:" in ran.err
    assert "nobody_migrated_this" in ran.err
    assert "care: migrations match the models" in ran.out
