"""Revisions that expand run beside the older release; those that take away wait until it is gone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import Engine

from services.cli.migrate import _migrate as migrate_all
from services.cli.stack import migrate_database
from services.kit import migrations, revisions
from services.kit.db import make_engine
from services.kit.errors import FailedPrecondition, Unavailable
from services.kit.patience import Patience
from tests.support.package import Package
from tests.support.postgres import DatabaseFactory
from tests.support.waiting import until

SOON = Patience(attempt=0.1, total=120, pause=0.05)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_database: DatabaseFactory) -> Package:
    """One whose first revision was released."""
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Package(tmp_path)
    migrations.make_revision(made.name, "first", make_database("scratch"))
    return made


@pytest.fixture
def engine(package: Package, make_database: DatabaseFactory) -> Iterator[Engine]:
    """Its database, at that revision."""
    url = make_database("contacts")
    migrations.upgrade(package.name, url)
    made = make_engine(url)
    yield made
    made.dispose()


def url_of(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)


def at(engine: Engine) -> tuple[str | None, str | None]:
    with engine.connect() as connection:
        return revisions.current(connection), revisions.contracted(connection)


def refusal(package: Package, engine: Engine) -> str:
    """Return why a process of this release would not start, nothing when it would."""
    try:
        revisions.require_current(package.name, engine)
    except FailedPrecondition as error:
        return error.reason
    return ""


def test_what_takes_away_waits_until_the_older_release_is_gone(package: Package, engine: Engine) -> None:
    url = url_of(engine)
    package.add("0002_size", 'op.add_column("thing", sa.Column("size", sa.Integer()))')
    package.add("0003_contract_name", 'op.drop_column("thing", "name")')
    assert (revisions.known(package.name), revisions.needed(package.name)) == (
        ["0001", "0002", "0003"],
        "0002",
    )
    assert refusal(package, engine) == "SCHEMA_OUTDATED"
    older = make_engine(url, application_name="rapport-contacts-api 0001")
    with older.connect():
        migrations.upgrade(package.name, url)
        assert at(engine) == ("0002", None)
        assert refusal(package, engine) == ""
        with pytest.raises(FailedPrecondition, match="rapport-contacts-api 0001") as caught:
            migrations.upgrade(package.name, url, contract=True)
        assert caught.value.reason == "RELEASE_IN_USE"
        assert at(engine) == ("0002", None)
    older.dispose()
    current = make_engine(url, application_name=f"rapport-contacts-api {revisions.head(package.name)}")
    with current.connect():
        until(lambda: strangers(engine) == [], "the older process's session has ended")
        migrations.upgrade(package.name, url, contract=True)
    current.dispose()
    assert at(engine) == ("0003", "0003")
    assert refusal(package, engine) == ""
    # The release before, which has neither.
    package.forget("0003")
    assert refusal(package, engine) == "SCHEMA_NEWER"


def strangers(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return revisions.strangers(connection, "0003")


def test_a_schema_that_is_ahead_is_accepted_unless_something_was_taken_away_that_one_does_not_know_of(
    package: Package, engine: Engine
) -> None:
    url = url_of(engine)
    package.add("0002_contract_name", 'op.drop_column("thing", "name")')
    package.add("0003_size", 'op.add_column("thing", sa.Column("size", sa.Integer()))')
    # The next release: what the one before left to take away goes before what is new. Whoever skipped that one is told.
    older = make_engine(url, application_name="rapport-contacts-worker 0001")
    with older.connect(), pytest.raises(FailedPrecondition, match="rapport-contacts-worker 0001"):
        migrations.upgrade(package.name, url)
    older.dispose()
    until(lambda: strangers(engine) == [], "the older process's session has ended")
    migrations.upgrade(package.name, url)
    assert at(engine) == ("0003", "0002")
    package.forget("0003")
    assert refusal(package, engine) == ""
    package.forget("0002")
    assert refusal(package, engine) == "SCHEMA_NEWER"


def test_what_was_taken_away_is_told_no_more_when_it_was_taken_back(package: Package, engine: Engine) -> None:
    url = url_of(engine)
    package.add("0002_contract_name", 'op.drop_column("thing", "name")')
    package.add("0003_contract_parent", 'op.drop_column("thing", "parent_id")')
    migrations.upgrade(package.name, url, contract=True)
    assert at(engine) == ("0003", "0003")
    migrations.downgrade(package.name, url, "0002")
    assert at(engine) == ("0002", "0002")
    migrations.downgrade(package.name, url, "0001")
    assert at(engine) == ("0001", None)


def test_an_empty_database_has_nothing_to_wait_for(package: Package, make_database: DatabaseFactory) -> None:
    package.add("0002_contract_name", 'op.drop_column("thing", "name")')
    url = make_database("contacts")
    migrations.upgrade(package.name, url)
    assert revisions.current_of(url) == "0002"


def test_a_release_must_do_without_what_it_takes_away(
    package: Package, make_database: DatabaseFactory
) -> None:
    """Its models do not have it, and nothing needs to be written there."""
    models = (package.folder / "models.py").read_text()
    for column in ("name", "parent_id"):
        package.write("".join(line for line in models.splitlines(True) if column not in line))
        made = migrations.make_revision(package.name, "away", make_database("scratch"), contract=True)
        assert made.name == "0002_contract_away.py"
        assert migrations.check_line(package.name, make_database("contacts")) == []
        package.forget("0002")
    # It would have to be renamed before the release can run, and after.
    package.write(
        models.replace('"name"', '"named"').replace("(name)", "(named)").replace("name <", "named <")
    )
    package.add("0002_contract_rename", 'op.alter_column("thing", "name", new_column_name="named")')
    found = migrations.check_line(package.name, make_database("contacts"))
    assert any("before 0002: ('add_column'" in difference for difference in found)
    package.forget("0002")
    package.write(models)
    package.add("0002_must", 'op.add_column("thing", sa.Column("must", sa.Text(), nullable=False))')
    package.add("0003_contract_must", 'op.drop_column("thing", "must")')
    (difference,) = migrations.check_line(package.name, make_database("contacts"))
    assert difference.startswith("before 0003: ('remove_column'")


def test_nobody_waits_behind_a_migration_that_waits(
    package: Package, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """A reader passes while a long transaction keeps the migration from its lock; then this goes on."""
    url = url_of(engine)
    package.add("0002_size", 'op.add_column("thing", sa.Column("size", sa.Integer()))')
    failures: list[BaseException] = []

    def migrate() -> None:
        try:
            migrations.upgrade(package.name, url, patience=SOON)
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=migrate)
    blocker = make_engine(url, application_name="a-long-report")
    with caplog.at_level(logging.WARNING), blocker.connect() as report, engine.connect() as reader:
        report.execute(sa.text("SELECT * FROM thing"))
        thread.start()
        until(lambda: waits(engine), "the migration waits for the report")
        assert reader.execute(sa.text("SELECT count(*) FROM thing")).scalar_one() == 0
        reader.rollback()
        until(lambda: "a lock is not free" in caplog.text, "it gives up for a while")
        assert thread.is_alive()
        assert at(engine) == ("0001", None)
        report.rollback()
        thread.join()
    blocker.dispose()
    assert failures == []
    assert "a-long-report (process " in caplog.text
    assert at(engine) == ("0002", None)


def waits(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(
            connection.execute(
                sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'thing'::regclass")
            ).scalar_one()
        )


def test_a_lock_that_is_never_free_ends_the_migration(package: Package, engine: Engine) -> None:
    url = url_of(engine)
    package.add("0002_size", 'op.add_column("thing", sa.Column("size", sa.Integer()))')
    with engine.connect() as report:
        report.execute(sa.text("SELECT * FROM thing"))
        with pytest.raises(Unavailable, match=r"Oldest transactions: rapport \(process \d+") as caught:
            migrations.upgrade(package.name, url, patience=Patience(attempt=0.05, total=0, pause=0.01))
    assert caught.value.reason == "SCHEMA_LOCKED"
    assert at(engine) == ("0001", None)


def test_an_index_is_made_while_others_write_and_anew_when_it_was_left_broken(
    package: Package, engine: Engine
) -> None:
    url = url_of(engine)
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO thing (name) VALUES ('same'), ('same')"))
    package.add("0002_index", 'changes.create_index("one_of_a_name", "thing", ["name"], unique=True)')
    with pytest.raises(sa.exc.IntegrityError):
        migrations.upgrade(package.name, url, patience=SOON)
    assert at(engine) == ("0001", None)
    assert valid(engine) is False
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE thing SET name = name || id"))
    # A writer that is not done yet is waited for, however long, and nobody else waits meanwhile.
    thread = threading.Thread(target=lambda: migrations.upgrade(package.name, url, patience=SOON))
    with engine.connect() as writer:
        writer.execute(sa.text("INSERT INTO thing (name) VALUES ('new')"))
        thread.start()
        until(lambda: any_wait(engine), "the index waits for the writer")
        with engine.begin() as other:
            other.execute(sa.text("INSERT INTO thing (name) VALUES ('another')"))
        writer.commit()
    thread.join()
    assert at(engine) == ("0002", None)
    assert valid(engine) is True
    package.add("0003_no_index", 'changes.drop_index("one_of_a_name", "thing")')
    migrations.upgrade(package.name, url)
    assert valid(engine) is None


def any_wait(engine: Engine) -> bool:
    with engine.connect() as connection:
        return bool(
            connection.execute(
                sa.text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND wait_event_type = 'Lock' AND query LIKE '%CONCURRENTLY%'"
                )
            ).scalar_one()
        )


def valid(engine: Engine) -> bool | None:
    with engine.connect() as connection:
        query = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('one_of_a_name')"
        return connection.execute(sa.text(query)).scalar_one_or_none()


def test_many_rows_are_changed_a_few_at_a_time_and_a_broken_run_goes_on(
    package: Package, engine: Engine
) -> None:
    url = url_of(engine)
    with engine.begin() as connection:
        connection.execute(
            sa.text("INSERT INTO thing (name) SELECT 'n' || n FROM generate_series(1, 25) AS n")
        )
        connection.execute(sa.text("UPDATE thing SET name = repeat('x', 99) WHERE name = 'n15'"))
    batch = "UPDATE thing SET name = 'new ' || name WHERE id IN (SELECT id FROM thing WHERE name NOT LIKE 'new %' "
    package.add("0002_fill", f'changes.in_batches("{batch}ORDER BY id LIMIT :size)", size=10)')
    with pytest.raises(sa.exc.IntegrityError):
        migrations.upgrade(package.name, url)
    assert (at(engine), renamed(engine)) == (("0001", None), 10)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE thing SET name = 'short' WHERE name LIKE 'xxx%'"))
    migrations.upgrade(package.name, url)
    assert (at(engine), renamed(engine)) == (("0002", None), 25)
    package.add("0003_all", 'changes.in_batches("UPDATE thing SET name = name")')
    with pytest.raises(ValueError, match="at most :size rows"):
        migrations.upgrade(package.name, url)


def renamed(engine: Engine) -> int:
    with engine.connect() as connection:
        query = "SELECT count(*) FROM thing WHERE name LIKE 'new %'"
        return int(connection.execute(sa.text(query)).scalar_one())


def test_the_command_line_tells_what_waits_and_takes_it_away_when_asked(
    package: Package, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    url = url_of(engine)
    package.add("0002_size", 'op.add_column("thing", sa.Column("size", sa.Integer()))')
    package.add("0003_contract_name", 'op.drop_column("thing", "name")')
    for contract, told in (
        (False, "0001 → 0002; 0003 takes away what older releases use: `rapport migrate --contract`"),
        (False, "already at 0002; 0003 takes away"),
        (True, "0002 → 0003"),
        (True, "already at 0003"),
    ):
        migrate_all({package.name: url}, contract=contract)
        assert f"{package.name}: {told}" in capsys.readouterr().out
    assert at(engine) == ("0003", "0003")


def test_a_stack_runs_on_what_a_newer_release_has_added_to_and_migrates_nothing(
    package: Package, engine: Engine
) -> None:
    """As `rapport up` of the older release does after a way back; `rapport migrate` says so instead."""
    url = url_of(engine)
    package.add("0002_size", 'op.add_column("thing", sa.Column("size", sa.Integer()))')
    package.add("0003_contract_name", 'op.drop_column("thing", "name")')
    migrations.upgrade(package.name, url)
    package.forget("0003")
    package.forget("0002")
    assert migrate_database(package.name, url, accept_newer=True) == ("0002", "0002")
    with pytest.raises(FailedPrecondition, match="run the newer release"):
        migrate_database(package.name, url)
    with engine.begin() as connection:
        revisions.note_contract(connection, "0003")
    with pytest.raises(FailedPrecondition, match="revision 0003 of a newer release has taken away"):
        migrate_database(package.name, url, accept_newer=True)
