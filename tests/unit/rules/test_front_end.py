"""What a rule may say: errors name the place and the allowed form, and hostile text is refused, never a
crash.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.segmentation.rules import (
    Attribute,
    EventType,
    Registry,
    RuleError,
    RuleFunction,
    RuleTooLargeError,
    Trait,
    compile_rule,
)

REGISTRY = Registry(
    attributes=(Attribute("vip", "bool"), Attribute("score", "double"), Attribute("colors", "strings")),
    event_types=(
        EventType.parse("order.placed", {"category": "string", "amount": "double", "note": "string?"}),
        EventType.parse("page.visited", {}),
    ),
    traits=(Trait("rfm_recency", "int"),),
    functions=(RuleFunction("loyalty.tier", "string", ("int",)),),
    segments={"segments/churned": 7},
)

ACCEPTED = [
    'contact.region_code == "VN" && contact.age >= 25 && contact.age < 35',
    'contact.has_email && !("vip" in contact.tags) && contact.consents.email_marketing == "granted"',
    'events.order_placed.filter(e, e.category == "shoes" && now - e.time <= days(30)).size() >= 2',
    "events.page_visited.exists(a, now - a.time <= days(7) && !events.order_placed.exists(o, o.time > "
    "a.time))",
    "sum(events.order_placed.filter(e, now - e.time <= days(365)).map(e, e.amount)) > 1000.0",
    "now - contact.last_order_time > days(90)",
    'contact.traits.rfm_recency >= 4 && !in_segment("segments/churned")',
    "distance_km(contact.location, 10.7769, 106.7009) < 5.0",
    'loyalty.tier(contact, 3) == "gold"',
    'fold(contact.locality) == "da nang" || contact.locality.startsWith("Hồ")',
    "contact.vip ? contact.score > 1.0 : size(contact.colors) > 0",
    'contact.create_time > timestamp("2026-01-31T07:00:00.123456+07:00")',
    'events.order_placed.map(e, e.category).exists(c, c in ["a", "b"])',
    "contact.order_count * 2 % 3 == 1 || double(contact.order_count) / 2.0 > 1.5",
    'events.order_placed.exists_one(e, has(e.note)) && "a" in events.order_placed.map(e, e.category)',
    "now >= max(events.order_placed.map(e, e.time)) + days(3)",
    "events.order_placed.exists(a, events.order_placed.exists(b, b.time - a.time > hours(1)))",
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_accepts(text: str) -> None:
    assert compile_rule(text, REGISTRY).text == text


# text, column of the place, part of the message
REFUSED = [
    ("contact.agee > 3", 8, "undefined field 'agee' not found in contact: did you mean age?"),
    ("contact.zzz > 3", 8, "undefined field 'zzz' not found in contact"),
    ("contact.age > 3.0", 13, "whole numbers and decimals do not mix"),
    ("contact.consents.emial == \"x\"", 17, "not found in contact.consents"),
    ("events.order_placed.exists(e, e.amont > 2.0)", 32, "did you mean amount?"),
    ("events.orders.size() > 0", 7, "undefined field 'orders' not found in events"),
    ("contact.age >", 14, "Syntax error"),
    ("contact.age", 8, "must be true or false"),
    ("events.order_placed", 7, "list"),
    ("now > now", 5, "one side only"),
    ("now - contact.create_time <= now - contact.last_order_time", 27, "one side only"),
    ("events.order_placed.map(e, now - e.time).size() > 0", 28, "`now` can only be compared"),
    ("now == contact.create_time - days(400000)", 35, "too long"),
    ('timestamp("2026-02-30T00:00:00Z") < now', 11, "is not a time"),
    ('timestamp("2026-02-03T00:00:00.1234567Z") < now', 11, "6 decimals"),
    ('now - contact.create_time < duration("1 day")', 38, "is not a duration"),
    ("now - contact.create_time < days(contact.order_count)", 33, "takes a whole number"),
    ('contact.region_code.matches("V.*")', 28, "matches() is not available"),
    ("contact.create_time == null", 8, "not compared with null"),
    ("contact.colors == []", 8, "lists are not compared"),
    ("events.order_placed[0].amount > 1.0", 20, "no order to index"),
    ('contact.age in [1, null]', 20, "null is not listed"),
    ('contact.age in [1, contact.order_count]', 27, "takes literals"),
    ('in_segment("segments/unknown")', 12, "no segment segments/unknown"),
    ('in_segment("churned")', 11, "takes a segment's name"),
    ("distance_km(contact.location, 95.0, 1.0) < 5.0", 31, "latitude within 90"),
    ("loyalty.tier(contact, contact.order_count) == \"x\"", 30, "are literals"),
    ("contact == contact", 1, "whole profile"),
    ("events.order_placed.exists(e, e == e)", 31, "whole event"),
    ("now.getSeconds() == 1", 15, "changes too often to be followed"),
    ('now.getHours("Mars/X") == 1', 14, 'there is no time zone "Mars/X"'),
    ('now.getHours("Asia/Ho_Chi_Min") == 1', 14, 'did you mean "Asia/Ho_Chi_Minh"?'),
    ('now.getHours("+07:00") == 1', 14, "is an offset: write a place"),
    ('now.getHours("CET") == 1', 14, "is an abbreviation"),
    ("now.getHours(contact.gender) == 1", 21, "the time zone is written out"),
    ("(now - contact.create_time).getHours() == 1", 6, "asks a time: now.getHours()"),
    ('duration("3h").getHours() == 3', 24, "asks a time, not a duration"),
    ("(now + days(40000)).getDate() == 1", 6, "at most 36600 days"),
    ("bucket(contact.gender) < 3", 15, "bucket() takes a salt written out"),
    ('bucket("") < 3', 8, "bucket() takes a salt written out"),
    ('bucket("a", 0) < 3', 13, "divides into 1 to 10,000"),
    ('bucket("a", contact.age) < 3', 20, "divides into 1 to 10,000"),
    ("string(contact.age) == \"3\"", 7, "cannot be used in a rule"),
    ("int(contact.region_code) == 3", 4, "converts numbers only"),
    ("(1 / contact.age == 1 ? contact.score : 1.0) == 1.0", 23, "both missing and unknown"),
    ("sum([1, 2]) > 1", 4, "takes a list"),
    ("sum(events.order_placed.map(e, e.category).map(c, size(c) > 1)) > 1", 4, "no matching overload"),
    ("1e999 > contact.score", 1, "beyond the range of doubles"),
    ('contact.region_code == "a\\u0000b"', 24, "U+0000"),
    ("has(contact.traits)", 4, "one field"),
    ("3u > 2u", 1, "unsigned"),
    ('dyn(contact.age) == "x"', 4, "cannot be used"),
    ("{1: true}[1]", 10, "no order to index"),
    ("events.order_placed.EXACT_amount == 1", 20, "is a list of events, without fields of its own"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "column", "message"), REFUSED)
def test_refuses_with_the_place(text: str, column: int, message: str) -> None:
    with pytest.raises(RuleError) as raised:
        compile_rule(text, REGISTRY)
    assert message in raised.value.message
    assert (raised.value.line, raised.value.column) == (1, column)


def test_the_place_counts_lines_and_characters() -> None:
    with pytest.raises(RuleError) as raised:
        compile_rule('contact.locality == "Đà Nẵng" &&\n  contact.agee > 3', REGISTRY)
    error = raised.value
    assert (error.line, error.column) == (2, 10)
    assert error.snippet == "  contact.agee > 3\n         ^"
    assert str(error).startswith("line 2, column 10: undefined field 'agee'")


def test_hidden_fields_are_not_part_of_the_language() -> None:
    with pytest.raises(RuleError, match="undefined field 'EXACT_amount'"):
        compile_rule('events.order_placed.exists(e, e.EXACT_amount == "1")', REGISTRY)


HOSTILE = [
    "(" * 5000 + "true" + ")" * 5000,
    "1" + "+1" * 9000 + " > 0",
    "[" * 5000 + "]" * 5000,
    "contact" + ".age" * 3000,
    "true ? " * 2000 + "true" + " : true" * 2000,
    " && ".join(["contact.age > 3"] * 1000),
    "x" * 30_000,
    "events.order_placed" + ".filter(e, true)" * 900 + ".size() > 0",
    "contact.tags" + ".map(e, e + e)" * 40 + ".exists(e, e == '')",
    "\ud800 == 1",
    "true\0",
    "",
    "   \n",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_refused(text: str) -> None:
    with pytest.raises(RuleError):
        compile_rule(text, REGISTRY)


def test_pairs_of_signs_cancel() -> None:
    # The parser takes !! and -- for nothing, however many there are.
    assert compile_rule("!" * 15000 + "contact.vip", REGISTRY).attributes == {"vip"}
    assert compile_rule("contact.order_count > " + "-" * 15000 + "1", REGISTRY).attributes == {"order_count"}


def test_too_large_has_its_own_type() -> None:
    for text in ("x" * 30_000, "(" * 5000 + "true" + ")" * 5000, " && ".join(["contact.age > 3"] * 1000)):
        with pytest.raises(RuleTooLargeError):
            compile_rule(text, REGISTRY)


def test_a_long_flat_rule_is_accepted() -> None:
    text = " || ".join(f"contact.order_count == {i}" for i in range(500))
    assert compile_rule(text, REGISTRY).attributes == {"order_count"}


TOKENS = st.sampled_from(
    """contact . age events order_placed exists(e, filter(x, map( )
    ( now - && || ! ? : == < in [ ] 1 2.0 "a" null has( e x
    days(1) , sum( size() tags time { } timestamp( ' " \\ true contact.location u b'a'""".split()  # noqa: SIM905
)


@settings(deadline=None)
@given(st.one_of(st.lists(TOKENS, max_size=25).map("".join), st.text(max_size=60)))
def test_any_text_is_accepted_or_refused(text: str) -> None:
    try:
        compile_rule(text, REGISTRY)
        refusal = None
    except RuleError as error:
        refusal = error
    if refusal is not None:
        assert refusal.message
        assert refusal.line >= 1
        assert refusal.column >= 1
        assert str(refusal)


def test_what_a_rule_reads_is_listed() -> None:
    rule = compile_rule(
        'contact.age > 3 && contact.traits.rfm_recency > 1 && has(contact.location) && "a" in contact.tags '
        "&& "
        'in_segment("segments/churned") && loyalty.tier(contact, 3) == loyalty.tier(contact, 4) && '
        "contact.tags.filter(t, contact.vip).size() > 1 && events.page_visited.exists(v, v.time < "
        "contact.birth_date)",
        REGISTRY,
    )
    assert rule.attributes == {"age", "traits.rfm_recency", "location", "tags", "vip", "birth_date"}
    assert rule.event_types == {"page.visited"}
    assert rule.segments == {"segments/churned"}
    assert [(c.number, c.function, c.params) for c in rule.plugin_calls] == [
        (0, "loyalty.tier", (3,)),
        (1, "loyalty.tier", (4,)),
    ]
    assert rule.uses_now
    assert rule.time_dependent


def test_time_dependence() -> None:
    assert not compile_rule("contact.order_count > 3", REGISTRY).time_dependent
    windowed = compile_rule("events.page_visited.exists(v, now - v.time < days(1))", REGISTRY)
    assert windowed.uses_now
    # An event that has not happened yet becomes visible by time alone.
    plain = compile_rule("events.page_visited.size() > 1", REGISTRY)
    assert plain.time_dependent
    assert not plain.uses_now


def test_compiled_rules_are_shared() -> None:
    assert compile_rule("contact.age > 3", REGISTRY) is compile_rule("contact.age > 3", REGISTRY)
    other = Registry(time_zone="Asia/Ho_Chi_Minh")
    assert compile_rule("contact.age > 3", REGISTRY) is not compile_rule("contact.age > 3", other)
