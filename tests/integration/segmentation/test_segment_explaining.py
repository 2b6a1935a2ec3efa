"""Explanations from the service's tables: the same as SQL and the interpreter say, of the present and of the past."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import uuid5

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from sqlalchemy import Connection

from services.kit.errors import FailedPrecondition
from services.kit.plugins import PluginHost
from services.segmentation.models import profile as profile_table
from services.segmentation.models import profile_past
from services.segmentation.rules import CompiledRule, Outcome, Profile, encode_event, profile_row
from services.segmentation.rules.explanation import explain
from services.segmentation.rules.tables import membership as rule_membership
from services.segmentation.rules.tables import profile as rule_profile
from services.segmentation.store import explaining, past, past_members
from services.segmentation.usecases import plugin_changes
from services.segmentation.usecases.explaining import (
    Explained,
    Sight,
    Target,
    explain_membership,
    explain_row,
)
from tests.integration.rules import store
from tests.integration.rules.generator import profiles, rules
from tests.integration.rules.test_equivalence import compiled
from tests.integration.rules.vocabulary import DAY, NOW, REGISTRY
from tests.plugins.plugin_sources import write_plugin
from tests.support.postgres import DatabaseFactory
from tests.support.segmentation import NOW as TODAY
from tests.support.segmentation import World, contact, contact_id, days, world

# The laws are many; the equivalence test has the most generous share.
EXAMPLES = max(1, int(os.environ.get("RAPPORT_RULE_EXAMPLES", "150")) // 4)
KEY = contact_id(1)
THEN = NOW - DAY
_OUTCOMES = {True: Outcome.MEMBER, False: Outcome.NOT_MEMBER, None: Outcome.UNKNOWN}
drawn = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def tables(make_module_database: DatabaseFactory) -> Iterator[Connection]:
    """A connection on which the service's tables exist."""
    url = make_module_database.with_tables("segmentation")
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("SET timezone = 'UTC'"))
        connection.execute(
            sa.text(
                "CREATE TEMP TABLE plugin_leaf (leaf_no int, contact_id uuid, value jsonb, "
                "PRIMARY KEY (leaf_no, contact_id))"
            )
        )
        for name, number in REGISTRY.segments.items():
            connection.execute(
                sa.text(
                    "INSERT INTO segment "
                    "(number, id, display_name, version, state, revision, create_time, update_time) "
                    "OVERRIDING SYSTEM VALUE VALUES (:number, :id, '', 1, 'ready', 1, :now, :now)"
                ),
                {"number": number, "id": name.removeprefix("segments/"), "now": THEN - DAY},
            )
        yield connection
    engine.dispose()


def put(connection: Connection, before: Profile, after: Profile) -> None:
    """Store a contact that was `before` until NOW and is `after` since; its events are those of `after`."""
    connection.execute(
        sa.text("TRUNCATE profile, profile_past, event, membership, membership_past; DELETE FROM plugin_leaf")
    )
    for table, state, times in (
        (profile_past, before, {"valid_from": THEN - DAY, "valid_until": NOW}),
        (profile_table, after, {"valid_from": NOW}),
    ):
        row = {
            "has_phone": False,
            "kind": "person",
            "revision": 1,
            **profile_row(REGISTRY, KEY, state),
            **times,
        }
        known = {name: value for name, value in row.items() if name in table.c}
        columns = ", ".join(known)
        values = ", ".join(
            f"CAST(:{n} AS jsonb)" if n in ("attributes", "traits", "consents") else f":{n}" for n in known
        )
        connection.execute(sa.text(f"INSERT INTO {table.name} ({columns}) VALUES ({values})"), known)
    for index, event in enumerate(after.events):
        stored = encode_event(REGISTRY, event)
        values_ = {"contact_id": KEY, "event_id": uuid5(KEY, str(index)), **store._columns(stored)}
        connection.execute(store._EVENT, values_)
    for name, number in REGISTRY.segments.items():
        was, is_ = name in before.segments, name in after.segments
        parameters = {"number": number, "key": KEY, "enter": THEN - DAY if was else NOW, "leave": NOW}
        if is_:
            connection.execute(
                sa.text(
                    "INSERT INTO membership (segment_number, contact_id, enter_time) VALUES (:number, :key, :enter)"
                ),
                parameters,
            )
        elif was:
            connection.execute(
                sa.text(
                    "INSERT INTO membership_past (segment_number, contact_id, enter_time, leave_time) "
                    "VALUES (:number, :key, :enter, :leave)"
                ),
                parameters,
            )


def as_of_then(before: Profile, after: Profile) -> Profile:
    """Return what rules saw at THEN: the state of then, and the sums of the orders up to then."""
    events = tuple(event for event in after.events if event.time <= THEN)
    orders = [event for event in events if event.type == "order.placed"]
    sums: dict[str, Any] = {
        "order_count": len(orders),
        "total_spent": sum((order.payload["amount"] for order in orders), Decimal(0)),
    }
    if orders:
        sums["first_order_time"] = min(order.time for order in orders)
        sums["last_order_time"] = max(order.time for order in orders)
    attributes = {
        k: v for k, v in before.attributes.items() if k not in ("first_order_time", "last_order_time")
    }
    return replace(
        before, attributes={**attributes, **sums}, events=events, plugin_values=after.plugin_values
    )


def explained(connection: Connection, rule: CompiledRule, sight: Sight, known: Profile) -> Explained:
    """Explain from the tables."""
    store.answer(connection, rule.plugin_calls, [KEY], [known])
    row = explaining.row_of(connection, sight.relation, KEY)
    return explain_row(
        connection,
        row,
        Target(rule, rule.text, 0, ""),
        sight,
        registry=REGISTRY,
        others={},
        plugin_values=known.plugin_values,
        known_until=None,
    )


SOMEBODY = Profile(attributes={"has_email": False, "order_count": 0, "total_spent": Decimal(0)})


@pytest.mark.timeout(300 + 3 * EXAMPLES)
@drawn
@example(text='now.getFullYear() == bucket("a")', before=SOMEBODY, after=SOMEBODY)
@given(text=rules(), before=profiles(), after=profiles())
def test_explanations_from_tables_agree_with_sql_and_interpreter(
    tables: Connection, text: str, before: Profile, after: Profile
) -> None:
    rule = compiled(text)
    if rule is None:
        return
    # The interpreter knows no bucket of somebody without an id.
    before, after = replace(before, contact_id=KEY), replace(after, contact_id=KEY)
    put(tables, before, after)
    present = explained(tables, rule, Sight(NOW, False, rule_profile, rule_membership), after)
    assert _OUTCOMES[present.explanation.outcome] is rule.interpret(after, NOW), text
    # Leaves are SQL's; what the profile was rebuilt from says the same of each.
    check_leaves(rule, present, after, NOW)
    assert present.explanation.outlook.at is None or present.explanation.outlook.at > NOW
    then = as_of_then(before, after)
    sight = Sight(THEN, True, past.relation_at(THEN), past_members.members_at(THEN))
    earlier = explained(tables, rule, sight, then)
    assert _OUTCOMES[earlier.explanation.outcome] is rule.interpret(then, THEN), text
    check_leaves(rule, earlier, then, THEN)
    assert earlier.events_total == sum(event.type in rule.event_types for event in then.events)


def check_leaves(rule: CompiledRule, found: Explained, known: Profile, at: datetime) -> None:
    """The facts of an explanation from tables are those of the profile that was stored."""
    by_profile = explain(rule, known, at)
    assert [leaf.value for leaf in found.explanation.leaves] == [leaf.value for leaf in by_profile.leaves]
    assert [leaf.sides for leaf in found.explanation.leaves] == [leaf.sides for leaf in by_profile.leaves]
    assert found.explanation.changes == by_profile.changes
    assert found.explanation.outlook == by_profile.outlook


SHOP = """
from rapport_sdk import Timed

def level(ctx, params):
    return literal(100) // (5 - ctx.profile.c.order_count)

def letters(ctx, params, profiles):
    if any(profile.region_code == "XX" for profile in profiles):
        raise RuntimeError("never heard of XX")
    return [None if profile.region_code is None else len(profile.region_code) for profile in profiles]

@hookimpl
def rapport_segment_rules():
    return [
        SegmentRule(name="shop.level", returns="int", value=level, version=1, doc="how well"),
        SegmentRule(name="shop.letters", returns="int", matches=letters, doc="letters"),
    ]
"""


@pytest.fixture
def shop(make_database: DatabaseFactory, tmp_path: Any) -> Iterator[World]:
    """The service with a plugin of one rule in SQL and one in Python."""
    host = PluginHost(["shop"], modules={"shop": write_plugin(tmp_path, SHOP)}, paths=[str(tmp_path)])
    with world(make_database.with_tables("segmentation"), plugins=host) as made:
        plugin_changes.notice_plugins(made.service)
        yield made
    host.close()


def test_a_plugin_is_shown_the_past_in_its_python_form_or_refused(shop: World) -> None:
    shop.deliver(contact(KEY, region_code="VN"))
    shop.clock.instant = TODAY + days(2)
    shop.deliver(contact(KEY, revision=2, region_code="XYZ"))
    rule = "shop.letters(contact) == 2"
    assert explain_membership(shop.service, KEY, rule=rule).explanation.outcome is False
    earlier = TODAY + days(1)
    assert explain_membership(shop.service, KEY, rule=rule, as_of=earlier).explanation.outcome is True
    assert explain_membership(shop.service, KEY, rule="shop.level(contact) > 1").explanation.outcome is True
    with pytest.raises(FailedPrecondition, match="no Python form") as caught:
        explain_membership(shop.service, KEY, rule="shop.level(contact) > 1", as_of=earlier)
    assert (caught.value.reason, caught.value.metadata["object"]) == ("NO_PAST_ANSWER", "shop.level")


def test_a_plugin_that_fails_is_no_answer(shop: World) -> None:
    shop.deliver(contact(KEY, region_code="XX"))
    with pytest.raises(FailedPrecondition) as caught:
        explain_membership(shop.service, KEY, rule="shop.letters(contact) == 2 || true")
    assert caught.value.reason == "PLUGIN_FAILED"
    assert "never heard of XX" in str(caught.value)
