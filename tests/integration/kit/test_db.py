"""Database access: closed connections are noticed before use, sessions are alike, limits hold."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, OperationalError

from services.kit.db import Database, make_engine


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
