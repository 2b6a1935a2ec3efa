"""SQL functions of the calendar and of buckets: part of the schema, as ``functions`` is."""

from __future__ import annotations

from services.segmentation.rules.buckets import BUCKET_BYTES
from services.segmentation.rules.calendars import PARTS

# What is extracted from a local time, as SQL text with {local}.
_READ = {
    "getFullYear": "extract(year FROM {local})::bigint",
    "getMonth": "extract(month FROM {local})::bigint - 1",
    "getDate": "extract(day FROM {local})::bigint",
    "getDayOfMonth": "extract(day FROM {local})::bigint - 1",
    "getDayOfWeek": "extract(dow FROM {local})::bigint",
    "getDayOfYear": "extract(doy FROM {local})::bigint - 1",
    "getHours": "extract(hour FROM {local})::bigint",
    "getMinutes": "extract(minute FROM {local})::bigint",
    "getSeconds": "floor(extract(second FROM {local}))::bigint",
    "getMilliseconds": "floor(extract(milliseconds FROM {local}))::bigint % 1000",
}

_SQL = "LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN"
_PLPGSQL = "LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS"


def function_of(part: str) -> str:
    """Return the name of the SQL function of a calendar function: ``getMonth`` is ``rule_get_month``."""
    return "rule_" + "".join(f"_{c.lower()}" if c.isupper() else c for c in part)


def _reader(part: str) -> str:
    return (
        f"CREATE OR REPLACE FUNCTION {function_of(part)}(local timestamp) RETURNS bigint "
        f"{_SQL} {_READ[part].format(local='local')}"
    )


_CASES = " ".join(f"WHEN '{part}' THEN {_READ[part].format(local='local')}" for part in PARTS)
_GRAINS = " ".join(f"WHEN '{name}' THEN '{part.grain}'" for name, part in PARTS.items())

# All instants below are timestamps in UTC: adding days to one asks no time zone.
_STEP = f"""
CREATE OR REPLACE FUNCTION rule_calendar_step(at timestamp, zone text, grain text) RETURNS timestamp
{_PLPGSQL} $$
DECLARE
    here timestamp := timezone(zone, timezone('UTC', at));
    shift interval := here - at;
    ahead interval := date_trunc(grain, here) + ('1 ' || grain)::interval - here;
    ending timestamp := at + ahead;
    before timestamp;
    after timestamp;
    middle timestamp;
BEGIN
    -- No clock was ever moved by more than three days: a far boundary is approached to that first.
    IF ahead > interval '3 days' THEN
        RETURN ending - interval '3 days';
    END IF;
    IF timezone(zone, timezone('UTC', ending)) - ending = shift THEN
        RETURN ending;
    END IF;
    -- Clocks are moved in between, on a whole second: what may change then comes first.
    before := date_trunc('second', at);
    after := date_trunc('second', ending + interval '0.999999 seconds');
    WHILE after - before > interval '1 second' LOOP
        middle := date_trunc('second', before + (after - before) / 2);
        IF timezone(zone, timezone('UTC', middle)) - middle = shift THEN
            before := middle;
        ELSE
            after := middle;
        END IF;
    END LOOP;
    RETURN after;
END $$
"""

_CHANGE = f"""
CREATE OR REPLACE FUNCTION rule_calendar_change(at timestamptz, shift interval, zone text, part text)
RETURNS timestamptz {_PLPGSQL} $$
DECLARE
    grain text := CASE part {_GRAINS} END;
    here timestamp := timezone('UTC', at) + shift;
    was bigint := rule_calendar(timezone(zone, timezone('UTC', here)), part);
BEGIN
    LOOP
        here := rule_calendar_step(here, zone, grain);
        EXIT WHEN rule_calendar(timezone(zone, timezone('UTC', here)), part) <> was;
    END LOOP;
    RETURN CASE WHEN here - shift < '9999-01-01'::timestamp THEN timezone('UTC', here - shift) END;
END $$
"""

_FLIPS = f"""
CREATE OR REPLACE FUNCTION rule_calendar_flips(
    at timestamptz, shift interval, zone text, part text, size integer, ordered boolean
) RETURNS timestamptz[] {_PLPGSQL} $$
DECLARE
    grain text := CASE part {_GRAINS} END;
    here timestamp := timezone('UTC', at) + shift;
    was integer := rule_calendar(timezone(zone, timezone('UTC', here)), part);
    value integer;
    flips timestamptz[] := array_fill(NULL::timestamptz, ARRAY[size + 1]);
    seen integer := 0;
BEGIN
    WHILE seen <= size LOOP
        here := rule_calendar_step(here, zone, grain);
        value := rule_calendar(timezone(zone, timezone('UTC', here)), part);
        CONTINUE WHEN value = was;
        seen := seen + 1;
        IF ordered THEN
            FOR edge IN least(was, value) + 1 .. greatest(was, value) LOOP
                flips[edge + 1] := coalesce(flips[edge + 1], timezone('UTC', here - shift));
            END LOOP;
        ELSE
            flips[was + 1] := coalesce(flips[was + 1], timezone('UTC', here - shift));
            flips[value + 1] := coalesce(flips[value + 1], timezone('UTC', here - shift));
        END IF;
        was := value;
    END LOOP;
    -- Values that have not come by are looked for again from here.
    FOR edge IN 0 .. size LOOP
        flips[edge + 1] := coalesce(flips[edge + 1], timezone('UTC', here - shift));
    END LOOP;
    RETURN flips;
END $$
"""

_EARLIER = (
    "timezone('UTC', day::timestamp - (timezone(zone, timezone('UTC', day::timestamp - interval '40 hours')) "
    "- (day::timestamp - interval '40 hours')))"
)

# In PL/pgSQL, where each step is worked out once: in SQL the day would be, at every use that the zone makes of it.
_BIRTHDAY = f"""
CREATE OR REPLACE FUNCTION rule_birthday_instant(born date, at timestamptz, zone text) RETURNS timestamptz
STRICT {_PLPGSQL} $$
DECLARE
    day date := rule_next_birthday(born, timezone(zone, at)::date);
    instant timestamptz := rule_day_start(day, zone);
BEGIN
    RETURN CASE WHEN instant > at AND instant < '9999-01-01Z'::timestamptz THEN instant END;
END $$
"""

CALENDAR_FUNCTIONS: tuple[str, ...] = (
    "CREATE OR REPLACE FUNCTION rule_local(t timestamptz, zone text) RETURNS timestamp "
    f"{_SQL} CASE WHEN t >= '0001-01-03Z'::timestamptz AND t < '9999-12-30Z'::timestamptz THEN timezone(zone, t) "
    # At the ends of the calendar the zone decides; a day beyond is no day that CEL has.
    "WHEN timezone(zone, t) >= '0001-01-01'::timestamp AND timezone(zone, t) < '10000-01-01'::timestamp "
    "THEN timezone(zone, t) END",
    *(_reader(part) for part in PARTS),
    "CREATE OR REPLACE FUNCTION rule_calendar(local timestamp, part text) RETURNS bigint "
    f"{_SQL} CASE part {_CASES} END",
    _STEP,
    _CHANGE,
    _FLIPS,
    "CREATE OR REPLACE FUNCTION rule_earliest(list timestamptz[], places bigint[]) RETURNS timestamptz "
    f"{_SQL} (SELECT min(list[place::integer]) FROM unnest(places) AS u(place))",
    "CREATE OR REPLACE FUNCTION rule_element(list timestamptz[], place bigint) RETURNS timestamptz "
    f"{_SQL} list[place::integer]",
    # Where clocks are put back over midnight, PostgreSQL takes the second midnight: the day begins with the first.
    "CREATE OR REPLACE FUNCTION rule_day_start(day date, zone text) RETURNS timestamptz "
    f"{_SQL} CASE WHEN timezone(zone, {_EARLIER}) = day::timestamp THEN {_EARLIER} "
    "ELSE timezone(zone, day::timestamp) END",
    _BIRTHDAY,
    "CREATE OR REPLACE FUNCTION rule_bucket(hash bytea, count bigint) RETURNS bigint "
    f"{_SQL} (('x' || encode(substr(hash, 1, {BUCKET_BYTES}), 'hex'))::bit({8 * BUCKET_BYTES})::bigint * count) "
    f">> {8 * BUCKET_BYTES}",
)
"""Statements that create the functions; each may be executed again, and those that call others come after them."""
