"""Arrays written as literals come back as they were, whatever is in them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.kit import arrays
from services.kit.db import Database, make_engine
from tests.support.postgres import DatabaseFactory

texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
zones = st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours)))
times = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=zones)
objects = st.dictionaries(texts, st.one_of(texts, st.integers(-(2**53), 2**53), st.none(), st.lists(texts)))


@pytest.fixture
def db(make_database: DatabaseFactory) -> Iterator[Database]:
    """A database without tables."""
    made = Database(make_engine(make_database("contacts"), pool_size=1))
    yield made
    made.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.tuples(
        st.lists(st.one_of(texts, st.sampled_from(["", "NULL", "null", "{}", '"', "\\", ",", " "]))),
        st.lists(st.one_of(st.none(), st.uuids())),
        st.lists(st.one_of(st.none(), times)),
        st.lists(st.integers(-(2**63), 2**63 - 1)),
        st.lists(st.one_of(st.none(), objects)),
    )
)
def test_arrays_come_back_as_they_were(db: Database, lists: tuple[list[Any], ...]) -> None:
    makers: Any = (arrays.texts, arrays.uuids, arrays.times, arrays.integers, arrays.objects)
    with db.read() as connection:
        row = connection.execute(
            sa.select(*(make(values) for make, values in zip(makers, lists, strict=True)))
        ).one()
    found = [list(values) for values in row]
    found[2] = [value and value.astimezone(UTC) for value in found[2]]
    assert found == [list(values) for values in lists]


KINDS: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "text": (sa.Text(), st.one_of(texts, st.sampled_from(["", "NULL", "null", "{}", '"', "\\", ",", " "]))),
    "uuid": (sa.Uuid(), st.uuids()),
    "time": (sa.DateTime(timezone=True), times),
    "truth": (sa.Boolean(), st.booleans()),
    "whole": (sa.Integer(), st.integers(-(2**31), 2**31 - 1)),
    "exact": (sa.Numeric(38, 9), st.decimals(-(10**20), 10**20, places=9)),
    "bytes": (sa.LargeBinary(), st.binary(max_size=40)),
}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_bound_arrays_come_back_as_they_were(db: Database, kind: str, data: st.DataObject) -> None:
    element, values = KINDS[kind]
    given_values = data.draw(st.lists(st.one_of(st.none(), values), max_size=8))
    array = sa.bindparam("given", type_=arrays.ArrayOf(element))
    query = sa.select(sa.func.unnest(array).column_valued("item"))
    with db.read() as connection:
        found = [item for (item,) in connection.execute(query, {"given": given_values})]
    if kind == "time":
        found = [item and item.astimezone(UTC) for item in found]
    assert [bytes(item) if kind == "bytes" and item is not None else item for item in found] == given_values


def test_an_array_of_anything_else_is_refused() -> None:
    with pytest.raises(TypeError, match="no array of"):
        arrays.ArrayOf(sa.JSON())
