"""Requests from keywords."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from rapport_client import Rapport, errors, to_money
from rapport_client.requests import build
from rapport_client.retry import RetryPolicy, may_retry
from rapport_client.service import snake_case

from tests.support.echo import pb

WHEN = datetime(2026, 3, 1, 10, 0, 0, 500, tzinfo=UTC)


def test_python_values_become_messages_at_any_depth():
    request = build(
        pb.UpdateThingRequest,
        {
            "thing": {
                "display_name": "An",
                "create_time": WHEN,
                "delay": timedelta(seconds=-1, microseconds=-5),
                "colour": "COLOUR_RED",
                "parent": {"create_time": WHEN},
                "parts": [{"code": "a"}, pb.Part(code="b")],
                "parts_by_key": {"k": {"code": "c"}},
                "extra": {"a": [1, None]},
                "labels": {"x": "y"},
            },
            "update_mask": ["display_name", "delay"],
        },
    )
    thing = request.thing
    assert thing.create_time.ToDatetime(UTC) == thing.parent.create_time.ToDatetime(UTC) == WHEN
    assert thing.delay.ToTimedelta() == timedelta(seconds=-1, microseconds=-5)
    assert thing.colour == pb.COLOUR_RED
    assert [part.code for part in thing.parts] == ["a", "b"]
    assert thing.parts_by_key["k"].code == "c"
    assert list(request.update_mask.paths) == ["display_name", "delay"]
    assert thing.extra["a"][0] == 1


def test_messages_and_single_paths_are_taken():
    price = to_money(Decimal("1.5"), "VND")
    request = build(pb.UpdateThingRequest, {"thing": pb.Thing(price=price), "update_mask": "price"})
    assert request.thing.price == price
    assert list(request.update_mask.paths) == ["price"]


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        ({"display_name": 5}, "Thing.display_name takes text, got int '5'"),
        ({"parts": {"code": "a"}}, "Thing.parts takes a list, got dict"),
        ({"parts": ["a"]}, r"Thing.parts takes a rapporttest.v1.Part, or a dict of code.*, got str 'a'"),
        ({"parent": "things/1"}, "Thing.parent takes a rapporttest.v1.Thing, or a dict of .*, got str"),
        ({"create_time": "2026-03-01"}, "Thing.create_time takes a datetime with a time zone, got str"),
        ({"delay": 5}, "Thing.delay takes a timedelta, got int '5'"),
    ],
)
def test_a_value_of_another_type_is_named_with_its_field(thing: dict[str, object], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        build(pb.UpdateThingRequest, {"thing": thing})


def test_a_decimal_is_a_number() -> None:
    assert build(pb.UpdateThingRequest, {"thing": {"weight": Decimal("1.5")}}).thing.weight == 1.5


def test_none_leaves_a_field_unset():
    request = build(pb.UpdateThingRequest, {"thing": {"weight": None, "parent": None}, "update_mask": None})
    assert request.HasField("thing")
    assert not request.thing.HasField("weight")
    assert not request.HasField("update_mask")


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"thign": {}}, TypeError, r"no field thign: did you mean thing\? it has: thing, update_mask"),
        ({"zzz": {}}, TypeError, "no field zzz; it has: thing, update_mask"),
        (
            {"thing": {"dsplay_name": "x"}},
            TypeError,
            r"Thing has no field dsplay_name: did you mean display_name\? it ",
        ),
        (
            {"thing": {"parts": [{"coed": "x"}]}},
            TypeError,
            r"Part has no field coed: did you mean code\? it has: code",
        ),
        (
            {"thing": {"colour": "COLOR_RED"}},
            ValueError,
            r"Thing.colour takes no 'COLOR_RED': did you mean COLOUR_RED\? choices: COLOUR_UNSPECIFIED, COLOUR_RED",
        ),
        ({"thing": {"colour": "red"}}, ValueError, r"Thing.colour takes no 'red': did you mean COLOUR_RED\?"),
        ({"thing": {"score": "much"}}, TypeError, "score|much|UpdateThingRequest"),
        ({"thing": {"count": 2**40}}, ValueError, "UpdateThingRequest"),
        ({"thing": {"create_time": datetime(2026, 3, 1)}}, ValueError, "time zone"),
    ],
)
def test_mistakes_are_named(fields, error, text):
    with pytest.raises(error, match=text):
        build(pb.UpdateThingRequest, fields)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GetContact", "get_contact"),
        ("ImportCSV", "import_csv"),
        ("GetNPSScore", "get_nps_score"),
        ("List2", "list2"),
    ],
)
def test_names_become_snake_case(name, expected):
    assert snake_case(name) == expected


def test_back_off_grows_to_its_bound_with_jitter():
    policy = RetryPolicy(first_seconds=1, most_seconds=8)
    error = errors.Unavailable("x")
    for attempt, ceiling in ((1, 1), (2, 2), (3, 4), (4, 8), (9, 8)):
        delays = {policy.delay(attempt, error) for _ in range(50)}
        assert len(delays) > 10
        assert all(ceiling / 2 <= delay <= ceiling for delay in delays)
    assert policy.delay(1, errors.Unavailable("x", errors.Details(retry_seconds=3.5))) == 3.5


def test_what_may_be_tried_again():
    refused = errors.ResourceExhausted("Concurrent RPC limit exceeded!")
    hinted = errors.Aborted("x", errors.Details(retry_seconds=1))
    assert may_retry(errors.Unavailable("x"), safe=True)
    assert not may_retry(errors.Unavailable("x"), safe=False)
    assert may_retry(refused, safe=False)
    assert may_retry(hinted, safe=True)
    assert not may_retry(hinted, safe=False)
    for kind in (errors.DeadlineExceeded, errors.Internal, errors.ResourceExhausted, errors.Aborted):
        assert not may_retry(kind("x"), safe=True)


def test_an_address_at_which_nobody_answers_is_told_plainly():
    with socket.socket() as taken:
        # Bound and not listening: nobody else can come to listen there meanwhile.
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with (
            Rapport(address=address, token="x", retry=RetryPolicy(attempts=1)) as rapport,
            pytest.raises(errors.Unavailable) as caught,
        ):
            rapport.contacts.list_contacts()
    assert caught.value.message == f"nobody answers at {address}: connection refused"
