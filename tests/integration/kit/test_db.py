"""Database access: closed connections are noticed before use, sessions are alike, limits hold."""

from __future__ import annotations

import threading
import time

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from services.kit import context
from services.kit.context import CallContext
from services.kit.db import Database, make_engine
from services.kit.errors import DeadlineExceeded
from tests.support.echo import OWNER, pb, serve


@pytest.fixture
def url(make_database):
    return make_database("contacts")


def pids(db, count):
    """Return the server processes of so many connections at once, all put back into the pool afterwards."""
    connections = [db.engine.connect() for _ in range(count)]
    try:
        return [
            connection.execute(sa.text("SELECT pg_backend_pid()")).scalar_one() for connection in connections
        ]
    finally:
        for connection in connections:
            connection.close()


def test_connections_that_the_server_closed_are_replaced_unseen(url, admin_url):
    db = Database(make_engine(url, pool_size=4))
    admin = sa.create_engine(admin_url)
    try:
        before = set(pids(db, 4))
        assert len(before) == 4
        with admin.connect() as connection:
            for pid in before:
                # Waits until the process has gone.
                killed = sa.text("SELECT pg_terminate_backend(:pid, 20000)")
                assert connection.execute(killed, {"pid": pid}).scalar_one()
        for _ in range(8):
            with db.read() as connection:
                assert connection.execute(sa.text("SELECT 1")).scalar_one() == 1
            with db.transaction() as connection:
                assert connection.execute(sa.text("SELECT 2")).scalar_one() == 2
        assert not before & set(pids(db, 4))
    finally:
        db.close()
        admin.dispose()


def test_a_pooled_connection_is_used_again(url):
    db = Database(make_engine(url, pool_size=1))
    try:
        assert pids(db, 1) == pids(db, 1)
    finally:
        db.close()


def test_sessions_run_in_utc(url):
    db = Database(make_engine(url))
    try:
        with db.read() as connection:
            assert connection.execute(sa.text("SHOW TimeZone")).scalar_one() == "UTC"
            assert connection.execute(sa.text("SHOW statement_timeout")).scalar_one() == "0"
    finally:
        db.close()


def test_a_statement_has_its_time(url):
    db = Database(make_engine(url, statement_timeout_seconds=0.05))
    try:
        with pytest.raises(OperationalError) as caught, db.read() as connection:
            connection.execute(sa.text("SELECT pg_sleep(20)"))
        assert caught.value.orig.sqlstate == "57014"
    finally:
        db.close()


def test_errors_do_not_show_parameters(url):
    db = Database(make_engine(url))
    try:
        with pytest.raises(DBAPIError) as caught, db.read() as connection:
            connection.execute(
                sa.text("SELECT 1 FROM nothing WHERE :name = 'x'"), {"name": "an@example.test"}
            )
        assert "an@example.test" not in str(caught.value)
    finally:
        db.close()


@pytest.fixture
def written(url):
    """A database with a table that is empty, and a function that counts its rows."""
    db = Database(make_engine(url))
    with db.transaction() as connection:
        connection.execute(sa.text("CREATE TABLE written (text text)"))

    def count():
        with db.read() as connection:
            return connection.execute(sa.text("SELECT count(*) FROM written")).scalar_one()

    yield db, count
    db.close()


def test_nothing_is_committed_after_the_callers_deadline(written):
    db, count = written
    insert = sa.text("INSERT INTO written VALUES ('x')")
    with context.activate(CallContext("r", deadline=time.monotonic() + 60)), db.transaction() as connection:
        connection.execute(insert)
    assert count() == 1
    call = CallContext("r", deadline=time.monotonic())
    with context.activate(call), pytest.raises(DeadlineExceeded), db.transaction() as connection:
        connection.execute(insert)
    assert count() == 1
    with context.activate(call), pytest.raises(ZeroDivisionError), db.transaction() as connection:
        raise ZeroDivisionError
    # Work of no call, such as a worker's, has no deadline.
    with db.transaction() as connection:
        connection.execute(insert)
    assert count() == 2


def test_nothing_is_committed_for_a_caller_who_has_gone(written, tmp_path):
    db, count = written
    begun, ended = threading.Event(), threading.Event()

    def behave(request, call):
        gone = threading.Event()
        call.add_callback(gone.set)
        try:
            with db.transaction() as connection:
                connection.execute(sa.text("INSERT INTO written VALUES (:text)"), {"text": request.text})
                begun.set()
                if request.text == "given up":
                    assert gone.wait(20)
        finally:
            ended.set()
        return request.text

    with serve(tmp_path) as served:
        served.echo.behave = behave
        metadata = (("authorization", f"Bearer {OWNER}"),)
        call = served.stub().Echo.future(pb.EchoRequest(text="given up"), metadata=metadata, timeout=60)
        assert begun.wait(20)
        call.cancel()
        assert ended.wait(20)
        assert count() == 0
        assert served.stub().Echo(pb.EchoRequest(text="kept"), metadata=metadata, timeout=20).text == "kept"
        assert count() == 1
