"""The list of erased people, ids alone, kept beside the backups: who was erased stays erased after a restore."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal
from uuid import UUID

import sqlalchemy as sa
from pydantic import BaseModel, ValidationError

from services.contacts.models import contact_gone, kit
from services.kit import revisions
from services.kit.backup.manifest import Place
from services.kit.errors import FailedPrecondition, InvalidArgument
from services.kit.events import store
from services.kit.files import write_private
from services.kit.supervise.lock import FileLock


class Known(BaseModel):
    """Say how far a list is complete on a timeline of contacts' event log, and when that was by the business clock."""

    position: int
    time: datetime


class Erasures(BaseModel):
    """Hold the contacts that were erased, those merged into them before included, with the time of the erasure.

    known: by timeline, up to where it is complete.
    """

    format: Literal["rapport erasures 1"] = "rapport erasures 1"
    known: dict[str, Known]
    contacts: dict[UUID, datetime]

    def covers(self, place: Place) -> bool:
        """Tell whether the list was read at a place of the event log, or later; what came after is in no list."""
        known = self.known.get(place.timeline)
        return not place.timeline or (known is not None and known.position >= place.position)

    def joined(self, other: Erasures) -> Erasures:
        """Return what either of two lists has."""
        known = dict(self.known)
        for timeline, item in other.known.items():
            if timeline not in known or known[timeline].position <= item.position:
                known[timeline] = item
        return Erasures(known=known, contacts={**other.contacts, **self.contacts})


def read_list(path: Path) -> Erasures:
    """Return the list in a file; raises InvalidArgument (NO_ERASURES)."""
    try:
        return Erasures.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise InvalidArgument(
            f"there is no list of erasures {path}; `rapport backup erasures {path}` makes it from a running stack",
            reason="NO_ERASURES",
        ) from error
    except ValidationError as error:
        raise InvalidArgument(
            f"{path} is no list of erasures, or is damaged: {error.errors()[0]['msg']}", reason="NO_ERASURES"
        ) from error


def read_database(url: str, now: datetime) -> Erasures:
    """Return who was erased by what the database of contacts says."""
    with revisions.connected(url) as connection:
        connection = connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            store.ensure_stream(connection, kit)
            head = store.read_head(connection, kit)
            rows = connection.execute(
                sa.select(contact_gone.c.contact_id, contact_gone.c.time).where(contact_gone.c.into.is_(None))
            )
            contacts = {row.contact_id: row.time for row in rows}
    return Erasures(known={str(head.timeline): Known(position=head.position, time=now)}, contacts=contacts)


@dataclass(frozen=True, slots=True)
class Appended:
    """Say how many contacts a list has, and how many of them it did not have before."""

    total: int
    new: int


def append(path: Path, found: Erasures) -> Appended:
    """Add what was found to the list in a file, which is made when it is not there; nothing is ever taken out.

    Raises FailedPrecondition (LIST_IN_USE) when another process is writing it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f"{path.name}.lock"))
    if not lock.acquire():
        raise FailedPrecondition(f"{path} is being written by another process", reason="LIST_IN_USE")
    try:
        before = read_list(path) if path.exists() else Erasures(known={}, contacts={})
        joined = before.joined(found)
        write_private(path, joined.model_dump_json(indent=1) + "\n", "list of erasures")
    finally:
        lock.release()
    return Appended(len(joined.contacts), len(joined.contacts) - len(before.contacts))
