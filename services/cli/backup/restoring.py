"""Restores a backup: databases, new timelines, those erased since, sending held; nothing runs before the end."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from services.campaign.usecases import hold
from services.cli.backup.erasing import erase_again
from services.cli.backup.erasures import Erasures, read_database
from services.cli.backup.views import Report
from services.kit import migrations, revisions
from services.kit.backup import archives, contents, manifest, targets
from services.kit.backup.cut import Connection, connect
from services.kit.backup.manifest import Manifest
from services.kit.backup.programs import Programs, find_programs
from services.kit.clock import Clock
from services.kit.config import SERVICES, Settings
from services.kit.db import Database, make_engine
from services.kit.errors import FailedPrecondition
from services.kit.events import timelines
from services.kit.events.timelines import Fork

_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True)
class Backup:
    """A backup that may be restored by this release: its files are whole."""

    folder: Path
    manifest: Manifest
    programs: Programs


@dataclass
class Restored:
    """Say what a restore did.

    forks: where each stream was forked; erased: people that were erased again; held: whether sending is held.
    """

    forks: dict[str, Fork] = field(default_factory=dict)
    erased: int = 0
    held: bool = False


def open_backup(folder: Path) -> Backup:
    """Return the backup in a folder, once all of it was looked at.

    Raises InvalidArgument (NO_BACKUP), FailedPrecondition (BACKUP_DAMAGED, SCHEMA_NEWER), PostgresError.
    """
    folder = folder.absolute()
    found = manifest.read(folder)
    if set(found.services) != set(SERVICES):
        raise FailedPrecondition(
            f"the backup {folder} holds {', '.join(sorted(found.services))}; this release has {', '.join(SERVICES)}",
            reason="BACKUP_DAMAGED",
        )
    manifest.verify(folder, found)
    newer = [
        f"{service} at {part.revision}"
        for service, part in found.services.items()
        if part.revision not in revisions.known(service)
    ]
    if newer:
        raise FailedPrecondition(
            f"the backup was made by release {found.release}, whose schemas this one does not know "
            f"({', '.join(newer)}): restore it with that release or a later one",
            reason="SCHEMA_NEWER",
        )
    programs = find_programs(found.client_major)
    for part in found.services.values():
        archives.entries_of(programs, folder / part.file)
    return Backup(folder, found, programs)


def restore(
    backup: Backup,
    urls: Mapping[str, str],
    settings: Settings,
    clock: Clock,
    *,
    erasures: Erasures | None,
    replace: bool,
    hold_sending: bool,
    report: Report,
    before: Callable[[], None] = lambda: None,
) -> Restored:
    """Bring a backup into the databases, {service: URL}.

    erasures: who was erased, None when those erased since the backup are to come back. before: called when nothing
    stands in the way, before anything is changed. Each database is restored whole or not at all, and no process of
    Rapport starts on any of them before all is done; when this raises half-way, do it again with `replace`. Raises
    FailedPrecondition (TARGET_NOT_EMPTY, TARGET_IN_USE, OLD_SERVER, ROWS_MISSING), PostgresError.
    """
    with _connected(urls) as connections:
        _require_fit(backup, connections, replace=replace)
        before()

        # Who was erased may be told by nothing but the database that is replaced, and this may be cut short.
        note = "" if erasures is None else erasures.model_dump_json()

        def load(service: str) -> None:
            _load(
                backup,
                service,
                urls[service],
                connections[service],
                replace=replace,
                note=note,
                report=report,
            )

        with ThreadPoolExecutor(len(urls), thread_name_prefix="restore") as pool:
            # All are waited for, so that nothing goes on behind an error.
            outcomes = [pool.submit(load, service) for service in urls]
        for outcome in outcomes:
            outcome.result()
        # From now on none can start; one that did meanwhile works on what is no longer there.
        _require_idle(
            connections, "They were started while the databases were restored: restore again with --replace"
        )
        done = Restored()
        for service, url in urls.items():
            report(service, "migrating", backup.manifest.services[service].bytes)
            migrations.upgrade(service, url)
            done.forks[service] = _fork(service, url, clock)
        if erasures is not None:
            done.erased = erase_again(settings, urls, erasures.contacts)
        if hold_sending:
            _hold(urls["campaign"], clock)
            done.held = True
        for service, connection in connections.items():
            report(service, "analysing", backup.manifest.services[service].bytes)
            connection.execute("ANALYZE (SKIP_LOCKED)")
        for connection in connections.values():
            targets.finish(connection)
    return done


def living_erasures(urls: Mapping[str, str], clock: Clock) -> Erasures | None:
    """Return who was erased by what the databases to be replaced say, or None when they cannot say it."""
    with connect(urls["contacts"]) as connection:
        note = targets.note_of(connection)
    if note is not None:
        # It was restored in part, before its people were erased again: who they are was written down.
        return Erasures.model_validate_json(note) if note else None
    if revisions.current_of(urls["contacts"]) is None:
        return None
    return read_database(urls["contacts"], clock.now())


def _require_fit(backup: Backup, connections: Mapping[str, Connection], *, replace: bool) -> None:
    _require_idle(connections)
    for service, connection in connections.items():
        major = connection.info.server_version // 10000
        if major < backup.manifest.server_major:
            raise FailedPrecondition(
                f"the backup is of PostgreSQL {backup.manifest.server_major}, and the database of {service} is on "
                f"{major}: restore into {backup.manifest.server_major} or newer",
                reason="OLD_SERVER",
            )
    full = [service for service, connection in connections.items() if not targets.is_empty(connection)]
    if full and not replace:
        raise FailedPrecondition(
            f"the databases of {', '.join(full)} are not empty: restore into an empty stack, or name --replace, which "
            "deletes what is in them",
            reason="TARGET_NOT_EMPTY",
        )


def _require_idle(connections: Mapping[str, Connection], advice: str = "") -> None:
    """Raise FailedPrecondition when a process of Rapport works on a database; one that just ended may take a moment."""
    until = time.monotonic() + _PATIENCE_SECONDS
    while busy := sorted({name for each in connections.values() for name in contents.others_at_work(each)}):
        if time.monotonic() > until:
            raise FailedPrecondition(
                f"these processes are connected to the databases: {', '.join(busy)}. Stop all processes of the stack"
                + (f". {advice}" if advice else ""),
                reason="TARGET_IN_USE",
            )
        time.sleep(0.2)


def _load(
    backup: Backup,
    service: str,
    url: str,
    connection: Connection,
    *,
    replace: bool,
    note: str,
    report: Report,
) -> None:
    part = backup.manifest.services[service]
    before, after = targets.statements(replace=replace, note=note if service == "contacts" else "")
    archives.restore(
        backup.programs,
        url,
        backup.folder / part.file,
        server_major=connection.info.server_version // 10000,
        before=before,
        after=after,
        on_bytes=lambda size: report(service, "restoring", size),
    )
    counted = contents.count_rows(connection)
    if counted != part.rows:
        differ = sorted(
            name for name in counted.keys() | part.rows.keys() if counted.get(name) != part.rows.get(name)
        )
        raise FailedPrecondition(
            f"{service}: after the restore these tables have other numbers of rows than the backup says: "
            + ", ".join(f"{name} {counted.get(name)} for {part.rows.get(name)}" for name in differ),
            reason="ROWS_MISSING",
        )
    report(service, "restored", part.bytes)


def _fork(service: str, url: str, clock: Clock) -> Fork:
    kit = importlib.import_module(f"services.{service}.models").kit
    with _database(url) as db, db.transaction() as connection:
        return timelines.fork(connection, kit, clock.now())


def _hold(url: str, clock: Clock) -> None:
    with _database(url) as db:
        hold.hold(db, clock.now())


@contextmanager
def _database(url: str) -> Iterator[Database]:
    db = Database(make_engine(url, pool_size=1, application_name="rapport restore"))
    try:
        yield db
    finally:
        db.close()


@contextmanager
def _connected(urls: Mapping[str, str]) -> Iterator[dict[str, Connection]]:
    made: dict[str, Connection] = {}
    try:
        for service, url in urls.items():
            made[service] = connect(url)
        yield made
    finally:
        for connection in made.values():
            connection.close()


def delete_queues(settings: Settings) -> None:
    """Delete the queues of all consumers on the broker; raises Unavailable (NO_BROKER).

    What is in the queues was told after the backup, or is in the restored log, from which consumers take it again.
    """
    from services.kit.bus.amqp.broker import ERRORS, close_quietly, explain, parse_url
    from services.kit.bus.amqp.topology import delete_queues as delete
    from services.kit.bus.inventory import consumers
    from services.kit.errors import Unavailable

    broker = parse_url(settings.amqp_url)
    connection = None
    try:
        connection = broker.connect("restore")
        for service in SERVICES:
            for consumer in consumers(service):
                delete(connection, settings.amqp_prefix, consumer.name)
    except ERRORS as error:
        raise Unavailable(
            f"the queues were not deleted: {explain(error, broker)[0]}; put that right and restore again",
            reason="NO_BROKER",
        ) from error
    finally:
        close_quietly(connection)
