"""Every RPC of SegmentationService over a real port, with its errors."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from rapport.segmentation.v1 import segmentation_pb2 as pb
from rapport_client import errors

from services.kit.wire import from_timestamp, to_timestamp
from services.segmentation.usecases import traits
from tests.support.segmentation import (
    DEMO_RULES,
    NOW,
    Progress,
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
KEY_NONE = f"contacts/{contact_id(999)}"

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "create_segment": ("write", {"segment_id": "x", "segment": {"rule": "true"}}),
    "get_segment": ("read", {"name": "segments/none"}),
    "list_segments": ("read", {}),
    "update_segment": (
        "write",
        {"segment": {"name": "segments/none", "rule": "true"}, "update_mask": {"paths": ["rule"]}},
    ),
    "delete_segment": ("write", {"name": "segments/none"}),
    "rebuild_segments": ("write", {}),
    "evaluate_rule": ("read", {"rule": "true"}),
    "match_contacts": ("read", {"rule": "true"}),
    "list_members": ("read", {"segment": "segments/none"}),
    "list_contact_segments": ("read", {"contact": NAME}),
    "get_profile": ("read", {"contact": NAME}),
    "get_rule_schema": ("read", {}),
    "refresh_traits": ("write", {}),
    "add_members": ("write", {"segment": "segments/none", "contacts": [NAME]}),
    "remove_members": ("write", {"segment": "segments/none", "contacts": [NAME]}),
    "snapshot_segment": ("write", {"segment_id": "y", "segment": "segments/none"}),
    "apply_segments": ("write", {}),
}


@pytest.mark.parametrize("method", list(CALLS))
def test_each_rpc_asks_for_its_permission_and_no_more(served: Served, method: str) -> None:
    right, arguments = CALLS[method]
    wrong = "read" if right == "write" else "write"
    with pytest.raises(errors.Unauthenticated):
        getattr(served.client_with(token="wrong"), method)(**arguments)
    with pytest.raises(errors.PermissionDenied):
        getattr(served.client_with(f"segmentation.{wrong}", "contacts.*"), method)(**arguments)
    try:
        getattr(served.client_with(f"segmentation.{right}"), method)(**arguments)
    except errors.NotFound:
        assert "none" in str(arguments) or method == "get_profile"


def fields(caught: pytest.ExceptionInfo[errors.RapportError]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def create(api: Any, id_: str, rule: str, **more: Any) -> Any:
    return api.create_segment(segment_id=id_, segment={"rule": rule, "display_name": id_.title()}, **more)


def test_create_segment(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY, region_code="VN"))
    made = create(api, "vn", 'contact.region_code == "VN"')
    segment = made.segment
    assert (segment.name, segment.display_name, segment.version) == ("segments/vn", "Vn", 1)
    assert segment.state == pb.Segment.STATE_BUILDING
    assert segment.etag
    assert from_timestamp(segment.create_time) == from_timestamp(segment.update_time) == NOW
    assert not segment.HasField("rebuild_time")
    assert made.rebuild.kind == "rebuild_segments"
    assert not made.rebuild.done
    seg.rebuild("vn")
    built = api.get_segment(name="segments/vn").segment
    assert (built.state, built.member_count) == (pb.Segment.STATE_READY, 1)
    assert from_timestamp(built.rebuild_time) == NOW
    assert built.etag == segment.etag


def test_create_segment_only_to_validate_counts_and_stores_nothing(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY, region_code="VN"), contact(OTHER))
    checked = create(api, "vn", 'contact.region_code == "VN"', validate_only=True)
    assert (checked.segment.name, checked.segment.member_count) == ("segments/vn", 1)
    assert not checked.HasField("rebuild")
    assert not api.list_segments().segments
    with pytest.raises(errors.InvalidArgument):
        create(api, "vn", "contact.region == 1", validate_only=True)


@pytest.mark.parametrize(
    ("rule", "line", "column", "words"),
    [
        ("contact.agee > 3", "1", "8", "agee"),
        ("contact.age > 3 &&\n  contact.region_code == 4", "2", "23", "whole number"),
        ("contact.age >", "1", "14", ""),
        ("contact.age + 1", "1", "13", "true or false"),
        ("events.order_placed.exists(o, o.amout > 1.0)", "1", "32", "amout"),
        ('in_segment("segments/none")', "1", "12", "none"),
        ("loyalty.tear(contact) == 1", "1", None, "loyalty"),
        ("(" * 200 + "true" + ")" * 200, None, None, "nested"),
        ("contact.age > 3 || " * 1000 + "true", None, None, ""),
    ],
)
def test_create_segment_refuses_a_wrong_rule_and_shows_where(
    api: Any, rule: str, line: str | None, column: str | None, words: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        create(api, "bad", rule)
    assert caught.value.reason == "INVALID_RULE"
    assert fields(caught) == {"segment.rule"}
    assert words in str(caught.value)
    if line is not None:
        assert caught.value.metadata["line"] == line
    if column is not None:
        assert caught.value.metadata["column"] == column
    assert not api.list_segments().segments


def test_create_segment_refuses_bad_requests(api: Any) -> None:
    for id_ in ("X", "1a", "a b", "a/b", "-", "a" * 64):
        with pytest.raises(errors.InvalidArgument) as caught:
            create(api, id_, "true")
        assert fields(caught) == {"segment_id"}
    with pytest.raises(errors.InvalidArgument) as caught:
        create(api, "a", "")
    assert fields(caught) == {"segment.rule"}
    with pytest.raises(errors.InvalidArgument) as caught:
        create(api, "a", "true || " * 3000 + "true")
    assert fields(caught) == {"segment.rule"}
    with pytest.raises(errors.InvalidArgument) as caught:
        api.create_segment(segment_id="a", segment={"rule": "true", "name": "segments/b"})
    assert fields(caught) == {"segment.name"}
    create(api, "a", "true")
    with pytest.raises(errors.AlreadyExists):
        create(api, "a", "true")
    with pytest.raises(errors.AlreadyExists):
        create(api, "a", "true", validate_only=True)


def test_create_segment_with_a_request_id_happens_once(api: Any) -> None:
    request = {"segment_id": "once", "segment": {"rule": "true"}, "request_id": uuid4().hex}
    assert api.create_segment(**request) == api.create_segment(**request)
    with pytest.raises(errors.InvalidArgument) as caught:
        api.create_segment(**{**request, "segment_id": "twice"})
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_circles_of_segments_are_refused(api: Any) -> None:
    create(api, "a", "true")
    create(api, "b", 'in_segment("segments/a")')
    create(api, "c", '!in_segment("segments/b")')
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.update_segment(
            segment={"name": "segments/a", "rule": 'in_segment("segments/c")'},
            update_mask={"paths": ["rule"]},
        )
    assert caught.value.reason == "SEGMENT_CYCLE"
    assert "segments/a -> segments/c -> segments/b -> segments/a" in str(caught.value)
    with pytest.raises(errors.FailedPrecondition):
        api.update_segment(
            segment={"name": "segments/a", "rule": '!in_segment("segments/a")'},
            update_mask={"paths": ["rule"]},
        )


def test_get_segment(api: Any) -> None:
    made = create(api, "a", "contact.age > 3").segment
    assert api.get_segment(name="segments/a").segment == made
    with pytest.raises(errors.NotFound):
        api.get_segment(name="segments/b")
    for name in ("a", "segments/", "segments/A", "contacts/a", ""):
        with pytest.raises(errors.InvalidArgument):
            api.get_segment(name=name)


def test_list_segments(api: Any) -> None:
    for id_ in ("b", "a", "a-1", "a_1", "z"):
        create(api, id_, "true")
    first = api.list_segments(page_size=2)
    assert [item.name for item in first.segments] == ["segments/a", "segments/a-1"]
    second = api.list_segments(page_size=2, page_token=first.next_page_token)
    assert [item.name for item in second.segments] == ["segments/a_1", "segments/b"]
    third = api.list_segments(page_token=second.next_page_token)
    assert [item.name for item in third.segments] == ["segments/z"]
    assert not third.next_page_token
    with pytest.raises(errors.InvalidArgument):
        api.list_segments(page_size=-1)
    with pytest.raises(errors.InvalidArgument):
        api.list_segments(page_token="nonsense")
    token = api.list_members(segment="segments/a", page_size=1).next_page_token or first.next_page_token
    with pytest.raises(errors.InvalidArgument):
        api.list_members(segment="segments/a", page_token=token)


def test_update_segment(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY, region_code="VN"), contact(OTHER, region_code="US"))
    made = create(api, "a", 'contact.region_code == "VN"').segment
    seg.rebuild("a")
    seg.clock.instant = NOW + timedelta(hours=1)
    named = api.update_segment(
        segment={"name": "segments/a", "display_name": "New"},
        update_mask={"paths": ["display_name"]},
        etag=made.etag,
    )
    assert (named.segment.display_name, named.segment.rule, named.segment.version) == ("New", made.rule, 1)
    assert not named.HasField("rebuild")
    assert named.segment.etag != made.etag
    assert from_timestamp(named.segment.update_time) == NOW + timedelta(hours=1)
    with pytest.raises(errors.Aborted) as caught:
        api.update_segment(
            segment={"name": "segments/a", "display_name": "Other"},
            update_mask={"paths": ["display_name"]},
            etag=made.etag,
        )
    assert caught.value.reason == "ETAG_MISMATCH"
    ruled = api.update_segment(
        segment={"name": "segments/a", "rule": 'contact.region_code == "US"'}, update_mask={"paths": ["rule"]}
    )
    assert ruled.HasField("rebuild")
    assert (ruled.segment.version, ruled.segment.state) == (2, pb.Segment.STATE_BUILDING)
    # Until it is rebuilt its members are those of the rule before, which still follow every event.
    assert ruled.segment.member_count == 1
    seg.deliver(contact(KEY, revision=2, region_code="US"))
    assert api.get_segment(name="segments/a").segment.member_count == 0
    seg.rebuild("a")
    built = api.get_segment(name="segments/a").segment
    assert (built.state, built.member_count, built.version) == (pb.Segment.STATE_READY, 2, 2)


def test_update_segment_that_changes_nothing_writes_nothing(api: Any) -> None:
    made = create(api, "a", "true").segment
    done = api.update_segment(segment=made, update_mask={"paths": ["rule", "display_name"]})
    assert done.segment == made
    assert not done.HasField("rebuild")


def test_update_segment_only_to_validate(seg: World, api: Any) -> None:
    made = create(api, "a", "true").segment
    change: dict[str, Any] = {
        "segment": {"name": "segments/a", "rule": "false"},
        "update_mask": {"paths": ["rule"]},
    }
    checked = api.update_segment(**change, validate_only=True)
    assert checked.segment.rule == "false"
    assert api.get_segment(name="segments/a").segment == made
    seg.deliver(contact(KEY, region_code="VN"), contact(OTHER))
    seg.rebuild("a")
    change["segment"]["rule"] = 'contact.region_code == "VN"'
    assert api.update_segment(**change, validate_only=True).segment.member_count == 1
    # Nothing is counted where no rule changes.
    named = {
        "segment": {"name": "segments/a", "display_name": "A"},
        "update_mask": {"paths": ["display_name"]},
    }
    assert api.update_segment(**named, validate_only=True).segment.member_count == 2
    assert api.get_segment(name="segments/a").segment.member_count == 2
    with pytest.raises(errors.Aborted):
        api.update_segment(**change, validate_only=True, etag="old")


def test_update_segment_refuses_bad_requests(api: Any) -> None:
    create(api, "a", "true")
    mask = {"paths": ["rule"]}
    with pytest.raises(errors.NotFound):
        api.update_segment(segment={"name": "segments/b", "rule": "true"}, update_mask=mask)
    with pytest.raises(errors.InvalidArgument) as caught:
        api.update_segment(segment={"name": "segments/a", "rule": "contact.x"}, update_mask=mask)
    assert caught.value.reason == "INVALID_RULE"
    with pytest.raises(errors.InvalidArgument) as caught:
        api.update_segment(segment={"name": "segments/a", "rule": "true"}, update_mask={"paths": ["version"]})
    assert fields(caught) == {"update_mask"}
    with pytest.raises(errors.InvalidArgument) as caught:
        api.update_segment(segment={"name": "segments/a", "rule": "true"})
    assert fields(caught) == {"update_mask"}


def test_update_segment_with_a_request_id_happens_once(api: Any) -> None:
    create(api, "a", "true")
    request = {
        "segment": {"name": "segments/a", "rule": "false"},
        "update_mask": {"paths": ["rule"]},
        "request_id": uuid4().hex,
    }
    assert api.update_segment(**request) == api.update_segment(**request)
    assert api.get_segment(name="segments/a").segment.version == 2


def test_delete_segment(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY))
    made = create(api, "a", "true").segment
    create(api, "b", 'in_segment("segments/a")')
    seg.rebuild()
    with pytest.raises(errors.FailedPrecondition) as caught:
        api.delete_segment(name="segments/a")
    assert caught.value.reason == "SEGMENT_IN_USE"
    assert "segments/b" in str(caught.value)
    with pytest.raises(errors.Aborted):
        api.delete_segment(name="segments/b", etag="old")
    api.delete_segment(name="segments/b")
    api.delete_segment(name="segments/a", etag=made.etag)
    assert [item[:3] for item in seg.told()][2:] == [("segment.left", "b", KEY), ("segment.left", "a", KEY)]
    with pytest.raises(errors.NotFound):
        api.delete_segment(name="segments/a")
    again = create(api, "a", "false").segment
    assert again.etag != made.etag
    assert again.member_count == 0
    seg.deliver(contact(KEY, revision=2))
    assert seg.members("a") == set()


def test_rebuild_segments(seg: World, api: Any) -> None:
    create(api, "a", "true")
    for names in ([], ["segments/a"]):
        operation = api.rebuild_segments(names=names).operation
        assert operation.kind == "rebuild_segments"
        assert operation.progress.unit == "contacts"
    request_id = uuid4().hex
    first = api.rebuild_segments(names=["segments/a"], request_id=request_id).operation
    assert api.rebuild_segments(names=["segments/a"], request_id=request_id).operation.name == first.name
    with pytest.raises(errors.NotFound):
        api.rebuild_segments(names=["segments/a", "segments/b"])
    with pytest.raises(errors.InvalidArgument) as caught:
        api.rebuild_segments(names=["segments/a", "a"])
    assert fields(caught) == {"names[1]"}
    seg.deliver(contact(KEY))
    (result,) = seg.rebuild("a").segments
    assert result == pb.SegmentRebuild(segment="segments/a", version=1, entered_count=1, member_count=1)


def test_match_contacts(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY), contact(OTHER), order(KEY, NOW - days(3)), order(OTHER, NOW - days(1)))
    rule = "events.order_placed.exists(o, now - o.time <= days(1))"
    assert list(api.match_contacts(rule=rule, contacts=[KEY_NONE, NAME, OTHER_NAME]).contacts) == [OTHER_NAME]
    assert not api.match_contacts(rule=rule, contacts=[NAME]).contacts
    assert not api.match_contacts(rule=rule).contacts
    for contacts in ([], [NAME]):
        with pytest.raises(errors.InvalidArgument) as caught:
            api.match_contacts(rule="contact.nonsense > 1", contacts=contacts)
        assert caught.value.reason == "INVALID_RULE"
    with pytest.raises(errors.InvalidArgument):
        api.match_contacts(rule="true", contacts=[NAME] * 1001)
    # At another time, what was there then counts.
    for at, found in ((NOW - days(2), [NAME]), (NOW - days(5), []), (NOW + days(5), [])):
        answer = api.match_contacts(rule=rule, contacts=[NAME, OTHER_NAME], as_of_time=at)
        assert list(answer.contacts) == found
    # Its Python form is shown the profiles of then.
    for at, found in ((NOW - days(2), [NAME]), (NOW - days(5), [])):
        rule = 'loyalty.tier(contact) != "gold" && events.order_placed.size() > 0'
        answer = api.match_contacts(rule=rule, contacts=[NAME, OTHER_NAME], as_of_time=at)
        assert list(answer.contacts) == found
    # A plugin's rule is asked about these contacts alone.
    assert list(api.match_contacts(rule='loyalty.tier(contact) != "gold"', contacts=[NAME]).contacts) == [
        NAME
    ]


def test_evaluate_rule(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY), contact(OTHER), order(KEY, NOW - days(3)), order(OTHER, NOW - days(1)))
    rule = "events.order_placed.exists(o, now - o.time <= days(1))"
    found = api.evaluate_rule(rule=rule, sample_size=10)
    assert (found.member_count, found.contact_count) == (1, 2)
    assert list(found.sample_contacts) == [OTHER_NAME]
    assert from_timestamp(found.as_of_time) == NOW
    past = api.evaluate_rule(rule=rule, as_of_time=to_timestamp(NOW - days(3)), sample_size=10)
    assert list(past.sample_contacts) == [NAME]
    assert from_timestamp(past.as_of_time) == NOW - days(3)
    create(api, "a", rule)
    assert api.evaluate_rule(segment="segments/a").member_count == 1
    everybody = [api.evaluate_rule(rule="true", sample_size=1).sample_contacts[0] for _ in range(3)]
    assert len(set(everybody)) == 1
    assert api.evaluate_rule(rule="true").sample_contacts == []


def test_evaluate_rule_refuses_bad_requests(api: Any) -> None:
    with pytest.raises(errors.NotFound):
        api.evaluate_rule(segment="segments/a")
    with pytest.raises(errors.InvalidArgument) as caught:
        api.evaluate_rule(rule="contact.agee > 3")
    assert (caught.value.reason, fields(caught)) == ("INVALID_RULE", {"rule"})
    with pytest.raises(errors.InvalidArgument):
        api.evaluate_rule()
    with pytest.raises(errors.InvalidArgument):
        api.evaluate_rule(rule="true", sample_size=1001)
    with pytest.raises(errors.InvalidArgument) as caught:
        api.evaluate_rule(rule="true", as_of_time=to_timestamp(NOW.replace(year=900)))
    assert fields(caught) == {"as_of_time"}


def test_evaluate_rule_that_takes_too_long(seg: World, api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from services.segmentation.usecases import previewing

    monkeypatch.setattr(previewing, "LONGEST_SECONDS", 0.001)
    seg.deliver(*(contact(contact_id(number)) for number in range(500)))
    seg.deliver(*(order(contact_id(number), NOW) for number in range(500)))
    create(api, "slow", "true")
    rule = " || ".join(
        f"sum(events.order_placed.filter(o, o.amount > {n}.5).map(o, o.amount)) > 1e9" for n in range(20)
    )
    with pytest.raises(errors.ResourceExhausted) as caught:
        api.evaluate_rule(rule=rule)
    assert caught.value.reason == "RULE_TOO_COSTLY"


def test_list_members(seg: World, api: Any) -> None:
    keys = sorted(contact_id(number) for number in range(5))
    seg.deliver(*(contact(key) for key in keys))
    create(api, "a", "true")
    seg.rebuild("a")
    first = api.list_members(segment="segments/a", page_size=3)
    second = api.list_members(segment="segments/a", page_size=3, page_token=first.next_page_token)
    assert [*first.contacts, *second.contacts] == [f"contacts/{key}" for key in keys]
    assert not second.next_page_token
    create(api, "b", "true")
    with pytest.raises(errors.InvalidArgument) as caught:
        api.list_members(segment="segments/b", page_token=first.next_page_token)
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"
    with pytest.raises(errors.NotFound):
        api.list_members(segment="segments/none")
    with pytest.raises(errors.InvalidArgument):
        api.list_members(segment="segments/a", page_size=10_001)


def test_list_contact_segments(seg: World, api: Any) -> None:
    seg.deliver(contact(KEY))
    for id_ in ("b", "a"):
        create(api, id_, "true")
    create(api, "c", "false")
    seg.rebuild()
    found = api.list_contact_segments(contact=NAME).segments
    assert [(item.segment, item.display_name) for item in found] == [("segments/a", "A"), ("segments/b", "B")]
    assert {from_timestamp(item.enter_time) for item in found} == {NOW}
    assert not api.list_contact_segments(contact=OTHER_NAME).segments
    with pytest.raises(errors.InvalidArgument):
        api.list_contact_segments(contact="contacts/x")


def test_get_profile(seg: World, api: Any) -> None:
    seg.deliver(page_visited_defined(), attribute_defined("score", 2))
    seg.deliver(
        contact(
            KEY,
            revision=4,
            region_code="VN",
            attributes={"score": 3},
            tags=["vip"],
            consents={"email_marketing": "denied"},
        ),
        visit(KEY, NOW),
        order(KEY, NOW, "12.5"),
    )
    profile = api.get_profile(contact=NAME)
    assert dict(profile.attributes) == {
        "kind": "person",
        "has_email": False,
        "has_phone": False,
        "region_code": "VN",
        "score": 3,
        "order_count": 1,
        "total_spent": 12.5,
        "first_order_time": "2026-03-01T12:00:00Z",
        "last_order_time": "2026-03-01T12:00:00Z",
    }
    assert list(profile.tags) == ["vip"]
    assert dict(profile.consents) == {"email_marketing": "denied"}
    assert dict(profile.event_counts) == {"page_visited": 1, "order_placed": 1}
    assert profile.revision == 4
    with pytest.raises(errors.NotFound):
        api.get_profile(contact=OTHER_NAME)
    with pytest.raises(errors.InvalidArgument):
        api.get_profile(contact="contacts/x")


def test_get_rule_schema(seg: World, api: Any) -> None:
    seg.deliver(page_visited_defined(), attribute_defined("score", 2))
    schema = api.get_rule_schema()
    attributes = {item.name: (item.type, item.optional) for item in schema.attributes}
    assert attributes["score"] == ("int", True)
    assert attributes["has_email"] == ("bool", False)
    assert attributes["tags"][0] == "list(string)"
    assert attributes["consents.email_marketing"] == ("string", True)
    events = {item.name: item for item in schema.event_types}
    assert set(events) == {
        *("order_placed", "order_returned", "payment_received", "page_visited"),
        *("message_clicked", "message_opened"),
    }
    assert events["page_visited"].type == "page.visited"
    assert [(item.name, item.type, item.optional) for item in events["page_visited"].fields] == [
        ("url", "string", True)
    ]
    amounts = {item.name: item.type for item in events["order_placed"].fields}
    assert amounts["amount"] == "double"
    assert ("rfm_recency", "int", "rfm") in {(item.name, item.type, item.plugin) for item in schema.traits}
    (tier,) = schema.functions
    assert (tier.name, tier.returns, tier.available) == ("loyalty.tier", "string", True)
    month = next(item for item in schema.built_ins if item.name == "getMonth")
    assert (month.returns, list(month.parameters), month.method) == (
        "int",
        ["timestamp", "literal string?"],
        True,
    )
    # Whatever the schema names can be used.
    seg.define("churned", "false")
    for built_in in schema.built_ins:
        api.evaluate_rule(rule=built_in.example)
    names = [item for item in schema.attributes if item.name not in ("tags", "location", "birth_date")]
    for item in names:
        api.evaluate_rule(rule=f"has(contact.{item.name})")


def test_refresh_traits(seg: World, api: Any) -> None:
    for number in range(1, 6):
        seg.deliver(
            contact(contact_id(number)), *(order(contact_id(number), NOW - days(n)) for n in range(number))
        )
    operation = api.refresh_traits(traits=["rfm.scores"]).operation
    assert operation.kind == "refresh_traits"
    result = traits.refresh(seg.service, pb.RefreshTraitsRequest(), Progress())
    assert result == pb.RefreshTraitsResult(changed_count=5, traits=["rfm.scores"])
    shown = dict(api.get_profile(contact=f"contacts/{contact_id(5)}").traits)
    assert (shown["rfm_frequency"], shown["rfm_monetary"]) == (5, 5)
    request_id = uuid4().hex
    first = api.refresh_traits(request_id=request_id).operation
    assert api.refresh_traits(request_id=request_id).operation.name == first.name
    with pytest.raises(errors.NotFound) as caught:
        api.refresh_traits(traits=["rfm.none"])
    assert caught.value.reason == "TRAIT_NOT_FOUND"


def test_the_five_segments_of_the_demo_through_the_api(seg: World, api: Any) -> None:
    seg.deliver(page_visited_defined(), *(contact(contact_id(number)) for number in range(5)))
    browser, lapsed, loyal, newcomer, nobody = (contact_id(number) for number in range(5))
    seg.deliver(
        *(visit(browser, NOW - days(number)) for number in (1, 2, 30)),
        order(lapsed, NOW - days(91)),
        *(order(loyal, NOW - days(number)) for number in (1, 61, 62, 63, 64)),
        order(newcomer, NOW - days(30)),
        order(newcomer, NOW - days(29)),
        *(visit(nobody, NOW - days(number)) for number in (1, 2, 31)),
    )
    for id_, rule in DEMO_RULES.items():
        create(api, id_, rule)
    seg.rebuild()
    found = {id_: list(api.list_members(segment=f"segments/{id_}").contacts) for id_ in DEMO_RULES}
    assert found == {
        "browsers": [f"contacts/{browser}"],
        "lapsed": [f"contacts/{lapsed}"],
        "loyal": [f"contacts/{loyal}"],
        "newcomers": [f"contacts/{newcomer}"],
        "repeat": [f"contacts/{newcomer}"],
    }
    for id_ in DEMO_RULES:
        assert api.evaluate_rule(segment=f"segments/{id_}").member_count == 1
        assert api.get_segment(name=f"segments/{id_}").segment.member_count == 1
