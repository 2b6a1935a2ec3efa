"""Times, durations and enums survive the way through protobuf."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from services.kit import wire
from services.kit.errors import InvalidArgument
from tests.support.echo import pb


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=7))])))
def test_times_come_back_to_the_microsecond(instant):
    try:
        stamp = wire.to_timestamp(instant)
        utc = instant.astimezone(UTC)
    except OverflowError:
        return  # Year 1 east of Greenwich lies in year 0 of UTC.
    assert wire.from_timestamp(stamp) == utc
    assert 0 <= stamp.nanos < 10**9
    reference = Timestamp()
    reference.FromDatetime(utc)
    assert stamp == reference


@given(st.timedeltas())
def test_durations_come_back(length):
    duration = wire.to_duration(length)
    assert wire.from_duration(duration) == length
    assert duration.seconds * duration.nanos >= 0


def test_nanoseconds_are_cut():
    assert wire.from_timestamp(Timestamp(seconds=1, nanos=1999)).microsecond == 1
    assert wire.from_duration(Duration(nanos=-1999)) == timedelta(microseconds=-1)


def test_unset_stays_unset():
    thing = pb.Thing()
    wire.set_timestamp(thing.create_time, None)
    assert not thing.HasField("create_time")
    assert wire.get_timestamp(thing, "create_time") is None
    assert wire.get_duration(thing, "delay") is None
    wire.set_timestamp(thing.create_time, datetime(1970, 1, 1, tzinfo=UTC))
    assert thing.HasField("create_time")
    assert wire.get_timestamp(thing, "create_time") == datetime(1970, 1, 1, tzinfo=UTC)


def test_what_is_out_of_range_names_its_field():
    thing = pb.Thing(create_time={"seconds": 10**15}, delay={"seconds": 10**17})
    for get, field in ((wire.get_timestamp, "create_time"), (wire.get_duration, "delay")):
        with pytest.raises(InvalidArgument) as caught:
            get(thing, field)
        assert caught.value.violations[0].field == field


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="no zone"):
        wire.to_timestamp(datetime(2026, 1, 1))


def test_enums_lose_and_regain_their_prefix():
    assert [wire.enum_text(pb.Colour, number) for number in (0, 1, 2)] == ["", "red", "dark_blue"]
    assert [wire.enum_number(pb.Colour, text) for text in ("", "red", "dark_blue")] == [0, 1, 2]
    with pytest.raises(InvalidArgument):
        wire.enum_text(pb.Colour, 99)
    with pytest.raises(ValueError, match="COLOUR_PINK"):
        wire.enum_number(pb.Colour, "pink")
