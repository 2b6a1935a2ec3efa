"""The rules that are measured, and the SQL that somebody who knows PostgreSQL writes for them by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """Hold a rule, and by hand: who is a member, and who changes when by time alone (empty: nobody).

    Both are SELECTs, of contact_id, and of contact_id and at. found: what both read, so that events are read once.
    """

    name: str
    rule: str
    members: str
    changes: str = ""
    found: str = ""


IN_FOUND = "SELECT contact_id FROM profile WHERE contact_id IN (SELECT contact_id FROM found)"
# What has not happened yet is seen later: whoever has such an event changes when it comes.
AS_FOUND = """
    SELECT contact_id, min(at) AS at FROM (
        SELECT contact_id, at FROM found
        UNION ALL SELECT contact_id, min(occurred_at) FROM event
        WHERE type IN ({types}) AND occurred_at > %(now)s GROUP BY contact_id
    ) AS x GROUP BY contact_id
"""

SINGLE = (
    Measured(
        "attributes",
        'contact.region_code == "VN" && contact.has_email && contact.total_spent > 100.0',
        "SELECT contact_id FROM profile WHERE region_code = 'VN' AND has_email AND total_spent > 100",
    ),
    Measured(
        "selective window",
        'events.order_placed.filter(e, e.category == "shoes" && now - e.time <= days(7)).size() >= 2',
        IN_FOUND,
        AS_FOUND.format(types="'order.placed'"),
        """
        SELECT contact_id, (array_agg(occurred_at ORDER BY occurred_at DESC))[2]
                           + interval '604800.000001 seconds' AS at
        FROM event
        WHERE type = 'order.placed' AND category = 'shoes'
          AND occurred_at BETWEEN %(now)s::timestamptz - interval '604800 seconds' AND %(now)s
        GROUP BY contact_id HAVING count(*) >= 2
        """,
    ),
    Measured(
        "wide window",
        "events.page_visited.filter(e, now - e.time <= days(365)).size() >= 5",
        IN_FOUND,
        AS_FOUND.format(types="'page.visited'"),
        """
        SELECT contact_id, (array_agg(occurred_at ORDER BY occurred_at DESC))[5]
                           + interval '31536000.000001 seconds' AS at
        FROM event
        WHERE type = 'page.visited'
          AND occurred_at BETWEEN %(now)s::timestamptz - interval '31536000 seconds' AND %(now)s
        GROUP BY contact_id HAVING count(*) >= 5
        """,
    ),
    Measured(
        "sequence",
        "events.cart_added.exists(a, now - a.time <= days(7) && !events.order_placed.exists(o, o.time > a.time))",
        """
        SELECT contact_id FROM profile WHERE contact_id IN (
            SELECT a.contact_id FROM found AS a WHERE NOT EXISTS (
                SELECT FROM event AS o WHERE o.contact_id = a.contact_id AND o.type = 'order.placed'
                AND o.occurred_at > a.occurred_at AND o.occurred_at <= %(now)s
            )
        )
        """,
        AS_FOUND.format(types="'cart.added', 'order.placed'"),
        """
        SELECT contact_id, occurred_at, occurred_at + interval '604800.000001 seconds' AS at FROM event
        WHERE type = 'cart.added'
          AND occurred_at BETWEEN %(now)s::timestamptz - interval '604800 seconds' AND %(now)s
        """,
    ),
)
