"""Makes a backup: all databases at one moment, each in an archive, and the manifest; whole or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from services.cli.backup.views import Report
from services.kit.backup import archives, contents, manifest
from services.kit.backup.cut import Cut, cut
from services.kit.backup.manifest import Manifest, Part
from services.kit.backup.programs import Programs, find_programs
from services.kit.errors import AlreadyExists, FailedPrecondition


def create(
    urls: Mapping[str, str],
    folder: Path,
    *,
    now: datetime,
    patience_seconds: float,
    report: Report,
    on_wait: Callable[[str], None],
) -> Manifest:
    """Write a backup of the databases, {service: URL}, into a new folder and return its manifest.

    patience_seconds: how long to wait for a moment between long writes. Raises AlreadyExists when there is something of
    the folder's name, FailedPrecondition, PostgresError; nothing is left of an attempt that failed.
    """
    folder = folder.absolute()
    _require_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.", suffix=_PARTIAL))
    # For as long as this process lives: what nobody holds is left from one that was killed.
    held = os.open(partial, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with suppress(OSError):  # a file system without locks, where nothing is cleared away either
            fcntl.flock(held, fcntl.LOCK_EX)
        with cut(urls, patience_seconds=patience_seconds, on_wait=on_wait) as moment:
            made = _write(urls, moment, partial, now, report)
        _sync([*partial.iterdir(), partial])
        _require_free(folder)
        partial.rename(folder)
        _sync([folder.parent])
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        os.close(held)
    return made


_DATED = "%Y-%m-%dT%H%M%SZ"
_PARTIAL = ".partial"


def dated(folder: Path, now: datetime) -> Path:
    """Return the folder of a backup in a folder of many: it is called after the time, such as 2026-03-01T021500Z."""
    return folder / now.astimezone(UTC).strftime(_DATED)


def sweep(folder: Path) -> list[Path]:
    """Delete what processes that were killed left of backups called after their times, and return it."""
    left = []
    for path in folder.glob(f".*{_PARTIAL}"):
        # A dot, the time, a dot, and eight letters.
        if not _is_dated(path.name[1:].partition(".")[0]):
            continue
        held = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path)
            left.append(path)
        except OSError:
            pass  # it is of a backup that is being made, or cannot be told from one
        finally:
            os.close(held)
    return left


def _is_dated(name: str) -> bool:
    try:
        datetime.strptime(name, _DATED).replace(tzinfo=UTC)
    except ValueError:
        return False
    return True


def prune(folder: Path, keep: int) -> list[Path]:
    """Delete the oldest backups of a folder that are called after their times, all but so many, and return them.

    Whatever else is there stays.
    """
    found = [path for path in folder.iterdir() if _is_dated(path.name) and (path / manifest.NAME).is_file()]
    old = sorted(found)[:-keep]
    for path in old:
        shutil.rmtree(path)
    return old


def _write(urls: Mapping[str, str], moment: Cut, folder: Path, now: datetime, report: Report) -> Manifest:
    server = max(each.connection.info.server_version // 10000 for each in moment.moments.values())
    programs = find_programs(server)
    with ThreadPoolExecutor(len(urls), thread_name_prefix="dump") as pool:
        parts = pool.map(lambda name: _part(programs, name, urls[name], moment, folder, report), urls)
        made = Manifest(
            release=version("rapport"),
            create_time=now,
            server_major=server,
            client_major=programs.major,
            held_seconds=round(moment.held_seconds, 3),
            services=dict(zip(urls, parts, strict=True)),
        )
    if problems := [*manifest.position_problems(made)]:
        raise FailedPrecondition(
            f"the databases do not fit together: {'; '.join(problems)}. Do all of them belong to one stack?",
            reason="NO_MOMENT",
        )
    manifest.write(folder, made)
    return made


def _part(programs: Programs, service: str, url: str, moment: Cut, folder: Path, report: Report) -> Part:
    each = moment.moments[service]
    found = contents.look(each.connection, service)
    path = folder / f"{service}.dump"
    archives.dump(programs, url, each.snapshot, path, lambda size: report(service, "writing", size))
    size = path.stat().st_size
    report(service, "written", size)
    return Part(
        file=path.name,
        bytes=size,
        sha256=manifest.digest(path),
        revision=found.revision,
        head=found.head,
        unpositioned=found.unpositioned,
        cursors=found.cursors,
        taken=found.taken,
        rows=found.rows,
    )


def _require_free(folder: Path) -> None:
    if folder.exists() or folder.is_symlink():
        raise AlreadyExists(
            f"{folder} is there already, and a backup is never written over: choose another name",
            reason="BACKUP_EXISTS",
        )


def _sync(paths: Iterable[Path]) -> None:
    """Bring files and folders to the disk."""
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
