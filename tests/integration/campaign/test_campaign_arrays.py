"""Arrays written as literals come back as they were, whatever is in them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.campaign.store import arrays
from services.kit.runtime import Runtime

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
zones = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
times = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=zones)
objects = st.dictionaries(texts, st.one_of(texts, st.integers(-(2**53), 2**53), st.none(), st.lists(texts)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.tuples(
        st.lists(st.one_of(texts, st.sampled_from(["", "NULL", "null", "{}", '"', "\\", ",", " "]))),
        st.lists(st.one_of(st.none(), st.uuids())),
        st.lists(st.one_of(st.none(), times)),
        st.lists(st.integers(-(2**31), 2**31 - 1)),
        st.lists(st.one_of(st.none(), objects)),
    )
)
def test_arrays_come_back_as_they_were(runtime: Runtime, lists: tuple[list[Any], ...]) -> None:
    makers: Any = (arrays.texts, arrays.uuids, arrays.times, arrays.integers, arrays.objects)
    with runtime.db.read() as connection:
        row = connection.execute(
            sa.select(*(make(values) for make, values in zip(makers, lists, strict=True)))
        ).one()
    found = [list(values) for values in row]
    found[2] = [value and value.astimezone(UTC) for value in found[2]]
    assert found == [list(values) for values in lists]
