"""Rules beside the table: instants of change, and edges found by mistakes that only they show."""

from __future__ import annotations

from itertools import product


def windows() -> list[str]:
    """Return rules of one leaf each: `exists` and `size() op n` over one window, for which SQL knows the very instant
    at which time alone changes them.
    """
    conditions = (
        "now - y.time <= days(2)",
        "now - y.time < days(2)",
        "y.sure_bool && now - y.time <= days(2)",
        "now - y.time < days(2) && y.sure_string == contact.kind",
    )
    texts = [
        f"events.pair_seen.exists(y, {condition})" for condition in ("now - y.time <= days(3)", *conditions)
    ]
    for condition, op, count in product(conditions[:2], ("<", "<=", ">", ">="), (0, 1, 2, 3)):
        texts.append(f"events.pair_seen.filter(y, {condition}).size() {op} {count}")
    for condition, op in product(conditions[2:], (">", "<=")):
        texts.append(f"events.pair_seen.filter(y, {condition}).size() {op} 1")
        texts.append(f"2 {op} events.pair_seen.filter(y, {condition}).size()")
    return texts


def instants() -> list[str]:
    """Return rules of one leaf each that time alone changes, of the other shapes."""
    return [
        *(f"now - contact.left_time {op} days(3)" for op in ("<", "<=", ">", ">=", "==", "!=")),
        *(f"now - max(events.pair_seen.map(y, y.time)) {op} days(2)" for op in ("<", "<=", ">", ">=")),
        "events.pair_seen.all(y, now - y.time <= days(2))",
        "events.pair_seen.exists_one(y, now - y.time <= days(2))",
        "events.pair_seen.exists(y, y.left_time < now - days(1))",
        "events.pair_seen.exists(y, now - y.time > days(2))",
        "events.pair_seen.exists(y, now - y.time >= days(2) && y.left_bool)",
        "sum(events.pair_seen.filter(y, now - y.time <= days(2)).map(y, y.sure_int)) > 2",
        "events.pair_seen.exists(y, events.pair_seen.exists(z, z.time > y.time && now - z.time <= days(2)))",
        "events.pair_seen.exists(y, events.pair_seen.exists(z, z.time < y.time) && now - y.time < days(3))",
        *(f"events.pair_seen.filter(y, now - y.time <= days(2)).size() == {n}" for n in (0, 1, 2)),
        "events.pair_seen.size() > 2",
        "contact.tags.exists(t, now - contact.left_time <= days(3))",
        "contact.age > 3",
        "contact.age == 3",
    ]


def kept() -> list[str]:
    """Return rules for edges that the table does not name."""
    return [
        "sum(events.order_placed.map(y, y.amount)) == 1.0",
        "sum(events.order_placed.map(y, y.extra)) == 1.0",
        "events.page_visited.exists(y, true)",
        "events.page_visited.size() == 1",
        "!events.pair_seen.exists(y, y.left_int <= 3)",
        "!events.pair_seen.exists(y, y.left_bool)",
        "events.pair_seen.filter(y, y.left_bool).size() < 1",
        "days(2) <= now - contact.left_time",
        'contact.left_string == "e\\u0301"',
        'contact.left_string.endsWith("e\\u0301")',
        'contact.left_string > "Z"',
        "contact.left_int % 3 == -1",
        "contact.left_int / 2 == -3",
        'contact.birth_date.getDate("America/New_York") == 27',
        "bucket('a', 3) == 1",
        "(now - days(1)).getDate() == 28",
        "events.pair_seen.filter(y, now - y.time <= days(2)).size() < 2 "
        "&& events.pair_seen.filter(y, now - y.time <= days(2)).size() > 0",
    ]
