"""Contacts that are no more: merged into another one, or erased."""

from __future__ import annotations

from services.campaign.models import contact_gone, kit
from services.campaign.store import gone as store
from services.campaign.usecases import attribution
from services.campaign.usecases.events import Batch
from services.kit import gone
from services.kit.runtime import Runtime


def let_go(runtime: Runtime, batch: Batch) -> None:
    """Give what campaign keeps of merged contacts to those that remain, and take erased ones out of it."""
    with runtime.db.transaction() as connection:
        events = batch.claim(connection, kit)
        if not events:
            return
        now = runtime.clock.now()
        parted = gone.let_go(connection, contact_gone, events, now)
        # Before any row: whoever decides on interactions takes them after it, too.
        attribution.own(connection)
        if parted.erased:
            store.empty(connection, parted.erased, now)
            attribution.empty(connection, parted.erased)
        for key, heir in parted.heirs.items():
            if heir is not None:
                store.hand_over(connection, key, heir, now)
                attribution.hand_over(connection, key, heir)
