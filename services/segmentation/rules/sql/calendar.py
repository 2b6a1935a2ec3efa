"""SQL of calendar values and buckets, and of the instants at which the calendar of ``now`` changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BigInteger, Boolean, LargeBinary, case, func, literal_column
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.elements import ColumnElement

from services.segmentation.rules import ir
from services.segmentation.rules.buckets import salt_bytes
from services.segmentation.rules.calendars import OF_THE_DATE, PARTS
from services.segmentation.rules.sql.calendar_functions import function_of
from services.segmentation.rules.sql.values import TIME, computed_once, interval, text_literal
from services.segmentation.rules.zones import DAY_SKIPPING

Column = ColumnElement[Any]


def part_of(local: Column, part: str) -> Column:
    """Return a calendar value of a local time (or of a date, of which only parts of the date are asked)."""
    called: Column = getattr(func, function_of(part))(local, type_=BigInteger())
    return called


def local_time(time: Column, zone: str) -> Column:
    """Return the time on a zone's clocks; NULL beyond the years 1 to 9999."""
    called: Column = func.rule_local(time, text_literal(zone))
    return called


def of_birth_date(node: ir.Calendar, time_zone: str) -> bool:
    """Tell whether a calendar value can be read from the birth date itself, which is kept as a day."""
    operand = node.operand
    return (
        isinstance(operand, ir.Attr)
        and (operand.group, operand.name) == ("core", "birth_date")
        and node.part in OF_THE_DATE
        and node.zone == time_zone
        and time_zone not in DAY_SKIPPING
    )


def calendar_of_now(node: ir.NowCalendar, now: Column) -> Column:
    """Return a calendar value of now; the sub-select is evaluated once in a statement."""
    return computed_once(part_of(local_time(_moved(node, now), node.zone), node.part))


def next_tick(node: ir.NowCalendar, now: Column) -> Column:
    """Return the next instant at which a calendar value of now changes."""
    return computed_once(
        func.rule_calendar_change(
            now, interval(node.shift), text_literal(node.zone), text_literal(node.part), type_=TIME
        )
    )


def next_flip(node: ir.NowCalendar, now: Column, value: Column, *, ordered: bool) -> Column:
    """Return the next instant at which ``calendar of now == value`` changes, or an earlier one; of ``>=`` when
    ``ordered``.
    """
    size = _size(node)
    index = case(
        (value.between(literal_column("0"), literal_column(str(size - 1))), value + literal_column("1")),
        # What the calendar never says is looked at again when all that it does say has come by: the last place.
        (value.is_not(None), literal_column(str(size + 1))),
    )
    chosen: Column = func.rule_element(_flips(node, now, ordered=ordered), index, type_=TIME)
    return chosen


def next_flip_of_any(node: ir.NowCalendar, now: Column, values: Sequence[int]) -> Column:
    """Return the next instant at which ``calendar of now == value`` changes for one of some values."""
    size = _size(node)
    places = [str(v + 1 if 0 <= v < size else size + 1) for v in values]
    listed: Column = literal_column(f"ARRAY[{', '.join(places)}]::bigint[]")
    return computed_once(func.rule_earliest(_flips(node, now, ordered=False), listed, type_=TIME))


def _size(node: ir.NowCalendar) -> int:
    size = PARTS[node.part].size
    assert size is not None
    return size


def _flips(node: ir.NowCalendar, now: Column, *, ordered: bool) -> Column:
    """Return the instants of all values; they are found once in a statement."""
    return computed_once(
        func.rule_calendar_flips(
            now,
            interval(node.shift),
            text_literal(node.zone),
            text_literal(node.part),
            literal_column(str(_size(node))),
            literal_column("true" if ordered else "false", Boolean()),
            type_=ARRAY(TIME),
        )
    )


def _moved(node: ir.NowCalendar, now: Column) -> Column:
    return now + interval(node.shift) if node.shift else now


def bucket(node: ir.Bucket, contact_id: Column) -> Column:
    """Return the contact's bucket."""
    salt: Column = literal_column(f"'\\x{salt_bytes(node.salt).hex()}'::bytea", LargeBinary())
    hashed = func.sha256(salt.op("||")(func.uuid_send(contact_id)))
    called: Column = func.rule_bucket(hashed, literal_column(str(node.count)), type_=BigInteger())
    return called
