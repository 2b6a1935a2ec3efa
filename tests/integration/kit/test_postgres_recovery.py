"""The embedded server comes back after every kind of violent end."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

import psycopg
import pytest

from services.kit.postgres import PostgresError, libpq_url
from services.kit.postgres.control import orphans, read_pid_file
from services.kit.postgres.home import locate
from services.kit.supervise.identity import is_alive
from tests.support.programs import end, read_until, start_program
from tests.support.servers import KEEPER, MakeServer, free_port, home_of, run
from tests.support.waiting import until


def test_a_killed_postmaster_loses_nothing(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    first = server.pid
    assert first is not None
    run(server, "CREATE TABLE kept AS SELECT generate_series(1, 1000) AS x")
    busy = psycopg.connect(libpq_url(server.admin_url), autocommit=True)
    backend = busy.info.backend_pid
    thread = threading.Thread(
        target=run_ignoring_errors, args=(busy, "DO $$ BEGIN LOOP NULL; END LOOP; END $$")
    )
    thread.start()
    until(
        lambda: run(server, f"SELECT 1 FROM pg_stat_activity WHERE pid = {backend} AND state = 'active'"),
        "busy",
    )
    os.kill(first, signal.SIGKILL)
    until(lambda: not server.alive(), "the postmaster is gone")
    server.start()
    thread.join()
    assert server.pid != first
    assert not is_alive(backend)
    assert run(server, "SELECT count(*) FROM kept") == [(1000,)]


def run_ignoring_errors(connection: psycopg.Connection[tuple[object, ...]], statement: str) -> None:
    try:
        connection.execute(statement.encode())
    except psycopg.Error:
        connection.close()


def test_everything_killed_at_once_loses_nothing(
    make_server: MakeServer, server_folder: Path, cluster: Path
) -> None:
    keeper = start_program(KEEPER, str(server_folder), str(cluster))
    try:
        _, pid, reaper = read_until(keeper, "up")[-1].split()
        server = make_server()
        url = server.status().admin_url
        assert url is not None
        with psycopg.connect(libpq_url(url), autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS x")
        for number in (int(reaper), keeper.pid, int(pid)):
            os.kill(number, signal.SIGKILL)
        keeper.wait()
        server.start()
        assert run(server, "SELECT x FROM kept") == [(7,)]
    finally:
        end(keeper)


def test_a_killed_keeper_leaves_no_server(
    make_server: MakeServer, server_folder: Path, cluster: Path
) -> None:
    keeper = start_program(KEEPER, str(server_folder), str(cluster))
    try:
        pid = int(read_until(keeper, "up")[-1].split()[1])
        keeper.kill()
        keeper.wait()
        until(lambda: not is_alive(pid), "the server was stopped for its killed keeper")
        home = locate(server_folder)
        assert home is not None
        assert read_pid_file(home.data) is None  # a clean shutdown
    finally:
        end(keeper)
    make_server().start()


def test_a_successor_waits_for_the_clean_up(
    make_server: MakeServer, server_folder: Path, cluster: Path
) -> None:
    keeper = start_program(KEEPER, str(server_folder), str(cluster))
    try:
        pid = int(read_until(keeper, "up")[-1].split()[1])
        keeper.kill()
        keeper.wait()
        server = make_server()
        server.start()  # at once, while the reaper is still at work
        assert server.pid != pid
        assert not is_alive(pid)
        assert run(server, "SELECT 1") == [(1,)]
    finally:
        end(keeper)


def test_a_server_without_keeper_is_taken_over(
    make_server: MakeServer, server_folder: Path, cluster: Path
) -> None:
    keeper = start_program(KEEPER, str(server_folder), str(cluster))
    try:
        _, pid, reaper = read_until(keeper, "up")[-1].split()
        os.kill(int(reaper), signal.SIGKILL)
        keeper.kill()
        keeper.wait()
        server = make_server()
        server.start()
        assert server.pid == int(pid)
        assert run(server, "SELECT 1") == [(1,)]
        server.stop()
        assert not is_alive(int(pid))
    finally:
        end(keeper)


def test_a_server_that_runs_with_other_options_is_restarted(
    make_server: MakeServer, server_folder: Path, cluster: Path
) -> None:
    keeper = start_program(KEEPER, str(server_folder), str(cluster))
    try:
        _, pid, reaper = read_until(keeper, "up")[-1].split()
        os.kill(int(reaper), signal.SIGKILL)
        keeper.kill()
        keeper.wait()
        port = free_port()
        server = make_server(port=port)
        server.start()
        assert server.pid != int(pid)
        assert run(server, "SHOW port") == [(str(port),)]
    finally:
        end(keeper)


def test_a_stale_pid_file_with_a_living_strangers_number_does_no_harm(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    server.stop()
    data = home_of(server) / "data"
    # As after a reboot, or in a container: the number now belongs to a process of the same user.
    options = {"user": data.stat().st_uid} if os.geteuid() == 0 else {}
    stranger = subprocess.Popen(["sleep", "1000"], **options)  # type: ignore[call-overload]
    try:
        (data / "postmaster.pid").write_text(
            f"{stranger.pid}\n{data}\n1700000000\n5432\n/tmp\n\n 1 2\nready\n"
        )
        assert not server.status().running
        server.start()
        assert server.pid != stranger.pid
        assert stranger.poll() is None
        assert run(server, "SELECT 1") == [(1,)]
    finally:
        stranger.kill()
        stranger.wait()


def test_two_keepers_at_once_are_refused_by_name(
    make_server: MakeServer, server_folder: Path, cluster: Path
) -> None:
    keeper = start_program(KEEPER, str(server_folder), str(cluster))
    try:
        pid = int(read_until(keeper, "up")[-1].split()[1])
        with pytest.raises(PostgresError, match=f"in use by process {keeper.pid}"):
            make_server().start()
        with pytest.raises(PostgresError, match=f"in use by process {keeper.pid}"):
            make_server().destroy()
        assert is_alive(pid)
    finally:
        end(keeper)
        until(lambda: not is_alive(pid), "the server is gone")


@pytest.mark.parametrize("name", ["PG_VERSION", "global"])
def test_a_creation_that_was_killed_is_done_again(
    make_server: MakeServer, server_folder: Path, name: str
) -> None:
    keeper = start_program(KEEPER, str(server_folder))
    try:
        read_until(keeper, "said creating")
        home = locate(server_folder)
        assert home is not None
        until(lambda: (home.path / "data.partial" / name).exists(), "initdb works")
        keeper.kill()
        keeper.wait()
        assert not home.initialised()
        server = make_server(cluster=None)
        server.start()
        assert run(server, "SELECT 1") == [(1,)]
        assert not (home.path / "data.partial").exists()
    finally:
        end(keeper)


def test_a_lost_password_file_is_replaced(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    old = server.admin_url
    run(server, "CREATE TABLE kept AS SELECT 1 AS x")
    server.stop()
    (home_of(server) / "admin.password").unlink()
    server.start()
    assert server.admin_url != old
    assert run(server, "SELECT x FROM kept") == [(1,)]


def test_a_wrong_password_file_is_explained(make_server: MakeServer) -> None:
    server = make_server()
    server.start()
    server.stop()
    (home_of(server) / "admin.password").write_text("guess\n")
    with pytest.raises(PostgresError, match=r"refuses the superuser's password in .*delete that file"):
        server.start()
    assert not server.alive()
    assert orphans(home_of(server) / "data") == []
