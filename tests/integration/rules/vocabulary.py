"""The vocabulary and the values that random rules and profiles are made of: few and close together, so that
edges are hit.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from services.segmentation.rules import Attribute, EventType, Registry, RuleFunction, Trait
from services.segmentation.rules.calendars import PARTS

NOW = datetime(2026, 3, 1, 9, 30, 0, 123456, tzinfo=UTC)
TIME_ZONE = "Asia/Ho_Chi_Minh"
US = timedelta(microseconds=1)
DAY = timedelta(days=1)

REGISTRY = Registry(
    attributes=(
        Attribute("vip", "bool"),
        Attribute("visits", "int"),
        Attribute("score", "double"),
        Attribute("nick", "string"),
        Attribute("joined", "timestamp"),
        Attribute("colors", "strings"),
    ),
    event_types=(
        EventType.parse(
            "order.placed",
            {
                "category": "string",
                "amount": "double",
                "quantity": "int",
                "note": "string?",
                "discount": "double?",
                "gift": "bool?",
                "due": "timestamp?",
                "shipped": "timestamp",
            },
        ),
        EventType.parse("page.visited", {"url": "string", "amount": "double?", "category": "string?"}),
        EventType.parse("cart.added", {"amount": "int"}),
    ),
    traits=(
        Trait("rfm", "int"),
        Trait("churn", "double"),
        Trait("segment", "string"),
        Trait("seen", "timestamp"),
    ),
    functions=(
        RuleFunction("loyalty.tier", "string", ("int",)),
        RuleFunction("risk.score", "double"),
        RuleFunction("risk.flag", "bool", ("string",)),
    ),
    segments={"segments/churned": 7, "segments/vip": 8},
    time_zone=TIME_ZONE,
)

INTS = (0, 1, 2, 3, -1, 5, 9223372036854775807, -9223372036854775808, 4611686018427387904, 30)
DOUBLES = (0.0, 1.0, -1.5, 0.1, 0.2, 0.3, 2.5, 1e308, -1e308, 5e-300, 1e-200, 1e200, 100.25, 3.0)
AMOUNTS = (Decimal("0"), Decimal("0.1"), Decimal("0.2"), Decimal("0.3"), Decimal("100.25"), Decimal("-5.5"),
           Decimal("999999999999999.99"), Decimal("0.000000000000000001"))  # fmt: skip
TEXTS = (
    "",
    "a",
    "A",
    "ab",
    "b",
    "é",
    "e\u0301",
    "đ",
    "Đà Nẵng",
    "da nang",
    "it's",
    "50% \\ :x",
    "VN",
    "US",
    "Ω",
    "😀a",
)
TAGS = ("a", "vip", "VN", "Đà Nẵng", "")
OFFSETS = tuple(
    base + step
    for base in (timedelta(0), DAY, 2 * DAY, 30 * DAY, -DAY, 90 * DAY, timedelta(hours=1))
    for step in (timedelta(0), US, -US)
)
TIMES = (
    *(NOW - offset for offset in OFFSETS),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1, 1, 3, tzinfo=UTC),
    datetime(9999, 12, 30, 1, tzinfo=UTC),
    datetime(2024, 2, 29, 17, 0, tzinfo=UTC),
)
BIRTH_DATES = (
    date(2000, 2, 29),
    date(2001, 3, 1),
    date(2001, 3, 2),
    date(1990, 12, 31),
    date(2030, 1, 1),
    date(1996, 2, 29),
)
LOCATIONS = ((10.7769, 106.7009), (21.0278, 105.8342), (0.0, 0.0), (-89.9, 179.9), (10.78, 106.7))
SHIFTS = (
    "days(30)",
    "days(1)",
    "days(2)",
    "hours(1)",
    "minutes(0)",
    "days(-1)",
    'duration("24h")',
    'duration("2592000.000001s")',
)
CALENDAR_PARTS = tuple(PARTS)
"""The last two may not be asked of now."""
ZONES = ("", "", '"UTC"', '"America/New_York"', '"Australia/Lord_Howe"', '"Atlantic/Azores"')
"""Of which the releases of the zone data that Python and PostgreSQL bring agree."""
STRING_ATTRIBUTES = ("kind", "region_code", "locality", "gender")


def rfc3339(value: datetime) -> str:
    """Return the time as a rule writes it."""
    return f"{value.year:04d}-{value.strftime('%m-%dT%H:%M:%S.%f')}Z"
