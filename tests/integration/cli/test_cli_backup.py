"""`rapport backup` and `rapport restore` on databases on which nothing runs: what they refuse, and --replace."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from services.cli.backup import restoring
from services.kit import migrations, revisions
from services.kit.backup import manifest, targets
from services.kit.config import SERVICES
from services.kit.postgres import libpq_url
from tests.support.cli import Ran, run_cli
from tests.support.postgres import DatabaseFactory
from tests.support.schema import create_schema
from tests.support.stack import NOW, serve


@dataclass
class Shop:
    """The databases of a stack that does not run, with two contacts."""

    urls: dict[str, str]
    folder: Path
    stays: str = ""
    leaves: str = ""

    def run(self, *arguments: object, **settings: str) -> Ran:
        given = {f"RAPPORT_{service.upper()}_DATABASE_URL": url for service, url in self.urls.items()}
        more = {f"RAPPORT_{name.upper()}": value for name, value in settings.items()}
        data = {"RAPPORT_DATA_DIR": str(self.folder), "RAPPORT_CLOCK": f"fixed:{NOW.isoformat()}"}
        return run_cli(*map(str, arguments), environment=given | data | more)

    def contacts(self) -> set[str]:
        with psycopg.connect(libpq_url(self.urls["contacts"])) as connection:
            return {f"contacts/{key}" for (key,) in connection.execute("SELECT id FROM contact")}

    def do(self, service: str, statement: str) -> None:
        with psycopg.connect(libpq_url(self.urls[service]), autocommit=True) as connection:
            connection.execute(statement.encode())


@pytest.fixture
def shop(make_database: DatabaseFactory, tmp_path: Path) -> Iterator[Shop]:
    urls = {service: make_database(service) for service in SERVICES}
    for service, url in urls.items():
        create_schema(service, url)
    made = Shop(urls, tmp_path / "data")
    with serve("contacts", urls["contacts"]) as served:
        made.stays, made.leaves = (
            served.client.upsert_contact(
                contact={"identities": [{"type": "TYPE_EMAIL", "value": f"{name}@example.test"}]}
            ).contact.name
            for name in ("stays", "leaves")
        )
    return made


def _refused(ran: Ran, *words: str) -> None:
    assert ran.code == 1, ran.out
    for text in words:
        assert text in ran.err, ran.err


def test_a_stack_is_taken_back_and_who_was_erased_meanwhile_stays_erased(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    backup = tmp_path / "backup"
    assert shop.run("backup", "--wait", "60", backup).code == 0
    _refused(shop.run("backup", "create", backup), "is there already")
    checked = shop.run("backup", "verify", backup)
    assert (checked.code, "is whole" in checked.out) == (0, True)
    assert not list(tmp_path.glob(".*.partial"))

    with serve("contacts", shop.urls["contacts"]) as served:
        served.client.erase_contact(name=shop.leaves)
        late = served.client.upsert_contact(
            contact={"identities": [{"type": "TYPE_EMAIL", "value": "late@example.test"}]}
        ).contact.name
        with monkeypatch.context() as patch:
            patch.setattr(restoring, "_PATIENCE_SECONDS", 0.0)
            busy = shop.run("restore", backup, "--replace")
        _refused(busy, "rapport-contacts-api", "Stop all processes of the stack")
    _refused(shop.run("restore", backup, "--without-erasures"), "are not empty", "--replace")
    shop.do("sales", "CREATE TABLE of_a_later_release (id int)")
    # The database that is replaced says itself who was erased.
    done = shop.run("restore", backup, "--replace", "--no-hold")
    assert done.code == 0, done.err
    assert "erased again: 1;" in done.out
    assert shop.contacts() == {shop.stays}
    assert late not in shop.contacts()
    for service in ("sales", "segmentation", "campaign", "care"):
        with psycopg.connect(libpq_url(shop.urls[service])) as connection:
            gone = connection.execute("SELECT contact_id FROM contact_gone").fetchall()
            assert [f"contacts/{key}" for (key,) in gone] == [shop.leaves], service
    with psycopg.connect(libpq_url(shop.urls["sales"])) as connection:
        assert connection.execute("SELECT to_regclass('of_a_later_release')").fetchone() == (None,)
    # Nothing is held, so there is nothing to release.
    _refused(shop.run("backup", "release"), "sending is not held")

    # They come back only when that is asked for, and what was forked once is forked again.
    assert shop.run("restore", backup, "--replace", "--without-erasures").code == 0
    assert shop.contacts() == {shop.stays, shop.leaves}
    released = shop.run("backup", "release")
    assert (released.code, "0 messages were due" in released.out) == (0, True)
    with serve("contacts", shop.urls["contacts"]) as served:
        assert served.client.get_contact(name=shop.leaves).contact.name == shop.leaves


def test_a_restore_that_is_cut_short_still_knows_who_was_erased(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert shop.run("backup", tmp_path / "backup").code == 0
    with serve("contacts", shop.urls["contacts"]) as served:
        served.client.erase_contact(name=shop.leaves)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    # The database that told of the erasure is replaced by now, and there is no list.
    with monkeypatch.context() as patch:
        patch.setattr(restoring, "erase_again", killed)
        assert shop.run("restore", tmp_path / "backup", "--replace").code != 0
    assert shop.contacts() == {shop.stays, shop.leaves}
    done = shop.run("restore", tmp_path / "backup", "--replace")
    assert (done.code, "erased again: 1;" in done.out) == (0, True), done.err
    assert shop.contacts() == {shop.stays}


def test_a_process_that_starts_amid_a_restore_is_noticed(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert shop.run("backup", tmp_path / "backup").code == 0
    load = restoring._load
    started: list[psycopg.Connection[object]] = []

    def slowly(backup: object, service: str, url: str, *arguments: object, **options: object) -> None:
        if service == "contacts":
            # It finds its database whole: what was begun is not committed.
            with revisions.connected(url) as connection:
                revisions.require_whole(connection)
            started.append(psycopg.connect(libpq_url(url), application_name="rapport-contacts-worker"))
        load(backup, service, url, *arguments, **options)  # type: ignore[arg-type]

    again = ("restore", tmp_path / "backup", "--replace", "--without-erasures")
    with monkeypatch.context() as patch:
        patch.setattr(restoring, "_load", slowly)
        patch.setattr(restoring, "_PATIENCE_SECONDS", 0.0)
        _refused(shop.run(*again), "rapport-contacts-worker", "restore again with --replace")
    _refused(shop.run("migrate"), "restored only in part")
    started[0].close()
    assert shop.run(*again).code == 0
    assert shop.run("migrate").code == 0


def test_dated_backups_are_kept_so_many(shop: Shop, tmp_path: Path):
    made = []
    (tmp_path / "many" / "2020-01-01T000000Z").mkdir(parents=True)
    (tmp_path / "many" / "by-hand").mkdir()
    for minute in range(3):
        clock = f"fixed:2026-03-01T02:0{minute}:00+00:00"
        assert shop.run("backup", tmp_path / "many", "--dated", "--keep", 2, clock=clock).code == 0
        made.append(f"2026-03-01T020{minute}00Z")
    # What is no backup, or is not called after its time, is nobody's business here.
    assert {path.name for path in (tmp_path / "many").iterdir()} == {
        "by-hand",
        "2020-01-01T000000Z",
        *made[1:],
    }
    _refused(shop.run("backup", tmp_path / "one", "--keep", "2"), "--dated")


def test_what_a_backup_that_was_killed_left_is_cleared_away(shop: Shop, tmp_path: Path):
    def partial(name: str) -> Path:
        made = tmp_path / f".{name}.partial"
        made.mkdir()
        (made / "contacts.dump").write_bytes(b"half")
        return made

    left, others = partial("2026-03-01T021500Z.k2j3h4g5"), partial("by-hand.k2j3h4g5")
    being_made = partial("2026-03-01T021501Z.k2j3h4g5")
    holder = os.open(being_made, os.O_RDONLY)
    fcntl.flock(holder, fcntl.LOCK_EX)
    made = shop.run("backup", tmp_path, "--dated")
    os.close(holder)
    assert made.code == 0, made.err
    assert f"{left}: deleted" in made.out
    assert [path.exists() for path in (left, others, being_made)] == [False, True, True]
    assert not list(tmp_path.glob(".2026-03-01T10*"))


def test_a_backup_of_an_older_schema_is_migrated(shop: Shop, tmp_path: Path):
    for service, url in shop.urls.items():
        migrations.downgrade(service, url, revisions.known(service)[-2])
    assert shop.run("backup", tmp_path / "old").code == 0
    assert shop.run("restore", tmp_path / "old", "--replace", "--without-erasures").code == 0
    for service, url in shop.urls.items():
        assert revisions.waiting(service, revisions.current_of(url)) == []
    assert shop.contacts() == {shop.stays, shop.leaves}


def test_what_cannot_be_restored_is_refused_before_anything_is_changed(shop: Shop, tmp_path: Path):
    backup, erased = tmp_path / "backup", tmp_path / "erased.json"
    assert shop.run("backup", "erasures", erased).code == 0
    shop.do("contacts", "UPDATE stream SET last_position = 7")
    assert shop.run("backup", backup).code == 0
    for service in SERVICES:
        shop.do(service, targets._CLEAR)

    def changed(name: str) -> Path:
        copy = tmp_path / name
        shutil.copytree(backup, copy)
        return copy

    _refused(shop.run("restore", tmp_path), "is no backup")
    _refused(shop.run("restore", backup), "--erasures FILE")
    _refused(shop.run("restore", backup, "--erasures", erased), "before the backup was made")
    _refused(
        shop.run("restore", backup, "--erasures", tmp_path / "none.json"), "there is no list of erasures"
    )
    damaged = changed("damaged")
    with (damaged / "care.dump").open("r+b") as file:
        file.seek(1000)
        file.write(b"\0\0\0\0")
    for command in ("verify", "restore"):
        words = ["backup", "verify"] if command == "verify" else ["restore"]
        _refused(shop.run(*words, damaged), "care.dump has another content")
    newer = changed("newer")
    found = manifest.read(newer)
    found.services["sales"].revision = "9999"
    manifest.write(newer, found)
    _refused(shop.run("restore", newer, "--without-erasures"), "sales at 9999", "a later one")
    queued = changed("queued")
    found = manifest.read(queued)
    found.services["sales"].cursors["relay/rabbitmq"] = found.services["sales"].head
    manifest.write(queued, found)
    _refused(shop.run("restore", queued, "--without-erasures"), "RAPPORT_AMQP_URL", "--without-broker")
    short = changed("short")
    found = manifest.read(short)
    found.services["contacts"].rows["public.contact"] += 1
    manifest.write(short, found)
    _refused(shop.run("restore", short, "--without-erasures"), "public.contact 2 for 3")
    # That one was noticed last: what was restored so far starts nothing, and makes no backup.
    _refused(shop.run("migrate"), "restored only in part")
    _refused(shop.run("backup", tmp_path / "half"), "restored only in part")
    assert not (tmp_path / "half").exists()
    assert shop.run("restore", queued, "--replace", "--without-erasures", "--without-broker").code == 0
    assert shop.contacts() == {shop.stays, shop.leaves}
