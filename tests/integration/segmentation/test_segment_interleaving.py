"""Increments, expiry and rebuilds at the same time end where a rebuild from scratch would: the law of the service."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit.plugins import PluginHost
from services.segmentation.usecases import defining, plugin_changes, upkeep
from services.segmentation.usecases.defining import Change
from tests.plugins.plugin_sources import write_plugin
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import (
    DEMO_RULES,
    NOW,
    World,
    attribute_defined,
    contact,
    contact_id,
    days,
    order,
    page_visited_defined,
    visit,
    world,
)
from tests.support.segmentation_scratch import agrees_with_scratch

PEOPLE = [contact_id(number) for number in range(100, 106)]

RULES = {
    **DEMO_RULES,
    "vietnam": 'contact.region_code == "VN"',
    "vietnamese_buyers": 'contact.region_code == "VN" && events.order_placed.size() > 0'
    " && events.page_visited.size() > 0",
    "abroad": 'contact.region_code != "VN"',
    "quiet": "events.page_visited.filter(v, now - v.time <= days(1)).size() < 2",
    "spenders": "contact.total_spent > 50.0 || contact.order_count >= 4",
    "loyal_or_rich": 'in_segment("segments/loyal") || in_segment("segments/spenders")',
    "plain": '!in_segment("segments/loyal_or_rich") && has(contact.score) && contact.score > 3',
    "shoes": 'events.order_placed.exists(o, o.category == "shoes" && now - o.time < hours(2))',
    "recent": "now - contact.last_order_time <= days(7)",
    "fresh": 'shop.fresh(contact) && contact.region_code != "US"',
    "not_fresh": '!in_segment("segments/fresh") && !in_segment("segments/abroad")',
}
OTHER_RULES = {
    "vietnam": 'contact.region_code == "VN" && events.order_placed.size() > 0',
    "loyal": "events.order_placed.size() >= 3",
    "spenders": "contact.total_spent > 20.0",
}

SHOP = """
def fresh(ctx, params, profiles):
    answers = []
    for profile in profiles:
        newest = max((order.occurred_at for order in profile.events("order.placed")), default=None)
        until = newest and newest + timedelta(days=30)
        answers.append(Timed(newest is not None and until > ctx.now, until if until and until > ctx.now else None))
    return answers

@hookimpl
def rapport_segment_rules():
    return [SegmentRule(name="shop.fresh", returns="bool", matches=fresh, events=("order.placed",), doc="fresh")]
"""

Action = tuple[str, Any]

times = st.integers(-90 * 24, 24).map(lambda hours: NOW + timedelta(hours=hours)) | st.sampled_from(
    [NOW, NOW - days(30), NOW - days(60), NOW - days(90), NOW - days(1), NOW + timedelta(minutes=1)]
)
person = st.sampled_from(PEOPLE)
snapshots = st.builds(
    lambda key, revision, region, score: ("contact", (key, revision, region, score)),
    person, st.integers(1, 6), st.sampled_from(["VN", "US", ""]), st.none() | st.integers(0, 6),
)  # fmt: skip
visits = st.builds(lambda key, time, past: ("visit", (key, time, past)), person, times, st.booleans())
orders = st.builds(
    lambda key, time, amount, shoes, past: ("order", (key, time, amount, shoes, past)),
    person, times, st.sampled_from(["0", "9.99", "30", "0.001"]), st.booleans(), st.booleans(),
)  # fmt: skip
contacts_stream = st.lists(st.lists(snapshots | visits, min_size=1, max_size=8), max_size=6)
sales_stream = st.lists(st.lists(orders, min_size=1, max_size=8), max_size=6)
chores = st.lists(
    st.sampled_from(
        ["expire", "later", "rebuild", "rebuild loyal", "change vietnam", "change loyal", "change spenders"]
    ),
    max_size=6,
)


def built(item: Action) -> Any:
    kind, values = item
    if kind == "contact":
        key, revision, region, score = values
        attributes = {} if score is None else {"score": score}
        return contact(key, revision=revision, region_code=region, attributes=attributes)
    if kind == "visit":
        key, time, past = values
        return visit(key, time, historical=past)
    key, time, amount, shoes, past = values
    return order(key, time, amount, category="shoes" if shoes else "", historical=past)


@pytest.fixture(scope="module")
def shared(
    make_module_database: DatabaseFactory, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    """The service with a plugin, on a database that the examples share, emptied before each."""
    folder = tmp_path_factory.mktemp("plugins")
    with (
        PluginHost(["shop"], modules={"shop": write_plugin(folder, SHOP)}, paths=[str(folder)]) as host,
        world(make_module_database.with_tables("segmentation"), plugins=host) as made,
    ):
        yield made


@given(contacts_stream, sales_stream, chores, st.integers(0, 2**32 - 1))
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)
def test_any_interleaving_ends_like_a_rebuild_from_scratch(
    shared: World, contacts: list[list[Action]], sales: list[list[Action]], work: list[str], seed: int
) -> None:
    seg = shared
    seg.empty()
    draw = random.Random(seed)
    plugin_changes.notice_plugins(seg.service)
    seg.deliver(page_visited_defined(), attribute_defined("score", 2))
    for id_, rule in RULES.items():
        seg.define(id_, rule, build=False)
    seg.rebuild()
    clock = threading.Lock()

    def deliver(batches: list[list[Action]], consumer: str) -> Callable[[], None]:
        built_batches = [[built(item) for item in batch] for batch in batches]
        # At least once: some batches come again, perhaps cut differently.
        again = [batch[: draw.randint(1, len(batch))] for batch in built_batches if draw.random() < 0.3]

        def run() -> None:
            for batch in (*built_batches, *again):
                seg.deliver(*batch, consumer=consumer)

        return run

    def do_chores() -> None:
        for chore in work:
            if chore == "expire":
                upkeep.expire(seg.service, batch=2)
            elif chore == "later":
                with clock:
                    seg.clock.instant += timedelta(hours=5)
            elif chore == "rebuild":
                seg.rebuild()
            elif chore == "rebuild loyal":
                seg.rebuild("loyal")
            else:
                id_ = chore.removeprefix("change ")
                with seg.db.transaction() as connection:
                    defining.update_segment(seg.service, connection, id_, Change(rule=OTHER_RULES[id_]), "")
                seg.rebuild(id_)

    at_once(deliver(contacts, "segmentation.on_contacts"), deliver(sales, "segmentation.on_sales"), do_chores)
    while upkeep.expire(seg.service):
        pass
    agrees_with_scratch(seg)


def at_once(*actions: Callable[[], None]) -> None:
    """Run actions in threads of their own; raises what one of them raised."""
    errors: list[BaseException] = []
    start = threading.Barrier(len(actions))

    def guarded(action: Callable[[], None]) -> None:
        try:
            start.wait()
            action()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
