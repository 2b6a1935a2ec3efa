"""New contacts of an import, made ready before it is their turn to be written."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection

from services.contacts.domain.imports.sheet import Sheet
from services.contacts.domain.newcomers import make_many
from services.contacts.models import kit
from services.contacts.store import consents
from services.contacts.store.newcomers import ContactText
from services.contacts.usecases import events
from services.kit import outbox
from services.kit.names import new_id


class NewcomersText:
    """Hold the new contacts of a sheet, with their decisions and events, as they are to be written.

    claims: their identities, as `contacts.claim` takes them.
    """

    def __init__(self, sheet: Sheet, now: datetime) -> None:
        self._newcomers = make_many(sheet, [str(new_id()) for _ in range(sheet.size)], now)
        self._contacts = ContactText(self._newcomers)
        self._events = events.created_text(self._newcomers)
        self.claims = self._contacts.claims

    def insert(self, connection: Connection) -> None:
        """Write all but the identities."""
        self._contacts.insert(connection)
        consents.insert(connection, self._newcomers.decisions(), self._newcomers.now)
        outbox.append_text(connection, kit.outbox, self._events)
