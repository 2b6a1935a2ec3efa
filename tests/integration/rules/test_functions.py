"""The SQL functions rules call give what Python gives, and NULL where CEL gives an error; none of them
raises.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from services.segmentation.rules.folding import fold_text
from services.segmentation.rules.moments import age_at, birthdays_after
from services.segmentation.rules.natives import INT_MAX, INT_MIN, distance_km
from services.segmentation.rules.profile import time_text
from tests.integration.rules.vocabulary import TEXTS, TIMES

RELAXED = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

EXPONENTS = (
    0,
    -1074,
    -1073,
    -1022,
    -1021,
    -1000,
    -600,
    -541,
    -540,
    -512,
    -511,
    -500,
    -20,
    20,
    500,
    511,
    512,
    513,
    970,
    1000,
    1023,
)


near_power = st.builds(
    lambda sign, exponent, bits: sign * math.ldexp(1 + bits / 2**52, exponent),
    st.sampled_from((1, -1)),
    st.sampled_from(EXPONENTS),
    st.sampled_from((0, 1, 2**52 - 1, 2**51, 12345)),
)
doubles = st.one_of(
    near_power,
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from((0.0, 1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 1.0, 3.0, 0.1)),
)
ints = st.one_of(
    st.sampled_from((INT_MIN, INT_MAX, INT_MIN + 1, 0, 1, -1, 2, 3037000500, -3037000500)),
    st.integers(INT_MIN, INT_MAX),
    st.integers(-100, 100),
)


def expected_double(op: str, a: float, b: float) -> float | None:
    """Return what CEL computes, None where the result is no finite number."""
    if op == "divide" and b == 0:
        return None
    result = {"add": a + b, "subtract": a - b, "multiply": a * b, "divide": a / b if b else 0.0}[op]
    return result if math.isfinite(result) else None


def expected_int(op: str, a: int, b: int) -> int | None:
    """Return what CEL computes, None on overflow and division by zero."""
    if op in ("divide", "modulo"):
        if b == 0:
            return None
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        if quotient > INT_MAX:
            return None
        return quotient if op == "divide" else a - b * quotient
    result = {"add": a + b, "subtract": a - b, "multiply": a * b}[op]
    return result if INT_MIN <= result <= INT_MAX else None


def call(connection: Connection, function: str, kind: str, pairs: list[tuple[Any, Any]]) -> list[Any]:
    """Return the function's value for each pair."""
    rows = connection.execute(
        text(
            f"SELECT {function}(a, b) FROM unnest(CAST(:a AS {kind}[]), CAST(:b AS {kind}[])) "
            "WITH ORDINALITY AS t(a, b, n) ORDER BY n"
        ),
        {"a": [a for a, _ in pairs], "b": [b for _, b in pairs]},
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize("op", ["add", "subtract", "multiply", "divide"])
@RELAXED
@example(pairs=[(1.7976931348623157e308, 1.7976931348623157e308), (5e-324, 0.5), (1.0, 5e-324), (0.0, 0.0)])
@example(pairs=[(None, 0.0), (0.0, None), (None, 1.0)])
@given(pairs=st.lists(st.tuples(doubles, doubles), min_size=1, max_size=60))
def test_double_arithmetic(rule_tables: Connection, op: str, pairs: list[tuple[Any, Any]]) -> None:
    wanted = [None if a is None or b is None else expected_double(op, a, b) for a, b in pairs]
    assert call(rule_tables, f"rule_{op}", "float8", pairs) == wanted


@pytest.mark.parametrize("op", ["add", "subtract", "multiply", "divide", "modulo"])
@RELAXED
@example(pairs=[(INT_MIN, -1), (0, 0), (INT_MAX, INT_MAX), (-7, 2), (7, -2), (None, 0), (0, None)])
@given(pairs=st.lists(st.tuples(ints, ints), min_size=1, max_size=60))
def test_int_arithmetic(rule_tables: Connection, op: str, pairs: list[tuple[Any, Any]]) -> None:
    wanted = [None if a is None or b is None else expected_int(op, a, b) for a, b in pairs]
    assert call(rule_tables, f"rule_{op}", "bigint", pairs) == wanted


def scalar(connection: Connection, expression: str, **values: Any) -> Any:
    """Return the value of an expression."""
    return connection.execute(text(f"SELECT {expression}"), values).scalar_one()


@RELAXED
@example(value="İıẞßŁłĐđØøΆΣςЙй\u0301")
@given(
    value=st.one_of(st.text(st.characters(codec="utf-8", exclude_characters="\0")), st.sampled_from(TEXTS))
)
def test_fold_is_the_same_in_both(rule_tables: Connection, value: str) -> None:
    assert scalar(rule_tables, "rule_fold(:v)", v=value) == fold_text(value)


@RELAXED
@given(points=st.tuples(*(st.floats(-limit, limit) for limit in (90, 180, 90, 180))))
def test_distance_is_the_same_in_both(rule_tables: Connection, points: tuple[float, ...]) -> None:
    found = scalar(rule_tables, "rule_distance_km(:a, :b, :c, :d)", **dict(zip("abcd", points, strict=True)))
    assert found == pytest.approx(distance_km(*points), abs=2e-6)


def test_distance_of_what_is_not_there(rule_tables: Connection) -> None:
    for arguments in ("NULL, NULL, 1, 1", "1, 1, 91, 0", "1, 1, 0, 181", "1, 1, NULL, 0"):
        assert scalar(rule_tables, f"rule_distance_km({arguments})") is None


@pytest.mark.parametrize(
    ("function", "json", "value"),
    [
        ("rule_json_int", "12", 12),
        ("rule_json_int", "1e30", None),
        ("rule_json_int", '"12"', None),
        ("rule_json_int", "null", None),
        ("rule_json_double", "0.1", 0.1),
        ("rule_json_double", "1e400", None),
        ("rule_json_double", "1e-400", 0.0),
        ("rule_json_double", "true", None),
        ("rule_json_numeric", "0.10", Decimal("0.10")),
        ("rule_json_text", '"it\'s"', "it's"),
        ("rule_json_text", "5", None),
        ("rule_json_bool", "true", True),
        ("rule_json_bool", '"true"', None),
        ("rule_json_time", '"2026-02-30T00:00:00.000000Z"', None),
        ("rule_json_time", '"2026-13-01T00:00:00.000000Z"', None),
        ("rule_json_time", '"0000-01-01T00:00:00.000000Z"', None),
        ("rule_json_time", '"tomorrow"', None),
        ("rule_json_time", "5", None),
    ],
)
def test_json_never_fails_to_convert(rule_tables: Connection, function: str, json: str, value: Any) -> None:
    assert scalar(rule_tables, f"{function}(CAST(:v AS jsonb))", v=json) == value


def test_times_in_json_are_exact(rule_tables: Connection) -> None:
    for time in TIMES:
        assert scalar(rule_tables, "rule_json_time(to_jsonb(CAST(:v AS text)))", v=time_text(time)) == time


@RELAXED
@given(
    value=st.one_of(
        doubles, st.sampled_from((2.0**63, -(2.0**63), 2.0**63 - 1024, -(2.0**63) + 1024, 0.9, -0.9))
    )
)
def test_double_to_int(rule_tables: Connection, value: float) -> None:
    inside = -(2.0**63) < value < 2.0**63
    found = scalar(rule_tables, "rule_to_int(CAST(:v AS float8))", v=value)
    assert found == (math.trunc(value) if inside else None)


@RELAXED
@given(born=st.dates(), days=st.integers(-800, 40_000))
def test_age_and_birthday(rule_tables: Connection, born: Any, days: int) -> None:
    try:
        today = born + timedelta(days=days)
    except OverflowError:
        return
    now = datetime(today.year, today.month, today.day, 12, tzinfo=UTC)
    assert scalar(rule_tables, "rule_age(:b, NULL, :t)", b=born, t=today) == age_at(born, now, "UTC")
    following = birthdays_after(born, now, "UTC", 1)
    if following and today.year < 9990:
        assert scalar(rule_tables, "rule_next_birthday(:b, :t)", b=born, t=today) == following[0].date()
