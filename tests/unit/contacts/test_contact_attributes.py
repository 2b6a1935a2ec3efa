"""Definitions of attributes and activity types, and the values that fit them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from services.contacts.domain.attributes import (
    ActivityField,
    ActivityType,
    Attribute,
    ValueType,
    check_activity_type,
    check_attribute,
    fit,
    fit_fields,
    parse_value,
)
from services.contacts.domain.errors import Refused

T = ValueType


@pytest.mark.parametrize(
    ("attribute", "field"),
    [
        (Attribute("Size", T.INT), "id"),
        (Attribute("1st", T.INT), "id"),
        (Attribute("x" * 64, T.INT), "id"),
        (Attribute("region_code", T.STRING), "id"),
        (Attribute("age", T.INT), "id"),
        (Attribute("in", T.INT), "id"),
        (Attribute("size", T.INT, allowed_values=("a",)), "allowed_values"),
        (Attribute("size", T.STRING, allowed_values=("a", "a")), "allowed_values"),
        (Attribute("size", T.STRING, minimum=1.0), "minimum"),
        (Attribute("size", T.INT, maximum=float("inf")), "maximum"),
        (Attribute("size", T.INT, minimum=3.0, maximum=2.0), "maximum"),
    ],
)
def test_definitions_that_make_no_sense_are_refused(attribute: Attribute, field: str) -> None:
    with pytest.raises(Refused) as caught:
        check_attribute(attribute)
    assert caught.value.field == field


def test_sound_definitions_pass() -> None:
    check_attribute(Attribute("shoe_size", T.DOUBLE, "Shoe size", (), 20.0, 60.0))
    check_attribute(Attribute("colours", T.STRINGS, allowed_values=("red", "blue")))
    check_activity_type(ActivityType("page.visited", "", (ActivityField("url", T.STRING),)))


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        (ActivityType("Page.Visited"), "id"),
        (ActivityType("page..visited"), "id"),
        (ActivityType("order.placed"), "id"),
        (ActivityType("order_placed"), "id"),
        (ActivityType("if"), "id"),
        (ActivityType("a", "", (ActivityField("time", T.INT),)), "fields[0].id"),
        (ActivityType("a", "", (ActivityField("x", T.INT), ActivityField("x", T.INT))), "fields[1].id"),
        (ActivityType("a", "", (ActivityField("x", T.STRINGS),)), "fields[0].type"),
    ],
)
def test_activity_types_that_make_no_sense_are_refused(definition: ActivityType, field: str) -> None:
    with pytest.raises(Refused) as caught:
        check_activity_type(definition)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        (T.STRING, "é", "é"),
        (T.INT, 5, 5),
        (T.DOUBLE, 5, 5.0),
        (T.DOUBLE, 1.5, 1.5),
        (T.BOOL, True, True),
        (T.STRINGS, ("a", "b"), ("a", "b")),
        (T.TIMESTAMP, datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC)),
    ],
)
def test_values_that_fit(kind: ValueType, value: Any, stored: Any) -> None:
    result = fit(value, Attribute("x", kind))
    assert result == stored
    assert type(result) is type(stored)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        (Attribute("x", T.INT), 1.0),
        (Attribute("x", T.INT), True),
        (Attribute("x", T.BOOL), 1),
        (Attribute("x", T.STRING), 1),
        (Attribute("x", T.DOUBLE), float("nan")),
        (Attribute("x", T.DOUBLE), float("inf")),
        (Attribute("x", T.STRING), "a\0"),
        (Attribute("x", T.STRING), "a" * 10_001),
        (Attribute("x", T.STRING, allowed_values=("a",)), "b"),
        (Attribute("x", T.STRINGS, allowed_values=("a",)), ("a", "b")),
        (Attribute("x", T.INT, minimum=2.0), 1),
        (Attribute("x", T.DOUBLE, maximum=2.0), 2.1),
    ],
)
def test_values_that_do_not_fit(attribute: Attribute, value: Any) -> None:
    with pytest.raises(Refused):
        fit(value, attribute)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("x", T.STRING, "x"),
        ("-12", T.INT, -12),
        ("1e3", T.DOUBLE, 1000.0),
        ("Yes", T.BOOL, True),
        ("0", T.BOOL, False),
        ("2026-01-02", T.TIMESTAMP, datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-02T07:00:00+07:00", T.TIMESTAMP, datetime(2026, 1, 2, tzinfo=UTC)),
        ("a; b ;;", T.STRINGS, ("a", "b")),
    ],
)
def test_cells_are_read_by_type(text: str, kind: ValueType, value: Any) -> None:
    assert parse_value(text, kind) == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("1.5", T.INT),
        ("9223372036854775808", T.INT),
        ("1,5", T.DOUBLE),
        ("maybe", T.BOOL),
        ("02/01/2026", T.TIMESTAMP),
    ],
)
def test_cells_that_cannot_be_read_are_refused(text: str, kind: ValueType) -> None:
    with pytest.raises(Refused):
        parse_value(text, kind)


def test_the_fields_of_a_record_must_fit_its_type() -> None:
    visited = ActivityType(
        "page.visited",
        "",
        (ActivityField("url", T.STRING), ActivityField("seconds", T.DOUBLE, optional=True)),
    )
    assert fit_fields({"url": "/", "seconds": 3}, visited) == {"url": "/", "seconds": 3.0}
    for values, field in [({}, "url"), ({"url": 1}, "url"), ({"url": "/", "x": 1}, "x")]:
        with pytest.raises(Refused) as caught:
            fit_fields(values, visited)
        assert caught.value.field == field
