"""The functions of the language, as editors of rules may list them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """Describe a function: ``parameters`` are types, with ``?`` those that may be left out, "literal" before those that
    must be written out; a ``method`` is written after its first parameter and a point. ``example`` is a whole rule.
    """

    name: str
    returns: str
    parameters: tuple[str, ...]
    description: str
    example: str
    method: bool = False


_ZONE = "literal string?"
_LIST = "list"


def _calendar(name: str, counts: str, example: str) -> BuiltIn:
    return BuiltIn(
        name,
        "int",
        ("timestamp", _ZONE),
        f"{counts} on the calendar of a time zone (an IANA name), without one of the business's.",
        example,
        method=True,
    )


BUILT_INS: tuple[BuiltIn, ...] = (
    BuiltIn("has", "bool", ("field",), "Whether a field is there.", "has(contact.region_code)"),
    BuiltIn("size", "int", (_LIST,), "How many items there are.", "contact.tags.size() >= 2", method=True),
    BuiltIn("size", "int", ("string",), "How many code points a text has.", "size(contact.postal_code) == 5"),
    BuiltIn(
        "filter",
        _LIST,
        (_LIST, "variable", "bool"),
        "The items for which a condition is true.",
        'contact.tags.filter(t, t.startsWith("vip")).size() > 0',
        method=True,
    ),
    BuiltIn(
        "map",
        _LIST,
        (_LIST, "variable", "value"),
        "A value of each item.",
        'contact.tags.map(t, fold(t)).exists(t, t == "vip")',
        method=True,
    ),
    BuiltIn(
        "exists",
        "bool",
        (_LIST, "variable", "bool"),
        "Whether a condition is true for an item.",
        'contact.tags.exists(t, t.startsWith("vip"))',
        method=True,
    ),
    BuiltIn(
        "all",
        "bool",
        (_LIST, "variable", "bool"),
        "Whether a condition is true for every item.",
        'contact.tags.all(t, t != "blocked")',
        method=True,
    ),
    BuiltIn(
        "exists_one",
        "bool",
        (_LIST, "variable", "bool"),
        "Whether a condition is true for exactly one item.",
        'contact.tags.exists_one(t, t.startsWith("tier-"))',
        method=True,
    ),
    BuiltIn(
        "sum",
        "int or double",
        ("list of numbers",),
        "The sum, 0 of nothing.",
        "sum(contact.tags.map(t, size(t))) > 10",
    ),
    BuiltIn(
        "min",
        "int, double or timestamp",
        ("list of numbers or times",),
        "The smallest; of nothing it is unknown.",
        "min(contact.tags.map(t, size(t))) > 1",
    ),
    BuiltIn(
        "max",
        "int, double or timestamp",
        ("list of numbers or times",),
        "The largest; of nothing it is unknown.",
        "max(contact.tags.map(t, size(t))) > 1",
    ),
    BuiltIn(
        "startsWith",
        "bool",
        ("string", "string"),
        "Whether a text begins with another.",
        'contact.postal_code.startsWith("70")',
        method=True,
    ),
    BuiltIn(
        "endsWith",
        "bool",
        ("string", "string"),
        "Whether a text ends with another.",
        'contact.occupation.endsWith("nurse")',
        method=True,
    ),
    BuiltIn(
        "contains",
        "bool",
        ("string", "string"),
        "Whether a text contains another.",
        'fold(contact.industry).contains("bank")',
        method=True,
    ),
    BuiltIn(
        "fold",
        "string",
        ("string",),
        "The text without accents and case.",
        'fold(contact.locality) == "da nang"',
    ),
    BuiltIn(
        "double", "double", ("int",), "The number as a decimal one.", "double(contact.order_count) < 2.5"
    ),
    BuiltIn("int", "int", ("double",), "The whole part.", "int(contact.total_spent) % 2 == 0"),
    BuiltIn(
        "days",
        "duration",
        ("literal int",),
        "So many times 86,400 seconds.",
        "now - contact.last_order_time > days(90)",
    ),
    BuiltIn(
        "hours", "duration", ("literal int",), "So many hours.", "now - contact.create_time <= hours(48)"
    ),
    BuiltIn(
        "minutes", "duration", ("literal int",), "So many minutes.", "now - contact.create_time > minutes(30)"
    ),
    BuiltIn(
        "duration",
        "duration",
        ("literal string",),
        "A duration of hours, minutes and seconds.",
        'now - contact.create_time <= duration("1h30m")',
    ),
    BuiltIn(
        "timestamp",
        "timestamp",
        ("literal string",),
        "An instant in RFC 3339.",
        'contact.create_time < timestamp("2026-01-31T00:00:00Z")',
    ),
    _calendar("getFullYear", "The year", "contact.create_time.getFullYear() == 2026"),
    _calendar("getMonth", "The month, January 0,", "contact.birth_date.getMonth() == now.getMonth()"),
    _calendar("getDate", "The day of the month from 1", "contact.birth_date.getDate() == now.getDate()"),
    _calendar("getDayOfMonth", "The day of the month from 0", "now.getDayOfMonth() == 0"),
    _calendar("getDayOfWeek", "The day of the week, Sunday 0,", "now.getDayOfWeek() in [0, 6]"),
    _calendar("getDayOfYear", "The day of the year from 0", "(now + days(7)).getDayOfYear() == 358"),
    _calendar("getHours", "The hour from 0", 'now.getHours("Asia/Ho_Chi_Minh") >= 9'),
    _calendar("getMinutes", "The minute from 0", "contact.create_time.getMinutes() == 0"),
    _calendar("getSeconds", "The second from 0 (not of now)", "contact.create_time.getSeconds() == 0"),
    _calendar(
        "getMilliseconds", "The millisecond from 0 (not of now)", "contact.create_time.getMilliseconds() == 0"
    ),
    BuiltIn(
        "distance_km",
        "double",
        ("location", "double", "double"),
        "Kilometres from a place to a latitude and longitude.",
        "distance_km(contact.location, 10.7769, 106.7009) < 5.0",
    ),
    BuiltIn(
        "bucket",
        "int",
        ("literal string", "literal int?"),
        "Which of 100 equal groups (or of as many as are given, at most 10,000), from 0, the contact belongs to; each "
        "salt divides anew.",
        'bucket("spring-2026") < 10',
    ),
    BuiltIn(
        "in_segment",
        "bool",
        ("literal string",),
        "Whether the contact is in another segment.",
        '!in_segment("segments/churned")',
    ),
)
