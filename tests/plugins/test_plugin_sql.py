"""SQL of plugins on a real PostgreSQL: reading the published views in a given time is all that works."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest
from rapport_sdk import Profile
from rapport_sdk.views import EVENT, PROFILE
from sqlalchemy import Engine, MetaData, Table, func, insert, select, text
from sqlalchemy.exc import DBAPIError

from services.kit.db import make_engine
from services.kit.plugins import (
    CompiledSelect,
    PluginError,
    PluginHost,
    PluginTimeout,
    publish_views,
    read_profiles,
    run_plugin_select,
    run_trait_select,
)
from services.kit.plugins import sql as plugin_sql

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SELECT = "SELECT contact_id, {} AS value, NULL::timestamptz AS next_change FROM sdk.profile"


@dataclass(frozen=True)
class Database:
    engine: Engine
    profile: Table
    event: Table

    def add(self, *events: tuple[datetime, str | None], **fields_: Any) -> UUID:
        contact_id = uuid4()
        rows = [
            {
                "contact_id": contact_id,
                "event_id": uuid4(),
                "type": "order.placed",
                "occurred_at": at,
                "amount": None if amount is None else Decimal(amount),
                "payload": {"source": "shop"},
            }
            for at, amount in events
        ]
        with self.engine.begin() as connection:
            connection.execute(insert(self.profile), {"contact_id": contact_id, **fields_})
            if rows:
                connection.execute(insert(self.event), rows)
        return contact_id


@pytest.fixture(scope="module")
def tables(make_module_database: Any) -> Iterator[Database]:
    engine = make_engine(make_module_database("segmentation"), pool_size=4)
    metadata = MetaData()
    profile = PROFILE.to_metadata(metadata, schema="public")
    event = EVENT.to_metadata(metadata, schema="public")
    with engine.begin() as connection:
        metadata.create_all(connection)
        connection.execute(text("CREATE TABLE secret (value text)"))
        for statement in publish_views(f"{engine.url.username}_plugin"):
            connection.execute(text(statement))
    yield Database(engine, profile, event)
    engine.dispose()


@pytest.fixture
def database(tables: Database) -> Database:
    with tables.engine.begin() as connection:
        connection.execute(text("TRUNCATE public.profile, public.event, secret"))
        connection.execute(text("INSERT INTO secret VALUES ('hunter2')"))
    return tables


@pytest.fixture(scope="module")
def host() -> Iterator[PluginHost]:
    with PluginHost(["loyalty", "rfm"]) as running:
        yield running


def raw(sql: str, type_: Any = "int", **params: Any) -> CompiledSelect:
    return CompiledSelect("bad", "bad.rule", "rule", (("value", type_),), sql, params, sql, params)


def run(database: Database, sql: str, type_: Any = "int", timeout: float = 20.0) -> list[Any]:
    answers = run_plugin_select(database.engine, raw(sql, type_), now=NOW, timeout=timeout)
    return [answer.value for answer in answers]


def test_a_rule_over_everyone_and_over_a_batch(database: Database, host: PluginHost) -> None:
    gold = database.add((NOW - DAY, "1000.00"))
    leaving = database.add((NOW - 365 * DAY, "1000"), (NOW - 364 * DAY, "100"))
    nobody = database.add((NOW + DAY, "1000"))
    compiled = host.compile_sql("loyalty.tier")
    answers = {a.contact_id: a for a in run_plugin_select(database.engine, compiled, now=NOW)}
    assert {key: (answer.value, answer.next_change) for key, answer in answers.items()} == {
        gold: ("gold", NOW + 364 * DAY),
        leaving: ("bronze", NOW + DAY),
        nobody: ("none", NOW + DAY),
    }
    batch = list(run_plugin_select(database.engine, compiled, now=NOW, contact_ids=[gold, uuid4()]))
    assert batch == [answers[gold]]
    assert list(run_plugin_select(database.engine, compiled, now=NOW, contact_ids=[])) == []


def test_more_rows_than_one_fetch(
    database: Database, host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin_sql, "_FETCH_ROWS", 3)
    ids = {database.add() for _ in range(10)}
    compiled = host.compile_sql("loyalty.tier")
    assert {a.contact_id for a in run_plugin_select(database.engine, compiled, now=NOW)} == ids


def test_a_trait(database: Database, host: PluginHost) -> None:
    buyer, other = database.add((NOW, "5")), database.add()
    rows = run_trait_select(database.engine, host.compile_sql("rfm.scores"), now=NOW)
    scores = {row.contact_id: row.values["rfm_score"] for row in rows}
    assert scores == {buyer: 111, other: None}


def test_rules_and_traits_are_not_mixed_up(database: Database, host: PluginHost) -> None:
    with pytest.raises(ValueError, match="use run_trait_select"):
        list(run_plugin_select(database.engine, host.compile_sql("rfm.scores"), now=NOW))
    with pytest.raises(ValueError, match="use run_plugin_select"):
        list(run_trait_select(database.engine, host.compile_sql("loyalty.tier"), now=NOW))


ESCAPES = {
    "other table": (SELECT.format("(SELECT count(*) FROM public.secret)"), "permission denied"),
    "other table by search path": (SELECT.format("(SELECT count(*) FROM secret)"), "does not exist"),
    "base table": ("SELECT contact_id, 1, NULL::timestamptz FROM public.profile", "permission denied"),
    "base events": ("SELECT contact_id, 1, NULL::timestamptz FROM public.event", "permission denied"),
    "write": (
        "WITH gone AS (DELETE FROM sdk.profile RETURNING contact_id) "
        "SELECT contact_id, 1, NULL::timestamptz FROM gone",
        "permission denied|read-only|data-modifying",
    ),
    "row lock": (SELECT.format("1") + " FOR UPDATE", "permission denied|read-only"),
    "sleep": (SELECT.format("(SELECT 1 FROM pg_sleep(9))"), "may not use pg_sleep"),
    "role": (SELECT.format("length(set_config('role', 'none', true))"), "may not use set_config"),
    "role, disguised": (
        SELECT.format("length(\"set_config\"('role', 'none', true))"),
        "may not use set_config",
    ),
    "xml": (SELECT.format("length(query_to_xml('x', true, true, '')::text)"), "may not use query_to_xml"),
    "lock": (SELECT.format("pg_try_advisory_lock(1)::int"), "may not use pg_try_advisory_lock"),
    "second statement": (SELECT.format("1") + "; DROP TABLE secret", "may not contain ';'"),
    "comment": (SELECT.format("1 /* x */"), "may not contain"),
    "no select": ("DELETE FROM public.profile", "must begin with SELECT"),
    "files": (SELECT.format("length(pg_read_file('/etc/passwd'))"), "may not use pg_read_file"),
    "nonsense": (SELECT.format("no_such_column"), "SQL failed: column"),
    "overflow": (SELECT.format("9223372036854775807 + 1"), "out of range"),
}


@pytest.mark.parametrize("case", ESCAPES)
@pytest.mark.parametrize("own_transaction", [True, False])
def test_nothing_but_reading_the_views_works(database: Database, case: str, own_transaction: bool) -> None:
    database.add()
    sql, expected = ESCAPES[case]
    with ExitStack() as stack:
        source = database.engine if own_transaction else stack.enter_context(database.engine.begin())
        with pytest.raises(PluginError, match=expected) as caught:
            list(run_plugin_select(source, raw(sql), now=NOW))
    assert (caught.value.plugin, caught.value.object) == ("bad", "bad.rule")
    with database.engine.connect() as connection:
        assert connection.scalar(text("SELECT current_user")) == database.engine.url.username
        assert connection.scalar(select(func.count()).select_from(database.profile)) == 1
        assert connection.scalar(text("SELECT count(*) FROM secret")) == 1
        assert connection.scalar(text("SHOW transaction_read_only")) == "off"
        assert connection.scalar(text("SHOW statement_timeout")) == "0"


def test_the_database_itself_stops_what_the_text_does_not_show(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the check of the text, roles and the timeout still hold."""
    monkeypatch.setattr(plugin_sql, "sql_problem", lambda sql: None)
    database.add()
    with pytest.raises(PluginTimeout, match=r"took longer than 0.5 s"):
        run(database, SELECT.format("(SELECT 1 FROM pg_sleep(60))"), timeout=0.5)
    for sql in (
        "CREATE TABLE sdk.x (a int)",
        "DELETE FROM public.secret",
        "DELETE FROM sdk.profile",
        "SET TRANSACTION READ WRITE",
    ):
        with (
            database.engine.begin() as connection,
            pytest.raises(PluginError, match=r"read-only|read-write|permission denied"),
        ):
            list(run_plugin_select(connection, raw(sql), now=NOW))


def test_endless_work_is_stopped(database: Database) -> None:
    database.add()
    endless = SELECT.format("(SELECT count(*) FROM generate_series(1, 1000000000) AS a)::int")
    with pytest.raises(PluginTimeout, match=r"SQL took longer than 0.5 s"):
        run(database, endless, timeout=0.5)


def test_time_is_counted_over_all_fetches(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's limit is per fetch, ours is for all of them, also while the caller takes its time."""
    monkeypatch.setattr(plugin_sql, "_FETCH_ROWS", 1)
    for _ in range(3):
        database.add()
    clock = [0.0]
    monkeypatch.setattr("services.kit.plugins.sql.time.monotonic", lambda: clock[0])
    answers = run_plugin_select(database.engine, raw(SELECT.format("1")), now=NOW, timeout=10)
    assert next(answers).value == 1
    clock[0] = 11.0
    with pytest.raises(PluginTimeout):
        list(answers)


@pytest.mark.parametrize(
    ("expression", "type_", "expected"),
    [
        ("'NaN'::float8", "double", "not a finite number"),
        ("'Infinity'::float8", "double", "not a finite number"),
        ("'x'::text", "int", "'x' is a str"),
    ],
)
def test_values_are_checked(database: Database, expression: str, type_: str, expected: str) -> None:
    database.add()
    with pytest.raises(PluginError, match=expected):
        run(database, SELECT.format(expression), type_)


def test_a_next_change_that_is_past_is_refused(database: Database) -> None:
    database.add()
    sql = "SELECT contact_id, 1 AS value, %(rapport_now)s::timestamptz AS next_change FROM sdk.profile"
    with pytest.raises(PluginError, match="not later than now"):
        run(database, sql)


class TestWithinATransaction:
    def test_sees_what_is_not_committed(self, database: Database, host: PluginHost) -> None:
        compiled = host.compile_sql("loyalty.tier")
        contact_id = uuid4()
        with database.engine.begin() as connection:
            connection.execute(insert(database.profile), {"contact_id": contact_id})
            for answer in run_plugin_select(connection, compiled, now=NOW, contact_ids=[contact_id]):
                # The caller may write between two answers.
                connection.execute(text("INSERT INTO secret VALUES (:tier)"), {"tier": answer.value})
            assert connection.scalar(text("SELECT current_user")) == database.engine.url.username
        with database.engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM secret WHERE value = 'none'")) == 1
            assert connection.scalar(select(func.count()).select_from(database.profile)) == 1

    def test_goes_on_after_a_failure(self, database: Database) -> None:
        with database.engine.begin() as connection:
            connection.execute(text("INSERT INTO secret VALUES ('before')"))
            with pytest.raises(PluginError):
                list(run_plugin_select(connection, raw(SELECT.format("1 / 0")), now=NOW))
            with pytest.raises(PluginError):
                list(run_plugin_select(connection, raw(SELECT.format("nothing")), now=NOW))
            connection.execute(text("INSERT INTO secret VALUES ('after')"))
        with database.engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM secret")) == 3

    def test_goes_on_after_a_timeout(self, database: Database) -> None:
        database.add()
        endless = SELECT.format("(SELECT count(*) FROM generate_series(1, 1000000000) AS a)::int")
        with database.engine.begin() as connection:
            with pytest.raises(PluginTimeout):
                list(run_plugin_select(connection, raw(endless), now=NOW, timeout=0.5))
            assert connection.scalar(text("SHOW statement_timeout")) == "0"


def test_a_broken_database_is_not_the_plugins_fault(database: Database) -> None:
    closed = make_engine(database.engine.url.set(database="missing").render_as_string(hide_password=False))
    with pytest.raises(DBAPIError):
        list(run_plugin_select(closed, raw(SELECT.format("1")), now=NOW))


class TestReadProfiles:
    def test_everything_that_is_published(self, database: Database) -> None:
        values = {
            "kind": "person",
            "tags": ["vip"],
            "attributes": {"color": "red"},
            "total_spent": Decimal("10.50"),
            "create_time": NOW,
            "latitude": 10.5,
        }
        first = database.add((NOW, "2.50"), (NOW - DAY, None), (NOW + DAY, "1"), **values)
        second = database.add()
        found = read_profiles(database.engine, [second, first, uuid4()], ["order.placed"], now=NOW)
        assert [profile.contact_id for profile in found] == [second, first]
        profile = found[1]
        assert (profile.kind, profile.tags, profile.attributes) == ("person", ("vip",), {"color": "red"})
        assert (profile.total_spent, profile.create_time, profile.traits) == (Decimal("10.50"), NOW, {})
        assert [(e.occurred_at, e.amount) for e in profile.history] == [
            (NOW - DAY, None),
            (NOW, Decimal("2.50")),
        ]
        assert profile.history[0].payload == {"source": "shop"}
        assert (profile.next_event_time, found[0].next_event_time) == (NOW + DAY, None)

    def test_only_the_event_types_asked_for(self, database: Database) -> None:
        contact_id = database.add((NOW, "1"))
        for types in ([], ["page.visited"]):
            (profile,) = read_profiles(database.engine, [contact_id], types, now=NOW)
            assert profile.history == ()


def test_the_views_and_the_profile_have_the_same_fields() -> None:
    names = [field.name for field in fields(Profile) if field.name not in ("history", "next_event_time")]
    assert sorted(names) == sorted(PROFILE.columns.keys())


def test_views_over_tables_of_other_shape(make_database: Any) -> None:
    engine = make_engine(make_database("segmentation"))
    try:
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE customer (id uuid, cents bigint)"))
            connection.execute(text("CREATE TABLE happening (contact_id uuid)"))
            columns = {
                f"profile.{c.name}": f"NULL::{c.type.compile(engine.dialect)}" for c in PROFILE.columns
            }
            columns |= {f"event.{c.name}": f"NULL::{c.type.compile(engine.dialect)}" for c in EVENT.columns}
            columns |= {"profile.contact_id": "id", "profile.total_spent": "cents / 100.0"}
            columns["event.contact_id"] = "contact_id"
            for statement in publish_views(
                f"{engine.url.username}_plugin", profile="customer", event="happening", columns=columns
            ):
                connection.execute(text(statement))
            contact_id = uuid4()
            connection.execute(text("INSERT INTO customer VALUES (:id, 1050)"), {"id": contact_id})
        (profile,) = read_profiles(engine, [contact_id], [], now=NOW)
        assert profile.total_spent == Decimal("10.5")
    finally:
        engine.dispose()


@pytest.mark.parametrize("bad", [{"role": "x; DROP"}, {"profile": "a b"}, {"columns": {"profile.nme": "1"}}])
def test_views_with_bad_names_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not a plain|no such view columns: profile.nme"):
        publish_views(**{"role": "x", **bad})
