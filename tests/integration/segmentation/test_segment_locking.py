"""Changes of one contact, and of one segment, wait for each other: none evaluates what another is changing."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from services.segmentation.usecases import defining, projection, rebuilding
from tests.support.segmentation import (
    NOW,
    World,
    contact,
    contact_id,
    days,
    order,
    page_visited_defined,
    visit,
)
from tests.support.waiting import until

BUYERS = 'contact.region_code == "VN" && events.order_placed.size() > 0'
KEY = contact_id(1)


def waiting(seg: World) -> int:
    """Return how many sessions of this database wait for a lock."""
    (count,) = seg.query(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    return int(count)


def in_thread(action: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


@pytest.mark.parametrize("first", ["contact", "visit"])
def test_two_batches_that_change_one_contact_come_one_after_the_other(seg: World, first: str) -> None:
    """The second begins while the first has not committed: together they make a member."""
    seg.deliver(page_visited_defined())
    seg.define("visitors", 'contact.region_code == "VN" && events.page_visited.size() > 0')
    seg.deliver(contact(KEY, region_code="US"))
    events = [contact(KEY, revision=2, region_code="VN"), visit(KEY, NOW)]
    one, two = events if first == "contact" else reversed(events)
    with seg.db.transaction() as connection:
        projection.apply_events(seg.service, connection, [one])
        other = in_thread(lambda: seg.deliver(two))
        until(lambda: waiting(seg) == 1, "the second batch waits for the first", timeout=20)
    other.join()
    assert seg.members("visitors") == {KEY}


def test_events_of_an_unknown_contact_wait_for_the_contact_that_is_being_told_of(seg: World) -> None:
    """Neither has a profile to lock yet; still the order counts."""
    seg.define("buyers", BUYERS)
    with seg.db.transaction() as connection:
        projection.apply_events(seg.service, connection, [contact(KEY, region_code="VN")])
        other = in_thread(lambda: seg.deliver(order(KEY, NOW)))
        until(lambda: waiting(seg) == 1, "the order waits for the contact")
    other.join()
    assert seg.members("buyers") == {KEY}
    assert seg.query("SELECT order_count FROM profile") == [1]


def test_a_contact_that_is_told_of_waits_for_its_events(seg: World) -> None:
    """The other way round."""
    seg.define("buyers", BUYERS)
    with seg.db.transaction() as connection:
        projection.apply_events(seg.service, connection, [order(KEY, NOW)])
        other = in_thread(lambda: seg.deliver(contact(KEY, region_code="VN")))
        until(lambda: waiting(seg) == 1, "the contact waits for its order")
    other.join()
    assert seg.members("buyers") == {KEY}
    assert seg.query("SELECT order_count FROM profile") == [1]


def test_a_rebuild_waits_for_increments_and_they_for_it(seg: World) -> None:
    """A contact that enters while its segment is being rebuilt enters once."""
    seg.define("buyers", BUYERS)
    seg.deliver(contact(KEY, region_code="VN"))
    with seg.db.transaction() as connection:
        projection.apply_events(seg.service, connection, [order(KEY, NOW)])
        other = in_thread(lambda: seg.rebuild("buyers"))
        until(lambda: waiting(seg) == 1, "the rebuild waits for the increment")
    other.join()
    assert [item[:2] for item in seg.told()] == [("segment.entered", "buyers")]
    with seg.db.transaction() as connection:
        rebuilding.rebuild_one(seg.service, connection, "buyers")
        other = in_thread(lambda: seg.deliver(contact(KEY, revision=2, region_code="US")))
        until(lambda: waiting(seg) == 1, "the increment waits for the rebuild")
    other.join()
    assert seg.members("buyers") == set()
    assert seg.sizes() == {"buyers": 0}


def test_contacts_of_other_batches_do_not_wait(seg: World) -> None:
    """Two batches about different contacts go on side by side."""
    seg.define("buyers", BUYERS)
    other = contact_id(2)
    with seg.db.transaction() as connection:
        projection.apply_events(seg.service, connection, [contact(KEY, region_code="VN"), order(KEY, NOW)])
        seg.deliver(contact(other, region_code="VN"), order(other, NOW - days(1)))
        assert seg.members("buyers") == {other}
    assert seg.members("buyers") == {KEY, other}


def test_a_deleted_segment_is_not_filled_by_an_increment_under_way(seg: World) -> None:
    """The deletion waits for the increment, then its members leave."""
    seg.define("buyers", BUYERS)
    seg.deliver(contact(KEY, region_code="VN"))

    def delete() -> None:
        with seg.db.transaction() as connection:
            defining.delete_segment(seg.service, connection, "buyers", "")

    with seg.db.transaction() as connection:
        projection.apply_events(seg.service, connection, [order(KEY, NOW)])
        other = in_thread(delete)
        until(lambda: waiting(seg) == 1, "the deletion waits for the increment")
    other.join()
    assert seg.query("SELECT count(*) FROM membership") == [0]
    assert [item[0] for item in seg.told()] == ["segment.entered", "segment.left"]
