"""`deploy/databases.sql` on a real server: what it makes is what the code makes and migrates."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from services.kit.config import SERVICES
from services.kit.postgres import libpq_url
from services.kit.postgres.binaries import find_binaries
from services.kit.postgres.urls import rewrite
from tests.support.cli import run_cli

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "databases.sql"


def psql() -> str:
    return find_binaries().program("psql")


@pytest.fixture
def names(admin_url: str, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A prefix of its own, as the server is shared, and the script with it."""
    prefix = f"t{secrets.token_hex(4)}"
    text = SCRIPT.read_text(encoding="utf-8")
    script = tmp_path / "databases.sql"
    script.write_text(text.replace("rapport_", f"{prefix}_"), encoding="utf-8")
    yield prefix, script
    with psycopg.connect(libpq_url(admin_url), autocommit=True) as connection:
        for service in SERVICES:
            connection.execute(f"DROP DATABASE IF EXISTS {prefix}_{service} WITH (FORCE)")
        connection.execute(f"DROP OWNED BY {prefix}_admin")
        for name in (*SERVICES, "segmentation_plugin", "admin"):
            connection.execute(f"DROP ROLE IF EXISTS {prefix}_{name}")


def run_script(url: str, script: Path, password: str) -> None:
    values = [argument for service in SERVICES for argument in ("-v", f"{service}={password}-{service}")]
    result = subprocess.run(
        [psql(), "-q", "-X", "-d", libpq_url(url), *values, "-f", str(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stderr == ""
    assert result.returncode == 0


def test_an_administrator_without_superuser_makes_databases_that_migrate(
    admin_url: str, names: tuple[str, Path], tmp_path: Path
) -> None:
    prefix, script = names
    with psycopg.connect(libpq_url(admin_url), autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {prefix}_admin LOGIN CREATEROLE CREATEDB PASSWORD 'a'")
        # The embedded server lets nobody but its superuser into this one.
        connection.execute(f"GRANT CONNECT ON DATABASE postgres TO {prefix}_admin")
    admin = rewrite(admin_url, database="postgres", user=f"{prefix}_admin", password="a")
    run_script(admin, script, "first")
    run_script(admin, script, "it's")  # again, with other passwords
    urls = {
        service: rewrite(
            admin_url, database=f"{prefix}_{service}", user=f"{prefix}_{service}", password=f"it's-{service}"
        )
        for service in SERVICES
    }
    environment = {f"RAPPORT_{service.upper()}_DATABASE_URL": url for service, url in urls.items()}
    migrated = run_cli("migrate", environment=environment | {"RAPPORT_DATA_DIR": str(tmp_path / "data")})
    assert (migrated.code, migrated.err) == (0, "")
    with psycopg.connect(libpq_url(urls["segmentation"])) as connection:
        connection.execute(f"SET LOCAL ROLE {prefix}_segmentation_plugin")
        assert connection.execute("SHOW timezone").fetchone() == ("UTC",)
    # Nobody else gets in.
    other = rewrite(urls["sales"], database=f"{prefix}_care")
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(libpq_url(other))
