"""What is asked of a slice of everybody reads that slice alone, so that more slices cost no more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from services.kit.db import Database
from tests.support.segmentation import World, contact, contact_id, order

KEY = contact_id(1)
EVERYBODY = {"profile", "event", "membership", "contact_state"}
"""The tables that grow with the contacts."""
RULES = (
    'contact.region_code == "VN" && contact.has_email',
    '"vip" in contact.tags || contact.consents.email_marketing == "granted"',
    "events.order_placed.exists(o, now - o.time <= days(7))",
    "!events.order_placed.exists(o, now - o.time <= days(7))",
    "events.order_placed.size() >= 2",
    "!(events.order_placed.size() >= 2)",
    "events.order_placed.filter(o, now - o.time <= days(30)).size() < 3",
    "events.order_placed.exists(o, o.category == contact.region_code)",
    "!events.order_placed.exists(o, o.category == contact.region_code)",
    "events.order_placed.filter(o, o.category == contact.locality).size() == 2",
    "events.order_placed.all(o, o.amount > 10.0)",
    "sum(events.order_placed.filter(o, now - o.time <= days(90)).map(o, o.amount)) > 100.0",
    "events.order_returned.exists(v, now - v.time <= days(7) && !events.order_placed.exists(o, o.time > v.time))",
    'in_segment("segments/first") && contact.region_code == "VN"',
    '!in_segment("segments/first")',
    'in_segment("segments/first") || events.order_placed.size() > 5',
)


@contextmanager
def plans_of_slices(db: Database) -> Iterator[list[dict[str, Any]]]:
    """Collect the plans of the statements that are of a slice, made just before each is executed."""
    found: list[dict[str, Any]] = []

    def explain(_: Any, cursor: Any, text: str, given: Any, *rest: Any) -> None:
        if isinstance(given, dict) and {"first", "last"} <= given.keys():
            cursor.execute(f"EXPLAIN (FORMAT JSON) {text}", given)
            found.append(cursor.fetchone()[0][0]["Plan"])

    sa.event.listen(db.engine, "before_cursor_execute", explain)
    try:
        yield found
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", explain)


def scans(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if plan.get("Relation Name") in EVERYBODY and plan["Node Type"] != "ModifyTable":
        yield plan
    for part in plan.get("Plans", ()):
        yield from scans(part)


def is_bounded(scan: dict[str, Any]) -> bool:
    conditions = " ".join(str(scan.get(name, "")) for name in ("Index Cond", "Recheck Cond", "Filter"))
    # Of a range, or of the one contact that is at hand.
    return "contact_id >=" in conditions or "contact_id = " in conditions


@pytest.fixture
def people(seg: World) -> World:
    seg.deliver(*(contact(contact_id(number), region_code="VN") for number in range(1, 6)))
    seg.deliver(order(KEY, seg.clock.now(), category="VN"))
    seg.define("first", 'contact.region_code == "VN"')
    return seg


def test_each_table_of_a_slice_is_read_within_it(people: World) -> None:
    seg = people
    with plans_of_slices(seg.db) as plans:
        for number, rule in enumerate(RULES):
            seg.define(f"s{number}", rule)
        alone = len(plans)
        seg.rebuild()
    assert alone >= len(RULES)
    assert len(plans) > alone
    read = [scan for plan in plans for scan in scans(plan)]
    assert {scan["Relation Name"] for scan in read} == EVERYBODY
    assert [scan for scan in read if not is_bounded(scan)] == []
