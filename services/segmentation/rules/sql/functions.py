"""SQL functions that rules call: arithmetic that is NULL where PostgreSQL would raise, JSON values that
cannot fail to convert, folding, distance and the calendar. Part of the schema: a migration executes ``FUNCTIONS``.

A function keeps each operand evaluated once; written inline, guards would double the text at every level of
nesting.
"""

from __future__ import annotations

from services.segmentation.rules.folding import FOLDED_LETTERS
from services.segmentation.rules.natives import EARTH_RADIUS_KM, NO_ANGLE
from services.segmentation.rules.sql.calendar_functions import CALENDAR_FUNCTIONS

_MAX = "1.7976931348623157e308::float8"
_HALF_BITS = 512


def _power(exponent: int) -> str:
    return f"{float(2.0**exponent)!r}::float8"


def _function(signature: str, returns: str, body: str) -> str:
    kind = "LANGUAGE sql IMMUTABLE PARALLEL SAFE"
    return f"CREATE OR REPLACE FUNCTION {signature} RETURNS {returns} {kind} RETURN {body}"


def _int(name: str, operator: str) -> str:
    exact = f"a::numeric {operator} b::numeric"
    return _function(
        f"rule_{name}(a bigint, b bigint)",
        "bigint",
        f"CASE WHEN {exact} BETWEEN -9223372036854775808 AND 9223372036854775807 THEN a {operator} b END",
    )


def _sum(name: str, operator: str) -> str:
    # Halved operands cannot overflow; halving and rounding commute for normal numbers, and tiny ones cannot
    # overflow.
    half = f"(a * 0.5::float8) {operator} (b * 0.5::float8)"
    tiny = f"abs(a) < {_power(_HALF_BITS)} AND abs(b) < {_power(_HALF_BITS)}"
    return _function(
        f"rule_{name}(a float8, b float8)",
        "float8",
        f"CASE WHEN {tiny} THEN a {operator} b WHEN abs(a) < {_power(_HALF_BITS)} OR abs(b) < "
        f"{_power(_HALF_BITS)} "
        f"OR abs({half}) <= {_MAX} * 0.5::float8 THEN a {operator} b END",
    )


def _product() -> str:
    big, small = _power(_HALF_BITS), _power(-_HALF_BITS)
    more, less = "greatest(abs(a), abs(b))", "least(abs(a), abs(b))"
    return _function(
        "rule_multiply(a float8, b float8)",
        "float8",
        # Overflow is tested on operands scaled by powers of two, which is exact; underflow to zero likewise.
        # least() and greatest() pass over NULL, so it is looked for first.
        f"CASE WHEN a IS NULL OR b IS NULL THEN NULL WHEN a = 0 OR b = 0 THEN 0::float8 "
        f"WHEN {more} < {_power(511)} AND {less} > {_power(-511)} THEN a * b "
        f"WHEN {more} >= {big} AND {less} >= 1 THEN "
        f"CASE WHEN {less} < {big} AND ({more} * {small}) * {less} <= {_MAX} * {small} THEN a * b END "
        f"WHEN {more} >= 1 THEN a * b "
        f"WHEN {more} < {_power(-540)} THEN 0::float8 "
        f"WHEN ({less} * {_power(600)}) * {more} <= {_power(-475)} THEN 0::float8 "
        f"ELSE a * b END",
    )


def _quotient() -> str:
    a, b = "abs(a)", "abs(b)"
    big, small = _power(_HALF_BITS), _power(-_HALF_BITS)
    return _function(
        "rule_divide(a float8, b float8)",
        "float8",
        f"CASE WHEN a IS NULL OR b IS NULL OR b = 0 THEN NULL WHEN a = 0 THEN 0::float8 "
        f"WHEN {a} BETWEEN {_power(-500)} AND {_power(500)} AND {b} BETWEEN {_power(-500)} AND "
        f"{_power(500)} THEN a / b "
        # A divisor below 1 makes it larger: scale the divisor up where that is exact, and compare with the
        # scaled bound.
        f"WHEN {b} < 1 THEN CASE WHEN {a} < 1 THEN "
        f"CASE WHEN {a} >= {_power(-500)} THEN "
        f"CASE WHEN {a} / ({b} * {big}) <= {_MAX} * {small} THEN a / b END "
        f"ELSE CASE WHEN ({a} * {big}) / ({b} * {big}) <= {_MAX} THEN a / b END END "
        f"WHEN {b} < {_power(-1024)} THEN NULL "
        f"WHEN {b} < {small} THEN CASE WHEN ({a} * {small}) / ({b} * {big}) <= {_MAX} * {small} * {small} "
        f"THEN a / b END "
        f"WHEN ({a} * {small}) / {b} <= {_MAX} * {small} THEN a / b END "
        # A divisor from 1 up makes it smaller: it may vanish.
        f"WHEN {a} >= 1 OR {b} < {_power(20)} AND {a} >= {_power(-1000)} THEN a / b "
        f"WHEN {b} >= {big} AND {a} < {_power(-600)} THEN 0::float8 "
        f"WHEN ({a} * {_power(600)}) / {b} <= {_power(-475)} THEN 0::float8 "
        f"ELSE a / b END",
    )


def _fold() -> str:
    letters = "".join(FOLDED_LETTERS).replace("'", "''")
    targets = "".join(FOLDED_LETTERS.values()).replace("'", "''")
    return _function(
        "rule_fold(x text)",
        "text",
        'CASE WHEN octet_length(x) = char_length(x) THEN lower(x COLLATE "C") ELSE '
        "translate(lower(regexp_replace("
        f"normalize(x, NFD), '[\\u0300-\\u036f]', '', 'g') COLLATE \"C\"), '{letters}', '{targets}') END",
    )


def _distance() -> str:
    # Angles too small to matter are 0: PostgreSQL raises where a product underflows.
    def angle(degrees: str) -> str:
        return f"radians(CASE WHEN abs({degrees}) < {NO_ANGLE!r}::float8 THEN 0 ELSE {degrees} END)"

    h = (
        f"power(sin({angle('to_lat - lat')} / 2), 2) + cos({angle('lat')}) * cos({angle('to_lat')}) "
        f"* power(sin({angle('to_lon - lon')} / 2), 2)"
    )
    millimetres = f"2 * {EARTH_RADIUS_KM!r}::float8 * asin(least(1::float8, sqrt({h}))) * 1e6::float8"
    return _function(
        "rule_distance_km(lat float8, lon float8, to_lat float8, to_lon float8)",
        "float8",
        "CASE WHEN lat IS NOT NULL AND lon IS NOT NULL AND to_lat BETWEEN -90 AND 90 "
        f"AND to_lon BETWEEN -180 AND 180 THEN floor({millimetres} + 0.5::float8) / 1e6::float8 END",
    )


_TIME_TEXT = r"^(?!0000)\d{4}-(0[1-9]|1[0-2])-\d\dT([01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{6}Z$"

_BIRTHDAY = "(born + (rule_age(born, NULL, today) + 1)::int * interval '1 year')::date"

FUNCTIONS: tuple[str, ...] = (
    _int("add", "+"),
    _int("subtract", "-"),
    _int("multiply", "*"),
    _function(
        "rule_divide(a bigint, b bigint)",
        "bigint",
        "CASE WHEN b = 0 OR (b = -1 AND a = -9223372036854775808) THEN NULL ELSE a / b END",
    ),
    _function(
        "rule_modulo(a bigint, b bigint)",
        "bigint",
        "CASE WHEN b = 0 OR (b = -1 AND a = -9223372036854775808) THEN NULL ELSE mod(a, b) END",
    ),
    _sum("add", "+"),
    _sum("subtract", "-"),
    _product(),
    _quotient(),
    _function(
        "rule_to_int(a float8)",
        "bigint",
        # CEL accepts what lies strictly between -2^63 and 2^63.
        f"CASE WHEN a > -{_power(63)} AND a < {_power(63)} THEN trunc(a)::bigint END",
    ),
    _function(
        "rule_to_int(a numeric)",
        "bigint",
        "CASE WHEN a BETWEEN -9223372036854775808 AND 9223372036854775807 THEN trunc(a)::bigint END",
    ),
    _function(
        "rule_to_double(a numeric)",
        "float8",
        "CASE WHEN abs(a) < 1e-300 THEN 0::float8 WHEN abs(a) <= 1.7976931348623157e308 THEN a::float8 END",
    ),
    _function(
        "rule_json_double(x jsonb)",
        "float8",
        "CASE WHEN jsonb_typeof(x) = 'number' THEN rule_to_double(x::numeric) END",
    ),
    _function(
        "rule_json_numeric(x jsonb)",
        "numeric",
        "CASE WHEN jsonb_typeof(x) = 'number' THEN x::numeric END",
    ),
    _function(
        "rule_json_int(x jsonb)",
        "bigint",
        "CASE WHEN jsonb_typeof(x) = 'number' THEN rule_to_int(x::numeric) END",
    ),
    _function("rule_json_text(x jsonb)", "text", "CASE WHEN jsonb_typeof(x) = 'string' THEN x #>> '{}' END"),
    _function(
        "rule_json_bool(x jsonb)", "boolean", "CASE WHEN jsonb_typeof(x) = 'boolean' THEN x::boolean END"
    ),
    _function(
        "rule_json_time(x jsonb)",
        "timestamptz",
        # Only the one form that profile.encode_values writes; a day that its month lacks is no time.
        f"CASE WHEN jsonb_typeof(x) = 'string' AND x #>> '{{}}' ~ '{_TIME_TEXT}' THEN "
        "CASE WHEN substr(x #>> '{}', 9, 2)::int BETWEEN 1 AND extract(day FROM make_date(substr(x #>> "
        "'{}', 1, 4)::int, "
        "substr(x #>> '{}', 6, 2)::int, 1) + interval '1 month -1 day') THEN "
        "make_timestamptz(substr(x #>> '{}', 1, 4)::int, substr(x #>> '{}', 6, 2)::int, substr(x #>> '{}', "
        "9, 2)::int, "
        "substr(x #>> '{}', 12, 2)::int, substr(x #>> '{}', 15, 2)::int, substr(x #>> '{}', 18, 2)::int, "
        "'UTC') "
        "+ make_interval(secs => ('0.' || substr(x #>> '{}', 21, 6))::float8) END END",
    ),
    _function(
        "rule_shift(t timestamptz, by interval)",
        "timestamptz",
        "CASE WHEN t + by >= '0001-01-01Z'::timestamptz AND t + by < '10000-01-01Z'::timestamptz THEN t + "
        "by END",
    ),
    _function(
        "rule_age(born date, stated bigint, today date)",
        "bigint",
        # Full years; before the birth there is no age. Who was born on 29 February turns on 1 March in other
        # years.
        "CASE WHEN born IS NULL THEN stated WHEN born <= today THEN "
        "(extract(year FROM today) - extract(year FROM born))::bigint - CASE WHEN (extract(month FROM "
        "today), "
        "extract(day FROM today)) < (extract(month FROM born), extract(day FROM born)) THEN 1 ELSE 0 END END",
    ),
    _function(
        "rule_next_birthday(born date, today date)",
        "date",
        f"CASE WHEN born > today THEN born ELSE {_BIRTHDAY} + CASE WHEN extract(day FROM {_BIRTHDAY}) "
        "<> extract(day FROM born) THEN 1 ELSE 0 END END",
    ),
    _fold(),
    _distance(),
    *CALENDAR_FUNCTIONS,
)
"""Statements that create the functions; each may be executed again."""
