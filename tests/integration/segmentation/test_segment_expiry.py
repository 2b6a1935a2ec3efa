"""Time alone changes memberships, on time and at a cost that grows with those due."""

from __future__ import annotations

from datetime import timedelta

from services.segmentation.store import locks
from services.segmentation.usecases import upkeep
from tests.support.segmentation import NOW, World, contact, contact_id, days, order

KEY, OTHER = contact_id(1), contact_id(2)
TICK = timedelta(microseconds=1)


def test_a_member_leaves_one_microsecond_after_its_window_and_not_before(seg: World) -> None:
    """`<=` keeps an event exactly 30 days old, `<` does not."""
    seg.define("up_to", "events.order_placed.exists(o, now - o.time <= days(30))")
    seg.define("under", "events.order_placed.exists(o, now - o.time < days(30))")
    seg.deliver(contact(KEY), order(KEY, NOW))
    assert seg.next_change(KEY) == NOW + days(30)
    seg.clock.instant = NOW + days(30) - TICK
    assert upkeep.expire(seg.service) == 0
    assert seg.everybody() == {"up_to": {KEY}, "under": {KEY}}
    seg.clock.instant = NOW + days(30)
    assert upkeep.expire(seg.service) == 1
    assert seg.everybody() == {"up_to": {KEY}, "under": set()}
    seg.clock.instant += TICK
    assert upkeep.expire(seg.service) == 1
    assert seg.everybody() == {"up_to": set(), "under": set()}
    assert seg.next_change(KEY) is None
    assert [item[3] for item in seg.told()] == [False] * 4


def test_an_event_of_the_future_counts_from_its_time_on(seg: World) -> None:
    """Becoming visible is a change like any other."""
    seg.define("buyers", "events.order_placed.size() > 0")
    seg.deliver(contact(KEY), order(KEY, NOW + days(1)))
    assert seg.members("buyers") == set()
    assert seg.next_change(KEY) == NOW + days(1)
    seg.clock.instant = NOW + days(1)
    upkeep.expire(seg.service)
    assert seg.members("buyers") == {KEY}


def test_only_those_who_are_due_are_evaluated(seg: World) -> None:
    """In bounded batches, longest due first; one that another process holds is left to it."""
    seg.define("fresh", "events.order_placed.exists(o, now - o.time < hours(1))")
    keys = [contact_id(number) for number in range(10)]
    seg.deliver(*(contact(key) for key in keys))
    seg.deliver(*(order(key, NOW - timedelta(minutes=number)) for number, key in enumerate(keys)))
    seg.clock.instant = NOW + timedelta(minutes=55)
    # Due are those who ordered 5 or more minutes before.
    with seg.db.transaction() as connection:
        locks.share_membership(connection)
        locks.lock_contacts(connection, [keys[9]])
        assert upkeep.expire(seg.service, batch=2) == 4
        assert seg.members("fresh") == {*keys[:5], keys[9]}
    assert upkeep.expire(seg.service, batch=2) == 1
    assert seg.members("fresh") == set(keys[:5])
    assert upkeep.expire(seg.service) == 0


def test_a_new_rule_brings_changes_forward_and_a_deleted_one_does_no_harm(seg: World) -> None:
    """The schedule of a contact is the earliest over all segments."""
    from services.segmentation.usecases import defining

    seg.deliver(contact(KEY), contact(OTHER), order(KEY, NOW))
    seg.define("month", "events.order_placed.exists(o, now - o.time < days(30))")
    assert seg.next_change(KEY) == NOW + days(30)
    seg.define("day", "events.order_placed.exists(o, now - o.time < days(1))")
    assert seg.next_change(KEY) == NOW + days(1)
    assert seg.next_change(OTHER) is None
    with seg.db.transaction() as connection:
        defining.delete_segment(seg.service, connection, "day", "")
    seg.clock.instant = NOW + days(1)
    assert upkeep.expire(seg.service) == 1
    assert seg.next_change(KEY) == NOW + days(30)
    assert seg.everybody() == {"month": {KEY}}


def test_a_schedule_that_no_rule_needs_any_more_ends(seg: World) -> None:
    """Or its contacts would be due for ever."""
    from services.segmentation.usecases import defining

    seg.define("day", "events.order_placed.exists(o, now - o.time < days(1))")
    seg.deliver(contact(KEY), order(KEY, NOW))
    with seg.db.transaction() as connection:
        defining.delete_segment(seg.service, connection, "day", "")
    seg.clock.instant = NOW + days(2)
    assert upkeep.expire(seg.service) == 1
    assert upkeep.expire(seg.service) == 0
    assert seg.next_change(KEY) is None


def test_a_birthday_comes_in_the_zone_of_the_business(seg: World) -> None:
    """An age changes at midnight."""
    from datetime import date

    seg.define("adults", "contact.age >= 18")
    seg.deliver(contact(KEY, birth_date=date(2008, 3, 2)))
    assert seg.members("adults") == set()
    seg.clock.instant = NOW.replace(day=2, hour=0, minute=0)
    upkeep.expire(seg.service)
    assert seg.members("adults") == {KEY}


def test_sizes_stay_the_same_when_they_are_folded(seg: World) -> None:
    """However many rows make them up."""
    seg.define("buyers", "contact.order_count > 0")
    for number in range(120):
        seg.deliver(contact(contact_id(number)), order(contact_id(number), NOW))
    upkeep.fold_sizes(seg.service)
    assert seg.query("SELECT count(*) FROM segment_size") == [1]
    assert seg.sizes() == {"buyers": 120}


def test_who_has_events_but_no_profile_yet_is_due_once(seg: World) -> None:
    """A rebuild reads of events when they leave its windows, also of those whose contact was not told of yet."""
    seg.deliver(order(KEY, NOW))
    seg.define("fresh", "events.order_placed.exists(o, now - o.time < hours(1))")
    seg.define("recent", "now - contact.last_order_time <= days(7)")
    assert seg.next_change(KEY) == NOW + timedelta(hours=1)
    seg.clock.instant = NOW + timedelta(hours=1)
    assert upkeep.expire(seg.service) == 1
    assert (upkeep.expire(seg.service), seg.next_change(KEY)) == (0, None)
    seg.deliver(contact(KEY))
    assert seg.everybody() == {"fresh": set(), "recent": {KEY}}
    assert seg.next_change(KEY) == NOW + days(7) + TICK
