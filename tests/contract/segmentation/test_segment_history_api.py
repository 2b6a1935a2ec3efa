"""Members and rules as of earlier times, entries and exits, over a real port."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from rapport.segmentation.v1 import segmentation_pb2 as pb
from rapport_client import errors

from services.kit.wire import from_timestamp, to_timestamp
from services.segmentation.usecases import history
from tests.support.segmentation import NOW, World, contact, contact_id, days, order
from tests.support.stack import Served

KEY, OTHER = contact_id(1), contact_id(2)
NAME, OTHER_NAME = f"contacts/{KEY}", f"contacts/{OTHER}"
VN = 'contact.region_code == "VN"'
US = 'contact.region_code == "US"'
KINDS = {pb.MembershipChange.KIND_ENTERED: "entered", pb.MembershipChange.KIND_LEFT: "left"}


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def create(seg: World, api: Any, id_: str, rule: str) -> None:
    api.create_segment(segment_id=id_, segment={"rule": rule, "display_name": id_})
    seg.rebuild(id_)


def change_rule(seg: World, api: Any, id_: str, rule: str) -> None:
    api.update_segment(segment={"name": f"segments/{id_}", "rule": rule}, update_mask={"paths": ["rule"]})
    seg.rebuild(id_)


def later(seg: World, **length: float) -> datetime:
    seg.clock.instant += timedelta(**length)
    return seg.clock.instant


def move(seg: World, key: UUID, revision: int, region: str) -> None:
    seg.deliver(contact(key, revision=revision, region_code=region))


def members(api: Any, id_: str, time: datetime, **more: Any) -> tuple[list[str], int]:
    found = api.list_members(segment=f"segments/{id_}", as_of_time=to_timestamp(time), **more)
    return list(found.contacts), found.version


def changes(api: Any, **request: Any) -> list[tuple[str, str, str, datetime, int]]:
    """Return kind, segment, contact, time and version of all changes, by pages of two."""
    return [
        (
            KINDS[item.kind],
            item.segment.removeprefix("segments/"),
            item.contact,
            from_timestamp(item.time),
            item.version,
        )
        for item in api.list_membership_changes.iterate(**request, page_size=2)
    ]


def refused(caught: pytest.ExceptionInfo[errors.FailedPrecondition], earliest: datetime) -> bool:
    """Tell whether a question was refused for its age, naming the earliest time."""
    shown = earliest.isoformat().replace("+00:00", "Z")
    assert caught.value.reason == "BEFORE_RETENTION"
    assert caught.value.metadata["earliest_time"] == shown
    return shown in str(caught.value)


def test_list_membership_changes_asks_for_its_permission_and_no_more(served: Served) -> None:
    with pytest.raises(errors.Unauthenticated):
        served.client_with(token="wrong").list_membership_changes(contact=NAME)
    with pytest.raises(errors.PermissionDenied):
        served.client_with("segmentation.write", "contacts.*").list_membership_changes(contact=NAME)
    assert not served.client_with("segmentation.read").list_membership_changes(contact=NAME).changes


def test_list_members_as_of_a_time(seg: World, api: Any) -> None:
    move(seg, KEY, 1, "VN")
    move(seg, OTHER, 1, "US")
    made = later(seg, hours=1)
    create(seg, api, "a", VN)
    swapped = later(seg, days=1)
    move(seg, KEY, 2, "US")
    move(seg, OTHER, 2, "VN")
    edited = later(seg, days=1)
    change_rule(seg, api, "a", "true")
    end = later(seg, days=1)

    moment = timedelta(microseconds=1)
    assert members(api, "a", made - moment) == ([], 0)
    assert members(api, "a", made) == members(api, "a", swapped - moment) == ([NAME], 1)
    assert members(api, "a", swapped) == members(api, "a", edited - moment) == ([OTHER_NAME], 1)
    assert members(api, "a", edited) == members(api, "a", end) == (sorted([NAME, OTHER_NAME]), 2)
    assert api.list_members(segment="segments/a").version == 2

    pages = api.list_members.iterate(segment="segments/a", page_size=1, as_of_time=to_timestamp(edited))
    first = next(pages)
    later(seg, hours=1)
    api.delete_segment(name="segments/a")
    assert [first, *pages] == sorted([NAME, OTHER_NAME])


def test_list_members_of_deleted_segments(seg: World, api: Any) -> None:
    move(seg, KEY, 1, "VN")
    create(seg, api, "a", VN)
    deleted = later(seg, days=1)
    api.delete_segment(name="segments/a")
    again = later(seg, days=1)
    move(seg, OTHER, 1, "US")
    create(seg, api, "a", US)
    change_rule(seg, api, "a", f"{US} || false")
    gone = later(seg, days=1)
    api.delete_segment(name="segments/a")
    with pytest.raises(errors.NotFound):
        api.list_members(segment="segments/a")
    assert members(api, "a", NOW) == ([NAME], 1)
    assert members(api, "a", deleted) == ([], 0)
    assert members(api, "a", again) == ([OTHER_NAME], 2)
    assert members(api, "a", gone) == ([], 0)
    assert changes(api, segment="segments/a") == [
        ("left", "a", OTHER_NAME, gone, 2),
        ("entered", "a", OTHER_NAME, again, 2),
        ("left", "a", NAME, deleted, 1),
        ("entered", "a", NAME, NOW, 1),
    ]


def test_list_members_refuses_other_times(seg: World, api: Any) -> None:
    create(seg, api, "a", "true")
    keep = seg.service.retention.memberships
    with pytest.raises(errors.InvalidArgument) as caught:
        members(api, "a", NOW + timedelta(seconds=1))
    assert fields(caught) == {"as_of_time"}
    assert members(api, "a", NOW - keep) == ([], 0)
    with pytest.raises(errors.FailedPrecondition) as old:
        members(api, "a", NOW - keep - timedelta(microseconds=1))
    assert refused(old, NOW - keep)
    with pytest.raises(errors.NotFound):
        members(api, "none", NOW)


def test_list_membership_changes(seg: World, api: Any) -> None:
    move(seg, KEY, 1, "VN")
    create(seg, api, "vn", VN)
    create(seg, api, "us", US)
    moved = later(seg, days=1)
    move(seg, KEY, 2, "US")
    move(seg, OTHER, 1, "VN")
    edited = later(seg, days=1)
    change_rule(seg, api, "vn", "false")
    back = later(seg, days=1)
    change_rule(seg, api, "vn", f"{VN} || {US}")

    assert changes(api, contact=NAME) == [
        ("entered", "vn", NAME, back, 3),
        ("entered", "us", NAME, moved, 1),
        ("left", "vn", NAME, moved, 1),
        ("entered", "vn", NAME, NOW, 1),
    ]
    in_vn = [
        *sorted(
            (("entered", "vn", name, back, 3) for name in (NAME, OTHER_NAME)),
            key=lambda item: item[2],
            reverse=True,
        ),
        ("left", "vn", OTHER_NAME, edited, 2),
    ]
    assert changes(api, segment="segments/vn", start_time=to_timestamp(edited)) == in_vn
    assert changes(
        api,
        contact=OTHER_NAME,
        segment="segments/vn",
        end_time=to_timestamp(back),
        start_time=to_timestamp(NOW),
    ) == [("left", "vn", OTHER_NAME, edited, 2), ("entered", "vn", OTHER_NAME, moved, 1)]
    assert changes(api, contact=f"contacts/{contact_id(9)}") == []


def test_list_membership_changes_of_one_instant_keep_their_order(seg: World, api: Any) -> None:
    create(seg, api, "vn", VN)
    for revision, region in enumerate(["VN", "US", "VN", "US", "VN"], start=1):
        move(seg, KEY, revision, region)
    kinds = [item[0] for item in changes(api, contact=NAME)]
    assert kinds == ["entered", "left", "entered", "left", "entered"]
    assert members(api, "vn", NOW) == ([NAME], 1)


def test_list_membership_changes_refuses_bad_requests(seg: World, api: Any) -> None:
    create(seg, api, "a", "true")
    with pytest.raises(errors.InvalidArgument) as caught:
        api.list_membership_changes()
    assert fields(caught) == {"contact"}
    with pytest.raises(errors.InvalidArgument) as caught:
        api.list_membership_changes(contact="contacts/x")
    assert fields(caught) == {"contact"}
    with pytest.raises(errors.InvalidArgument) as caught:
        api.list_membership_changes(segment="a")
    assert fields(caught) == {"segment"}
    with pytest.raises(errors.InvalidArgument) as caught:
        api.list_membership_changes(contact=NAME, start_time=to_timestamp(NOW), end_time=to_timestamp(NOW))
    assert fields(caught) == {"end_time"}
    for size in (-1, 1001):
        with pytest.raises(errors.InvalidArgument):
            api.list_membership_changes(contact=NAME, page_size=size)
    with pytest.raises(errors.NotFound):
        api.list_membership_changes(segment="segments/none")
    keep = seg.service.retention.memberships
    with pytest.raises(errors.FailedPrecondition) as old:
        api.list_membership_changes(contact=NAME, start_time=to_timestamp(NOW - keep - days(1)))
    assert refused(old, NOW - keep)
    seg.deliver(contact(KEY), contact(OTHER))
    token = api.list_membership_changes(segment="segments/a", page_size=1).next_page_token
    assert token
    with pytest.raises(errors.InvalidArgument) as caught:
        api.list_membership_changes(contact=NAME, page_token=token)
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"


def test_evaluate_rule_sees_what_held_then(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY, region_code="VN", tags=["vip"]), contact(OTHER, region_code="US"))
    seg.deliver(order(KEY, NOW - days(1), "10"))
    create(seg, api, "vn", VN)
    moved = later(seg, days=10)
    seg.deliver(
        contact(KEY, revision=2, region_code="US", consents={"email_marketing": "granted"}),
        contact(OTHER, revision=2, region_code="VN"),
        order(KEY, moved, "20"),
    )

    def found(rule: str, time: datetime) -> list[str]:
        answer = api.evaluate_rule(rule=rule, as_of_time=to_timestamp(time), sample_size=10)
        assert (answer.member_count, answer.contact_count) == (len(answer.sample_contacts), 2)
        return list(answer.sample_contacts)

    before = moved - timedelta(microseconds=1)
    for rule, then, now in [
        (VN, [NAME], [OTHER_NAME]),
        (f"!({VN})", [OTHER_NAME], [NAME]),
        ('"vip" in contact.tags', [NAME], []),
        ('contact.consents.email_marketing == "granted"', [], [NAME]),
        ("contact.order_count == 1", [NAME], []),
        ("contact.total_spent > 25.0", [], [NAME]),
        ("now - contact.last_order_time <= days(5)", [], [NAME]),
        ("events.order_placed.size() == 0", [OTHER_NAME], [OTHER_NAME]),
        (f"events.order_placed.exists(o, o.amount > 5.0 && {VN})", [NAME], []),
        (f"events.order_placed.filter(o, {VN}).size() < 1", [OTHER_NAME], [NAME, OTHER_NAME]),
        (f"sum(events.order_placed.filter(o, {VN}).map(o, o.amount)) > 5.0", [NAME], []),
        ('in_segment("segments/vn")', [NAME], [OTHER_NAME]),
        ('events.order_placed.exists(o, in_segment("segments/vn"))', [NAME], []),
    ]:
        assert (found(rule, before), sorted(found(rule, moved))) == (then, sorted(now)), rule
    # Before anything was recorded, what was known first.
    assert found(VN, NOW - days(300)) == [NAME]
    assert found("contact.order_count > 0", NOW - days(300)) == []
    # Nothing is a member before the segment was made.
    assert found('in_segment("segments/vn")', NOW - days(300)) == []


def test_evaluate_rule_refuses_what_is_not_kept(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY, region_code="VN"), order(KEY, NOW - days(1000), "10"))
    create(seg, api, "vn", VN)
    keep = seg.service.retention
    old = NOW - keep.profiles - timedelta(seconds=1)

    def count(rule: str, time: datetime) -> int:
        answer = api.evaluate_rule(rule=rule, as_of_time=to_timestamp(time))
        assert isinstance(answer.member_count, int)
        return answer.member_count

    assert count(VN, NOW - keep.profiles) == 1
    for rule in (
        VN,
        '"vip" in contact.tags',
        'contact.tags.exists(t, t == "vip")',
        'contact.consents.email_marketing == "granted"',
        "contact.traits.rfm_recency >= 4",
        "contact.age > 3",
        "distance_km(contact.location, 10.0, 106.0) < 5.0",
        f"events.order_placed.exists(o, {VN})",
        f"contact.order_count > 0 || {VN}",
    ):
        with pytest.raises(errors.FailedPrecondition) as caught:
            count(rule, old)
        assert refused(caught, NOW - keep.profiles), rule
    # Rules that ask events only are exact, however long ago.
    for rule in (
        "events.order_placed.exists(o, now - o.time <= days(300))",
        "contact.order_count == 1 && contact.total_spent == 10.0",
        "now - contact.last_order_time <= days(300)",
    ):
        assert (count(rule, NOW - days(900)), count(rule, NOW - days(1001))) == (1, 0), rule
    assert count("events.order_placed.size() > 0", NOW - days(1001)) == 0
    asking = 'in_segment("segments/vn")'
    assert count(asking, NOW - keep.memberships) == 0
    with pytest.raises(errors.FailedPrecondition) as caught:
        count(asking, NOW - keep.memberships - timedelta(seconds=1))
    assert refused(caught, NOW - keep.memberships)


def test_what_was_removed_stays_refused_when_more_is_kept_later(
    seg: World, api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    move(seg, KEY, 1, "VN")
    create(seg, api, "vn", VN)
    later(seg, days=1)
    move(seg, KEY, 2, "US")
    end = later(seg, days=1000)
    keep = seg.service.retention
    assert history.remove_old(seg.service) == 2
    for length in ("profiles", "memberships"):
        monkeypatch.setattr(type(keep), length, days(36_500))
    assert keep.profiles == keep.memberships == days(36_500)
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.evaluate_rule(rule=VN, as_of_time=to_timestamp(NOW))
    assert refused(caught, end - days(400))
    with pytest.raises(errors.FailedPrecondition) as caught:
        members(api, "vn", NOW)
    assert refused(caught, end - days(800))
    assert changes(api, contact=NAME) == []
