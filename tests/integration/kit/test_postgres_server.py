"""The embedded server starts, keeps its data, and says clearly what is wrong."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path
from urllib.parse import urlencode

import psutil
import psycopg
import pytest
from sqlalchemy import create_engine, text

from services.kit.postgres import PostgresError, libpq_url
from services.kit.postgres.control import orphans
from tests.support.servers import SMALL, MakeServer, free_port, home_of, run


def test_data_and_url_survive_a_restart(make_server: MakeServer) -> None:
    server = make_server(cluster=None)
    server.start()
    url = server.admin_url
    run(server, "CREATE TABLE kept AS SELECT 42 AS x")
    server.stop()
    assert not server.alive()
    with pytest.raises(PostgresError, match="was not started"):
        _ = server.admin_url
    again = make_server()
    again.start()
    assert again.admin_url == url
    assert run(again, "SELECT x FROM kept") == [(42,)]
    with create_engine(url).connect() as connection:
        assert connection.execute(text("SELECT x FROM kept")).scalar_one() == 42


def test_settings_suit_durable_work(make_server: MakeServer) -> None:
    server = make_server(settings={}, cluster=None)
    server.start()
    names = (
        "fsync",
        "synchronous_commit",
        "full_page_writes",
        "jit",
        "TimeZone",
        "max_connections",
        "data_checksums",
    )
    values = [run(server, f"SHOW {name}")[0][0] for name in names]
    assert values == ["on", "on", "on", "off", "UTC", "200", "on"]
    assert run(server, "SELECT lower('ĐƯỜNG'), 'a' < 'B' COLLATE \"C\"") == [("đường", False)]


def test_a_setting_wins_over_the_default_and_alter_system_over_both(make_server: MakeServer) -> None:
    server = make_server(settings={**SMALL, "work_mem": "3MB", "application_name": "it's"})
    server.start()
    assert run(server, "SELECT current_setting('work_mem')") == [("3MB",)]
    run(server, "ALTER SYSTEM SET work_mem = '5MB'")
    server.stop()
    server.start()
    assert run(server, "SELECT current_setting('work_mem')") == [("5MB",)]


def test_nothing_is_trusted(make_server: MakeServer) -> None:
    port = free_port()
    server = make_server(port=port)
    server.start()
    rules = {(row[0], row[1]) for row in run(server, "SELECT type, auth_method FROM pg_hba_file_rules")}
    assert rules == {("local", "scram-sha-256"), ("host", "scram-sha-256")}
    password = (home_of(server) / "admin.password").read_text().strip()
    good = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
    with psycopg.connect(good) as connection:
        assert connection.execute("SHOW listen_addresses").fetchone() == ("127.0.0.1",)
    sockets = {"host": str(home_of(server) / "sockets"), "port": str(port)}
    for bad in (
        f"postgresql://postgres@127.0.0.1:{port}/postgres",
        f"postgresql://postgres:wrong@127.0.0.1:{port}/postgres",
        f"postgresql://postgres:wrong@/postgres?{urlencode(sockets)}",
    ):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(bad)


def test_without_a_port_nothing_listens_on_tcp(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    assert server.pid is not None
    listening = [
        item for item in psutil.Process(server.pid).net_connections("inet") if item.status == "LISTEN"
    ]
    assert listening == []


def test_files_are_private(make_server: MakeServer) -> None:
    server = make_server(cluster=None)
    server.start()
    home = home_of(server)
    for name in (
        "",
        "data",
        "log",
        "sockets",
        "admin.password",
        "data/postgresql.conf",
        "data/rapport.conf",
        "lock",
    ):
        assert (home / name).stat().st_mode & 0o077 == 0, name


def test_a_server_that_dies_shows_its_log(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    server.stop()
    broken = make_server(settings={"no_such_setting": "1"})
    with pytest.raises(PostgresError, match='unrecognized configuration parameter "no_such_setting"'):
        broken.start()
    server.start()
    assert run(server, "SELECT 1") == [(1,)]


def test_a_port_in_use_is_named(make_server: MakeServer) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = make_server(port=port)
        with pytest.raises(
            PostgresError, match=f"port {port} .* cannot be used: another program listens there"
        ):
            server.start()
    server.start()


def test_data_of_another_version_is_refused_untouched(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    server.stop()
    version = home_of(server) / "data" / "PG_VERSION"
    right = version.read_text()
    version.write_text("9\n")
    with pytest.raises(PostgresError, match=r"written by PostgreSQL 9, and only .* was found"):
        server.start()
    version.write_text(right)
    server.start()
    assert run(server, "SELECT 1") == [(1,)]


def test_a_folder_that_cannot_be_made_is_named(make_server: MakeServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PostgresError, match=r"cannot use the data folder .*file"):
        make_server(tmp_path / "file" / "postgres").start()


def test_a_start_can_be_interrupted(make_server: MakeServer) -> None:
    server = make_server(cluster=None)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(PostgresError, match="interrupted"):
        server.start(cancel)
    assert not server.alive()
    assert orphans(home_of(server) / "data") == []
    server.start()


def test_haste_costs_no_committed_data(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    run(server, "CREATE TABLE kept AS SELECT 3 AS x")
    hasten = threading.Event()
    hasten.set()
    server.stop(hasten)
    server.start()
    assert run(server, "SELECT x FROM kept") == [(3,)]


def test_open_sessions_do_not_hold_up_the_stop(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    with psycopg.connect(libpq_url(server.admin_url)) as connection:
        connection.execute("SELECT 1")
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        connection.close()


@pytest.mark.parametrize("name", ["with space, comma and 'quote'", "đường", "long" * 30])
def test_any_folder_name_will_do(make_server: MakeServer, tmp_path: Path, name: str) -> None:
    server = make_server(tmp_path / name / "postgres", cluster=None)
    server.start()
    assert run(server, "SELECT 1") == [(1,)]
    server.stop()
    server.start()
    assert run(server, "SELECT current_setting('data_directory')") == [(str(home_of(server) / "data"),)]


def test_the_status_is_seen_from_elsewhere(make_server: MakeServer, server_folder: Path) -> None:
    other = make_server()
    assert not other.status().running
    assert not server_folder.exists()  # asking changes nothing
    server = make_server()
    server.start()
    status = other.status()
    assert (status.running, status.pid, status.admin_url) == (True, server.pid, server.admin_url)
    assert status.keeper == os.getpid()
    server.stop()
    assert other.status().running is False
    assert other.status().keeper is None


def test_destroying_leaves_nothing(make_server: MakeServer, server_folder: Path) -> None:
    server = make_server()
    server.start()
    home = home_of(server)
    server.destroy()
    assert not home.exists()
    assert not server_folder.is_symlink()
    assert not server_folder.exists()


def test_environment_variables_of_libpq_do_not_disturb(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "PGDATA": "/nowhere",
        "PGPORT": "1",
        "PGHOST": "nowhere.invalid",
        "PGUSER": "x",
    }.items():
        monkeypatch.setenv(name, value)
    server = make_server(cluster=None)
    server.start()
    assert run(server, "SHOW port") == [("5432",)]
