"""Rules like those of a business: windows, counts, sums, attributes, sequences."""

from __future__ import annotations

FORMS = (
    "events.order_placed.exists(o, now - o.time <= days({n}))",
    "events.order_placed.filter(o, now - o.time <= days({n})).size() >= 3",
    'contact.region_code == "VN" && contact.order_count >= {n}',
    "events.page_visited.filter(v, now - v.time <= days({n})).size() >= 2 "
    "&& !events.order_placed.exists(o, now - o.time <= days({n}))",
    "sum(events.order_placed.filter(o, now - o.time <= days({n})).map(o, o.amount)) > 100.0",
    "contact.total_spent > {n}.0 || contact.has_email",
)


def rules(count: int) -> dict[str, str]:
    """Return so many rules by id."""
    return {f"s{number}": FORMS[number % len(FORMS)].format(n=1 + number) for number in range(count)}
