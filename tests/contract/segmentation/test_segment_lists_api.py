"""Lists over a real port: their members, snapshots, and what the other RPCs make of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from rapport.segmentation.v1 import segmentation_pb2 as pb
from rapport_client import errors

from services.kit.wire import from_timestamp
from services.segmentation.usecases import snapshots
from tests.support.segmentation import NOW, Progress, World, contact, contact_id, erased, merged, order

PEOPLE = [contact_id(number) for number in range(1, 6)]
LIST = "segments/friends"


def names(keys: list[UUID]) -> list[str]:
    return [f"contacts/{key}" for key in keys]


@pytest.fixture
def friends(seg: World, api: Any) -> Any:
    """Five known contacts, of whom the first two come from Vietnam, and an empty list."""
    seg.deliver(*(contact(key, region_code="VN" if at < 2 else "US") for at, key in enumerate(PEOPLE)))
    return api.create_segment(
        segment_id="friends", segment={"kind": "KIND_LIST", "display_name": "Friends"}
    ).segment


def snapshot(seg: World, api: Any, **arguments: Any) -> Any:
    """Ask for a snapshot and do the work of its operation."""
    answer = api.snapshot_segment(**arguments)
    request = pb.SnapshotSegmentRequest(segment_id=answer.segment.name.removeprefix("segments/"))
    return snapshots.take_snapshot(seg.service, request, Progress())


def test_create_segment_of_kind_list(seg: World, api: Any, friends: Any) -> None:
    assert (friends.kind, friends.state, friends.rule) == (pb.Segment.KIND_LIST, pb.Segment.STATE_READY, "")
    assert (friends.version, friends.member_count) == (1, 0)
    assert not friends.HasField("origin")
    assert api.get_segment(name=LIST).segment == friends
    with pytest.raises(errors.AlreadyExists):
        api.create_segment(segment_id="friends", segment={"kind": "KIND_LIST"})
    with pytest.raises(errors.AlreadyExists):
        api.create_segment(segment_id="friends", segment={"kind": "KIND_LIST"}, validate_only=True)
    checked = api.create_segment(segment_id="new", segment={"kind": "KIND_LIST"}, validate_only=True)
    assert checked.segment.kind == pb.Segment.KIND_LIST
    assert [item.name for item in api.list_segments().segments] == [LIST]
    request = {"segment_id": "once", "segment": {"kind": "KIND_LIST"}, "request_id": uuid4().hex}
    assert api.create_segment(**request) == api.create_segment(**request)


def test_a_segment_has_a_rule_or_is_a_list(api: Any, friends: Any) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        api.create_segment(segment_id="x", segment={"kind": "KIND_LIST", "rule": "true"})
    assert "list" in str(caught.value)
    for kind in ("KIND_RULE", "KIND_UNSPECIFIED"):
        with pytest.raises(errors.InvalidArgument):
            api.create_segment(segment_id="x", segment={"kind": kind})
    old = api.create_segment(segment_id="old", segment={"rule": "true"}).segment
    assert old.kind == pb.Segment.KIND_RULE
    for only in (False, True):
        with pytest.raises(errors.FailedPrecondition) as refused:
            api.update_segment(
                segment={"name": LIST, "rule": "true"}, update_mask={"paths": ["rule"]}, validate_only=only
            )
        assert refused.value.reason == "SEGMENT_IS_LIST"
    with pytest.raises(errors.InvalidArgument):
        api.update_segment(segment={"name": LIST, "kind": "KIND_RULE"}, update_mask={"paths": ["kind"]})
    with pytest.raises(errors.FailedPrecondition) as refused:
        api.add_members(segment="segments/old", contacts=names(PEOPLE[:1]))
    assert refused.value.reason == "SEGMENT_HAS_RULE"
    named = api.update_segment(
        segment={"name": LIST, "display_name": "Bạn bè"}, update_mask={"paths": ["display_name"]}
    ).segment
    assert (named.display_name, named.kind, named.version) == ("Bạn bè", pb.Segment.KIND_LIST, 1)


def test_add_members(seg: World, api: Any, friends: Any) -> None:
    first = api.add_members(segment=LIST, contacts=names([PEOPLE[0], PEOPLE[1], PEOPLE[0]]))
    assert (first.added_count, first.member_count) == (2, 2)
    again = api.add_members(segment=LIST, contacts=names(PEOPLE[1:3]))
    assert (again.added_count, again.member_count) == (1, 3)
    assert api.add_members(segment=LIST, contacts=names(PEOPLE[:3])).added_count == 0
    assert sorted(seg.told(), key=lambda item: item[2]) == sorted(
        (("segment.entered", "friends", key, False) for key in PEOPLE[:3]), key=lambda item: item[2]
    )
    assert set(api.list_members(segment=LIST).contacts) == set(names(PEOPLE[:3]))
    inside = api.list_contact_segments(contact=names(PEOPLE)[0]).segments
    assert [item.segment for item in inside] == [LIST]
    assert api.get_segment(name=LIST).segment.member_count == 3
    assert api.get_segment(name=LIST).segment.etag == friends.etag
    api.add_members(segment=LIST, contacts=names(PEOPLE[3:4]), historical=True)
    assert seg.told()[-1] == ("segment.entered", "friends", PEOPLE[3], True)


def test_add_members_refuses_contacts_that_are_not_known_and_adds_nobody(
    seg: World, api: Any, friends: Any
) -> None:
    strangers = [contact_id(number) for number in range(100, 112)]
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.add_members(segment=LIST, contacts=names([*PEOPLE, *strangers]))
    assert caught.value.reason == "UNKNOWN_CONTACTS"
    assert caught.value.metadata["count"] == "12"
    shown = caught.value.metadata["contacts"].split(", ")
    assert shown == names(sorted(strangers)[:5])
    assert "and 7 more" in str(caught.value)
    assert seg.members("friends") == set()
    assert seg.told() == []
    # Nor is anything remembered of them.
    assert not set(strangers) & set(seg.query("SELECT contact_id FROM contact_state"))


def test_add_members_refuses_bad_requests(api: Any, friends: Any) -> None:
    with pytest.raises(errors.NotFound):
        api.add_members(segment="segments/none", contacts=names(PEOPLE))
    for contacts in ([], ["contacts/x"], [f"segments/{PEOPLE[0]}"], names(PEOPLE[:1]) * 10_001):
        with pytest.raises(errors.InvalidArgument) as caught:
            api.add_members(segment=LIST, contacts=contacts)
        assert "contacts" in str(caught.value)


def test_add_members_with_a_request_id_happens_once(seg: World, api: Any, friends: Any) -> None:
    request = {"segment": LIST, "contacts": names(PEOPLE[:2]), "request_id": uuid4().hex}
    first = api.add_members(**request)
    api.remove_members(segment=LIST, contacts=names(PEOPLE))
    assert api.add_members(**request) == first
    assert seg.members("friends") == set()
    with pytest.raises(errors.InvalidArgument) as caught:
        api.add_members(**{**request, "contacts": names(PEOPLE)})
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_remove_members(seg: World, api: Any, friends: Any) -> None:
    api.add_members(segment=LIST, contacts=names(PEOPLE[:3]))
    gone = api.remove_members(segment=LIST, contacts=names([*PEOPLE[2:], PEOPLE[2], contact_id(999)]))
    assert (gone.removed_count, gone.member_count) == (1, 2)
    assert seg.told()[3:] == [("segment.left", "friends", PEOPLE[2], False)]
    assert api.remove_members(segment=LIST, contacts=names(PEOPLE[2:])).removed_count == 0
    with pytest.raises(errors.NotFound):
        api.remove_members(segment="segments/none", contacts=names(PEOPLE))
    assert contact_id(999) not in seg.query("SELECT contact_id FROM contact_state")
    request = {"segment": LIST, "contacts": names(PEOPLE[:1]), "request_id": uuid4().hex}
    assert api.remove_members(**request) == api.remove_members(**request)
    assert seg.members("friends") == {PEOPLE[1]}


def test_the_other_rpcs_know_lists(seg: World, api: Any, friends: Any) -> None:
    api.add_members(segment=LIST, contacts=names(PEOPLE[:3]))
    found = api.evaluate_rule(segment=LIST, sample_size=5)
    assert (found.member_count, found.contact_count) == (3, 5)
    assert set(found.sample_contacts) == set(names(PEOPLE[:3]))
    assert api.evaluate_rule(rule='!in_segment("segments/friends")').member_count == 2
    assert api.rebuild_segments(names=[LIST]).operation.kind == "rebuild_segments"
    (row,) = seg.rebuild("friends").segments
    assert (row.entered_count, row.left_count, row.member_count) == (0, 0, 3)
    assert seg.rebuild().segments == []
    assert api.get_segment(name=LIST).segment.state == pb.Segment.STATE_READY
    with pytest.raises(errors.Aborted):
        api.delete_segment(name=LIST, etag="old")
    api.create_segment(segment_id="near", segment={"rule": 'in_segment("segments/friends")'})
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.delete_segment(name=LIST)
    assert caught.value.reason == "SEGMENT_IN_USE"
    api.delete_segment(name="segments/near")
    api.delete_segment(name=LIST)
    assert {item[:3] for item in seg.told()[3:]} == {("segment.left", "friends", key) for key in PEOPLE[:3]}


def test_snapshot_segment_of_a_segment(seg: World, api: Any, friends: Any) -> None:
    seg.define("vn", 'contact.region_code == "VN"')
    asked = api.snapshot_segment(segment_id="then", segment="segments/vn", display_name="Then")
    made = asked.segment
    assert (made.kind, made.state) == (pb.Segment.KIND_LIST, pb.Segment.STATE_BUILDING)
    assert asked.operation.kind == "snapshot_segment"
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.add_members(segment="segments/then", contacts=names(PEOPLE))
    assert caught.value.reason == "SEGMENT_BUILDING"
    seg.clock.instant = NOW + timedelta(minutes=1)
    progress = Progress()
    result = snapshots.take_snapshot(seg.service, pb.SnapshotSegmentRequest(segment_id="then"), progress)
    assert (result.segment, result.member_count) == ("segments/then", 2)
    assert progress.told[0] == (0, 5, "segments/then: taking")
    assert progress.stages[-1] == (5, 5, "taken")
    taken = api.get_segment(name="segments/then").segment
    assert (taken.state, taken.member_count, taken.display_name) == (pb.Segment.STATE_READY, 2, "Then")
    assert (taken.origin.segment, taken.origin.version, taken.origin.rule) == ("segments/vn", 1, "")
    assert from_timestamp(taken.origin.as_of_time) == seg.clock.instant
    entered = [item for item in seg.told() if item[1] == "then"]
    assert {item[2] for item in entered} == set(PEOPLE[:2])
    assert all(item[3] for item in entered)
    # It stays when its source changes, and a second run of the same operation changes nothing.
    seg.deliver(contact(PEOPLE[0], revision=2, region_code="US"))
    assert seg.members("vn") == {PEOPLE[1]}
    assert seg.members("then") == set(PEOPLE[:2])
    again = snapshots.take_snapshot(seg.service, pb.SnapshotSegmentRequest(segment_id="then"), Progress())
    assert again == result
    api.remove_members(segment="segments/then", contacts=names(PEOPLE[:1]))
    assert snapshot(seg, api, segment_id="copy", segment="segments/then").member_count == 1
    assert api.get_segment(name="segments/copy").segment.origin.segment == "segments/then"
    api.delete_segment(name="segments/vn")
    assert api.get_segment(name="segments/then").segment.origin.segment == "segments/vn"


def test_snapshot_segment_of_a_rule_as_of_a_time(seg: World, api: Any, friends: Any) -> None:
    seg.deliver(*(order(key, NOW - timedelta(days=10 * at)) for at, key in enumerate(PEOPLE)))
    rule = "events.order_placed.exists(o, now - o.time <= days(15))"
    then = NOW - timedelta(days=20)
    result = snapshot(seg, api, segment_id="then", rule=rule, as_of_time=then)
    assert seg.members("then") == set(PEOPLE[2:4])
    assert from_timestamp(result.as_of_time) == then
    origin = api.get_segment(name="segments/then").segment.origin
    assert (origin.segment, origin.version, origin.rule) == ("", 0, rule)
    assert snapshot(seg, api, segment_id="today", rule=rule).member_count == 2
    assert seg.members("today") == set(PEOPLE[:2])
    seg.define("recent", rule)
    snapshot(seg, api, segment_id="past", segment="segments/recent", as_of_time=then)
    assert seg.members("past") == set(PEOPLE[2:4])
    origin = api.get_segment(name="segments/past").segment.origin
    assert (origin.segment, origin.version, origin.rule) == ("segments/recent", 1, rule)


def test_snapshot_segment_of_a_list_as_of_a_time(seg: World, api: Any, friends: Any) -> None:
    """Who was in it then, without who came later, and with the one that took a merged contact's place."""
    start = seg.clock.instant
    api.add_members(segment=LIST, contacts=names(PEOPLE[:3]))
    seg.clock.instant = start + timedelta(days=2)
    api.remove_members(segment=LIST, contacts=names(PEOPLE[:1]))
    api.add_members(segment=LIST, contacts=names(PEOPLE[3:4]))
    seg.clock.instant = start + timedelta(days=3)
    before = snapshot(seg, api, segment_id="before", segment=LIST, as_of_time=start + timedelta(days=1))
    assert (before.member_count, from_timestamp(before.as_of_time)) == (3, start + timedelta(days=1))
    assert seg.members("before") == set(PEOPLE[:3])
    snapshot(seg, api, segment_id="after", segment=LIST, as_of_time=start + timedelta(days=2))
    assert seg.members("after") == set(PEOPLE[1:4])
    origin = api.get_segment(name="segments/before").segment.origin
    assert (origin.segment, origin.version, origin.rule) == (LIST, 1, "")
    # The list was not there yet.
    early = start - timedelta(days=1)
    assert snapshot(seg, api, segment_id="early", segment=LIST, as_of_time=early).member_count == 0
    # A snapshot is a list like any other.
    seg.clock.instant = start + timedelta(days=4)
    api.remove_members(segment="segments/before", contacts=names(PEOPLE[:3]))
    snapshot(seg, api, segment_id="again", segment="segments/before", as_of_time=start + timedelta(days=3))
    assert seg.members("again") == set(PEOPLE[:3])
    # One that was in it is gone, of another the place is a third one's.
    seg.deliver(erased(PEOPLE[1]), merged(PEOPLE[2], PEOPLE[3]))
    snapshot(seg, api, segment_id="later", segment=LIST, as_of_time=start + timedelta(days=1))
    assert seg.members("later") == {PEOPLE[0], PEOPLE[3]}
    asked = {"rule": f'in_segment("{LIST}")', "as_of_time": start + timedelta(days=1)}
    assert api.evaluate_rule(**asked).member_count == 2
    for key in (PEOPLE[0], PEOPLE[3]):
        told = api.explain_membership(contact=f"contacts/{key}", segment=LIST, as_of_time=asked["as_of_time"])
        assert told.outcome == pb.TRUTH_TRUE
        assert from_timestamp(told.enter_time) == start


def test_snapshot_segment_of_a_list_before_what_is_kept(seg: World, api: Any, friends: Any) -> None:
    seg.clock.instant += seg.service.retention.memberships + timedelta(days=2)
    request = {"segment": LIST, "as_of_time": seg.clock.instant - seg.service.retention.memberships}
    snapshot(seg, api, segment_id="kept", **request)
    request["as_of_time"] -= timedelta(seconds=1)
    from services.kit.errors import FailedPrecondition

    with pytest.raises(FailedPrecondition) as caught:
        snapshot(seg, api, segment_id="lost", **request)
    assert caught.value.reason == "BEFORE_RETENTION"
    failed = api.get_segment(name="segments/lost").segment
    assert (failed.state, failed.member_count) == (pb.Segment.STATE_FAILED, 0)
    assert "memberships are known back to" in failed.state_message


def test_snapshot_segment_refuses_bad_requests(seg: World, api: Any, friends: Any) -> None:
    seg.define("new", "true", build=False)
    cases: list[tuple[type[errors.RapportError], str, dict[str, Any]]] = [
        (errors.InvalidArgument, "source", {}),
        (errors.InvalidArgument, "segment_id", {"segment": LIST, "segment_id": "No Good"}),
        (errors.InvalidArgument, "agee", {"rule": "contact.agee > 3"}),
        (errors.InvalidArgument, "as_of_time", {"rule": "true", "as_of_time": NOW.replace(year=900)}),
        (errors.InvalidArgument, "as_of_time", {"rule": "true", "as_of_time": NOW.replace(year=9000)}),
        (errors.NotFound, "segments/none", {"segment": "segments/none"}),
        (errors.FailedPrecondition, "segments/new", {"segment": "segments/new"}),
        (errors.AlreadyExists, "segments/friends", {"segment": "segments/new", "segment_id": "friends"}),
    ]
    for kind, words, arguments in cases:
        if kind is errors.AlreadyExists:
            seg.rebuild("new")
        with pytest.raises(kind) as caught:
            api.snapshot_segment(**{"segment_id": "x", **arguments})
        assert words in str(caught.value)
    assert [item.name for item in api.list_segments().segments] == [LIST, "segments/new"]
    request = {"segment_id": "y", "segment": LIST, "request_id": uuid4().hex}
    assert api.snapshot_segment(**request) == api.snapshot_segment(**request)


def test_snapshot_segment_that_cannot_be_taken_stays_empty_and_says_why(
    seg: World, api: Any, friends: Any
) -> None:
    seg.define("vn", 'contact.region_code == "VN"')
    api.snapshot_segment(segment_id="then", segment="segments/vn")
    api.delete_segment(name="segments/vn")
    from services.kit.errors import NotFound

    with pytest.raises(NotFound):
        snapshots.take_snapshot(seg.service, pb.SnapshotSegmentRequest(segment_id="then"), Progress())
    failed = api.get_segment(name="segments/then").segment
    assert (failed.state, failed.member_count) == (pb.Segment.STATE_FAILED, 0)
    assert "segments/vn does not exist" in failed.state_message
    with pytest.raises(errors.FailedPrecondition):
        api.snapshot_segment(segment_id="other", segment="segments/then")
    api.delete_segment(name="segments/then")
