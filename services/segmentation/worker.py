"""The worker: follows contacts, sales and campaign, lets time pass, rebuilds segments and refreshes traits."""

from __future__ import annotations

from google.protobuf.message import Message

from services.kit.bus import EventBatch, OperationContext, RuntimeProvider, operation, subscribe, timer
from services.kit.plugins import Catalog
from services.kit.runtime import Runtime
from services.segmentation.context import service_of
from services.segmentation.usecases import (
    history,
    plugin_changes,
    projection,
    rebuilding,
    snapshots,
    traits,
    upkeep,
)

_noticed: list[Catalog] = []


class Worker:
    """The nameko service; each method is one entrypoint."""

    name = "segmentation"
    runtime = RuntimeProvider()

    @staticmethod
    def prepare(runtime: Runtime) -> None:
        """Refuse to start without the plugins that are required; otherwise they load when first asked."""
        if runtime.settings.plugins_required:
            service_of(runtime).plugins.catalog()

    @subscribe(
        "contacts",
        "contact.created",
        "contact.updated",
        "contact.merged",
        "contact.erased",
        "activity.recorded",
        "attribute.defined",
        "activity_type.defined",
        batch_size=500,
    )
    def on_contacts(self, batch: EventBatch) -> None:
        """Take in contacts, what they did, which are no more, and what rules may name."""
        projection.take_events(service_of(self.runtime), batch)

    @subscribe("sales", "order.placed", "order.returned", "payment.received", batch_size=500)
    def on_sales(self, batch: EventBatch) -> None:
        """Take in orders, returns and payments."""
        projection.take_events(service_of(self.runtime), batch)

    @subscribe(
        "campaign",
        "message.clicked",
        "message.opened",
        "message.click_reversed",
        "message.open_reversed",
        batch_size=500,
    )
    def on_campaign(self, batch: EventBatch) -> None:
        """Take in what people did with messages, and take out what machines did."""
        projection.take_events(service_of(self.runtime), batch)

    @timer(seconds=0.25)
    def expire(self) -> None:
        """Evaluate the contacts whose time has come."""
        upkeep.expire(service_of(self.runtime))

    @timer(seconds=1.0)
    def retry_waiting(self) -> None:
        """Evaluate the contacts for which a plugin failed before."""
        upkeep.retry_waiting(service_of(self.runtime))

    @timer(seconds=2.0)
    def watch_plugins(self) -> None:
        """Notice plugins that came, went or changed, rebuild what failed for one, then keep their traits fresh."""
        service = service_of(self.runtime)
        catalog = service.catalog()
        if [catalog] != _noticed:
            plugin_changes.notice_plugins(service)
            _noticed[:] = [catalog]
        plugin_changes.retry_failed(service)
        traits.refresh_due(service)

    @timer(seconds=10.0)
    def fold_sizes(self) -> None:
        """Keep the sizes of segments short to sum up."""
        upkeep.fold_sizes(service_of(self.runtime))

    @timer(seconds=60.0)
    def remove_old_history(self) -> None:
        """Remove what is older than history is kept, and what was asked for rebuilds that never came."""
        history.remove_old(service_of(self.runtime))
        rebuilding.drop_abandoned(service_of(self.runtime))

    @operation(rebuilding.KIND, concurrency=1)
    def rebuild_segments(self, context: OperationContext) -> Message:
        """Rebuild segments."""
        return rebuilding.rebuild(service_of(self.runtime), context.request, context)  # type: ignore[arg-type]

    @operation(snapshots.KIND, concurrency=1)
    def snapshot_segment(self, context: OperationContext) -> Message:
        """Fill a list with those who are in a segment or fit a rule."""
        return snapshots.take_snapshot(service_of(self.runtime), context.request, context)  # type: ignore[arg-type]

    @operation(traits.KIND, concurrency=1)
    def refresh_traits(self, context: OperationContext) -> Message:
        """Compute traits."""
        return traits.refresh(service_of(self.runtime), context.request, context)  # type: ignore[arg-type]
