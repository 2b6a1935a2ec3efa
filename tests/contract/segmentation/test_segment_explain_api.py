"""ExplainMembership over a real port, with its errors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf.json_format import MessageToDict
from rapport.contacts.v1 import contacts_pb2
from rapport.segmentation.v1 import segmentation_pb2 as pb
from rapport_client import errors

from services.kit.wire import from_timestamp, to_timestamp
from tests.support.segmentation import (
    NOW,
    World,
    attribute_defined,
    contact,
    contact_id,
    days,
    order,
    page_visited_defined,
    visit,
)
from tests.support.stack import Served

KEY, OTHER = contact_id(1), contact_id(2)
NAME, OTHER_NAME = f"contacts/{KEY}", f"contacts/{OTHER}"
TRUE, FALSE, UNKNOWN = pb.TRUTH_TRUE, pb.TRUTH_FALSE, pb.TRUTH_UNKNOWN
BUYERS = """contact.region_code == "VN"
  && events.order_placed.filter(e, e.category == "shoes" && now - e.time <= days(30)).size() >= 2"""


def hints(answer: Any) -> list[str]:
    return [change.hint for change in answer.changes]


def test_explain_membership_asks_for_its_permission_and_no_more(served: Served) -> None:
    arguments = {"contact": NAME, "rule": "true"}
    with pytest.raises(errors.Unauthenticated):
        served.client_with(token="wrong").explain_membership(**arguments)
    with pytest.raises(errors.PermissionDenied):
        served.client_with("segmentation.write", "contacts.*").explain_membership(**arguments)
    with pytest.raises(errors.NotFound):
        served.client_with("segmentation.read").explain_membership(**arguments)


def test_explain_membership_of_a_segment(seg: World, api: Any) -> None:
    recent, late, hat = uuid4(), uuid4(), uuid4()
    seg.deliver(
        contact(KEY, region_code="VN"),
        order(KEY, NOW - days(3), "20", category="shoes", id_=recent),
        order(KEY, NOW - days(40), "30", category="shoes", id_=late),
        order(KEY, NOW - days(2), category="hats", id_=hat),
    )
    seg.define("buyers", BUYERS)
    answer = api.explain_membership(contact=NAME, segment="segments/buyers")
    assert (answer.outcome, answer.version, answer.member) == (FALSE, 1, False)
    assert answer.rule == BUYERS
    assert from_timestamp(answer.as_of_time) == NOW
    assert not answer.HasField("enter_time")
    assert answer.tree.kind == pb.RulePart.KIND_AND
    assert [part.value for part in answer.tree.parts] == [TRUE, FALSE]
    region, orders = answer.leaves
    assert (region.text, region.line, region.column, region.value) == (
        'contact.region_code == "VN"',
        1,
        1,
        TRUE,
    )
    assert [(side.text, side.value.string_value) for side in region.sides] == [
        ("contact.region_code", "VN"),
        ('"VN"', "VN"),
    ]
    assert [(fact.name, fact.value.string_value) for fact in region.attributes] == [
        ("contact.region_code", "VN")
    ]
    assert (orders.line, orders.column, orders.value) == (2, 6, FALSE)
    assert [side.value.number_value for side in orders.sides] == [1, 2]
    (events,) = orders.events
    assert (events.type, events.asks, events.count, events.seen_count) == ("order_placed", "count", 1, 3)
    assert [(item.event, from_timestamp(item.time)) for item in events.newest] == [
        (str(recent), NOW - days(3))
    ]
    assert MessageToDict(events.newest[0].payload)["amount"] == 20
    # Both miss one condition; the newer one is nearer.
    assert (events.nearest.event, events.nearest.reason) == (str(hat), 'e.category == "shoes"')
    assert [(change.leaf, change.to) for change in answer.changes] == [(1, TRUE)]
    assert hints(answer) == ['one more order_placed event with category == "shoes" within 30 days']
    assert answer.changes_are_fewest
    assert not answer.HasField("next_change_time")
    assert not answer.HasField("known_until_time")
    assert (answer.read_event_count, answer.event_count) == (3, 3)


def test_explain_membership_of_a_member_tells_since_when_and_until_when(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY, region_code="VN"), order(KEY, NOW - days(3), category="shoes"))
    seg.define("buyers", BUYERS)
    seg.clock.instant = NOW + timedelta(hours=1)
    seg.deliver(order(KEY, NOW - days(20), category="shoes"))
    answer = api.explain_membership(contact=NAME, segment="segments/buyers")
    assert (answer.outcome, answer.member) == (TRUE, True)
    assert from_timestamp(answer.enter_time) == NOW + timedelta(hours=1)
    assert from_timestamp(answer.next_change_time) == NOW + days(10) + timedelta(microseconds=1)
    assert answer.next_outcome == FALSE
    # Either leaf would do: the first one is told.
    assert hints(answer) == ['contact.region_code to be other than "VN" (now "VN")']


def test_explain_membership_of_a_rule_with_missing_values(seg: World, api: Any) -> None:
    seg.deliver(
        attribute_defined("vip", contacts_pb2.VALUE_TYPE_BOOL),
        page_visited_defined(),
        contact(KEY, tags=["b"], consents={"email_marketing": "granted"}),
        visit(KEY, NOW - days(1)),
    )
    rule = (
        '!contact.vip || "a" in contact.tags || contact.consents.email_marketing == "denied"'
        ' || events.page_visited.exists(v, v.url.startsWith("/sale")) || has(contact.birth_date)'
    )
    answer = api.explain_membership(contact=NAME, rule=rule)
    assert (answer.outcome, answer.version, answer.member) == (UNKNOWN, 0, False)
    vip, tag, consent, visited, born = answer.leaves
    assert [leaf.value for leaf in answer.leaves] == [UNKNOWN, FALSE, FALSE, UNKNOWN, FALSE]
    assert [(fact.name, fact.HasField("value")) for fact in vip.attributes] == [("contact.vip", False)]
    assert MessageToDict(tag.attributes[0].value) == ["b"]
    assert consent.attributes[0].name == "contact.consents.email_marketing"
    assert (visited.events[0].count, visited.events[0].unknown_count) == (0, 1)
    assert visited.events[0].nearest.reason == "a value that the rule asks for is missing"
    assert not born.attributes[0].HasField("value")
    assert answer.tree.parts[0].kind == pb.RulePart.KIND_NOT
    assert hints(answer) == ["contact.vip to be false (now missing)"]


def test_explain_membership_follows_other_segments(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY), order(KEY, NOW - days(10)))
    seg.define("recent", "events.order_placed.exists(o, now - o.time <= days(30))")
    seg.define("quiet", '!in_segment("segments/recent")')
    answer = api.explain_membership(contact=NAME, segment="segments/quiet")
    assert answer.outcome == FALSE
    (leaf,) = answer.leaves
    (fact,) = leaf.segments
    assert (fact.segment, fact.member, from_timestamp(fact.enter_time)) == ("segments/recent", True, NOW)
    assert hints(answer) == ["not to be a member of segments/recent"]
    # Its own rule reads no time: it turns when the other segment does.
    assert from_timestamp(answer.next_change_time) == NOW + days(20) + timedelta(microseconds=1)
    assert answer.next_outcome == TRUE


def test_explain_membership_asks_plugins(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY), order(KEY, NOW - days(1), "5000"))
    answer = api.explain_membership(contact=NAME, rule='loyalty.tier(contact) == "none at all"')
    (leaf,) = answer.leaves
    (fact,) = leaf.plugins
    assert fact.function == "loyalty.tier"
    assert fact.answer.string_value
    assert answer.outcome == FALSE
    assert f'(now "{fact.answer.string_value}")' in hints(answer)[0]
    # Its Python form can be shown the profile of a past time: before the order.
    past = api.explain_membership(
        contact=NAME, rule='loyalty.tier(contact) == "none"', as_of_time=to_timestamp(NOW - days(2))
    )
    assert past.outcome == TRUE
    assert past.leaves[0].plugins[0].answer.string_value == "none"


def test_explain_membership_as_of_a_past_time(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY, region_code="VN", tags=["new"]), contact(OTHER))
    seg.define("vn", 'contact.region_code == "VN" && "new" in contact.tags')
    seg.define("within", 'in_segment("segments/vn") && events.order_placed.size() == 1')
    seg.clock.instant = NOW + days(1)
    seg.deliver(order(KEY, NOW + days(1)))
    seg.clock.instant = NOW + days(2)
    seg.deliver(contact(KEY, revision=2, region_code="US"))
    seg.deliver(order(KEY, NOW + days(2)))
    present = api.explain_membership(contact=NAME, segment="segments/within")
    assert (present.outcome, present.member) == (FALSE, False)
    then = to_timestamp(NOW + days(1) + timedelta(hours=1))
    past = api.explain_membership(contact=NAME, segment="segments/within", as_of_time=then)
    assert (past.outcome, past.member) == (TRUE, True)
    assert from_timestamp(past.enter_time) == NOW + days(1)
    assert [(f.segment, f.member, from_timestamp(f.enter_time)) for f in past.leaves[0].segments] == [
        ("segments/vn", True, NOW)
    ]
    assert past.leaves[1].events[0].seen_count == 1
    assert past.event_count == 1
    # What the other segment did after is history.
    assert past.known_until_time == then
    facts = api.explain_membership(contact=NAME, segment="segments/vn", as_of_time=then)
    assert [MessageToDict(leaf.attributes[0].value) for leaf in facts.leaves] == ["VN", ["new"]]
    changed = api.update_segment(
        segment={"name": "segments/vn", "rule": 'contact.region_code == "US"'},
        update_mask={"paths": ["rule"]},
    )
    assert changed.segment.version == 2
    # Until its rebuild the rule in force is explained; of the past, the one in force then.
    assert api.explain_membership(contact=NAME, segment="segments/vn").version == 1
    seg.rebuild("vn")
    assert api.explain_membership(contact=NAME, segment="segments/vn").version == 2
    before = api.explain_membership(contact=NAME, segment="segments/vn", as_of_time=then)
    assert (before.version, before.outcome, before.member) == (1, TRUE, True)


def test_explain_membership_of_a_list(seg: World, api: Any) -> None:
    """Whether the contact is in it, since when, and that being put in or taken out would turn it; now and then."""
    seg.deliver(contact(KEY), contact(OTHER))
    api.create_segment(segment_id="friends", segment={"kind": "KIND_LIST"})
    rule = 'in_segment("segments/friends")'
    seg.clock.instant = put = NOW + days(1)
    api.add_members(segment="segments/friends", contacts=[NAME])
    seg.clock.instant = NOW + days(2)
    inside = api.explain_membership(contact=NAME, segment="segments/friends")
    assert (inside.outcome, inside.member, inside.version, inside.rule) == (TRUE, True, 1, rule)
    assert from_timestamp(inside.enter_time) == put
    assert inside.tree.kind == pb.RulePart.KIND_LEAF
    (leaf,) = inside.leaves
    assert leaf.text == rule
    assert [(f.segment, f.member, from_timestamp(f.enter_time)) for f in leaf.segments] == [
        ("segments/friends", True, put)
    ]
    assert hints(inside) == ["to be taken out of the list segments/friends"]
    assert [(change.leaf, change.to) for change in inside.changes] == [(0, FALSE)]
    # No time does it.
    assert not inside.HasField("next_change_time")
    assert not inside.HasField("known_until_time")
    outside = api.explain_membership(contact=OTHER_NAME, segment="segments/friends")
    assert (outside.outcome, outside.member, outside.HasField("enter_time")) == (FALSE, False, False)
    assert hints(outside) == ["to be put into the list segments/friends"]
    # A rule that names a list says the same of it.
    named = api.explain_membership(contact=OTHER_NAME, rule=f"!{rule}")
    assert (named.outcome, hints(named)) == (TRUE, ["to be put into the list segments/friends"])
    seg.clock.instant = NOW + days(3)
    api.remove_members(segment="segments/friends", contacts=[NAME])
    assert api.explain_membership(contact=NAME, segment="segments/friends").outcome == FALSE
    then = to_timestamp(NOW + days(2))
    past = api.explain_membership(contact=NAME, segment="segments/friends", as_of_time=then)
    assert (past.outcome, past.member, past.version, past.rule) == (TRUE, True, 1, rule)
    assert from_timestamp(past.enter_time) == put
    assert hints(past) == ["to be taken out of the list segments/friends"]
    # What became of it after is history.
    assert past.known_until_time == then
    before = api.explain_membership(contact=NAME, segment="segments/friends", as_of_time=to_timestamp(NOW))
    assert (before.outcome, before.member, before.HasField("enter_time")) == (FALSE, False, False)
    assert hints(before) == ["to be put into the list segments/friends"]
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.explain_membership(
            contact=NAME, segment="segments/friends", as_of_time=to_timestamp(NOW - days(1000))
        )
    assert caught.value.reason == "BEFORE_RETENTION"


def test_explain_membership_of_a_list_that_was_made_anew(seg: World, api: Any) -> None:
    """It is another one: nobody was in it before it was there."""
    seg.deliver(contact(KEY))
    api.create_segment(segment_id="friends", segment={"kind": "KIND_LIST"})
    api.add_members(segment="segments/friends", contacts=[NAME])
    seg.clock.instant = NOW + days(1)
    api.delete_segment(name="segments/friends")
    seg.clock.instant = NOW + days(2)
    api.create_segment(segment_id="friends", segment={"kind": "KIND_LIST"})
    past = api.explain_membership(contact=NAME, segment="segments/friends", as_of_time=to_timestamp(NOW))
    assert (past.outcome, past.member) == (FALSE, False)
    assert not past.leaves[0].segments[0].member


def test_explain_membership_refuses_what_is_not_kept(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY, region_code="VN"), order(KEY, NOW - days(3000)))
    seg.define("vn", 'contact.region_code == "VN"')
    long_ago = to_timestamp(NOW - days(1000))
    for target in ({"rule": 'contact.region_code == "VN"'}, {"segment": "segments/vn"}):
        with pytest.raises(errors.FailedPrecondition) as caught:
            api.explain_membership(contact=NAME, as_of_time=long_ago, **target)
        assert caught.value.reason == "BEFORE_RETENTION"
        assert caught.value.metadata["earliest_time"]
    events = api.explain_membership(contact=NAME, rule="events.order_placed.size() == 1", as_of_time=long_ago)
    assert events.outcome == TRUE


def test_explain_membership_refuses_bad_requests(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY))
    with pytest.raises(errors.InvalidArgument) as caught:
        api.explain_membership(contact=NAME)
    assert [violation.field for violation in caught.value.violations] == ["target"]
    with pytest.raises(errors.InvalidArgument) as caught:
        api.explain_membership(contact=NAME, rule="contact.agee > 3")
    assert (caught.value.reason, caught.value.metadata["column"]) == ("INVALID_RULE", "8")
    with pytest.raises(errors.NotFound) as missing:
        api.explain_membership(contact=NAME, segment="segments/none")
    assert missing.value.metadata["resource"] == "segments/none"
    with pytest.raises(errors.NotFound) as missing:
        api.explain_membership(contact=OTHER_NAME, rule="true")
    assert missing.value.metadata["resource"] == OTHER_NAME
    with pytest.raises(errors.InvalidArgument):
        api.explain_membership(contact="contacts/nobody", rule="true")
    with pytest.raises(errors.InvalidArgument) as caught:
        api.explain_membership(contact=NAME, rule="true", as_of_time=to_timestamp(NOW.replace(year=9000)))
    assert [violation.field for violation in caught.value.violations] == ["as_of_time"]


def test_explain_membership_of_the_largest_rules(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY))
    wide = " || ".join(f"contact.age == {number}" for number in range(590))
    answer = api.explain_membership(contact=NAME, rule=wide)
    assert (len(answer.leaves), len(answer.changes)) == (590, 1)
    deep = "contact.has_email"
    for _ in range(13):
        deep = f"!({deep} || contact.has_phone)"
    assert api.explain_membership(contact=NAME, rule=deep).outcome == TRUE


def test_explain_membership_of_one_with_very_many_events(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY))
    with seg.db.transaction() as connection:
        connection.exec_driver_sql(
            "INSERT INTO event (contact_id, event_id, type, amount, occurred_at, payload) "
            "SELECT %(key)s, gen_random_uuid(), 'order.placed', 1, %(now)s::timestamptz - n * interval '1 minute', "
            """'{"currency": "EUR", "source": "shop", "line_count": 1}' FROM generate_series(1, 10050) AS n""",
            {"key": KEY, "now": NOW},
        )
    rule = "events.order_placed.filter(e, now - e.time <= days(30)).size() == 10050"
    answer = api.explain_membership(contact=NAME, rule=rule)
    # The answer and what is compared are those of all events, however few were looked at.
    assert answer.outcome == TRUE
    assert [side.value.number_value for side in answer.leaves[0].sides] == [10050, 10050]
    assert (answer.read_event_count, answer.event_count) == (10_000, 10_050)
    assert answer.leaves[0].events[0].count == 10_000
    first_to_leave = NOW - timedelta(minutes=10_050) + days(30)
    assert not answer.HasField("next_change_time")
    assert NOW < from_timestamp(answer.known_until_time) <= first_to_leave + timedelta(microseconds=1)
