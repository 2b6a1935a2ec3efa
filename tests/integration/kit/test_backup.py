"""One moment of several databases, archives that are restored whole or not at all, and what a damaged backup says."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from services.kit import revisions
from services.kit.backup import archives, contents, manifest, targets
from services.kit.backup.cut import connect, cut
from services.kit.backup.programs import find_programs
from services.kit.db import make_engine
from services.kit.errors import FailedPrecondition
from services.kit.postgres import PostgresError, libpq_url
from tests.support.postgres import DatabaseFactory
from tests.support.programs import end, start_program
from tests.support.waiting import until

PROGRAMS = find_programs(15)


@pytest.fixture
def urls(make_database: DatabaseFactory) -> dict[str, str]:
    made = {"cause": make_database("sales"), "effect": make_database("care")}
    for url in made.values():
        _do(url, "CREATE TABLE thing (id bigint PRIMARY KEY)")
    return made


def _do(url: str, statement: str) -> None:
    with psycopg.connect(libpq_url(url), autocommit=True) as connection:
        connection.execute(statement.encode())


def _count(url: str, table: str = "thing") -> int:
    with connect(url) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    assert isinstance(row[0], int)
    return row[0]


@contextmanager
def _causing(urls: dict[str, str]) -> Iterator[threading.Event]:
    """Write to one database what follows from what was just committed to the other, without a pause."""
    stop, begun = threading.Event(), threading.Event()

    def write() -> None:
        with (
            psycopg.connect(libpq_url(urls["cause"]), autocommit=True) as cause,
            psycopg.connect(libpq_url(urls["effect"]), autocommit=True) as effect,
        ):
            number = 0
            while not stop.is_set():
                number += 1
                for connection in (cause, effect):
                    connection.execute("INSERT INTO thing VALUES (%s)", [number])
                begun.set()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert begun.wait(60)
        yield stop
    finally:
        stop.set()
        thread.join()


def test_no_effect_is_in_a_cut_without_its_cause(urls: dict[str, str]):
    # The order in which the databases are named must not matter.
    seen = []
    with _causing(urls):
        for order in (urls, dict(reversed(urls.items()))) * 3:
            with cut(order, patience_seconds=60) as moment:
                found = {}
                for name, each in moment.moments.items():
                    row = each.connection.execute("SELECT max(id) FROM thing").fetchone()
                    assert row is not None
                    found[name] = row[0]
            # The writer is between its two writes, or after both: never has it done the second without the first.
            assert found["cause"] - found["effect"] in (0, 1), found
            seen.append(found["cause"])
    assert seen == sorted(set(seen)), "writing went on"


def test_a_long_write_is_waited_for_and_holds_nobody_else_up(urls: dict[str, str]):
    told: list[str] = []
    with psycopg.connect(libpq_url(urls["effect"])) as writer:
        writer.execute("INSERT INTO thing VALUES (1)")

        def end_it(text: str) -> None:
            told.append(text)
            # Between the attempts others write as ever.
            _do(urls["cause"], f"INSERT INTO thing VALUES ({len(told)})")
            if len(told) == 2:
                writer.commit()

        with cut(urls, patience_seconds=60, on_wait=end_it) as moment:
            each = moment.moments["effect"]
            assert each.connection.execute("SELECT count(*) FROM thing").fetchone() == (1,)
    assert told[:2] == ["waiting for a long write in effect"] * 2


def test_a_write_without_an_end_is_named(urls: dict[str, str]):
    with psycopg.connect(libpq_url(urls["effect"])) as writer:
        writer.execute("INSERT INTO thing VALUES (1)")
        with pytest.raises(FailedPrecondition, match="effect: something has been writing") as caught:
            with cut(urls, patience_seconds=0):
                pass
    assert caught.value.reason == "NO_MOMENT"
    _do(urls["cause"], "INSERT INTO thing VALUES (1)")


def test_an_archive_replaces_what_is_there_or_changes_nothing(urls: dict[str, str], tmp_path: Path):
    source, target = urls["cause"], urls["effect"]
    _do(source, "INSERT INTO thing SELECT generate_series(1, 100)")
    _do(target, "CREATE TABLE newer (id int); CREATE FUNCTION newer() RETURNS int LANGUAGE sql RETURN 1")
    with cut({"cause": source}, patience_seconds=60) as moment:
        # Written after the moment, so not in the archive.
        _do(source, "INSERT INTO thing VALUES (101)")
        archives.dump(PROGRAMS, source, moment.moments["cause"].snapshot, tmp_path / "cause.dump")
        major = moment.moments["cause"].connection.info.server_version // 10000

    def restore(archive: Path, *, replace: bool) -> None:
        before, after = targets.statements(replace=replace)
        archives.restore(PROGRAMS, target, archive, server_major=major, before=before, after=after)

    with pytest.raises(PostgresError, match='relation "thing" already exists'):
        restore(tmp_path / "cause.dump", replace=False)
    half = tmp_path / "half.dump"
    half.write_bytes((tmp_path / "cause.dump").read_bytes()[:-200])
    with pytest.raises(PostgresError):
        restore(half, replace=True)
    assert (_count(target), _count(target, "newer")) == (0, 0)

    restore(tmp_path / "cause.dump", replace=True)
    with connect(target) as connection:
        assert contents.count_rows(connection) == {"public.thing": 100}
    # What was restored in part starts nothing, and is replaced by the next attempt.
    engine = make_engine(target)
    for check in (
        lambda: revisions.require_current("sales", engine),
        lambda: revisions.current_of(target),
    ):
        with pytest.raises(FailedPrecondition) as caught:
            check()
        assert caught.value.reason == "RESTORE_UNFINISHED"
    engine.dispose()
    restore(tmp_path / "cause.dump", replace=True)
    with connect(target) as connection:
        targets.finish(connection)
    assert revisions.current_of(target) is None
    assert _count(target) == 100


def test_a_restore_that_is_killed_changes_nothing(urls: dict[str, str], tmp_path: Path):
    source, target = urls["cause"], urls["effect"]
    # More than the programs hand on at a time, so that some of it is there when the end comes.
    _do(source, "INSERT INTO thing SELECT generate_series(1, 500000)")
    _do(target, "INSERT INTO thing VALUES (7)")
    with cut({"cause": source}, patience_seconds=60) as moment:
        archives.dump(PROGRAMS, source, moment.moments["cause"].snapshot, tmp_path / "cause.dump")
        major = moment.moments["cause"].connection.info.server_version // 10000
    killed = start_program(
        """
        import os, signal, sys
        from pathlib import Path
        from services.kit.backup import archives, targets
        from services.kit.backup.programs import find_programs

        url, archive, major = sys.argv[1:]
        before, after = targets.statements(replace=True)
        archives.restore(
            find_programs(15), url, Path(archive), server_major=int(major), before=before, after=after,
            on_bytes=lambda size: os.kill(os.getpid(), signal.SIGKILL) if size > 2_000_000 else None,
        )
        """,
        target,
        str(tmp_path / "cause.dump"),
        str(major),
    )
    assert killed.wait(60) == -signal.SIGKILL
    end(killed)
    # Its programs end by themselves.
    with connect(target) as connection:
        others = (
            b"SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        until(lambda: connection.execute(others).fetchone() is None, "nobody else is connected")
    assert _count(target) == 1


def _backup(folder: Path) -> manifest.Manifest:
    part = {
        "bytes": 3,
        "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "revision": "0001",
        "head": {"timeline": "t", "position": 10},
        "unpositioned": 0,
        "cursors": {},
        "taken": {},
        "rows": {},
    }
    for name in ("sales", "care"):
        (folder / f"{name}.dump").write_bytes(b"abc")
    return manifest.Manifest.model_validate(
        {
            "release": "1",
            "create_time": "2026-03-01T00:00:00Z",
            "server_major": 18,
            "client_major": 18,
            "held_seconds": 0.1,
            "services": {name: {**part, "file": f"{name}.dump"} for name in ("sales", "care")},
        }
    )


def test_a_backup_says_what_is_wrong_with_it(tmp_path: Path):
    made = _backup(tmp_path)
    manifest.write(tmp_path, made)
    read = manifest.read(tmp_path)
    assert read == made
    manifest.verify(tmp_path, read)

    sales = read.services["sales"]
    sales.cursors = {
        "care.look": manifest.Place(timeline="t", position=11),
        "erp": manifest.Place(timeline="x", position=99),
    }
    read.services["care"].taken = {"care.look": 12}
    (tmp_path / "care.dump").write_bytes(b"abd")
    (tmp_path / "sales.dump").unlink()
    with pytest.raises(FailedPrecondition) as caught:
        manifest.verify(tmp_path, read)
    for problem in (
        "sales.dump is missing",
        "care.dump has another content",
        "care.look is at 11 of sales, whose log ends at 10",
        "care.look has had event 12 of sales",
    ):
        assert problem in caught.value.message
    assert "erp" not in caught.value.message
