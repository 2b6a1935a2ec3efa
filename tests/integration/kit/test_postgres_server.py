"""The embedded server starts, keeps its data, and comes back after every kind of violent end."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlencode

import psutil
import psycopg
import pytest
from sqlalchemy import create_engine, text

from services.kit.postgres import EmbeddedPostgres, PostgresError, libpq_url
from services.kit.postgres.control import orphans, read_pid_file
from services.kit.postgres.home import SYSTEM_ROOT, locate
from services.kit.supervise.identity import is_alive
from tests.support.programs import end, read_until, start_program
from tests.support.waiting import until

SMALL = {"shared_buffers": "16MB", "max_connections": "20"}
Make = Callable[..., EmbeddedPostgres]

KEEPER = """
    import signal, sys
    from pathlib import Path
    from services.kit.postgres import EmbeddedPostgres
    server = EmbeddedPostgres(Path(sys.argv[1]), settings=dict(shared_buffers="16MB", max_connections="20"),
                              throwaway=True, on_progress=lambda text: print("said", text))
    server.start()
    print("up", server.pid, server._reaper.pid)
    signal.pause()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "postgres"


@pytest.fixture
def make(folder: Path) -> Iterator[Make]:
    made: list[EmbeddedPostgres] = []

    def build(path: Path = folder, **options: object) -> EmbeddedPostgres:
        options = {"settings": SMALL, "throwaway": True, **options}
        server = EmbeddedPostgres(path, **options)  # type: ignore[arg-type]
        made.append(server)
        return server

    yield build
    for server in made:
        server.stop()
    for server in made:
        server.destroy()


def run(server: EmbeddedPostgres, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(libpq_url(server.admin_url), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def home_of(server: EmbeddedPostgres) -> Path:
    home = locate(server.data_dir)
    assert home is not None
    return home.path


def test_data_and_url_survive_a_restart(make: Make) -> None:
    server = make()
    server.start()
    url = server.admin_url
    run(server, "CREATE TABLE kept AS SELECT 42 AS x")
    server.stop()
    assert not server.alive()
    with pytest.raises(PostgresError, match="was not started"):
        _ = server.admin_url
    again = make()
    again.start()
    assert again.admin_url == url
    assert run(again, "SELECT x FROM kept") == [(42,)]
    with create_engine(url).connect() as connection:
        assert connection.execute(text("SELECT x FROM kept")).scalar_one() == 42


def test_settings_suit_durable_work(make: Make) -> None:
    server = make(settings={})
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


def test_a_setting_wins_over_the_default_and_alter_system_over_both(make: Make) -> None:
    server = make(settings={**SMALL, "work_mem": "3MB", "application_name": "it's"})
    server.start()
    assert run(server, "SELECT current_setting('work_mem')") == [("3MB",)]
    run(server, "ALTER SYSTEM SET work_mem = '5MB'")
    server.stop()
    server.start()
    assert run(server, "SELECT current_setting('work_mem')") == [("5MB",)]


def test_nothing_is_trusted(make: Make) -> None:
    port = free_port()
    server = make(port=port)
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


def test_without_a_port_nothing_listens_on_tcp(make: Make) -> None:
    server = make()
    server.start()
    assert server.pid is not None
    listening = [
        item for item in psutil.Process(server.pid).net_connections("inet") if item.status == "LISTEN"
    ]
    assert listening == []


def test_files_are_private(make: Make) -> None:
    server = make()
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


def test_a_killed_postmaster_loses_nothing(make: Make) -> None:
    server = make()
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


def test_everything_killed_at_once_loses_nothing(make: Make, folder: Path) -> None:
    keeper = start_program(KEEPER, str(folder))
    try:
        _, pid, reaper = read_until(keeper, "up")[-1].split()
        server = make()
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


def test_a_killed_keeper_leaves_no_server(make: Make, folder: Path) -> None:
    keeper = start_program(KEEPER, str(folder))
    try:
        pid = int(read_until(keeper, "up")[-1].split()[1])
        keeper.kill()
        keeper.wait()
        until(lambda: not is_alive(pid), "the server was stopped for its killed keeper")
        home = locate(folder)
        assert home is not None
        assert read_pid_file(home.data) is None  # a clean shutdown
    finally:
        end(keeper)
    make().start()


def test_a_successor_waits_for_the_clean_up(make: Make, folder: Path) -> None:
    keeper = start_program(KEEPER, str(folder))
    try:
        pid = int(read_until(keeper, "up")[-1].split()[1])
        keeper.kill()
        keeper.wait()
        server = make()
        server.start()  # at once, while the reaper is still at work
        assert server.pid != pid
        assert not is_alive(pid)
        assert run(server, "SELECT 1") == [(1,)]
    finally:
        end(keeper)


def test_a_server_without_keeper_is_taken_over(make: Make, folder: Path) -> None:
    keeper = start_program(KEEPER, str(folder))
    try:
        _, pid, reaper = read_until(keeper, "up")[-1].split()
        os.kill(int(reaper), signal.SIGKILL)
        keeper.kill()
        keeper.wait()
        server = make()
        server.start()
        assert server.pid == int(pid)
        assert run(server, "SELECT 1") == [(1,)]
        server.stop()
        assert not is_alive(int(pid))
    finally:
        end(keeper)


def test_a_server_that_runs_with_other_options_is_restarted(make: Make, folder: Path) -> None:
    keeper = start_program(KEEPER, str(folder))
    try:
        _, pid, reaper = read_until(keeper, "up")[-1].split()
        os.kill(int(reaper), signal.SIGKILL)
        keeper.kill()
        keeper.wait()
        port = free_port()
        server = make(port=port)
        server.start()
        assert server.pid != int(pid)
        assert run(server, "SHOW port") == [(str(port),)]
    finally:
        end(keeper)


def test_a_stale_pid_file_with_a_living_strangers_number_does_no_harm(make: Make) -> None:
    server = make()
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


def test_two_keepers_at_once_are_refused_by_name(make: Make, folder: Path) -> None:
    keeper = start_program(KEEPER, str(folder))
    try:
        pid = int(read_until(keeper, "up")[-1].split()[1])
        with pytest.raises(PostgresError, match=f"in use by process {keeper.pid}"):
            make().start()
        with pytest.raises(PostgresError, match=f"in use by process {keeper.pid}"):
            make().destroy()
        assert is_alive(pid)
    finally:
        end(keeper)
        until(lambda: not is_alive(pid), "the server is gone")


@pytest.mark.parametrize("name", ["PG_VERSION", "global"])
def test_a_creation_that_was_killed_is_done_again(make: Make, folder: Path, name: str) -> None:
    keeper = start_program(KEEPER, str(folder))
    try:
        read_until(keeper, "said creating")
        home = locate(folder)
        assert home is not None
        until(lambda: (home.path / "data.partial" / name).exists(), "initdb works")
        keeper.kill()
        keeper.wait()
        assert not home.initialised()
        server = make()
        server.start()
        assert run(server, "SELECT 1") == [(1,)]
        assert not (home.path / "data.partial").exists()
    finally:
        end(keeper)


def test_a_lost_password_file_is_replaced(make: Make) -> None:
    server = make()
    server.start()
    old = server.admin_url
    run(server, "CREATE TABLE kept AS SELECT 1 AS x")
    server.stop()
    (home_of(server) / "admin.password").unlink()
    server.start()
    assert server.admin_url != old
    assert run(server, "SELECT x FROM kept") == [(1,)]


def test_a_wrong_password_file_is_explained(make: Make) -> None:
    server = make()
    server.start()
    server.stop()
    (home_of(server) / "admin.password").write_text("guess\n")
    with pytest.raises(PostgresError, match=r"refuses the superuser's password in .*delete that file"):
        server.start()
    assert not server.alive()
    assert orphans(home_of(server) / "data") == []


def test_a_server_that_dies_shows_its_log(make: Make) -> None:
    server = make()
    server.start()
    server.stop()
    broken = make(settings={"no_such_setting": "1"})
    with pytest.raises(PostgresError, match='unrecognized configuration parameter "no_such_setting"'):
        broken.start()
    server.start()
    assert run(server, "SELECT 1") == [(1,)]


def test_a_port_in_use_is_named(make: Make) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = make(port=port)
        with pytest.raises(
            PostgresError, match=f"port {port} .* cannot be used: another program listens there"
        ):
            server.start()
    server.start()


def test_data_of_another_version_is_refused_untouched(make: Make) -> None:
    server = make()
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


def test_a_folder_that_cannot_be_made_is_named(make: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PostgresError, match=r"cannot use the data folder .*file"):
        make(tmp_path / "file" / "postgres").start()


def test_a_start_can_be_interrupted(make: Make) -> None:
    server = make()
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(PostgresError, match="interrupted"):
        server.start(cancel)
    assert not server.alive()
    assert orphans(home_of(server) / "data") == []
    server.start()


def test_haste_costs_no_committed_data(make: Make) -> None:
    server = make()
    server.start()
    run(server, "CREATE TABLE kept AS SELECT 3 AS x")
    hasten = threading.Event()
    hasten.set()
    server.stop(hasten)
    server.start()
    assert run(server, "SELECT x FROM kept") == [(3,)]


def test_open_sessions_do_not_hold_up_the_stop(make: Make) -> None:
    server = make()
    server.start()
    with psycopg.connect(libpq_url(server.admin_url)) as connection:
        connection.execute("SELECT 1")
        server.stop()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
        connection.close()


@pytest.mark.parametrize("name", ["with space, comma and 'quote'", "đường", "long" * 30])
def test_any_folder_name_will_do(make: Make, tmp_path: Path, name: str) -> None:
    server = make(tmp_path / name / "postgres")
    server.start()
    assert run(server, "SELECT 1") == [(1,)]
    server.stop()
    server.start()
    assert run(server, "SELECT current_setting('data_directory')") == [(str(home_of(server) / "data"),)]


def test_the_status_is_seen_from_elsewhere(make: Make, folder: Path) -> None:
    other = make()
    assert not other.status().running
    assert not folder.exists()  # asking changes nothing
    server = make()
    server.start()
    status = other.status()
    assert (status.running, status.pid, status.admin_url) == (True, server.pid, server.admin_url)
    assert status.keeper == os.getpid()
    server.stop()
    assert other.status().running is False
    assert other.status().keeper is None


def test_destroying_leaves_nothing(make: Make, folder: Path) -> None:
    server = make()
    server.start()
    home = home_of(server)
    server.destroy()
    assert not home.exists()
    assert not folder.is_symlink()
    assert not folder.exists()


def test_environment_variables_of_libpq_do_not_disturb(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PGDATA": "/nowhere",
        "PGPORT": "1",
        "PGHOST": "nowhere.invalid",
        "PGUSER": "x",
    }.items():
        monkeypatch.setenv(name, value)
    server = make()
    server.start()
    assert run(server, "SHOW port") == [("5432",)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")
class TestAsRoot:
    def test_the_server_is_an_ordinary_user_and_no_parent_is_opened(self, make: Make, tmp_path: Path) -> None:
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        server = make(private / "state" / "postgres")
        server.start()
        assert server.pid is not None
        assert psutil.Process(server.pid).uids().real != 0
        assert psutil.Process(server.pid).gids().real != 0
        assert private.stat().st_mode & 0o777 == 0o700
        assert home_of(server).parent == SYSTEM_ROOT
        assert home_of(server).stat().st_mode & 0o777 == 0o700
        program = Path(psutil.Process(server.pid).exe())
        assert program.stat().st_uid == 0  # the server cannot change its own program
        assert program.stat().st_mode & 0o022 == 0

    def test_a_moved_folder_keeps_its_data(self, make: Make, folder: Path, tmp_path: Path) -> None:
        server = make(throwaway=False)
        server.start()
        run(server, "CREATE TABLE kept AS SELECT 1 AS x")
        server.stop()
        folder.parent.rename(tmp_path / "moved")
        moved = make(tmp_path / "moved" / "postgres", throwaway=False)
        moved.start()
        assert run(moved, "SELECT x FROM kept") == [(1,)]
        fresh = make(folder, throwaway=False)  # and the old place begins anew, beside it
        fresh.start()
        assert run(fresh, "SELECT to_regclass('kept')") == [(None,)]

    def test_a_copied_folder_gets_a_database_of_its_own(
        self, make: Make, folder: Path, tmp_path: Path
    ) -> None:
        server = make()
        server.start()
        copy = tmp_path / "copy" / "postgres"
        copy.parent.mkdir()
        copy.symlink_to(os.readlink(folder))
        other = make(copy)
        other.start()
        assert other.pid != server.pid
        assert home_of(other) != home_of(server)

    def test_a_removed_link_begins_anew_and_deletes_nothing(self, make: Make, folder: Path) -> None:
        server = make(throwaway=False)
        server.start()
        run(server, "CREATE TABLE kept AS SELECT 1 AS x")
        server.stop()
        old = home_of(server)
        folder.unlink()
        fresh = make(throwaway=False)
        fresh.start()
        assert home_of(fresh) != old
        assert (old / "data" / "PG_VERSION").exists()
        fresh.stop()
        folder.unlink()
        folder.symlink_to(old)  # as when a disk that was away is there again
        server.start()
        assert run(server, "SELECT x FROM kept") == [(1,)]

    def test_a_killed_test_run_is_cleaned_up_after(self, make: Make, folder: Path) -> None:
        server = make()
        server.start()
        server.stop()
        old = home_of(server)
        make(folder.with_name("other")).start()
        assert old.exists()  # its folder is still there
        folder.unlink()
        make(folder.with_name("third")).start()
        assert not old.exists()

    def test_a_dangling_link_is_an_error_rather_than_an_empty_database(
        self, make: Make, folder: Path
    ) -> None:
        folder.parent.mkdir(parents=True)
        folder.symlink_to(SYSTEM_ROOT / f"gone-{secrets.token_hex(4)}")
        with pytest.raises(PostgresError, match=r"which is gone\. Restore it"):
            make().start()

    def test_a_folder_of_an_ordinary_user_is_left_alone(self, make: Make, folder: Path) -> None:
        (folder / "data").mkdir(parents=True)
        os.chown(folder, 65534, 65534)
        with pytest.raises(PostgresError, match="was made by user 65534, and you are root"):
            make().start()

    def test_an_unknown_user_is_refused(self, make: Make) -> None:
        with pytest.raises(PostgresError, match="no user no_such_user"):
            make(user="no_such_user").start()
