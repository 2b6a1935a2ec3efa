"""As root the server is another user's, and its files live where that user can reach them."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import psutil
import pytest

from services.kit.postgres import PostgresError
from services.kit.postgres.home import SYSTEM_ROOT
from tests.support.servers import MakeServer, home_of, run

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs the server as another user")


def test_the_server_is_an_ordinary_user_and_no_parent_is_opened(
    make_server: MakeServer, tmp_path: Path
) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    server = make_server(private / "state" / "postgres", cluster=None)
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


def test_a_moved_folder_keeps_its_data(make_server: MakeServer, server_folder: Path, tmp_path: Path) -> None:
    server = make_server(throwaway=False)
    server.start()
    run(server, "CREATE TABLE kept AS SELECT 1 AS x")
    server.stop()
    server_folder.parent.rename(tmp_path / "moved")
    moved = make_server(tmp_path / "moved" / "postgres", throwaway=False)
    moved.start()
    assert run(moved, "SELECT x FROM kept") == [(1,)]
    fresh = make_server(server_folder, throwaway=False)  # and the old place begins anew, beside it
    fresh.start()
    assert run(fresh, "SELECT to_regclass('kept')") == [(None,)]


def test_a_copied_folder_gets_a_database_of_its_own(
    make_server: MakeServer, server_folder: Path, tmp_path: Path
) -> None:
    server = make_server()
    server.start()
    copy = tmp_path / "copy" / "postgres"
    copy.parent.mkdir()
    copy.symlink_to(os.readlink(server_folder))
    other = make_server(copy)
    other.start()
    assert other.pid != server.pid
    assert home_of(other) != home_of(server)


def test_a_removed_link_begins_anew_and_deletes_nothing(make_server: MakeServer, server_folder: Path) -> None:
    server = make_server(throwaway=False)
    server.start()
    run(server, "CREATE TABLE kept AS SELECT 1 AS x")
    server.stop()
    old = home_of(server)
    server_folder.unlink()
    fresh = make_server(throwaway=False)
    fresh.start()
    assert home_of(fresh) != old
    assert (old / "data" / "PG_VERSION").exists()
    fresh.stop()
    server_folder.unlink()
    server_folder.symlink_to(old)  # as when a disk that was away is there again
    server.start()
    assert run(server, "SELECT x FROM kept") == [(1,)]


def test_a_removed_link_is_made_again_where_a_database_is_expected(
    make_server: MakeServer, server_folder: Path
) -> None:
    server = make_server(throwaway=False, reattach=True)
    server.start()  # nothing is there to be found: an empty database begins
    run(server, "CREATE TABLE kept AS SELECT 1 AS x")
    server.stop()
    old = home_of(server)
    server_folder.unlink()
    again = make_server(throwaway=False, reattach=True)
    again.start()
    assert home_of(again) == old
    assert run(again, "SELECT x FROM kept") == [(1,)]


def test_of_several_databases_of_a_removed_link_none_is_guessed(
    make_server: MakeServer, server_folder: Path
) -> None:
    homes = []
    for _ in range(2):
        server = make_server(throwaway=False)
        server.start()
        server.stop()
        homes.append(home_of(server))
        server_folder.unlink()
    with pytest.raises(PostgresError, match="were made for it") as refused:
        make_server(throwaway=False, reattach=True).start()
    assert all(str(home) in str(refused.value) for home in homes)
    assert f"ln -s {min(homes)} {server_folder}" in str(refused.value)
    assert not server_folder.is_symlink()
    for home in homes:
        # What the test has made is found by its link alone, and so removed.
        server_folder.symlink_to(home)
        make_server(throwaway=False).destroy()


def test_a_killed_test_run_is_cleaned_up_after(make_server: MakeServer, server_folder: Path) -> None:
    server = make_server()
    server.start()
    server.stop()
    old = home_of(server)
    make_server(server_folder.with_name("other")).start()
    assert old.exists()  # its folder is still there
    server_folder.unlink()
    make_server(server_folder.with_name("third")).start()
    assert not old.exists()


def test_a_dangling_link_is_an_error_rather_than_an_empty_database(
    make_server: MakeServer, server_folder: Path
) -> None:
    server_folder.parent.mkdir(parents=True)
    server_folder.symlink_to(SYSTEM_ROOT / f"gone-{secrets.token_hex(4)}")
    with pytest.raises(PostgresError, match=r"which is gone\. Restore it"):
        make_server().start()


def test_a_folder_of_an_ordinary_user_is_left_alone(make_server: MakeServer, server_folder: Path) -> None:
    (server_folder / "data").mkdir(parents=True)
    os.chown(server_folder, 65534, 65534)
    with pytest.raises(PostgresError, match="was made by user 65534, and you are root"):
        make_server().start()


def test_an_unknown_user_is_refused(make_server: MakeServer) -> None:
    with pytest.raises(PostgresError, match="no user no_such_user"):
        make_server(user="no_such_user").start()
