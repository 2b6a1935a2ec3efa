"""The worker of care: sends what agents wrote, asks how it was, and looks after cases as time passes."""

from __future__ import annotations

from services.care.models import kit
from services.care.usecases import outbound, parting, tasks, upkeep
from services.kit.bus import EventBatch, RuntimeProvider, subscribe, timer


class Worker:
    """React to care's own events and to the passing of time."""

    name = "care"
    runtime = RuntimeProvider()

    @subscribe("care", "case.reply_requested", batch_size=50)
    def send_replies(self, batch: EventBatch) -> None:
        """Hand answers to campaign."""
        # The record waits for the effect, which campaign makes once by its request id if this has to be done again.
        with self.runtime.db.transaction() as connection:
            outbound.send_replies(self.runtime, connection, batch.claim(connection, kit))

    @subscribe("care", "case.resolved", batch_size=50)
    def ask_how_it_was(self, batch: EventBatch) -> None:
        """Ask customers of solved cases how it was."""
        with self.runtime.db.transaction() as connection:
            outbound.ask_how_it_was(self.runtime, connection, batch.claim(connection, kit))

    @subscribe("contacts", "contact.merged", "contact.erased", batch_size=100)
    def let_contacts_go(self, batch: EventBatch) -> None:
        """Give cases and tasks to the contacts that remain, or empty them."""
        parting.let_go(self.runtime, batch)

    @timer(seconds=1.0)
    def mark_broken_promises(self) -> None:
        """Mark promises that are due and not fulfilled."""
        upkeep.mark_broken_promises(self.runtime)

    @timer(seconds=5.0)
    def tell_overdue_tasks(self) -> None:
        """Tell of open tasks whose time has passed."""
        tasks.tell_overdue(self.runtime)

    @timer(seconds=5.0)
    def assign_waiting(self) -> None:
        """Give cases that wait to agents who can take them now."""
        upkeep.assign_waiting(self.runtime)

    @timer(seconds=60.0)
    def close_resolved(self) -> None:
        """Close cases that were solved long ago."""
        upkeep.close_resolved(self.runtime)
