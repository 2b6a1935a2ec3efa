"""People and what they did, made by the database itself: the same for the same sizes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Table
from sqlalchemy.schema import AddConstraint, CreateIndex, DropConstraint, DropIndex

from services.segmentation.rules.tables import event_table
from tests.support.segmentation import NOW, World, activity_defined, page_visited_defined

_ID = (
    "(lpad(to_hex(1500000000000 + 1000::bigint * {n}), 12, '0') || '7' || left(md5('{kind} ' || {n}), 3) "
    "|| '8' || right(md5('{kind} ' || {n}), 15))::uuid"
)
"""As the service makes ids: in the order of time (UUID version 7)."""
KEY = _ID.replace("{kind}", "contact")
_EVENT = _ID.replace("{kind}", "event").format(n="n")
_NOW = f"'{NOW.isoformat()}'::timestamptz"


def define(seg: World) -> None:
    """Let rules name what the data holds."""
    seg.deliver(page_visited_defined(), activity_defined("cart.added", {}))


@contextmanager
def bare(connection: Connection, table: Table) -> Iterator[None]:
    """Fill a table without its indexes, which are made at the end: that takes a fraction of keeping them meanwhile."""
    for index in table.indexes:
        connection.execute(DropIndex(index))
    connection.execute(DropConstraint(table.primary_key))
    yield
    connection.execute(AddConstraint(table.primary_key, isolate_from_table=False))
    for index in table.indexes:
        connection.execute(CreateIndex(index))


def load(connection: Connection, contacts: int, events: int) -> None:
    """Fill the tables: contacts of some regions, and three types of event within 400 days, more of them lately.

    The rows of events lie in the order of time, as they would have arrived.
    """
    run = connection.exec_driver_sql
    run("SELECT setseed(0.42)")
    with bare(connection, event_table):
        _load_events(connection, contacts, events)
    run(
        f"""
        INSERT INTO profile (contact_id, has_email, region_code, birth_date, create_time, revision, tags,
                             order_count, total_spent, first_order_time, last_order_time)
        SELECT key, n %% 2 = 0, (ARRAY['VN','US','CN','GB','DE'])[1 + n %% 5],
               date '1950-01-01' + (n %% 20000)::int, {_NOW} - interval '1 day' * (n %% 800), 1,
               CASE WHEN n %% 20 = 0 THEN ARRAY['vip'] ELSE ARRAY[]::text[] END,
               coalesce(o.orders, 0), coalesce(o.spent, 0), o.first_time, o.last_time
        FROM (SELECT n, {KEY.format(n="n")} AS key FROM generate_series(0, %(contacts)s - 1) AS n) AS people
        LEFT JOIN (
            SELECT contact_id, count(*) AS orders, sum(amount) AS spent, min(occurred_at) AS first_time,
                   max(occurred_at) AS last_time
            FROM event WHERE type = 'order.placed' GROUP BY contact_id
        ) AS o ON o.contact_id = people.key
    """,
        {"contacts": contacts},
    )
    run("INSERT INTO contact_state (contact_id) SELECT contact_id FROM profile")
    run("ANALYZE profile, event, contact_state")


def _load_events(connection: Connection, contacts: int, events: int) -> None:
    connection.exec_driver_sql(
        f"""
        INSERT INTO event (contact_id, event_id, type, category, amount, occurred_at, payload)
        SELECT {KEY.format(n="who")},
               {_EVENT},
               kind, CASE kind WHEN 'order.placed' THEN (ARRAY['shoes','books','toys','food'])[1 + n %% 4] END,
               CASE kind WHEN 'order.placed' THEN round((5 + random() * 200)::numeric, 2) END,
               {_NOW} - interval '1 second' * 34560000 * power(1 - n / %(events)s::float8, 1.2),
               CASE kind WHEN 'order.placed' THEN '{{"currency": "EUR", "source": "shop", "line_count": 1}}'
                    ELSE '{{}}' END::jsonb
        FROM (
            SELECT n, (random() * random() * %(contacts)s)::bigint AS who,
                   CASE WHEN n %% 10 < 3 THEN 'order.placed' WHEN n %% 10 < 9 THEN 'page.visited'
                        ELSE 'cart.added' END AS kind
            FROM generate_series(1, %(events)s) AS n
        ) AS made
    """,
        {"contacts": contacts, "events": events},
    )
