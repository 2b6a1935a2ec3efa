"""The account of a chaos run: each of its checks fails when what it looks for has happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import psycopg
import pytest

from services.kit.config import SERVICES
from services.kit.postgres import libpq_url
from tests.chaos.stack.load import PRICE, SOURCE, Acknowledged
from tests.chaos.stack.tally import processes as tally
from tests.chaos.stack.tally.worker import SOURCES as TALLIED
from tests.chaos.stack.verify import RULES, Verifier, consumers
from tests.support.postgres import DatabaseFactory

AN, BEN, CHI = (UUID(int=number) for number in (1, 2, 3))
PEOPLE = {AN: ("Person An", "VN", 2), BEN: ("Person Ben", "US", 1), CHI: ("Person Chi", "DE", 1)}
ORDERS = {UUID(int=11): (AN, 2), UUID(int=12): (AN, 3), UUID(int=13): (BEN, 1)}
MEMBERS = [("buyers", AN), ("buyers", BEN), ("repeat", AN), ("vietnam", AN)]

# Rows hold here what the account looks at, and nothing else.
_RELAX = """
DO $$ DECLARE one record; BEGIN
    FOR one IN SELECT conrelid::regclass AS name, conname FROM pg_constraint
        WHERE contype IN ('c', 'f') AND connamespace = 'public'::regnamespace
    LOOP EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', one.name, one.conname); END LOOP;
    FOR one IN SELECT a.attrelid::regclass AS name, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND a.attnotnull
        AND NOT a.attisdropped AND a.attidentity = '' AND NOT EXISTS (SELECT FROM pg_index i
            WHERE i.indrelid = a.attrelid AND i.indisprimary AND a.attnum = ANY (i.indkey))
    LOOP EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', one.name, one.attname); END LOOP;
END $$
"""


class Rows:
    """The databases of all services, as a chaos run leaves them; changes last until `restore`."""

    def __init__(self, connections: dict[str, psycopg.Connection[Any]]) -> None:
        self._connections = connections

    def ask(self, service: str, sql: str) -> list[tuple[Any, ...]]:
        return self._connections[service].execute(sql.encode()).fetchall()

    def run(self, service: str, sql: str) -> int:
        return self._connections[service].execute(sql.encode()).rowcount

    def fill(self, service: str, table: str, row: dict[str, object]) -> None:
        columns, marks = ", ".join(f'"{name}"' for name in row), ", ".join("%s" for _ in row)
        text = f"INSERT INTO {table} ({columns}) VALUES ({marks})"
        self._connections[service].execute(text.encode(), list(row.values()))

    def restore(self) -> None:
        for connection in self._connections.values():
            connection.rollback()

    def commit(self) -> None:
        for connection in self._connections.values():
            connection.commit()


@pytest.fixture(scope="module")
def filled(make_module_database: DatabaseFactory) -> Iterator[Rows]:
    with ExitStack() as ends:
        rows = Rows(
            {
                service: ends.enter_context(
                    psycopg.connect(libpq_url(make_module_database.with_tables(service)))
                )
                for service in SERVICES
            }
            | {tally.NAME: ends.enter_context(psycopg.connect(libpq_url(_tally(make_module_database))))}
        )
        for service in SERVICES:
            rows.run(service, _RELAX)
        _fill(rows)
        rows.commit()
        yield rows


def _tally(make: DatabaseFactory) -> str:
    # No service's: it gets the tally's tables alone.
    url = make("contacts")
    tally.create_tables(url)
    return url


@pytest.fixture
def rows(filled: Rows) -> Iterator[Rows]:
    yield filled
    filled.restore()


def _fill(rows: Rows) -> None:
    told: dict[str, list[tuple[str, str, UUID, int]]] = {service: [] for service in SERVICES}
    for key, (name, region, revision) in PEOPLE.items():
        contact = {"id": key, "display_name": name, "region_code": region, "revision": revision}
        rows.fill("contacts", "contact", contact)
        for number in range(1, revision + 1):
            type_ = "contact.created" if number == 1 else "contact.updated"
            told["contacts"].append((type_, f"contacts/{key}", key, number))
        profile = {"contact_id": key, "revision": revision, "region_code": region}
        totals = [quantity * PRICE for buyer, quantity in ORDERS.values() if buyer == key]
        rows.fill(
            "segmentation", "profile", {**profile, "order_count": len(totals), "total_spent": sum(totals)}
        )
    for key, (buyer, quantity) in ORDERS.items():
        total = Decimal(quantity * PRICE)
        order = {
            "id": key,
            "external_id": str(key.int),
            "source": SOURCE,
            "contact_id": buyer,
            "total": total,
        }
        rows.fill("sales", "sales_order", order)
        line = {"order_id": key, "quantity": quantity, "unit_price": PRICE}
        rows.fill("sales", "sales_order_line", {**line, "index": 0})
        told["sales"].append(("order.placed", f"orders/{key}", buyer, 1))
        amount = {"contact_id": buyer, "amount": total}
        rows.fill("segmentation", "event", {"type": "order.placed", "event_id": key, **amount})
        rows.fill("campaign", "sale", {"id": key, "kind": "order", **amount})
    for number, segment in enumerate(RULES, 1):
        rows.fill("segmentation", "segment", {"id": segment, "number": number})
    for segment, key in MEMBERS:
        member = {"segment_number": list(RULES).index(segment) + 1, "contact_id": key}
        rows.fill("segmentation", "membership", member)
        told["segmentation"].append(("segment.entered", f"segments/{segment}", key, 1))
    events: dict[str, list[tuple[UUID, str, str, UUID]]] = {}
    for at, (service, some) in enumerate(told.items()):
        for position, (type_, subject, contact, revision) in enumerate(some, 1):
            key = UUID(int=1000 * (at + 1) + position)
            events.setdefault(service, []).append((key, type_, subject, contact))
            row = {"type": type_, "subject": subject, "contact_id": contact, "revision": revision}
            rows.fill(service, "outbox", {"id": key, "position": position, **row})
    for service, method, source, types in consumers():
        for key, type_, _, _ in events.get(source, ()):
            if not types or type_ in types:
                rows.fill(service, "processed_event", {"consumer": f"{service}.{method}", "event_id": key})
    for source in TALLIED:
        for key, *_ in events[source]:
            for table in ("delivery", "delivery", "effect"):
                rows.fill(tally.NAME, table, {"source": source, "event_id": key})
    starts = {
        "each-contact": ("contacts", "contact.created", ""),
        "each-order": ("sales", "order.placed", ""),
        "each-entry": ("segmentation", "segment.entered", "segments/repeat"),
    }
    for journey, (source, type_, subject) in starts.items():
        for key, kind, about, contact in events[source]:
            if kind == type_ and about.startswith(subject):
                entry = {"journey_id": journey, "event_id": key, "contact_id": contact}
                rows.fill("campaign", "journey_entry", {"id": UUID(int=key.int + 1), **entry})


HELD = Acknowledged(
    contacts={f"contacts/{key}": (name, region) for key, (name, region, _) in PEOPLE.items()},
    orders={str(key.int): (f"contacts/{buyer}", quantity) for key, (buyer, quantity) in ORDERS.items()},
    order_names={str(key.int): f"orders/{key}" for key in ORDERS},
    updates=1,
)


class Account(Verifier):
    """The account, with queues that hold so many messages."""

    waiting = 0

    def _waiting(self, name_of: Any) -> int:
        return self.waiting


def failing(rows: Rows, held: Acknowledged = HELD, waiting: int = 0) -> set[str]:
    account = Account(SimpleNamespace(ask=rows.ask), held)  # type: ignore[arg-type]
    account.waiting = waiting
    return {check.name for check in account.checks(rebuilding(rows)) if not check.ok}


def rebuilding(rows: Rows) -> Any:
    """Return a client whose rebuild makes members again what they must be."""

    def rebuild() -> Any:
        number = list(RULES).index
        wanted = {(number(segment) + 1, key) for segment, key in MEMBERS}
        had = set(rows.ask("segmentation", "SELECT segment_number, contact_id FROM membership"))
        rows.run("segmentation", "DELETE FROM membership")
        for segment, key in wanted:
            rows.fill("segmentation", "membership", {"segment_number": segment, "contact_id": key})
        counts = SimpleNamespace(entered_count=len(wanted - had), left_count=len(had - wanted))
        return SimpleNamespace(operation=SimpleNamespace(segments=[counts]))

    return SimpleNamespace(
        segmentation=SimpleNamespace(
            rebuild_segments=rebuild, wait_operation=lambda operation, timeout: operation
        )
    )


def test_a_run_in_which_all_went_well_is_accepted(rows: Rows):
    assert failing(rows) == set()


ORDER_11 = "00000000-0000-0000-0000-00000000000b"
HARM = {
    "an acknowledged contact is lost": (
        "contacts", f"DELETE FROM contact WHERE id = '{CHI}'", {"acknowledged contacts, as last written"},
    ),
    "an acknowledged change is lost": (
        "contacts", "UPDATE contact SET display_name = 'Person before' WHERE display_name = 'Person An'",
        {"acknowledged contacts, as last written"},
    ),
    "an acknowledged order is lost": (
        "sales", f"DELETE FROM sales_order WHERE id = '{ORDER_11}'", {"acknowledged orders"},
    ),
    "an order is placed twice": (
        "sales", f"INSERT INTO sales_order SELECT (jsonb_populate_record(o, jsonb_build_object("
        f"'id', gen_random_uuid(), 'external_id', 'another'))).* FROM sales_order o WHERE id = '{ORDER_11}'",
        {"an event for each order"},
    ),
    "a line is written twice": (
        "sales", f"UPDATE sales_order_line SET quantity = 2 * quantity WHERE order_id = '{ORDER_11}'",
        {"acknowledged orders"},
    ),
    "a change is not told": (
        "contacts", "DELETE FROM outbox WHERE type = 'contact.updated'",
        {"an event for each revision of a contact", "contacts: last position, without a gap"},
    ),
    "an order is not told": (
        "sales", "DELETE FROM outbox WHERE position = 1",
        {"an event for each order", "sales: last position, without a gap"},
    ),
    "the relay passes an event over": (
        "sales", "UPDATE outbox SET position = NULL WHERE position = 3",
        {"sales: events at a position of their own"},
    ),
    "an event does not reach a consumer": (
        "segmentation", "DELETE FROM processed_event WHERE consumer = 'segmentation.on_sales' AND event_id = "
        "(SELECT min(event_id::text)::uuid FROM processed_event WHERE consumer = 'segmentation.on_sales')",
        {"events that segmentation.on_sales took"},
    ),
    "an event has its effect twice": (
        "tally", "INSERT INTO effect SELECT * FROM effect WHERE source = 'sales' LIMIT 1",
        {"tally: effects of the events of sales"},
    ),
    "an event has no effect": (
        "tally", "DELETE FROM effect WHERE ctid = (SELECT min(ctid) FROM effect WHERE source = 'contacts')",
        {"tally: effects of the events of contacts"},
    ),
    "an event came once only, so that nothing is shown": (
        "tally", "DELETE FROM delivery WHERE ctid = (SELECT min(ctid) FROM delivery WHERE source = 'segmentation')",
        {"tally: events that did not come twice"},
    ),
    "an effect is lost": (
        "segmentation", f"DELETE FROM profile WHERE contact_id = '{CHI}'", {"segmentation: profiles"},
    ),
    "an older revision wins": (
        "segmentation", f"UPDATE profile SET revision = 1 WHERE contact_id = '{AN}'", {"segmentation: profiles"},
    ),
    "an order is counted twice": (
        "segmentation", f"UPDATE profile SET order_count = order_count + 1 WHERE contact_id = '{BEN}'",
        {"segmentation: sums of orders"},
    ),
    "an order is not kept": (
        "segmentation", f"DELETE FROM event WHERE contact_id = '{BEN}'", {"segmentation: orders"},
    ),
    "a sale is lost": ("campaign", f"DELETE FROM sale WHERE id = '{ORDER_11}'", {"campaign: orders"}),
    "a start by a contact is lost": (
        "campaign", f"DELETE FROM journey_entry WHERE journey_id = 'each-contact' AND contact_id = '{CHI}'",
        {"campaign: a start for each new contact"},
    ),
    "a start by an order is lost": (
        "campaign", f"DELETE FROM journey_entry WHERE journey_id = 'each-order' AND contact_id = '{BEN}'",
        {"campaign: a start for each order"},
    ),
    "a start by an entry is lost": (
        "campaign", "DELETE FROM journey_entry WHERE journey_id = 'each-entry'",
        {"campaign: a start for each entry into a segment"},
    ),
    "a member is lost": (
        "segmentation", f"DELETE FROM membership WHERE segment_number = 1 AND contact_id = '{BEN}'",
        {"members, as the services' rows say", "members, as the events say", "changes by a rebuild from scratch",
         "members after it"},
    ),
    "somebody is a member without a cause": (
        "segmentation", f"INSERT INTO membership (segment_number, contact_id) VALUES (3, '{CHI}')",
        {"members, as the services' rows say", "members, as the events say", "changes by a rebuild from scratch",
         "members after it"},
    ),
    "nobody is a member": (
        "segmentation", "DELETE FROM membership WHERE segment_number = 2",
        {"segments with members", "members, as the services' rows say", "members, as the events say",
         "changes by a rebuild from scratch", "members after it"},
    ),
    "a dead letter is left": (
        "campaign", "INSERT INTO dead_letter (consumer, event_id, type, error) "
        "VALUES ('campaign.take_sales', gen_random_uuid(), 'order.placed', 'no')", {"dead letters"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HARM)
def test_what_went_wrong_is_found(rows: Rows, what: str):
    service, sql, expected = HARM[what]
    assert rows.run(service, sql) == 1
    found = failing(rows)
    assert expected <= found


def test_messages_that_are_left_are_found(rows: Rows):
    assert failing(rows, waiting=1) == {
        "messages in queues of dead letters",
        "messages in queues of consumers",
    }


def test_a_load_that_wrote_nothing_shows_nothing(rows: Rows):
    nothing = {"contacts written", "contacts written again", "orders written"}
    assert nothing <= failing(rows, Acknowledged())


def test_no_check_is_left_out(rows: Rows):
    account = Account(SimpleNamespace(ask=rows.ask), HELD)  # type: ignore[arg-type]
    every = {check.name for check in account.checks(rebuilding(rows))}
    found = {name for _, _, expected in HARM.values() for name in expected}
    by_others = {
        "contacts written", "contacts written again", "orders written", "messages in queues of dead letters",
        "messages in queues of consumers",
    }  # fmt: skip
    # One of a kind is enough: those of the other services and consumers are made by the same lines.
    kinds = ("position of their own", "without a gap", "events that ", "effects of the events ")
    left = {name for name in every - found - by_others if not any(kind in name for kind in kinds)}
    assert left == set()
