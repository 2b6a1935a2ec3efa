"""Functions of the rule language as CEL's evaluator calls them; an exception here is CEL's error, so
"unknown".
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal, localcontext
from types import MappingProxyType
from typing import Any
from uuid import UUID

from services.segmentation.rules.buckets import DEFAULT_BUCKETS, bucket_of
from services.segmentation.rules.calendars import calendar_value
from services.segmentation.rules.folding import fold_text

INT_MIN, INT_MAX = -(2**63), 2**63 - 1
DOUBLE_MAX = Decimal("1.7976931348623157e308")
DOUBLE_TINY = Decimal("1e-300")
EARTH_RADIUS_KM = 6371.0088
"""Mean radius R1 of the Earth (IUGG)."""
NO_ANGLE = 1e-12
"""Degrees below which an angle is taken as 0 (a tenth of a micrometre on the ground)."""


class UnknownValueError(ValueError):
    """Mark a value that cannot be known; CEL carries it on as an error."""


class Facts(threading.local):
    """Hold, while one profile is evaluated, what functions need beside their arguments."""

    contact_id: UUID | None = None
    segments: frozenset[str] = frozenset()
    plugin_values: Mapping[tuple[str, tuple[Any, ...]], Any] = MappingProxyType({})


FACTS = Facts()


def days(n: int) -> timedelta:
    """Return n days of 86,400 seconds."""
    return timedelta(days=n)


def hours(n: int) -> timedelta:
    """Return n hours."""
    return timedelta(hours=n)


def minutes(n: int) -> timedelta:
    """Return n minutes."""
    return timedelta(minutes=n)


def finite(value: float) -> float:
    """Return the value; unknown when the arithmetic overflowed or divided by zero."""
    if not math.isfinite(value):
        raise UnknownValueError("the result is not a finite number")
    return value


def missing_time(what: str) -> datetime:
    """Stand for a time that is not there."""
    raise UnknownValueError(f"{what} is missing")


def between(later: datetime, earlier: datetime) -> timedelta:
    """Return the difference of two times; CEL's own overflows beyond 292 years."""
    return later - earlier


def _present(values: Sequence[Any]) -> Sequence[Any]:
    if any(v is None for v in values):
        raise UnknownValueError("a value of the list is missing")
    return values


def sum_ints(values: Sequence[int]) -> int:
    """Add whole numbers; unknown beyond 64 bits."""
    total: int = sum(_present(values))
    if not INT_MIN <= total <= INT_MAX:
        raise UnknownValueError("the sum does not fit in 64 bits")
    return total


def exact_sum(values: Sequence[Decimal]) -> Decimal:
    """Add decimals without rounding."""
    with localcontext() as context:
        context.prec = 5000
        return sum(values, Decimal(0))


def decimal_to_double(value: Decimal) -> float:
    """Round a decimal once to a double; below 1e-300 it is 0, beyond the range of doubles it is unknown."""
    if abs(value) > DOUBLE_MAX:
        raise UnknownValueError("the sum is beyond the range of doubles")
    return 0.0 if abs(value) < DOUBLE_TINY else float(value)


def sum_doubles(values: Sequence[float]) -> float:
    """Add doubles as the decimals they are written as, exactly, and round once."""
    return decimal_to_double(exact_sum([Decimal(repr(v)) for v in _present(values)]))


def sum_exact(values: Sequence[str]) -> float:
    """Add amounts given as decimal text, exactly, and round once."""
    return decimal_to_double(exact_sum([Decimal(v) for v in _present(values)]))


def smallest(values: Sequence[Any]) -> Any:
    """Return the smallest value; unknown when there is none."""
    if not _present(values):
        raise UnknownValueError("there is nothing to take the smallest of")
    return min(values)


def largest(values: Sequence[Any]) -> Any:
    """Return the largest value; unknown when there is none."""
    if not _present(values):
        raise UnknownValueError("there is nothing to take the largest of")
    return max(values)


def fold(text: str) -> str:
    """Return the form of a text that ignores accents and case."""
    return fold_text(text)


def calendar(time: datetime, part: str, zone: str) -> int:
    """Return a calendar value; unknown beyond the years 1 to 9999 of the zone."""
    try:
        return calendar_value(time, part, zone)
    except OverflowError as error:
        raise UnknownValueError("the time is beyond the calendar") from error


def bucket(salt: str, count: int = DEFAULT_BUCKETS) -> int:
    """Return the bucket of the profile at hand; unknown when it has no id."""
    if FACTS.contact_id is None:
        raise UnknownValueError("the profile has no id")
    return bucket_of(salt, count, FACTS.contact_id)


def in_segment(name: str) -> bool:
    """Tell whether the profile at hand is a member of that segment."""
    return name in FACTS.segments


def distance_km(latitude: float, longitude: float, to_latitude: float, to_longitude: float) -> float:
    """Return the great-circle distance in km by the haversine formula, rounded to 1e-6 km."""
    if not (-90 <= to_latitude <= 90 and -180 <= to_longitude <= 180):
        raise UnknownValueError("the point is not on Earth")
    half_lat = math.sin(_radians(to_latitude - latitude) / 2)
    half_lon = math.sin(_radians(to_longitude - longitude) / 2)
    parallels = math.cos(_radians(latitude)) * math.cos(_radians(to_latitude))
    h = half_lat * half_lat + parallels * (half_lon * half_lon)
    return math.floor(2 * EARTH_RADIUS_KM * math.asin(min(1.0, math.sqrt(h))) * 1e6 + 0.5) / 1e6


def _radians(degrees: float) -> float:
    return 0.0 if abs(degrees) < NO_ANGLE else math.radians(degrees)


def distance_of_location(location: Any, latitude: float, longitude: float) -> float:
    """Return the distance of a Location message to a point; unknown when it is unset."""
    if not location.HasField("latitude"):
        raise UnknownValueError("contact.location is missing")
    return distance_km(location.latitude.value, location.longitude.value, latitude, longitude)


def plugin_caller(name: str, returns: str) -> Callable[..., Any]:
    """Return a function that looks up what the plugin answered for the profile at hand; no answer is
    unknown.
    """
    accepted: Any = {"int": int, "double": (int, float), "string": str, "bool": bool}[returns]

    def call(_contact: Any, *params: Any) -> Any:
        value = FACTS.plugin_values.get((name, params))
        if (
            value is None
            or not isinstance(value, accepted)
            or (returns != "bool" and isinstance(value, bool))
        ):
            raise UnknownValueError(f"{name} gave no answer")
        return float(value) if returns == "double" else value

    return call
