"""What a backup says of itself: of which release and moment it is, what is in it, and how to tell that it is whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from services.kit.errors import FailedPrecondition, InvalidArgument
from services.kit.events.timelines import is_own

NAME = "manifest.json"


class Place(BaseModel):
    """A place in a stream: its timeline, empty for a stream that never was, and a position."""

    timeline: str
    position: int


class Part(BaseModel):
    """The database of one service.

    file: its archive's name; revision: of its schema; head: the newest position of its event log; unpositioned: events
    without a position yet; cursors: how far the consumers of its events are, by subscription; taken: the newest
    position that each of its own consumers had an event of; rows: of each table.
    """

    file: str
    bytes: int
    sha256: str
    revision: str
    head: Place
    unpositioned: int
    cursors: dict[str, Place]
    taken: dict[str, int]
    rows: dict[str, int]


class Manifest(BaseModel):
    """A whole backup.

    release: of Rapport; server_major, client_major: of PostgreSQL and of the pg_dump that wrote it; create_time: by the
    business clock; held_seconds: how long writers waited for its moment; services: by name.
    """

    format: Literal["rapport backup 1"] = "rapport backup 1"
    release: str
    create_time: datetime
    server_major: int
    client_major: int
    held_seconds: float
    services: dict[str, Part]

    @property
    def size(self) -> int:
        """Return how many bytes the archives have."""
        return sum(part.bytes for part in self.services.values())


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a backup in a folder."""
    (folder / NAME).write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> Manifest:
    """Return the manifest of the backup in a folder; raises InvalidArgument (NO_BACKUP)."""
    path = folder / NAME
    try:
        return Manifest.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise InvalidArgument(
            f"{folder} is no backup: it has no {NAME}. An unfinished one has a name that ends in .partial",
            reason="NO_BACKUP",
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise InvalidArgument(
            f"{path} is damaged, or was written by a newer release: {where}: {first['msg']}",
            reason="NO_BACKUP",
        ) from error


def verify(folder: Path, manifest: Manifest) -> None:
    """Raise FailedPrecondition (BACKUP_DAMAGED) that names all that is wrong with a backup's files and positions."""
    problems = [*_file_problems(folder, manifest), *position_problems(manifest)]
    if problems:
        raise FailedPrecondition(
            f"the backup {folder} cannot be restored: {'; '.join(problems)}", reason="BACKUP_DAMAGED"
        )


def _file_problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    for part in manifest.services.values():
        path = folder / part.file
        if Path(part.file).name != part.file:
            yield f"{part.file!r} is no name of a file"
        elif not path.is_file():
            yield f"{part.file} is missing"
        elif path.stat().st_size != part.bytes:
            yield f"{part.file} has {path.stat().st_size} bytes in place of {part.bytes}"
        elif digest(path) != part.sha256:
            yield f"{part.file} has another content than was written (SHA-256)"


def position_problems(manifest: Manifest) -> Iterator[str]:
    """Yield how the databases disagree on what was told: nobody may have had what its source does not have."""
    for source, part in manifest.services.items():
        for name, cursor in part.cursors.items():
            if not is_own(name):
                continue
            if cursor.timeline == part.head.timeline and cursor.position > part.head.position:
                yield f"{name} is at {cursor.position} of {source}, whose log ends at {part.head.position}"
            consumer = manifest.services.get(name.partition(".")[0])
            taken = consumer.taken.get(name, 0) if consumer is not None else 0
            if taken > part.head.position:
                yield f"{name} has had event {taken} of {source}, whose log ends at {part.head.position}"


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
