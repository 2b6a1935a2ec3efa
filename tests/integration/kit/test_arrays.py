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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.tuples(
        st.lists(
            st.one_of(st.none(), texts, st.sampled_from(["", "NULL", "null", "{}", '"', "\\", ",", " "]))
        ),
        st.lists(texts),
        st.lists(st.one_of(st.none(), st.uuids())),
        st.lists(st.one_of(st.none(), times)),
        st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1))),
        st.lists(st.one_of(st.none(), st.booleans())),
        st.lists(st.one_of(st.none(), st.decimals(allow_nan=False, allow_infinity=False, places=4))),
        st.lists(st.one_of(st.none(), st.binary())),
        st.lists(st.lists(st.integers(0, 9), min_size=2, max_size=2)),
    )
)
def test_lists_as_parameters_come_back_as_they_were(db: Database, lists: tuple[list[Any], ...]) -> None:
    kinds = ("text", "text", "uuid", "timestamptz", "bigint", "boolean", "numeric", "bytea", "int")
    wanted = ", ".join(f"%(p{number})s::{kind}[]" for number, kind in enumerate(kinds))
    with db.read() as connection:
        row = connection.exec_driver_sql(
            f"SELECT {wanted}", {f"p{number}": list(values) for number, values in enumerate(lists)}
        ).one()
    found = [list(values) for values in row]
    found[3] = [value and value.astimezone(UTC) for value in found[3]]
    assert found == [list(values) for values in lists]


def test_a_text_that_holds_a_nul_is_refused_in_a_list_as_by_itself(db: Database) -> None:
    with db.read() as connection, pytest.raises(sa.exc.DBAPIError, match="NUL"):
        connection.exec_driver_sql("SELECT %(texts)s::text[]", {"texts": ["a", "b\x00c"]})
