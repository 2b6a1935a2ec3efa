"""The segmentation service inside a test: events as other services would write them, and what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID, uuid5

import sqlalchemy as sa
from google.protobuf.message import Message
from psycopg.errors import DeadlockDetected
from rapport.contacts.v1 import contacts_pb2
from rapport.contacts.v1 import events_pb2 as contact_events
from rapport.events.v1 import events_pb2
from rapport.sales.v1 import events_pb2 as sales_events
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.bus.batch import EventBatch
from services.kit.clock import FixedClock
from services.kit.db import Database, make_engine
from services.kit.events.payload import parse
from services.kit.money import to_money
from services.kit.names import new_id
from services.kit.plugins import Catalog, PluginHost
from services.kit.signing import Signer
from services.kit.wire import to_timestamp
from services.segmentation import models
from services.segmentation.context import Service
from services.segmentation.rulebook import Rulebook
from services.segmentation.usecases import defining, projection, rebuilding
from tests.support.emptying import empty_tables
from tests.support.schema import create_schema

T = TypeVar("T")
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
_SPACE = UUID("6f1c1c52-7d0e-4a0b-9c55-0f2f1d1f7a11")

DEMO_RULES = {
    "browsers": """
        events.page_visited.filter(v, now - v.time <= days(30)).size() >= 3
        && !events.order_placed.exists(o,
            o.time > min(events.page_visited.filter(v, now - v.time <= days(30)).map(v, v.time)))
    """,
    "lapsed": """
        events.order_placed.size() > 0 && !events.order_placed.exists(o, now - o.time <= days(90))
    """,
    "loyal": """
        events.order_placed.size() >= 5 && events.order_placed.exists(o, now - o.time <= days(30))
    """,
    "newcomers": """
        events.order_placed.size() > 0
        && now - min(events.order_placed.map(o, o.time)) <= days(30)
    """,
    "repeat": """
        events.order_placed.filter(o, now - o.time <= days(60)).size() >= 2
    """,
}
"""The five segments of the demo."""


def contact_id(number: int) -> UUID:
    """Return the id of a made-up contact."""
    return uuid5(_SPACE, f"contact {number}")


class NoPlugins:
    """Stand for a plugin host that offers nothing."""

    def catalog(self) -> Catalog:
        """Return an empty catalog."""
        return Catalog()

    def close(self) -> None:
        """Do nothing."""


def event(
    type_: str,
    data: Message,
    contact: UUID | None,
    *,
    time: datetime = NOW,
    revision: int = 1,
    historical: bool = False,
    source: str = "contacts",
    id_: UUID | None = None,
) -> events_pb2.Event:
    """Build an event as a stream delivers it."""
    item = events_pb2.Event(
        id=str(id_ or new_id()),
        type=type_,
        source=source,
        position=1,
        subject=f"contacts/{contact}" if contact else "",
        contact=f"contacts/{contact}" if contact else "",
        revision=revision,
        historical=historical,
    )
    item.occur_time.CopyFrom(to_timestamp(time))
    item.record_time.CopyFrom(to_timestamp(time))
    item.data.Pack(data)
    return item


def attribute_value(value: Any) -> contacts_pb2.AttributeValue:
    """Build the value of an attribute or field."""
    message = contacts_pb2.AttributeValue()
    match value:
        case bool():
            message.bool_value = value
        case str():
            message.string_value = value
        case int():
            message.int_value = value
        case float():
            message.double_value = value
        case datetime():
            message.timestamp_value.CopyFrom(to_timestamp(value))
        case list():
            message.strings_value.values.extend(value)
    return message


def contact(
    key: UUID,
    *,
    revision: int = 1,
    historical: bool = False,
    attributes: Mapping[str, Any] | None = None,
    birth_date: date | None = None,
    **fields: Any,
) -> events_pb2.Event:
    """Build contact.created or contact.updated with its snapshot."""
    values = {name: attribute_value(value) for name, value in (attributes or {}).items()}
    payload = contact_events.ContactChanged(attributes=values, **fields)
    if birth_date is not None:
        payload.birth_date.year, payload.birth_date.month, payload.birth_date.day = birth_date.timetuple()[:3]
    type_ = "contact.created" if revision == 1 else "contact.updated"
    return event(type_, payload, key, revision=revision, historical=historical)


def visit(
    key: UUID, time: datetime, *, historical: bool = False, type_: str = "page.visited", **fields: Any
) -> events_pb2.Event:
    """Build activity.recorded."""
    payload = contact_events.ActivityRecorded(
        type=type_, fields={name: attribute_value(value) for name, value in fields.items()}
    )
    return event("activity.recorded", payload, key, time=time, historical=historical)


def order(
    key: UUID,
    time: datetime,
    amount: str = "10",
    *,
    category: str = "",
    coupon_code: str = "",
    historical: bool = False,
    id_: UUID | None = None,
) -> events_pb2.Event:
    """Build order.placed."""
    payload = sales_events.OrderPlaced(
        total=to_money(Decimal(amount), "EUR"),
        line_count=1,
        category=category,
        coupon_code=coupon_code,
        source="shop",
    )
    return event("order.placed", payload, key, time=time, historical=historical, source="sales", id_=id_)


def order_returned(key: UUID, time: datetime, amount: str = "10") -> events_pb2.Event:
    """Build order.returned."""
    payload = sales_events.OrderReturned(total=to_money(Decimal(amount), "EUR"), line_count=1)
    return event("order.returned", payload, key, time=time, source="sales")


def payment(key: UUID, time: datetime, amount: str = "10") -> events_pb2.Event:
    """Build payment.received."""
    payload = sales_events.PaymentReceived(amount=to_money(Decimal(amount), "EUR"), method="card")
    return event("payment.received", payload, key, time=time, source="sales")


def attribute_defined(name: str, type_: int) -> events_pb2.Event:
    """Build attribute.defined."""
    payload = contact_events.AttributeDefined(attribute=contacts_pb2.Attribute(id=name, type=type_))
    return event("attribute.defined", payload, None)


def page_visited_defined() -> events_pb2.Event:
    """Build activity_type.defined for page.visited, which has an optional url."""
    return activity_defined("page.visited", {"url": (contacts_pb2.VALUE_TYPE_STRING, True)})


def activity_defined(name: str, fields: Mapping[str, tuple[int, bool]]) -> events_pb2.Event:
    """Build activity_type.defined; fields: type and whether optional, by name."""
    declared = [
        contacts_pb2.ActivityField(id=key, type=kind, optional=opt) for key, (kind, opt) in fields.items()
    ]
    payload = contact_events.ActivityTypeDefined(
        activity_type=contacts_pb2.ActivityType(id=name, fields=declared)
    )
    return event("activity_type.defined", payload, None)


def merged(key: UUID, into: UUID, *, historical: bool = False) -> events_pb2.Event:
    """Build contact.merged."""
    payload = contact_events.ContactMerged(into=f"contacts/{into}")
    return event("contact.merged", payload, key, revision=100, historical=historical)


def erased(key: UUID) -> events_pb2.Event:
    """Build contact.erased."""
    return event("contact.erased", contact_events.ContactErased(), key, revision=100)


@dataclass
class Progress:
    """Stand for the operation of a rebuild or refresh; stop_before: how often it may go on before it is cancelled."""

    state: dict[str, Any] = field(default_factory=dict)
    stages: list[tuple[int | None, int | None, str | None]] = field(default_factory=list)
    told: list[tuple[int, int, str]] = field(default_factory=list)
    stop_before: int | None = None

    def checkpoint(
        self,
        connection: sa.Connection,
        state: dict[str, Any] | None = None,
        completed: int | None = None,
        total: int | None = None,
        stage: str | None = None,
    ) -> None:
        """Remember the state."""
        if state is not None:
            self.state = state
        self.stages.append((completed, total, stage))

    def tell(self, completed: int, total: int, stage: str) -> None:
        """Remember what is shown."""
        self.told.append((completed, total, stage))

    def interruptible(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """Watch nothing."""
        return nullcontext()

    def unless_stopped(self, work: Callable[[], T]) -> T:
        """Call it."""
        return work()

    def raise_if_cancelled(self) -> None:
        """Raise when the count is used up."""
        if self.stop_before is not None:
            if self.stop_before == 0:
                from services.kit.errors import Cancelled

                raise Cancelled("stopped by the test")
            self.stop_before -= 1


@dataclass
class World:
    """The service on a database of its own, with a clock that the test moves."""

    service: Service
    clock: FixedClock

    @property
    def db(self) -> Database:
        """The database."""
        return self.service.db

    def empty(self) -> None:
        """Forget everything."""
        while True:
            try:
                with self.db.transaction() as connection:
                    empty_tables(connection, models.metadata.sorted_tables)
                break
            except sa.exc.OperationalError as error:
                # A worker that runs meanwhile reads the tables in an order of its own.
                if not isinstance(error.orig, DeadlockDetected):
                    raise
        self.clock.instant = NOW

    def deliver(self, *events: events_pb2.Event, consumer: str = "segmentation.test") -> None:
        """Bring events as one batch."""
        projection.take_events(self.service, EventBatch(consumer, events))

    def define(self, id_: str, rule: str, *, build: bool = True) -> None:
        """Create a segment and rebuild it."""
        with self.db.transaction() as connection:
            defining.create_segment(self.service, connection, id_, id_.title(), rule)
        if build:
            self.rebuild(id_)

    def rebuild(self, *ids: str, progress: Progress | None = None) -> pb.RebuildSegmentsResult:
        """Rebuild segments, or all."""
        request = pb.RebuildSegmentsRequest(names=[f"segments/{id_}" for id_ in ids])
        return rebuilding.rebuild(self.service, request, progress or Progress())

    def members(self, id_: str) -> set[UUID]:
        """Return the members of a segment."""
        return set(
            self.query(
                "SELECT m.contact_id FROM membership m JOIN segment s ON s.number = m.segment_number WHERE s.id = :id",
                id=id_,
            )
        )

    def everybody(self) -> dict[str, set[UUID]]:
        """Return all members by segment."""
        ids = self.query("SELECT id FROM segment")
        return {id_: self.members(id_) for id_ in ids}

    def sizes(self) -> dict[str, int]:
        """Return the sizes of the segments as they are told."""
        from services.segmentation.store import segments

        with self.db.read() as connection:
            return {
                item.id: item.member_count for item in segments.list_page(connection, after="", limit=1000)
            }

    def query(self, sql: str, **parameters: Any) -> list[Any]:
        """Return the first column of a query."""
        with self.db.read() as connection:
            return list(connection.execute(sa.text(sql), parameters).scalars())

    def told(self) -> list[tuple[str, str, UUID, bool]]:
        """Return type, segment, contact and historical of the events told so far, in order."""
        with self.db.read() as connection:
            rows = connection.execute(sa.select(models.kit.outbox).order_by(models.kit.outbox.c.id)).all()
        found = []
        for row in rows:
            payload: Any = parse(row.data_type.rpartition("/")[2], row.data, "test")
            assert payload.segment == row.subject
            assert payload.version == row.revision
            found.append((row.type, row.subject.removeprefix("segments/"), row.contact_id, row.historical))
        return found

    def next_change(self, key: UUID) -> datetime | None:
        """Return when a contact is due."""
        (found,) = self.query("SELECT next_change FROM contact_state WHERE contact_id = :key", key=key)
        return found  # type: ignore[no-any-return]


@contextmanager
def world(
    url: str, *, now: datetime = NOW, plugins: PluginHost | None = None, time_zone: str = "UTC"
) -> Iterator[World]:
    """Give the service on a database that is empty or has its tables."""
    create_schema("segmentation", url)
    clock = FixedClock(now)
    database = Database(make_engine(url))
    host: Any = plugins or NoPlugins()
    service = Service(database, clock, Signer("test" * 8), host, Rulebook(time_zone), time_zone)
    try:
        yield World(service, clock)
    finally:
        database.close()


def days(number: float) -> timedelta:
    """Return days."""
    return timedelta(days=number)


def by_contact(told: Iterable[tuple[str, str, UUID, bool]], key: UUID) -> Sequence[tuple[str, str]]:
    """Return type and segment of the events about one contact."""
    return [(type_, segment) for type_, segment, contact_key, _ in told if contact_key == key]
