"""The worker of sales: follows contacts that are no more.

Nothing in sales falls due by time; the relay of the event stream comes from the kit.
"""

from __future__ import annotations

from services.kit.bus import EventBatch, RuntimeProvider, subscribe
from services.sales.usecases import parting


class Worker:
    """Keep sales with the contacts that remain."""

    name = "sales"
    runtime = RuntimeProvider()

    @subscribe("contacts", "contact.merged", "contact.erased", batch_size=100)
    def let_contacts_go(self, batch: EventBatch) -> None:
        """Make sales those of the contacts that remain, or nobody's."""
        parting.let_go(self.runtime, batch)
