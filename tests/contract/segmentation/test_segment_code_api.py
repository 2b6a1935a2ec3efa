"""ApplySegments over a real port."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from rapport.segmentation.v1 import segmentation_pb2 as pb
from rapport_client import errors

from tests.support.segmentation import World, contact, contact_id

KEYS = [contact_id(number) for number in range(4)]
A = pb.AppliedSegment


def change(id_: str, rule: str = "", **more: Any) -> dict[str, Any]:
    """Return a wish for a segment; without a rule, a list."""
    segment = {"name": f"segments/{id_}", "display_name": id_.title(), "rule": rule}
    if not rule:
        segment["kind"] = "KIND_LIST"
    segment.update(more.pop("segment", {}))
    return {"segment": segment, **more}


def within(id_: str) -> str:
    return f'in_segment("segments/{id_}")'


def shown(answer: Any) -> list[tuple[str, int]]:
    return [(item.segment.name.removeprefix("segments/"), item.action) for item in answer.segments]


@pytest.fixture
def people(seg: World) -> World:
    """Four contacts, of whom the first two come from Vietnam."""
    seg.deliver(*(contact(key, region_code="VN" if at < 2 else "US") for at, key in enumerate(KEYS)))
    return seg


VN = 'contact.region_code == "VN"'


def test_apply_segments_that_name_each_other_in_any_order(people: World, api: Any) -> None:
    wanted = [
        change("c", f"!{within('b')}"),
        change("b", f"{within('a')} || {within('hand')}"),
        change("a", VN),
        change("hand"),
    ]
    checked = api.apply_segments(changes=wanted, validate_only=True)
    created = dict.fromkeys("abc", A.ACTION_CREATED) | {"hand": A.ACTION_CREATED}
    assert dict(shown(checked)) == created
    assert not checked.HasField("rebuild")
    assert api.list_segments().segments == []
    expected = {
        item.segment.name: item.expected_member_count
        for item in checked.segments
        if item.HasField("expected_member_count")
    }
    # The others rest on segments that have no members yet.
    assert expected == {"segments/a": 2}
    assert all(not item.HasField("previous") and not item.segment.etag for item in checked.segments)
    done = api.apply_segments(changes=wanted)
    order = [id_ for id_, _ in shown(done)]
    assert order.index("a") < order.index("b") < order.index("c")
    assert order.index("hand") < order.index("b")
    assert done.rebuild.kind == "rebuild_segments"
    people.rebuild("a", "b", "c")
    assert people.members("c") == set(KEYS[2:])
    again = api.apply_segments(changes=wanted)
    assert {action for _, action in shown(again)} == {A.ACTION_UNCHANGED}
    assert not again.HasField("rebuild")
    assert all(item.segment == item.previous for item in again.segments)


def test_apply_segments_changes_and_deletes(people: World, api: Any) -> None:
    api.apply_segments(changes=[change("a", VN), change("b", within("a")), change("c", within("b"))])
    people.rebuild()
    before = {item.name: item for item in api.list_segments().segments}
    changes = [
        change("a", 'contact.region_code == "US"', etag=before["segments/a"].etag),
        change("new", within("a"), create_only=True),
    ]
    deletions = [{"name": f"segments/{id_}", "etag": before[f"segments/{id_}"].etag} for id_ in "bc"]
    checked = api.apply_segments(changes=changes, deletions=deletions, validate_only=True)
    done = api.apply_segments(changes=changes, deletions=deletions)
    assert (
        shown(checked)
        == shown(done)
        == [
            ("a", A.ACTION_CHANGED),
            ("new", A.ACTION_CREATED),
            ("c", A.ACTION_DELETED),
            ("b", A.ACTION_DELETED),
        ]
    )
    assert done.segments[0].previous == before["segments/a"]
    assert (done.segments[0].segment.version, done.segments[0].segment.state) == (
        2,
        pb.Segment.STATE_BUILDING,
    )
    assert done.segments[0].segment.etag != before["segments/a"].etag
    assert checked.segments[0].expected_member_count == 2
    assert done.segments[2].segment.member_count == 2
    left = {item[:3] for item in people.told() if item[0] == "segment.left"}
    assert left == {("segment.left", id_, key) for id_ in "bc" for key in KEYS[:2]}
    people.rebuild()
    assert people.everybody() == {"a": set(KEYS[2:]), "new": set(KEYS[2:])}


def test_apply_segments_is_all_or_nothing(people: World, api: Any) -> None:
    kept = api.apply_segments(changes=[change("a", VN), change("hand")]).segments
    state = list(api.list_segments().segments)
    good = change("good", "true")
    cases: list[tuple[type[errors.RapportError], str, list[Any], list[Any]]] = [
        (errors.InvalidArgument, "twice", [good, good], []),
        (errors.InvalidArgument, "twice", [good, change("a", VN)], [{"name": "segments/a"}]),
        (errors.InvalidArgument, "agee", [good, change("bad", "contact.agee > 3")], []),
        (errors.InvalidArgument, "none", [good, change("bad", within("none"))], []),
        (errors.InvalidArgument, "rule", [good, change("bad", segment={"kind": "KIND_RULE"})], []),
        (errors.InvalidArgument, "etag", [good, change("bad", "true", etag="1-1", create_only=True)], []),
        (errors.InvalidArgument, "name", [good, change("Bad", "true")], []),
        (errors.NotFound, "segments/none", [good], [{"name": "segments/none"}]),
        (errors.NotFound, "segments/gone", [good, change("gone", "true", etag="1-1")], []),
        (errors.Aborted, "segments/a", [good, change("a", "true", etag="old")], []),
        (errors.Aborted, "segments/a", [good], [{"name": "segments/a", "etag": "old"}]),
        (errors.AlreadyExists, "segments/a", [good, change("a", "true", create_only=True)], []),
        (errors.FailedPrecondition, "RULE", [good, change("a")], []),
        (errors.FailedPrecondition, "LIST", [good, change("hand", "true")], []),
        (errors.FailedPrecondition, "segments/good", [change("good", within("a"))], [{"name": "segments/a"}]),
        (
            errors.FailedPrecondition,
            "segments/x -> segments/y -> segments/x",
            [good, change("x", within("y")), change("y", within("x"))],
            [],
        ),
    ]
    for kind, words, changes, deletions in cases:
        for only in (True, False):
            with pytest.raises(kind) as caught:
                api.apply_segments(changes=changes, deletions=deletions, validate_only=only)
            assert words in str(caught.value), (words, str(caught.value))
    assert list(api.list_segments().segments) == state
    assert len(kept) == 2


def test_apply_segments_tells_of_every_wrong_rule_with_its_place(people: World, api: Any) -> None:
    changes = [
        change("one", "contact.agee > 3"),
        change("two", "true"),
        change("three", f"{within('one')} &&\n  contact.region_code == 4"),
    ]
    with pytest.raises(errors.InvalidArgument) as caught:
        api.apply_segments(changes=changes)
    assert caught.value.reason == "INVALID_RULE"
    assert [item.field for item in caught.value.violations] == [
        "changes[0].segment.rule",
        "changes[2].segment.rule",
    ]
    places = caught.value.metadata
    assert (places["changes[0].line"], places["changes[0].column"]) == ("1", "8")
    assert places["changes[2].line"] == "2"


def test_apply_segments_does_not_delete_what_a_rule_in_force_names(people: World, api: Any) -> None:
    api.apply_segments(changes=[change("a", VN), change("b", within("a"))])
    people.rebuild()
    changes, deletions = [change("b", VN)], [{"name": "segments/a"}]
    # The set is sound, but not before the new rule is in force.
    api.apply_segments(changes=changes, deletions=deletions, validate_only=True)
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.apply_segments(changes=changes, deletions=deletions)
    assert caught.value.reason == "SEGMENT_IN_USE"
    api.apply_segments(changes=changes)
    with pytest.raises(errors.FailedPrecondition):
        api.apply_segments(deletions=deletions)
    people.rebuild("b")
    api.apply_segments(deletions=deletions)
    assert people.everybody() == {"b": set(KEYS[:2])}


def test_apply_segments_refuses_a_circle_with_a_rule_in_force(people: World, api: Any) -> None:
    api.apply_segments(changes=[change("a", VN), change("b", within("a"))])
    people.rebuild()
    turned = [change("b", VN), change("a", within("b"))]
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.apply_segments(changes=turned)
    assert caught.value.reason == "SEGMENT_CYCLE"
    assert "until its segment is rebuilt" in str(caught.value)
    api.apply_segments(changes=turned[:1])
    people.rebuild("b")
    api.apply_segments(changes=turned)
    people.rebuild()
    assert people.everybody() == {"a": set(KEYS[:2]), "b": set(KEYS[:2])}


def test_apply_segments_with_a_request_id_happens_once(people: World, api: Any) -> None:
    request = {"changes": [change("a", VN)], "request_id": uuid4().hex}
    first = api.apply_segments(**request)
    api.delete_segment(name="segments/a")
    assert api.apply_segments(**request) == first
    assert api.list_segments().segments == []
    with pytest.raises(errors.InvalidArgument) as caught:
        api.apply_segments(**{**request, "changes": []})
    assert caught.value.reason == "REQUEST_ID_REUSED"
