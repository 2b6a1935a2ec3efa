"""Migrations of a package that is written for the test, on real databases."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from services.kit import migrations, revisions
from services.kit.db import make_engine
from services.kit.errors import FailedPrecondition
from tests.support.package import Package
from tests.support.postgres import DatabaseFactory
from tests.support.toy import ROOT

NEW_COLUMN = 'thing.append_column(sa.Column("size", sa.Integer))\n'


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Package:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Package(tmp_path)


def columns(url: str, table: str) -> set[str]:
    engine = make_engine(url)
    try:
        return {column["name"] for column in sa.inspect(engine).get_columns(table)}
    finally:
        engine.dispose()


def test_from_nothing_to_the_newest_revision_and_back(
    package: Package, make_database: DatabaseFactory
) -> None:
    url = make_database("contacts")
    assert revisions.head(package.name) is None
    path = migrations.make_revision(package.name, "first tables", make_database("scratch"))
    assert package.versions == ["0001_first_tables.py"]
    assert path.read_text().startswith('"""first tables"""')
    assert revisions.current_of(url) is None
    migrations.upgrade(package.name, url)
    assert revisions.current_of(url) == revisions.head(package.name) == "0001"
    assert migrations.check(package.name, url) == []
    assert columns(url, "outbox") >= {"id", "position"}
    # Nothing left to do.
    migrations.upgrade(package.name, url)
    migrations.downgrade(package.name, url)
    engine = make_engine(url)
    assert sa.inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()


def test_a_changed_model_is_noticed_and_its_revision_written(
    package: Package, make_database: DatabaseFactory
) -> None:
    url = make_database("contacts")
    migrations.make_revision(package.name, "first", make_database("scratch"))
    migrations.upgrade(package.name, url)
    package.change(NEW_COLUMN)
    (difference,) = migrations.check(package.name, url)
    assert "add_column" in difference
    assert "size" in difference
    migrations.make_revision(package.name, "size of things", make_database("scratch"))
    assert package.versions == ["0001_first.py", "0002_size_of_things.py"]
    migrations.upgrade(package.name, url)
    assert migrations.check(package.name, url) == []
    assert "size" in columns(url, "thing")


def test_an_older_schema_is_refused_and_a_newer_one_accepted(
    package: Package, make_database: DatabaseFactory
) -> None:
    url = make_database("contacts")
    engine = make_engine(url)
    try:
        migrations.make_revision(package.name, "first", make_database("scratch"))
        with pytest.raises(FailedPrecondition, match="rapport migrate") as caught:
            revisions.require_current(package.name, engine)
        assert caught.value.reason == "SCHEMA_OUTDATED"
        assert caught.value.metadata == {"revision": "", "wanted": "0001"}
        migrations.upgrade(package.name, url)
        revisions.require_current(package.name, engine)
        package.change(NEW_COLUMN)
        migrations.make_revision(package.name, "size", make_database("scratch"))
        with pytest.raises(FailedPrecondition, match="revision 0001, this release needs 0002"):
            revisions.require_current(package.name, engine)
        with engine.begin() as connection:
            connection.execute(sa.text("UPDATE alembic_version SET version_num = '0009'"))
        revisions.require_current(package.name, engine)
        with pytest.raises(FailedPrecondition) as caught:
            migrations.upgrade(package.name, url)
        assert caught.value.reason == "SCHEMA_NEWER"
    finally:
        engine.dispose()


def test_processes_that_migrate_at_once_take_turns(package: Package, make_database: DatabaseFactory) -> None:
    url = make_database("contacts")
    migrations.make_revision(package.name, "first", make_database("scratch"))
    failures: list[BaseException] = []
    code = f"from services.kit import migrations; migrations.upgrade({package.name!r}, {url!r})"

    def migrate() -> None:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONPATH": f"{ROOT}:{ROOT}/protos:{ROOT}/protos/gen:{package.folder.parents[1]}"},
            capture_output=True,
            check=False,
        )
        if done.returncode:
            failures.append(AssertionError(done.stderr.decode()))

    threads = [threading.Thread(target=migrate) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert revisions.current_of(url) == "0001"


def test_a_migration_that_fails_leaves_nothing_half_done(
    package: Package, make_database: DatabaseFactory
) -> None:
    url = make_database("contacts")
    migrations.make_revision(package.name, "first", make_database("scratch"))
    migrations.upgrade(package.name, url)
    (package.folder / "migrations" / "versions" / "0002_broken.py").write_text(
        'from alembic import op\nrevision, down_revision = "0002", "0001"\n'
        "def upgrade():\n"
        '    op.execute("CREATE TABLE half (id int)")\n'
        '    op.execute("SELECT 1 / 0")\n'
    )
    with pytest.raises(sa.exc.DataError):
        migrations.upgrade(package.name, url)
    assert revisions.current_of(url) == "0001"
    engine = make_engine(url)
    assert "half" not in sa.inspect(engine).get_table_names()
    engine.dispose()
