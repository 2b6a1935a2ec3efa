"""What a proto declares about a request is checked, and each violation is named by its path."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapport.type.v1.money_pb2 import Money

from services.kit.grpc.validation import compile_check, violations_error
from tests.support.echo import pb


def violations(message):
    check = compile_check(message.DESCRIPTOR)
    return {item.field: item.description for item in check(message)}


def thing(**fields):
    return pb.Thing(**({"display_name": "An", "weight": 0.0, "colour": pb.COLOUR_RED} | fields))


def test_a_valid_message_has_no_violations():
    full = thing(
        name="things/01890a5d-ac96-774b-bcce-b302099a8057",
        emails=["a@example.test"],
        labels={"k": "v"},
        parts_by_key={"x": pb.Part(code="c")},
        parts=[pb.Part(code="c")],
        main_part=pb.Part(code="c"),
        score=0.5,
        count=1,
        photo=b"abc",
        price=Money(currency_code="VND", units=-1, nanos=-5),
        parent=thing(),
        colours=[pb.COLOUR_RED],
        left="abc",
    )
    full.extra.update({"a": [1, "x", {"b": None}], "t": True})
    full.create_time.FromJsonString("9999-12-31T23:59:59Z")
    assert violations(full) == {}


def test_all_violations_of_a_request_are_collected():
    request = pb.CreateThingsRequest(things=[thing() for _ in range(4)])
    request.things[1].display_name = ""
    request.things[1].ClearField("weight")
    request.things[3].colour = pb.COLOUR_UNSPECIFIED
    request.things[3].parts.add()
    request.things[3].parts_by_key["k"].code = ""
    assert violations(request) == {
        "things[1].display_name": "is required",
        "things[1].weight": "is required",
        "things[3].colour": "is required",
        "things[3].parts[0].code": "is required",
        'things[3].parts_by_key["k"].code': "is required",
    }


@pytest.mark.parametrize(
    ("fields", "path", "part"),
    [
        ({"display_name": "x" * 11}, "display_name", "11 characters, at most 10"),
        ({"display_name": "a\0b"}, "display_name", "NUL"),
        ({"name": "contacts/1"}, "name", "things/<id>"),
        ({"name": "things/"}, "name", "things/<id>"),
        ({"name": "things/a/b"}, "name", "things/<id>"),
        ({"emails": ["a", "b", "c"]}, "emails", "3 items, at most 2"),
        ({"emails": ["ok", "x" * 21]}, "emails[1]", "at most 20"),
        ({"labels": {"a": "1", "b": "2", "c": "3"}}, "labels", "3 entries, at most 2"),
        ({"labels": {"a": "123456"}}, 'labels["a"]', "at most 5"),
        ({"labels": {"a\0": "1"}}, 'labels["a\0"]', "NUL"),
        ({"score": 1.5}, "score", "at most 1, got 1.5"),
        ({"score": -0.1}, "score", "at least 0"),
        ({"score": math.nan}, "score", "finite"),
        ({"weight": math.inf}, "weight", "finite"),
        ({"count": 0}, "count", "at least 1"),
        ({"colour": 77}, "colour", "unknown value 77"),
        ({"colours": [pb.COLOUR_RED, 9]}, "colours[1]", "unknown value 9"),
        ({"photo": b"1234"}, "photo", "4 bytes, at most 3"),
        ({"create_time": {"seconds": 10**12}}, "create_time", "9999"),
        ({"create_time": {"nanos": -1}}, "create_time", "nanos"),
        ({"delay": {"seconds": 10**12}}, "delay", "10,000 years"),
        ({"delay": {"seconds": 1, "nanos": -1}}, "delay", "nanos"),
        ({"price": {"currency_code": "vnd"}}, "price", "capital letters"),
        ({"price": {"currency_code": "VND", "units": 1, "nanos": -1}}, "price", "different signs"),
        ({"price": {"currency_code": "VND", "nanos": 1_000_000_000}}, "price", "nanos"),
        ({"main_part": {}}, "main_part.code", "is required"),
        ({"left": "abcd"}, "left", "at most 3"),
        ({"right": 6}, "right", "at most 5"),
    ],
)
def test_a_violation_is_named(fields, path, part):
    found = violations(thing(**fields))
    assert list(found) == [path]
    assert part in found[path]


def test_structs_hold_only_what_json_can_hold():
    bad = thing()
    bad.extra["list"] = [{"deep": math.nan}]
    assert "not finite" in violations(bad)["extra"]
    bad.extra["list"] = ["a\0b"]
    assert "NUL" in violations(bad)["extra"]
    deep = thing()
    at = deep.extra
    for _ in range(40):
        at = at.get_or_create_struct("x")
    assert "deep" in violations(deep)["extra"]


def test_recursive_messages_are_checked_at_every_depth():
    request = thing(parent=thing(parent=thing(display_name="")))
    assert violations(request) == {"parent.parent.display_name": "is required"}


def test_a_message_about_which_nothing_can_be_wrong_needs_no_check():
    assert compile_check(pb.Harmless.DESCRIPTOR) is None


def test_an_optional_number_may_be_zero_but_not_unset():
    assert violations(thing(weight=0.0)) == {}
    unset = thing()
    unset.ClearField("weight")
    assert violations(unset) == {"weight": "is required"}


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], set()),
        (["score"], set()),
        (["display_name"], {"thing.display_name"}),
        (["display_name", "weight"], {"thing.display_name", "thing.weight"}),
        (["*"], {"thing.display_name", "thing.weight", "thing.colour"}),
    ],
)
def test_an_update_demands_only_the_fields_that_its_mask_names(paths, expected):
    request = pb.UpdateThingRequest(thing=pb.Thing(score=0.1), update_mask={"paths": paths})
    assert set(violations(request)) == expected


def test_an_update_still_checks_the_values_it_is_given():
    request = pb.UpdateThingRequest(thing=pb.Thing(score=7), update_mask={"paths": ["display_name"]})
    assert set(violations(request)) == {"thing.display_name", "thing.score"}
    assert set(violations(pb.UpdateThingRequest())) == {"thing"}


def test_a_mask_within_a_batch_holds_for_its_own_request():
    batch = pb.BatchUpdateThingsRequest()
    batch.requests.add().thing.score = 0.5
    second = batch.requests.add()
    second.thing.score = 0.5
    second.update_mask.paths.append("weight")
    assert set(violations(batch)) == {"requests[1].thing.weight"}


def test_a_mask_holds_field_paths():
    request = pb.UpdateThingRequest(thing=pb.Thing(), update_mask={"paths": ["Display-Name"]})
    assert "Display-Name" in violations(request)["update_mask"]


def test_the_error_quotes_three_and_carries_all():
    request = pb.CreateThingsRequest(things=[pb.Thing(display_name="x", weight=1) for _ in range(5)])
    error = violations_error(compile_check(request.DESCRIPTOR)(request))
    assert len(error.violations) == 5
    assert error.message.endswith("and 2 more")
    assert error.reason == "INVALID_FIELDS"


@given(st.text(max_size=15))
def test_text_is_accepted_exactly_when_it_fits(text):
    accepted = violations(thing(display_name=text)) == {}
    assert accepted == (0 < len(text) <= 10 and "\0" not in text)


@given(st.floats())
def test_a_number_is_accepted_exactly_within_its_bounds(number):
    assert (violations(thing(score=number)) == {}) == (0 <= number <= 1)
