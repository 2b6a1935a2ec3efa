"""Orders are attributed exactly once, in whatever order events come, and a recomputation says the same."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rapport.campaign.v1 import results_pb2
from rapport.events.v1.events_pb2 import Event

from services.campaign.domain.attribution import Rule
from services.campaign.domain.coupons import Coupon
from services.campaign.domain.ledger import NO_ENTRY
from services.campaign.domain.resolutions import AS_SENT
from services.campaign.models import conversion, interaction, kit, message, metadata, sale
from services.campaign.store import coupons as coupon_store
from services.campaign.usecases import attribution, coupons, parting, resolving, results
from services.kit.names import new_id, parse_name
from services.kit.operations import OperationContext
from services.kit.operations import store as operations
from services.kit.runtime import Runtime
from tests.support.campaign import NOW, clock_of, make_campaign, make_pool, make_template
from tests.support.campaign_orders import placed, returned, tell
from tests.support.partings import batch

PEOPLE = [new_id() for _ in range(3)]
HOUR = timedelta(hours=1)
MODELS = ("last_touch", "first_touch", "linear")


@dataclass(frozen=True)
class Story:
    """Hold messages (person, hours, topic, origin), orders (person, hours, amount) and returns (order, amount)."""

    messages: list[tuple[int, int, str, str]]
    orders: list[tuple[int, int, Decimal]]
    returns: list[tuple[int, Decimal]]
    rule: Rule


amounts = st.decimals("0.01", "1000", places=2)
hours = st.integers(0, 24 * 20)
stories = st.builds(
    Story,
    messages=st.lists(
        st.tuples(
            st.integers(0, 2),
            hours,
            st.sampled_from(["marketing", "transactional"]),
            st.sampled_from(["campaigns/spring", "campaigns/other", "requests/one"]),
        ),
        max_size=8,
    ),
    orders=st.lists(st.tuples(st.integers(0, 2), hours, amounts), min_size=1, max_size=5),
    returns=st.lists(st.tuples(st.integers(0, 4), amounts), max_size=3),
    rule=st.builds(
        Rule,
        model=st.sampled_from(MODELS),
        window=st.integers(1, 24 * 10).map(lambda count: count * HOUR),
        include_transactional=st.booleans(),
    ),
)


def sent(
    contact: UUID, at: Any, *, origin: str = "campaigns/spring", topic: str = "marketing"
) -> dict[str, Any]:
    return {
        "id": new_id(),
        "origin": origin,
        "lane": origin,
        # Several messages of an origin to one person need steps of their own.
        "entry_id": new_id(),
        "step": 0,
        "contact_id": contact,
        "channel": "email.smtp",
        "topic": topic,
        "template_id": "hello",
        "coupon_pool_id": "",
        "state": "sent",
        "reason": "",
        "attempt_count": 1,
        "due_time": at,
        "create_time": at,
        "send_time": at,
        "coupon_code": "",
        "subject": "",
        "provider_id": "",
    }


def empty(runtime: Runtime) -> None:
    with runtime.db.transaction() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(sa.delete(table))


def write(runtime: Runtime, rows: list[dict[str, Any]]) -> None:
    if rows:
        with runtime.db.transaction() as connection:
            connection.execute(sa.insert(message), rows)


def parts(runtime: Runtime) -> set[Any]:
    with runtime.db.read() as connection:
        columns = (
            conversion.c.contact_id,
            conversion.c.sale_id,
            conversion.c.message_id,
            conversion.c.amount,
        )
        return {tuple(row) for row in connection.execute(sa.select(*columns))}


def recompute(runtime: Runtime) -> attribution.Recomputed:
    made = attribution.start_recompute(runtime, results_pb2.RecomputeAttributionRequest(), "")
    with runtime.db.transaction() as connection:
        claimed = operations.claim(connection, kit, parse_name(made.name, "operations"))
    assert claimed is not None
    return attribution.recompute(runtime, OperationContext(runtime.db, kit, claimed))


def expected(story: Story, rows: list[dict[str, Any]], orders: list[Event]) -> dict[str, set[UUID]]:
    """Say by brute force which messages share each order."""
    found = {}
    for (person, _, _), event in zip(story.orders, orders, strict=True):
        time = event.occur_time.ToDatetime(tzinfo=NOW.tzinfo)
        touches = sorted(
            (row["send_time"], row["id"])
            for row in rows
            if row["contact_id"] == PEOPLE[person]
            and not row["origin"].startswith("requests/")
            and (story.rule.include_transactional or row["topic"] != "transactional")
            and time - story.rule.window < row["send_time"] <= time
        )
        chosen = {"last_touch": touches[-1:], "first_touch": touches[:1], "linear": touches}[story.rule.model]
        found[event.subject] = {key for _, key in chosen}
    return found


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(story=stories, seed=st.integers(0, 2**32))
def test_orders_are_attributed_once_whatever_comes_first(runtime: Runtime, story: Story, seed: int) -> None:
    empty(runtime)
    attribution.set_rule(runtime, story.rule)
    rows = [
        sent(PEOPLE[person], NOW + hour * HOUR, topic=topic, origin=origin)
        for person, hour, topic, origin in story.messages
    ]
    write(runtime, rows)
    orders = [
        placed(f"contacts/{PEOPLE[person]}", amount, NOW + hour * HOUR)
        for person, hour, amount in story.orders
    ]
    back = [
        returned(orders[index % len(orders)], amount, NOW + timedelta(days=40))
        for index, amount in story.returns
    ]
    random = Random(seed)
    events = [*orders, *back, *random.choices([*orders, *back], k=3)]
    random.shuffle(events)
    while events:
        size = random.randint(1, len(events))
        tell(runtime, events[:size])
        del events[:size]
    found = parts(runtime)
    shared = expected(story, rows, orders)
    sums: dict[UUID, Decimal] = defaultdict(Decimal)
    messages: dict[UUID, set[UUID]] = defaultdict(set)
    for _, key, message_id, amount in found:
        sums[key] += amount
        messages[key].add(message_id)
    for (_, _, amount), event in zip(story.orders, orders, strict=True):
        key = parse_name(event.subject, "orders")
        assert messages[key] == shared[event.subject]
        assert sums[key] == (amount if shared[event.subject] else 0)
    for (index, amount), event in zip(story.returns, back, strict=True):
        key = parse_name(event.subject, "returns")
        takers = shared[orders[index % len(orders)].subject]
        assert messages[key] == takers
        assert sums[key] == (-amount if takers else 0)
    done = recompute(runtime)
    assert parts(runtime) == found
    assert done.orders == len(orders)
    # Another rule, recomputed, is what it would have been from the start.
    other = Rule(model=random.choice(MODELS), window=timedelta(days=random.randint(1, 20)))
    attribution.set_rule(runtime, other)
    recompute(runtime)
    changed = parts(runtime)
    with runtime.db.transaction() as connection:
        for table in (sale, conversion, kit.processed_event):
            connection.execute(sa.delete(table))
    tell(runtime, [*back, *orders])
    assert parts(runtime) == changed


@pytest.mark.parametrize("first", ["merge", "order"])
def test_a_merged_contact_brings_its_messages_and_orders(runtime: Runtime, first: str) -> None:
    """Who remains has one history: a message to either brings the order of the other."""
    one, two = PEOPLE[:2]
    old, new = sent(one, NOW), sent(two, NOW - HOUR)
    write(runtime, [old, new])
    order = placed(f"contacts/{two}", 100, NOW + HOUR)
    late = placed(f"contacts/{one}", 7, NOW + 2 * HOUR)
    if first == "order":
        tell(runtime, [order, late])
    parting.let_go(runtime, batch((one, two)))
    tell(runtime, [order, late])
    keys = [parse_name(event.subject, "orders") for event in (order, late)]
    assert parts(runtime) == {(two, keys[0], old["id"], 100), (two, keys[1], old["id"], 7)}
    recompute(runtime)
    assert len(parts(runtime)) == 2


def test_an_erased_contact_leaves_what_it_brought(runtime: Runtime) -> None:
    """Revenue stays, no id does, a late return is still deducted, and a recomputation changes nothing."""
    contact = PEOPLE[0]
    make_template(runtime)
    make_campaign(runtime)
    write(runtime, [sent(contact, NOW), sent(contact, NOW + HOUR)])
    attribution.set_rule(runtime, Rule(model="linear"))
    order = placed(f"contacts/{contact}", 10, NOW + 2 * HOUR)
    tell(runtime, [order])
    parting.let_go(runtime, batch((contact, None)))
    late = placed(f"contacts/{contact}", 99, NOW + 3 * HOUR)
    tell(runtime, [returned(order, 3), late])
    recompute(runtime)
    [money] = results.get_funnel(runtime, "campaigns/spring").money
    assert (money.orders, money.gross, money.returned, money.revenue) == (1, 10, 3, 7)
    assert {row[0] for row in parts(runtime)} == {NO_ENTRY}
    with runtime.db.read() as connection:
        left = [
            str(row)
            for table in ("sale", "conversion", "message")
            for (row,) in connection.exec_driver_sql(f"SELECT to_jsonb(t)::text FROM {table} AS t")
        ]
    assert str(contact) not in "\n".join(left)


@pytest.mark.parametrize("shown", ["Summer-10", "summer 10"])
def test_an_uploaded_code_says_which_message_brought_the_order(runtime: Runtime, shown: str) -> None:
    make_pool(runtime)
    attribution.set_rule(runtime, Rule(model="coupon_first"))
    with_coupon, later = sent(PEOPLE[0], NOW), sent(PEOPLE[0], NOW + HOUR)
    write(runtime, [with_coupon, later])
    with runtime.db.transaction() as connection:
        coupons.import_codes(connection, "gift", ["Summer-10"])
        taken = coupon_store.reserve(connection, "gift", [with_coupon["id"]])
        coupon_store.issue(
            connection,
            [
                Coupon(
                    code=code,
                    pool_id="gift",
                    contact_id=PEOPLE[0],
                    message_id=key,
                    issue_time=NOW,
                    redeem_time=None,
                    order_id=None,
                    imported=True,
                )
                for key, code in taken.items()
            ],
        )
    order = placed(f"contacts/{PEOPLE[0]}", 10, NOW + 2 * HOUR, coupon=shown)
    tell(runtime, [order])
    assert parts(runtime) == {(PEOPLE[0], parse_name(order.subject, "orders"), with_coupon["id"], 10)}


@pytest.mark.parametrize("handed_over", [NOW, None])
@pytest.mark.parametrize("touch", ["sent", "click"])
def test_a_message_that_somebody_says_was_sent_counts_from_when_it_was(
    runtime: Runtime, handed_over: datetime | None, touch: str
) -> None:
    attribution.set_rule(runtime, Rule(touch=touch, window=3 * HOUR))
    # One that was in doubt after a restore has no time: it was due then.
    doubted = {**sent(PEOPLE[0], NOW), "state": "unknown", "send_time": handed_over}
    write(runtime, [doubted])
    with runtime.db.transaction() as connection:
        click = {
            "id": new_id(),
            "message_id": doubted["id"],
            "contact_id": PEOPLE[0],
            "origin": doubted["origin"],
            "kind": "click",
            "link": 0,
            "time": NOW + HOUR,
            "verdict": "human",
            "rule": "",
            "agent": "browser",
        }
        connection.execute(sa.insert(interaction).values(click))
    order = placed(f"contacts/{PEOPLE[0]}", 10, NOW + 2 * HOUR)
    tell(runtime, [order, placed(f"contacts/{PEOPLE[0]}", 20, NOW - HOUR)])
    assert parts(runtime) == set()
    clock_of(runtime).instant = NOW + 100 * HOUR
    settled = resolving.resolve_message(runtime, doubted["id"], AS_SENT)
    assert settled.send_time == NOW
    assert parts(runtime) == {(PEOPLE[0], parse_name(order.subject, "orders"), doubted["id"], 10)}


def test_orders_of_nobody_are_kept_apart(runtime: Runtime) -> None:
    """A return without its order, an order without a contact, and one in another currency bring nothing wrong."""
    write(runtime, [sent(PEOPLE[0], NOW)])
    order = placed(f"contacts/{PEOPLE[0]}", 10, NOW + HOUR)
    stranger = placed("", 50, NOW + HOUR)
    foreign = returned(order, 4, currency="EUR")
    tell(runtime, [returned(stranger, 1), stranger, foreign, order])
    with runtime.db.read() as connection:
        found = {
            tuple(row) for row in connection.execute(sa.select(conversion.c.currency, conversion.c.amount))
        }
    assert found == {("VND", 10), ("EUR", -4)}
