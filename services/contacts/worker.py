"""The worker of contacts: imports, and the wish of a contact to be left alone."""

from __future__ import annotations

from google.protobuf.message import Message

from services.contacts.models import kit
from services.contacts.store.imports import KIND
from services.contacts.usecases import import_run, unsubscribe
from services.kit.bus import EventBatch, OperationContext, RuntimeProvider, operation, subscribe


class Worker:
    """Do imports and follow care and campaign."""

    name = "contacts"
    runtime = RuntimeProvider()

    @operation(KIND)
    def import_contacts(self, context: OperationContext) -> Message:
        """Import a file."""
        return import_run.run(self.runtime, context)

    @subscribe("care", "unsubscribe.requested")
    def on_unsubscribe(self, batch: EventBatch) -> None:
        """Record that contacts refuse."""
        with self.runtime.db.transaction() as connection:
            unsubscribe.record(connection, self.runtime, batch.claim(connection, kit))

    @subscribe("campaign", "unsubscribe.requested")
    def on_unsubscribe_link(self, batch: EventBatch) -> None:
        """Record that contacts refuse, by a link or a complaint."""
        with self.runtime.db.transaction() as connection:
            unsubscribe.record(connection, self.runtime, batch.claim(connection, kit))
