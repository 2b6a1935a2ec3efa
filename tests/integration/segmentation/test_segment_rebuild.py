"""Rebuilds: order, cancellation, resumption, failure, and plans that survive a rollback."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
from rapport.segmentation.v1 import segmentation_pb2 as pb

from services.kit.errors import Cancelled, FailedPrecondition
from services.segmentation.store import segments, sweeps
from services.segmentation.usecases import defining
from services.segmentation.usecases.defining import Change
from tests.support.segmentation import (
    NOW,
    Progress,
    World,
    activity_defined,
    attribute_defined,
    contact,
    contact_id,
    days,
    order,
)
from tests.support.segmentation_scratch import agrees_with_scratch

KEY, OTHER = contact_id(1), contact_id(2)


def change_rule(seg: World, id_: str, rule: str) -> None:
    with seg.db.transaction() as connection:
        defining.update_segment(seg.service, connection, id_, Change(rule=rule), "")


def test_segments_that_name_a_changed_one_are_rebuilt_after_it(seg: World) -> None:
    """Also when only the first was asked for; those that nothing changed for are left alone."""
    seg.deliver(contact(KEY, region_code="VN"), contact(OTHER, region_code="US"))
    seg.define("base", 'contact.region_code == "VN"')
    seg.define("not_base", '!in_segment("segments/base")')
    seg.define("above", 'in_segment("segments/not_base")')
    seg.define("apart", "true")
    assert seg.everybody() == {"base": {KEY}, "not_base": {OTHER}, "above": {OTHER}, "apart": {KEY, OTHER}}
    change_rule(seg, "base", 'contact.region_code == "US"')
    result = seg.rebuild("base")
    assert [item.segment for item in result.segments] == [
        "segments/base",
        "segments/not_base",
        "segments/above",
    ]
    assert all(
        (item.entered_count, item.left_count, item.member_count) == (1, 1, 1) for item in result.segments
    )
    assert [item.version for item in result.segments] == [2, 1, 1]
    assert seg.everybody() == {"base": {OTHER}, "not_base": {KEY}, "above": {KEY}, "apart": {KEY, OTHER}}
    assert [item.segment for item in seg.rebuild("base").segments] == ["segments/base"]


def test_a_cancelled_rebuild_leaves_whole_segments_and_can_go_on(seg: World) -> None:
    """What was done stays done; what it has not come to is said to wait; a resumed one begins behind it."""
    seg.deliver(contact(KEY))
    for id_ in ("a", "b", "c"):
        seg.define(id_, "true", build=False)
    seg.define("follows_a", 'in_segment("segments/a")')
    progress = Progress(stop_before=2)
    request = pb.RebuildSegmentsRequest(names=[f"segments/{id_}" for id_ in "abc"])
    from services.segmentation.usecases import rebuilding

    with pytest.raises(Cancelled):
        rebuilding.rebuild(seg.service, request, progress)
    assert seg.everybody() == {"a": {KEY}, "b": {KEY}, "c": set(), "follows_a": set()}
    with seg.db.read() as connection:
        found = {
            item.id: (item.state, item.state_message)
            for item in segments.list_page(connection, after="", limit=9)
        }
    assert found["a"] == found["b"] == ("ready", "")
    assert found["c"] == ("failed", "its rebuild was cancelled before it came to an end: rebuild it")
    assert found["follows_a"][0] == "failed"
    assert found["follows_a"][1].startswith(
        "a segment that its rule names was rebuilt, and the rebuild that follows"
    )
    resumed = Progress(state=progress.state)
    result = rebuilding.rebuild(seg.service, request, resumed)
    assert [item.segment for item in result.segments] == [
        f"segments/{id_}" for id_ in ("a", "b", "c", "follows_a")
    ]
    assert seg.everybody() == {"a": {KEY}, "b": {KEY}, "c": {KEY}, "follows_a": {KEY}}
    assert sum(item[0] == "segment.entered" for item in seg.told()) == 4
    assert [stage[:2] for stage in resumed.stages] == [(3, 4), (4, 4)]
    assert set(seg.query("SELECT state || state_message FROM segment")) == {"ready"}


def test_a_rebuild_goes_slice_by_slice_and_tells_how_far_it_is(
    seg: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the ids are; contacts that are not known yet are in some slice as well."""
    for name, value in {"START": 3, "FEWEST": 3, "FASTER": 1, "SLOWER": 1}.items():
        monkeypatch.setattr(sweeps, name, value)
    many = sorted([UUID(int=0), UUID(int=2**128 - 1), *map(contact_id, range(6))])
    seg.deliver(*(contact(key, region_code="VN" if at % 2 else "US") for at, key in enumerate(many)))
    stranger = contact_id(99)
    seg.deliver(*(order(key, NOW - days(1)) for key in (*many[::3], stranger)))
    progress = Progress()
    seg.define("mixed", "true", build=False)
    seg.rebuild("mixed", progress=progress)
    assert seg.members("mixed") == set(many)
    assert [told[:2] for told in progress.told if "looking" in told[2]] == [(0, 8), (3, 8), (6, 8), (8, 8)]
    rule = 'contact.region_code == "VN" || events.order_placed.exists(o, now - o.time <= days(2))'
    change_rule(seg, "mixed", rule)
    (item,) = seg.rebuild("mixed").segments
    assert seg.members("mixed") == {*many[::3], *many[1::2]}
    assert item.left_count == len(many) - len(seg.members("mixed"))
    ends = NOW + days(1) + timedelta(microseconds=1)
    assert {key for key in (*many, stranger) if seg.next_change(key) == ends} == {*many[::3], stranger}
    agrees_with_scratch(seg)


def test_a_rule_that_does_not_compile_any_more_keeps_its_members(seg: World) -> None:
    """Such as one whose event type lost a field; it says why, and the others go on."""
    field = {"size": (2, False)}
    seg.deliver(activity_defined("box.opened", field), contact(KEY))
    seg.define("boxes", "events.box_opened.filter(b, b.size > 3).size() == 0")
    seg.define("all", "true")
    seg.deliver(activity_defined("box.opened", {}))
    seg.deliver(contact(OTHER))
    assert seg.everybody() == {"boxes": {KEY}, "all": {KEY, OTHER}}
    with pytest.raises(FailedPrecondition, match="size") as caught:
        seg.rebuild()
    assert caught.value.reason == "REBUILD_FAILED"
    with seg.db.read() as connection:
        found = defining.load(connection, "boxes")
    assert found.state == "failed"
    assert "size" in found.state_message
    assert seg.everybody() == {"boxes": {KEY}, "all": {KEY, OTHER}}
    seg.deliver(activity_defined("box.opened", field))
    seg.rebuild("boxes")
    assert seg.everybody() == {"boxes": {KEY, OTHER}, "all": {KEY, OTHER}}


def test_a_definition_that_was_rolled_back_leaves_no_trace_in_the_process(seg: World) -> None:
    """The rules are compiled anew for what came in its place."""
    from services.segmentation.usecases import projection

    seg.define("scored", "has(contact.region_code)")
    with seg.db.engine.connect() as connection:
        bad = [attribute_defined("score", 2), contact(KEY, region_code="VN")]
        projection.apply_events(seg.service, connection, bad)
        connection.rollback()
    seg.deliver(attribute_defined("score", 1), contact(KEY, attributes={"score": "high"}))
    seg.define("high", 'contact.score == "high"')
    seg.deliver(order(KEY, NOW), contact(OTHER, attributes={"score": "high"}))
    assert seg.everybody() == {"scored": set(), "high": {KEY, OTHER}}


def test_the_members_of_the_rule_before_follow_events_until_the_new_one_is_built(seg: World) -> None:
    """A change of the rule alone changes nobody's membership."""
    seg.deliver(contact(KEY, region_code="VN"))
    seg.define("a", 'contact.region_code == "VN"')
    change_rule(seg, "a", 'contact.region_code == "US"')
    seg.deliver(contact(OTHER, region_code="VN"))
    assert seg.members("a") == {KEY, OTHER}
    seg.rebuild("a")
    assert seg.members("a") == set()
