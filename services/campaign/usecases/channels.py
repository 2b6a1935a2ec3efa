"""What senders tell about channels, and what anybody may know of them."""

from __future__ import annotations

from uuid import UUID

from services.campaign.domain.ledger import FAILED
from services.campaign.store import channels as store
from services.campaign.store import circuits
from services.campaign.store.circuits import CircuitRow
from services.campaign.usecases.events import tell_finished
from services.campaign.usecases.throttle import Throttle
from services.kit.log import safe_text
from services.kit.plugins import PluginManager
from services.kit.runtime import Runtime


def save_channels(runtime: Runtime, manager: PluginManager) -> None:
    """Remember the channels that there are, so that they are known when their plugin is gone."""
    rows = [
        {
            "name": record.name,
            "address_kind": record.address_kind,
            "idempotent": record.idempotent,
            "when_gone": record.when_gone,
        }
        for record in manager.catalog.channels.values()
    ]
    with runtime.db.transaction() as connection:
        store.save_channels(connection, rows)


def explain_missing(runtime: Runtime, manager: PluginManager) -> None:
    """Write on messages of channels that no plugin offers why they wait, or let them fail."""
    catalog = manager.catalog
    with runtime.db.read() as connection:
        planned = store.planned_channels(connection)
    gone = {
        name: f"CHANNEL_UNAVAILABLE: {safe_text(catalog.why_gone(name))}"[:500]
        for name in planned
        if name not in catalog.channels
    }
    if gone:
        now = runtime.clock.now()
        with runtime.db.transaction() as connection:
            failed = store.explain_missing(connection, catalog.channels.keys(), gone)
            tell_finished(connection, [(claim, FAILED, gone[claim.channel]) for claim in failed], now)


def tell_circuits(runtime: Runtime, sender: UUID, throttle: Throttle) -> None:
    """Write down how a sender finds its channels, and forget what dead senders wrote."""
    rows = throttle.report()
    with runtime.db.transaction() as connection:
        circuits.save(connection, sender, rows, runtime.clock.now())
        circuits.forget_dead(connection)


def list_circuits(runtime: Runtime) -> list[CircuitRow]:
    """Return the circuits of the living senders by channel and domain."""
    with runtime.db.read() as connection:
        return circuits.read_all(connection)
