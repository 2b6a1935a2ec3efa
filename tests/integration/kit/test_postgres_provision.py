"""Each service's database is its own, whoever asks and however often."""

from __future__ import annotations

import secrets
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from services.kit.postgres import PostgresError, drop, libpq_url, plugin_role, provision
from services.kit.postgres.urls import rewrite

SERVICES = ("contacts", "sales", "segmentation")


@pytest.fixture
def prefix(admin_url: str) -> Iterator[str]:
    name = f"p{secrets.token_hex(5)}"
    yield name
    drop(admin_url, SERVICES, prefix=name)


def connect(url: str) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg.connect(libpq_url(url), autocommit=True)


def test_each_service_owns_its_database(admin_url: str, prefix: str) -> None:
    urls = provision(admin_url, SERVICES, prefix=prefix, extensions=["pg_trgm"])
    assert list(urls) == list(SERVICES)
    for service, url in urls.items():
        assert url.startswith("postgresql+psycopg://")
        with connect(url) as connection:
            row = connection.execute(
                "SELECT current_user, current_database(), pg_encoding_to_char(encoding), "
                "current_setting('timezone') FROM pg_database WHERE datname = current_database()"
            ).fetchone()
            assert row == (f"{prefix}_{service}", f"{prefix}_{service}", "UTF8", "UTC")
            connection.execute("CREATE TABLE mine (x int)")
            connection.execute("CREATE SCHEMA published")
            assert connection.execute("SELECT 1 FROM pg_extension WHERE extname = 'pg_trgm'").fetchone()


def test_a_role_is_refused_by_the_other_databases(admin_url: str, prefix: str) -> None:
    urls = provision(admin_url, SERVICES, prefix=prefix)
    for service in SERVICES:
        for other in SERVICES:
            url = rewrite(urls[service], database=f"{prefix}_{other}")
            if other == service:
                connect(url).close()
            else:
                with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
                    connect(url)


def test_a_role_has_no_power_over_the_server(admin_url: str, prefix: str) -> None:
    urls = provision(admin_url, SERVICES, prefix=prefix)
    with connect(urls["contacts"]) as connection:
        row = connection.execute(
            "SELECT rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls FROM pg_roles "
            "WHERE rolname = current_user"
        ).fetchone()
        assert row == (False,) * 5
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"SET ROLE {prefix}_sales")


def test_the_wrong_password_is_refused(admin_url: str, prefix: str) -> None:
    urls = provision(admin_url, ["contacts"], prefix=prefix)
    name = f"{prefix}_contacts"
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        connect(rewrite(urls["contacts"], database=name, user=name, password="guess"))


def test_only_segmentation_can_take_the_role_for_plugins(admin_url: str, prefix: str) -> None:
    urls = provision(admin_url, SERVICES, prefix=prefix)
    role = plugin_role("segmentation", prefix)
    with connect(urls["segmentation"]) as connection, connection.transaction():
        connection.execute(f"SET LOCAL ROLE {role}")
        assert connection.execute("SELECT current_user").fetchone() == (role,)
    with connect(urls["contacts"]) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(f"SET ROLE {role}")
    with pytest.raises(psycopg.OperationalError):
        connect(rewrite(urls["segmentation"], database=f"{prefix}_segmentation", user=role, password=""))


def test_the_role_for_plugins_sees_only_what_it_is_given(admin_url: str, prefix: str) -> None:
    urls = provision(admin_url, ["segmentation"], prefix=prefix)
    role = plugin_role("segmentation", prefix)
    with connect(urls["segmentation"]) as connection:
        connection.execute("CREATE TABLE secret (x int)")
        connection.execute("CREATE TABLE shown (x int)")
        connection.execute(f"GRANT SELECT ON shown TO {role}")
        with connection.transaction():
            connection.execute(f"SET LOCAL ROLE {role}")
            connection.execute("SELECT * FROM shown")
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute("SELECT * FROM secret")
            with pytest.raises(psycopg.errors.InsufficientPrivilege), connection.transaction():
                connection.execute("CREATE TABLE mischief (x int)")


def test_again_gives_the_same_and_keeps_data(admin_url: str, prefix: str, tmp_path: Path) -> None:
    file = tmp_path / "new" / "secrets.json"
    first = provision(admin_url, SERVICES, prefix=prefix, secrets_file=file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with connect(first["contacts"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS x")
    assert provision(admin_url, SERVICES, prefix=prefix, secrets_file=file) == first
    with connect(first["contacts"]) as connection:
        assert connection.execute("SELECT x FROM kept").fetchone() == (42,)


def test_lost_passwords_are_replaced(admin_url: str, prefix: str, tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    old = provision(admin_url, ["contacts"], prefix=prefix, secrets_file=file)["contacts"]
    file.unlink()
    new = provision(admin_url, ["contacts"], prefix=prefix, secrets_file=file)["contacts"]
    assert new != old
    connect(new).close()


def test_an_interrupted_run_is_completed(admin_url: str, prefix: str) -> None:
    with connect(admin_url) as connection:  # killed right after CREATE DATABASE, before anything was revoked
        connection.execute(f"CREATE ROLE {prefix}_sales")
        connection.execute(f"CREATE DATABASE {prefix}_sales OWNER {prefix}_sales")
    urls = provision(admin_url, ["contacts", "sales"], prefix=prefix)
    connect(urls["sales"]).close()
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        connect(rewrite(urls["contacts"], database=f"{prefix}_sales"))


def test_several_processes_at_once_agree(admin_url: str, prefix: str, tmp_path: Path) -> None:
    results: list[object] = []

    def run() -> None:
        try:
            results.append(
                provision(admin_url, SERVICES, prefix=prefix, secrets_file=tmp_path / "secrets.json")
            )
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(result == results[0] for result in results), results
    assert isinstance(results[0], dict)
    connect(results[0]["sales"]).close()


def test_a_given_url_wins_and_nothing_is_made(admin_url: str, prefix: str) -> None:
    given = {"sales": "postgres://someone:secret@db.example:6432/orders"}
    urls = provision(admin_url, ["contacts", "sales"], prefix=prefix, given=given)
    assert urls["sales"] == "postgresql+psycopg://someone:secret@db.example:6432/orders"
    with connect(admin_url) as connection:
        names = connection.execute(
            "SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (prefix,)
        )
        assert names.fetchall() == [(f"{prefix}_contacts",)]


def test_all_given_needs_no_server() -> None:
    url = "postgresql://a:b@nowhere.invalid/c"
    assert provision("postgresql://nowhere.invalid/x", ["care"], given={"care": url}) == {
        "care": "postgresql+psycopg://a:b@nowhere.invalid/c"
    }


def test_an_admin_who_is_no_superuser_will_do(admin_url: str, prefix: str) -> None:
    admin = f"{prefix}_admin"
    with connect(admin_url) as connection:
        connection.execute(f"CREATE ROLE {admin} LOGIN CREATEDB CREATEROLE PASSWORD 'pw'")
        connection.execute(f"GRANT CONNECT ON DATABASE postgres TO {admin}")
    try:
        url = rewrite(admin_url, database="postgres", user=admin, password="pw")
        for _ in range(2):
            urls = provision(url, SERVICES, prefix=prefix, extensions=["pg_trgm", "unaccent"])
        with connect(urls["contacts"]) as connection:
            connection.execute("CREATE TABLE mine (x int)")
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            connect(rewrite(urls["contacts"], database=f"{prefix}_sales"))
    finally:
        drop(admin_url, SERVICES, prefix=prefix)
        with connect(admin_url) as connection:
            connection.execute(f"REVOKE CONNECT ON DATABASE postgres FROM {admin}")
            connection.execute(f"DROP ROLE {admin}")


@pytest.mark.parametrize(
    "build", [lambda url: rewrite(url, database="postgres", user="nobody_here", password="x")]
)
def test_an_unreachable_server_is_named_without_its_password(
    admin_url: str, build: Callable[[str], str]
) -> None:
    with pytest.raises(PostgresError, match="cannot connect to") as caught:
        provision(build(admin_url), ["contacts"])
    assert ":x@" not in str(caught.value)


def test_a_powerless_admin_is_told_what_it_needs(admin_url: str, prefix: str) -> None:
    urls = provision(admin_url, ["contacts"], prefix=prefix)
    with pytest.raises(PostgresError, match="CREATEDB and CREATEROLE"):
        provision(urls["contacts"], ["sales"], prefix=prefix)


def test_an_unknown_extension_is_named(admin_url: str, prefix: str) -> None:
    with pytest.raises(PostgresError, match="no_such_thing"):
        provision(admin_url, ["contacts"], prefix=prefix, extensions=["no_such_thing"])


def test_passwords_never_reach_the_server_in_clear(admin_url: str, prefix: str) -> None:
    with connect(admin_url) as connection:
        provision(admin_url, ["contacts"], prefix=prefix, passwords={"contacts": "correct horse"})
        stored = connection.execute(
            "SELECT rolpassword FROM pg_authid WHERE rolname = %s", (f"{prefix}_contacts",)
        )
        row = stored.fetchone()
    assert row is not None
    assert str(row[0]).startswith("SCRAM-SHA-256$")
    connect(
        rewrite(admin_url, database=f"{prefix}_contacts", user=f"{prefix}_contacts", password="correct horse")
    ).close()


def test_a_damaged_secrets_file_is_reported(admin_url: str, prefix: str, tmp_path: Path) -> None:
    file = tmp_path / "secrets.json"
    file.write_text("{")
    with pytest.raises(PostgresError, match=r"secrets\.json is damaged"):
        provision(admin_url, ["contacts"], prefix=prefix, secrets_file=file)
    assert file.read_text() == "{"
