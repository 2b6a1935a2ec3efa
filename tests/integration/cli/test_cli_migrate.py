"""`rapport migrate` on a given server and on given databases."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import sqlalchemy as sa

from services.kit import revisions
from services.kit.config import SERVICES
from services.kit.postgres import libpq_url
from services.sales import models
from tests.support.cli import run_cli
from tests.support.postgres import DatabaseFactory


def test_given_databases_are_migrated_and_nothing_else_is_made(
    make_database: DatabaseFactory, tmp_path: Path
) -> None:
    urls = {service: make_database(service) for service in SERVICES}
    environment = {f"RAPPORT_{service.upper()}_DATABASE_URL": url for service, url in urls.items()}
    environment["RAPPORT_DATA_DIR"] = str(tmp_path / "data")
    first = run_cli("migrate", environment=environment)
    assert (first.code, first.err) == (0, "")
    for service in SERVICES:
        assert f"{service}: empty → {revisions.head(service)}" in first.out
        assert revisions.current_of(urls[service]) == revisions.head(service)
    again = run_cli("migrate", environment=environment)
    assert len(re.findall("already at", again.out)) == len(SERVICES)
    # A database that a newer release has migrated is left alone.
    with psycopg.connect(libpq_url(urls["sales"])) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    newer = run_cli("migrate", environment=environment)
    assert newer.code == 1
    assert "9999" in newer.err
    assert "run the newer release" in newer.err
    assert revisions.current_of(urls["sales"]) == "9999"
    assert list(tmp_path.iterdir()) == []


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


def test_check_says_which_models_and_migrations_differ_and_how() -> None:
    table = models.metadata.tables["product"]
    extra = sa.Column("nobody_migrated_this", sa.Text)
    table.append_column(extra)
    try:
        ran = run_cli("migrate", "--check")
    finally:
        table._columns.remove(extra)
    assert ran.code == 1
    assert ran.err.startswith("sales: migrations and models differ:\n")
    assert "nobody_migrated_this" in ran.err
    assert sorted(ran.out.splitlines()) == sorted(
        f"{service}: migrations match the models" for service in SERVICES if service != "sales"
    )
