"""A request id has one effect and one answer, also under concurrency and after a rollback."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from services.kit import context
from services.kit.context import CallContext
from services.kit.db import Database, make_engine, new_metadata
from services.kit.errors import InvalidArgument
from services.kit.idempotency import remember, replay
from services.kit.tables import kit_tables
from tests.support.echo import pb

NOW = datetime(2026, 3, 1, tzinfo=UTC)
metadata = new_metadata()
kit = kit_tables(metadata)
effect = sa.Table("effect", metadata, sa.Column("text", sa.Text))


@pytest.fixture(scope="module")
def db(make_module_database):
    database = Database(make_engine(make_module_database("contacts")))
    metadata.create_all(database.engine)
    yield database
    database.close()


def save(db, request, *, before_commit=lambda: None):
    """Handle a request as a service does; returns the answer."""
    with db.transaction() as connection:
        done = replay(connection, kit.request_log, request.request_id, request, pb.EchoResponse)
        if done is not None:
            return done
        connection.execute(sa.insert(effect).values(text=request.text))
        response = pb.EchoResponse(text=f"saved {request.text}")
        remember(connection, kit.request_log, request.request_id, request, response, NOW)
        before_commit()
        return response


def effects(db, text):
    with db.read() as connection:
        return connection.execute(sa.select(sa.func.count()).where(effect.c.text == text)).scalar_one()


def test_a_repetition_gets_the_same_answer_and_has_no_effect(db):
    request = pb.SaveRequest(text="a", request_id="id-a")
    assert save(db, request) == save(db, request) == pb.EchoResponse(text="saved a")
    assert effects(db, "a") == 1
    with db.read() as connection:
        row = connection.execute(
            sa.select(kit.request_log).where(kit.request_log.c.request_id == "id-a")
        ).one()
    assert (row.create_time, row.response_type) == (NOW, "rapporttest.v1.EchoResponse")


def test_without_an_id_each_call_counts(db):
    request = pb.SaveRequest(text="b")
    save(db, request)
    save(db, request)
    assert effects(db, "b") == 2


def test_an_id_belongs_to_one_content(db):
    save(db, pb.SaveRequest(text="c", request_id="id-c"))
    with pytest.raises(InvalidArgument) as caught:
        save(db, pb.SaveRequest(text="other", request_id="id-c"))
    assert (caught.value.reason, caught.value.violations[0].field) == ("REQUEST_ID_REUSED", "request_id")
    assert effects(db, "other") == 0


def test_an_id_belongs_to_one_caller(db):
    request = pb.SaveRequest(text="d", request_id="id-d")
    with context.activate(CallContext("r", principal="an")):
        save(db, request)
    with context.activate(CallContext("r", principal="binh")), pytest.raises(InvalidArgument):
        save(db, request)


def test_the_same_id_may_serve_another_method(db):
    save(db, pb.SaveRequest(text="e", request_id="id-e"))
    with db.transaction() as connection:
        other = pb.EchoRequest(text="e")
        assert replay(connection, kit.request_log, "id-e", other, pb.EchoResponse) is None


def test_after_a_rollback_the_work_is_done(db):
    request = pb.SaveRequest(text="f", request_id="id-f")

    def fail():
        raise ConnectionError

    with pytest.raises(ConnectionError):
        save(db, request, before_commit=fail)
    assert effects(db, "f") == 0
    assert save(db, request).text == "saved f"
    assert effects(db, "f") == 1


def test_two_at_once_have_one_effect(db):
    request = pb.SaveRequest(text="g", request_id="id-g")
    begun, release = threading.Event(), threading.Event()

    def hold():
        begun.set()
        assert release.wait(20)

    with ThreadPoolExecutor() as pool:
        first = pool.submit(save, db, request, before_commit=hold)
        assert begun.wait(20)
        second = pool.submit(save, db, request)
        assert not second.done()
        release.set()
        assert first.result(20) == second.result(20)
    assert effects(db, "g") == 1


def test_when_the_first_of_two_fails_the_second_does_the_work(db):
    request = pb.SaveRequest(text="h", request_id="id-h")
    begun, release = threading.Event(), threading.Event()

    def fail():
        begun.set()
        assert release.wait(20)
        raise ConnectionError

    with ThreadPoolExecutor() as pool:
        first = pool.submit(save, db, request, before_commit=fail)
        assert begun.wait(20)
        second = pool.submit(save, db, request)
        release.set()
        with pytest.raises(ConnectionError):
            first.result(20)
        assert second.result(20).text == "saved h"
    assert effects(db, "h") == 1


def test_many_at_once_have_one_effect(db):
    request = pb.SaveRequest(text="i", request_id="id-i")
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: save(db, request).text, range(40)))
    assert set(answers) == {"saved i"}
    assert effects(db, "i") == 1


def test_misuse_is_named(db):
    with pytest.raises(InvalidArgument, match="at most 64"):
        save(db, pb.SaveRequest(text="x", request_id="x" * 65))
    request = pb.SaveRequest(text="x", request_id="id-x")
    with db.transaction() as connection:
        replay(connection, kit.request_log, "id-x", request, pb.EchoResponse)
        with pytest.raises(InvalidArgument, match="twice within one call"):
            replay(connection, kit.request_log, "id-x", request, pb.EchoResponse)
