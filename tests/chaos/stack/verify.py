"""What must hold after a chaos run: nothing acknowledged is lost, and nothing had its effect twice."""

from __future__ import annotations

import importlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import amqp
from nameko.extensions import ENTRYPOINT_EXTENSIONS_ATTR
from rapport_client import Rapport

from services.kit.bus.amqp.topology import ConsumerQueues
from services.kit.bus.subscriptions import Subscription
from services.kit.config import SERVICES
from services.kit.names import parse_name
from tests.chaos.checks import Check, at_least, differences, exactly
from tests.chaos.stack.load import PRICE, PRODUCT, SOURCE, Acknowledged
from tests.chaos.stack.scene import Scene
from tests.chaos.stack.tally.worker import SOURCES as TALLIED

RULES = {
    "buyers": "events.order_placed.size() >= 1",
    "repeat": "events.order_placed.size() >= 2 && contact.total_spent > 12.0",
    "vietnam": 'contact.region_code == "VN"',
}
REBUILD_SECONDS = 300.0


def prepare(rapport: Rapport) -> None:
    """Define what follows the load: segments, and journeys that each order and each new buyer starts."""
    rapport.sales.batch_upsert_products(products=[{"code": PRODUCT, "title": "Cup"}])
    for id_, rule in RULES.items():
        made = rapport.segmentation.create_segment(segment_id=id_, segment={"rule": rule})
        rapport.segmentation.wait_operation(made.rebuild, timeout=REBUILD_SECONDS)
    rapport.campaign.create_template(
        template_id="thanks", template={"contents": [{"subject": "Thank you", "text": "Thank you"}]}
    )
    send = {"template": "templates/thanks", "channel": "email.smtp", "topic": "transactional"}
    triggers: dict[str, dict[str, object]] = {
        "each-contact": {"event_type": "contact.created"},
        "each-order": {"event_type": "order.placed"},
        "each-entry": {"event_type": "segment.entered", "segment": "segments/repeat"},
    }
    for id_, trigger in triggers.items():
        rapport.campaign.create_journey(
            journey_id=id_,
            journey={
                "trigger": {**trigger, "reentry_after": timedelta(0)},
                "steps": [{"wait": {"duration": timedelta(days=900)}}, {"send": send}],
            },
        )
        rapport.campaign.activate_journey(name=f"journeys/{id_}")


class Verifier:
    """Compare what the services hold with what they acknowledged, and with each other.

    notes: an example of each difference.
    """

    def __init__(self, scene: Scene, acknowledged: Acknowledged) -> None:
        self._scene = scene
        self._held = acknowledged
        self.notes: list[str] = []

    def bring_again(self, seconds: float) -> None:
        """Have every event published once more, and wait until all have come; those that did not are told by `checks`.

        Most runs bring few events twice, and of these few within the moment in which it matters.
        """
        until = time.monotonic() + seconds
        for service in SERVICES:
            self._scene.publish_again(service)
        while time.monotonic() < until and (self._came_once() or self._waiting(lambda queues: queues.main)):
            time.sleep(0.5)

    def _came_once(self) -> list[tuple[str, UUID]]:
        """Return the events that came to the tally less than twice, each with its service."""
        found = []
        for source in TALLIED:
            rows = self._scene.ask("tally", f"SELECT event_id FROM delivery WHERE source = '{source}'")
            came = Counter(key for (key,) in rows)
            told = self._scene.ask(source, "SELECT id FROM outbox")
            found += [(source, key) for (key,) in told if came[key] < 2]
        return found

    def checks(self, rapport: Rapport) -> Iterator[Check]:
        """Yield all checks; the consumers must be level. The last ones rebuild all segments."""
        yield from self._acknowledged()
        yield from self._streams()
        yield from self._consumers()
        yield from self._tally()
        yield from self._projections()
        yield from self._membership(rapport)
        yield from self._dead_letters()

    def _same(self, name: str, found: Iterable[Any], expected: Sequence[Any]) -> Iterator[Check]:
        had = list(found)
        missing, surplus, example = differences(had, expected)
        if example:
            self.notes.append(f"{name}: {example}")
        yield Check(name, f"these {len(expected)}", len(had), not missing and not surplus)

    def _acknowledged(self) -> Iterator[Check]:
        # Of a load that wrote nothing, all that follows would hold.
        yield at_least("contacts written", 1, len(self._held.contacts))
        yield at_least("contacts written again", 1, self._held.updates)
        yield at_least("orders written", 1, len(self._held.orders))
        rows = self._scene.ask("contacts", "SELECT id, display_name, region_code FROM contact")
        expected = [(_id(name), *content) for name, content in self._held.contacts.items()]
        yield from self._same("acknowledged contacts, as last written", rows, expected)
        rows = self._scene.ask(
            "sales",
            "SELECT o.external_id, o.id, o.contact_id, sum(l.quantity * l.unit_price), o.total FROM sales_order o "
            f"JOIN sales_order_line l ON l.order_id = o.id WHERE o.source = '{SOURCE}' GROUP BY o.id",
        )
        placed = [
            (key, parse_name(self._held.order_names[key], "orders"), _id(contact), total, total)
            for key, (contact, quantity) in self._held.orders.items()
            if (total := Decimal(quantity * PRICE))
        ]
        yield from self._same("acknowledged orders", rows, placed)

    def _streams(self) -> Iterator[Check]:
        told = self._scene.ask(
            "contacts",
            "SELECT contact_id, revision FROM outbox WHERE type IN ('contact.created', 'contact.updated')",
        )
        revisions = self._scene.ask("contacts", "SELECT id, generate_series(1, revision) FROM contact")
        yield from self._same("an event for each revision of a contact", told, revisions)
        told = self._scene.ask("sales", "SELECT subject, contact_id FROM outbox WHERE type = 'order.placed'")
        orders = self._scene.ask("sales", "SELECT 'orders/' || id, contact_id FROM sales_order")
        yield from self._same("an event for each order", told, orders)
        for service in SERVICES:
            ((total, distinct, highest),) = self._scene.ask(
                service, "SELECT count(*), count(DISTINCT position), coalesce(max(position), 0) FROM outbox"
            )
            yield exactly(f"{service}: events at a position of their own", total, distinct)
            yield exactly(f"{service}: last position, without a gap", total, highest)

    def _consumers(self) -> Iterator[Check]:
        for service, method, source, types in consumers():
            processed = self._scene.ask(
                service, f"SELECT event_id FROM processed_event WHERE consumer = '{service}.{method}'"
            )
            some = f"type = ANY('{{{','.join(types)}}}')" if types else "true"
            told = self._scene.ask(source, f"SELECT id FROM outbox WHERE {some}")
            if told or processed:
                yield from self._same(f"events that {service}.{method} took", processed, told)

    def _tally(self) -> Iterator[Check]:
        once = self._came_once()
        yield exactly("tally: events that did not come twice", 0, len(once))
        # The effects of the services are there once even when an event has them twice; these are not.
        for source in TALLIED:
            noted = self._scene.ask("tally", f"SELECT event_id FROM effect WHERE source = '{source}'")
            told = self._scene.ask(source, "SELECT id FROM outbox")
            yield from self._same(f"tally: effects of the events of {source}", noted, told)

    def _projections(self) -> Iterator[Check]:
        ask = self._scene.ask
        yield from self._same(
            "segmentation: profiles",
            ask("segmentation", "SELECT contact_id, revision, region_code FROM profile"),
            ask("contacts", "SELECT id, revision, region_code FROM contact"),
        )
        orders = ask("sales", "SELECT id, contact_id, total FROM sales_order")
        yield from self._same(
            "segmentation: orders",
            ask("segmentation", "SELECT contact_id, amount FROM event WHERE type = 'order.placed'"),
            [row[1:] for row in orders],
        )
        sums: dict[UUID, list[Decimal]] = {}
        for _, contact, total in orders:
            sums.setdefault(contact, []).append(total)
        yield from self._same(
            "segmentation: sums of orders",
            ask(
                "segmentation",
                "SELECT contact_id, order_count, total_spent FROM profile WHERE order_count > 0",
            ),
            [(contact, len(totals), sum(totals)) for contact, totals in sums.items()],
        )
        yield from self._same(
            "campaign: orders",
            ask("campaign", "SELECT id, contact_id, amount FROM sale WHERE kind = 'order'"),
            orders,
        )
        entries = "SELECT event_id, contact_id FROM journey_entry WHERE journey_id = "
        yield from self._same(
            "campaign: a start for each new contact",
            ask("campaign", f"{entries}'each-contact'"),
            ask("contacts", "SELECT id, contact_id FROM outbox WHERE type = 'contact.created'"),
        )
        yield from self._same(
            "campaign: a start for each order",
            ask("campaign", f"{entries}'each-order'"),
            ask("sales", "SELECT id, contact_id FROM outbox WHERE type = 'order.placed'"),
        )
        yield from self._same(
            "campaign: a start for each entry into a segment",
            ask("campaign", f"{entries}'each-entry'"),
            ask(
                "segmentation",
                "SELECT id, contact_id FROM outbox WHERE type = 'segment.entered' AND subject = 'segments/repeat'",
            ),
        )

    def _membership(self, rapport: Rapport) -> Iterator[Check]:
        members = self._members()
        yield at_least("segments with members", len(RULES), len({segment for segment, _ in members}))
        yield from self._same("members, as the services' rows say", members, self._by_hand())
        balance = self._scene.ask(
            "segmentation",
            "SELECT substr(subject, 10), contact_id FROM outbox WHERE type IN ('segment.entered', 'segment.left') "
            "GROUP BY 1, 2 HAVING sum(CASE type WHEN 'segment.entered' THEN 1 ELSE -1 END) = 1",
        )
        yield from self._same("members, as the events say", balance, members)
        started = rapport.segmentation.rebuild_segments()
        result = rapport.segmentation.wait_operation(started.operation, timeout=REBUILD_SECONDS)
        changed = sum(item.entered_count + item.left_count for item in result.segments)
        yield exactly("changes by a rebuild from scratch", 0, changed)
        yield from self._same("members after it", self._members(), members)

    def _members(self) -> list[tuple[Any, ...]]:
        return self._scene.ask(
            "segmentation",
            "SELECT s.id, m.contact_id FROM membership m JOIN segment s ON s.number = m.segment_number",
        )

    def _by_hand(self) -> list[tuple[Any, ...]]:
        orders: dict[UUID, list[Decimal]] = {}
        for contact, total in self._scene.ask("sales", "SELECT contact_id, total FROM sales_order"):
            orders.setdefault(contact, []).append(total)
        people = self._scene.ask("contacts", "SELECT id FROM contact WHERE region_code = 'VN'")
        return [
            *(("buyers", key) for key in orders),
            *(("repeat", key) for key, totals in orders.items() if len(totals) >= 2 and sum(totals) > 12),
            *(("vietnam", key) for (key,) in people),
        ]

    def _dead_letters(self) -> Iterator[Check]:
        dead = [
            f"{consumer}: {type_} {event}: {error}"
            for service in SERVICES
            for consumer, type_, event, error in self._scene.ask(
                service, "SELECT consumer, type, event_id, error FROM dead_letter"
            )
        ]
        self.notes += [f"dead letter of {item}" for item in dead]
        yield exactly("dead letters", 0, len(dead))
        yield exactly("messages in queues of dead letters", 0, self._waiting(lambda queues: queues.dead))
        yield exactly("messages in queues of consumers", 0, self._waiting(lambda queues: queues.main))

    def _waiting(self, name_of: Any) -> int:
        connection = amqp.Connection(
            host=f"127.0.0.1:{self._scene.node.port}", userid="guest", password="guest"
        )
        connection.connect()
        try:
            channel = connection.channel()
            prefix = self._scene.stack.settings.amqp_prefix
            return sum(
                channel.queue_declare(
                    name_of(ConsumerQueues.of(prefix, source, f"{service}.{method}", types)), passive=True
                ).message_count
                for service, method, source, types in consumers()
            )
        finally:
            connection.close()


def consumers() -> list[tuple[str, str, str, tuple[str, ...]]]:
    """Return each consumer of events: service, method, source, and the types it takes (none for all)."""
    found = []
    for service in SERVICES:
        worker = importlib.import_module(f"services.{service}.worker").Worker
        for method in dir(worker):
            for entry in getattr(getattr(worker, method), ENTRYPOINT_EXTENSIONS_ATTR, ()):
                if isinstance(entry, Subscription):
                    found.append((service, method, entry.source, entry.types))
    return found


def _id(name: str) -> UUID:
    return parse_name(name, "contacts")
