"""What a mistake in a rule most likely meant is said, with its place."""

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
    Trait,
    compile_rule,
)

REGISTRY = Registry(
    attributes=(Attribute("vip", "bool"), Attribute("score", "double"), Attribute("colours", "strings")),
    event_types=(
        EventType.parse("order.placed", {"category": "string", "amount": "double"}),
        EventType.parse("page.visited", {}),
    ),
    traits=(Trait("rfm_recency", "int"),),
    segments={"segments/loyal": 7},
    functions=(
        RuleFunction("loyalty.tier", "string"),
        RuleFunction("acme.bought", "bool", ("string", "int")),
    ),
)


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ('loyalty.teir(contact) == "gold"', (1, 1), "'loyalty.teir': did you mean loyalty.tier?"),
        ('loyalti.tier(contact) == "gold"', (1, 1), "'loyalti.tier': did you mean loyalty.tier?"),
        ('tier(contact) == "gold"', (1, 5), "'tier': did you mean loyalty.tier?"),
        (
            'contact.has_email &&\n  loyalty.teir(contact) == "x"',
            (2, 3),
            "'loyalty.teir': did you mean loyalty.tier?",
        ),
        ('"ễ" == loyalty.teir(contact)', (1, 8), "did you mean loyalty.tier?"),
        (
            'loyalty.tier(contact, 3) == "gold"',
            (1, 1),
            "loyalty.tier was given the wrong number of arguments: write loyalty.tier(contact)",
        ),
        ("acme.bought(contact)", (1, 1), "write acme.bought(contact, string, int)"),
        ('acme.bought(contact, 3, "x")', (1, 12), "write acme.bought(contact, string, int)"),
        ('loyalty.tier == "gold"', (1, 8), "loyalty.tier is a function: write loyalty.tier(contact)"),
        (
            "zalo.friend(contact)",
            (1, 1),
            "'zalo.friend': plugins offer acme.bought, loyalty.tier; a newly installed plugin needs a restart of "
            "segmentation",
        ),
        ("dys(3) > now", (1, 4), "did you mean days?"),
        ("foo(contact)", (1, 4), "undeclared reference to 'foo'"),
        ("contcat.age > 3", (1, 8), "did you mean contact.age?"),
        ("event.order_placed.size() > 1", (1, 6), "did you mean events.order_placed.size?"),
        (
            "events.order_placed.map(o, o.amount).sum() > 1.0",
            (1, 41),
            "sum is a function, not a method: write sum(...)",
        ),
        ("avg(contact.age) > 1.0", (1, 4), "use size(), sum(), min() or max()"),
        ('contact.x = "VN"', (1, 11), "compare with =="),
        ('contact.x="VN"', (1, 10), "compare with =="),
        ("contact.has_email & contact.has_phone", (1, 19), "write && for and"),
        ("contact.has_email and contact.has_phone", (1, 19), "write && for and"),
        ("contact.has_email or contact.has_phone", (1, 19), "write || for or"),
        ("contact.attributes.size > 3", (1, 8), "attributes of your own are named directly: contact.size"),
        ('contact.attributes["size"] > 3', (1, 8), "named directly: contact.size"),
        ("contact.attributes == 3", (1, 8), "named directly: contact.<name>"),
    ],
)
def test_what_was_meant_is_said(text: str, place: tuple[int, int], message: str) -> None:
    with pytest.raises(RuleError) as raised:
        compile_rule(text, REGISTRY)
    assert (raised.value.line, raised.value.column) == place
    assert message in raised.value.message
    assert raised.value.message.count("did you mean") <= 1


NAMES = [
    # A name that nobody defined: the nearest, what it is called here, where it is kept, or what there is.
    ("contact.agee > 3", (1, 8), "undefined field 'agee' not found in contact: did you mean age?"),
    ("contact.Age > 3", (1, 8), "undefined field 'Age' not found in contact: did you mean age?"),
    (
        'contact.country == "Germany"',
        (1, 8),
        'did you mean region_code? It holds codes such as "VN" and "DE"',
    ),
    ('contact.contry == "VN"', (1, 8), "did you mean region_code?"),
    ('contact.city == "Huế"', (1, 8), "did you mean locality?"),
    (
        'contact.email == "a@b"',
        (1, 8),
        "did you mean has_email? Rules know whether there is one, and no more",
    ),
    ('contact.first_name == "An"', (1, 8), "segmentation keeps no names of people, so rules cannot ask them"),
    ("contact.rfm_recency > 3", (1, 8), "did you mean contact.traits.rfm_recency?"),
    ('contact.email_marketing == "granted"', (1, 8), "did you mean contact.consents.email_marketing?"),
    ("contact.order_placed.size() > 3", (1, 8), "did you mean events.order_placed?"),
    (
        "contact.zzz > 3",
        (1, 8),
        "not found in contact: there are admin_area, age, birth_date, colours, create_time,",
    ),
    ("contact.traits.zzz > 3", (1, 15), "there are rfm_recency"),
    ('contact.consents.zzz == "granted"', (1, 17), "there are email_marketing, messaging_marketing,"),
    ("events.orderplaced.size() > 1", (1, 7), "did you mean order_placed?"),
    ("events.zzz.size() > 1", (1, 7), "there are order_placed, page_visited"),
    ("events.order_placed.exists(e, e.zzz > 1.0)", (1, 32), "there are amount, category, time"),
    ("age > 3", (1, 1), "undeclared reference to 'age': did you mean contact.age?"),
    ('region_code == "VN"', (1, 1), "did you mean contact.region_code?"),
    ("regioncode == 'VN'", (1, 1), "did you mean contact.region_code?"),
    ("order_placed.size() > 3", (1, 1), "did you mean events.order_placed.size?"),
    ("tags.exists(t, t == 'vip')", (1, 1), "did you mean contact.tags.exists?"),
    ("Contact.age > 3", (1, 8), "did you mean contact.age?"),
    ("loyal", (1, 1), 'did you mean in_segment("segments/loyal")?'),
    ("zzz", (1, 1), "undeclared reference to 'zzz': a rule speaks of contact, events and now"),
    ("contact.vip == True", (1, 16), "did you mean true?"),
    ("contact.age == NULL", (1, 16), "did you mean null?"),
    ("count(events.order_placed) > 3", (1, 6), "use size(), sum(), min() or max()"),
]
QUOTES = [
    (
        "contact.region_code == Germany",
        (1, 24),
        "reference to 'Germany': write texts in quotes: \"Germany\"",
    ),
    ("contact.age > 3 &&\n  contact.gender != female", (2, 21), 'write texts in quotes: "female"'),
    ('contact.region_code in [VN, "US"]', (1, 25), 'write texts in quotes: "VN"'),
    ("vip in contact.tags", (1, 1), 'write texts in quotes: "vip"'),
    ("contact.tags == vip", (1, 17), 'write texts in quotes: "vip"'),
    ("contact.consents.email_marketing == granted", (1, 37), 'write texts in quotes: "granted"'),
    ("in_segment(loyal)", (1, 12), 'write the segment\'s name in quotes: in_segment("segments/loyal")'),
    ("contact.locality == Ho Chi Minh", (1, 21), 'Syntax error: write texts in quotes: "Ho Chi Minh"'),
    ("contact.locality == “Huế”", (1, 21), "Syntax error: write straight quotes, \" or ', and not “"),
]
LISTS = [
    (
        'contact.tags == "vip"',
        (1, 14),
        'list of texts is not compared with a text by ==: write "vip" in contact.tags',
    ),
    ('"vip" == contact.tags', (1, 7), 'write "vip" in contact.tags'),
    ('contact.tags != "vip"', (1, 14), 'write !("vip" in contact.tags)'),
    ('contact.tags.contains("vip")', (1, 22), 'which has no such function: write "vip" in contact.tags'),
    ('contact.tags in "vip"', (1, 14), 'write "vip" in contact.tags'),
    (
        "contact.tags.vip",
        (1, 13),
        'contact.tags is a list of texts, without fields: write "vip" in contact.tags',
    ),
    ('"vip" in contact.locality', (1, 7), 'write contact.locality.contains("vip")'),
    ("events.order_placed > 3", (1, 21), "count the events: events.order_placed.size() > 3"),
    ("events.order_placed.size > 3", (1, 20), "count what is in it by events.order_placed.size()"),
    ('events.order_placed == "shoes"', (1, 21), 'write events.order_placed.exists(e, e.category == "…")'),
    (
        "events.order_placed.amount > 3.0",
        (1, 20),
        "write events.order_placed.exists(e, e.amount == 1.0), or count",
    ),
    ("events.page_visited.url", (1, 20), "write events.page_visited.exists(e, now - e.time <= days(30))"),
]
TYPES = [
    (
        'contact.age > "3"',
        (1, 13),
        "number is not compared with a text by >: write the number without quotes: 3",
    ),
    ('contact.score > "3"', (1, 15), "write the number without quotes: 3.0"),
    (
        "contact.score > 3",
        (1, 15),
        "whole numbers and decimals do not mix: write decimals with a point (1000.0)",
    ),
    ("contact.postal_code == 700000", (1, 21), 'write texts in quotes: "700000"'),
    (
        'contact.vip == "yes"',
        (1, 13),
        "a truth value is not compared with a text by ==: write true, without quotes",
    ),
    ('contact.create_time > "2026-03-01"', (1, 21), 'write times as timestamp("2026-03-01T00:00:00Z")'),
    ("contact.create_time > 2026-03-01", (1, 21), 'write times as timestamp("2026-03-01T00:00:00Z")'),
    ("now - contact.create_time < 30", (1, 27), "write lengths of time as days(30), hours() or minutes()"),
    ("contact.create_time > now - 30", (1, 27), "write lengths of time as days(30), hours() or minutes()"),
]
SYNTAX = [
    ("contact.age >", (1, 14), "Syntax error: the rule ends too early: write what comes after >"),
    ("contact.age > 3 &&  \n\n", (1, 19), "the rule ends too early: write what comes after &&"),
    ("(contact.age > 3", (1, 17), "the rule ends too early: the ( in column 1 is not closed, write )"),
    (
        "events.order_placed.exists(e,\n  e.amount > 3.0",
        (2, 17),
        "the rule ends too early: the ( in line 1, column 27, is not closed, write )",
    ),
    ('contact.region_code in ["VN"', (1, 29), "the [ in column 24 is not closed, write ]"),
    ("contact.age > 3)", (1, 16), "this ) closes nothing: take it out, or open it before"),
    ('contact.locality == "Huế', (1, 21), 'the text that begins here does not end: close it with "'),
    ("contact.", (1, 9), "write a name after the dot"),
    ("contact.age > 3 contact.vip", (1, 17), "join conditions with && (and) or || (or)"),
    ('contact.region_code in ["VN" "US"]', (1, 30), 'write a comma between "VN" and "US"'),
    ("contact.vip AND contact.has_email", (1, 13), "write && for and"),
    ("not contact.vip", (1, 1), "write ! for not"),
    ("contact.age between 3 and 5", (1, 13), "write contact.age >= … && contact.age <= …"),
    ("contact.age is null", (1, 13), "write !has(contact.age)"),
    ("contact.age is not null", (1, 13), "write has(contact.age)"),
    ("contact.age <> 3", (1, 13), "write != for unlike"),
    ("contact.age => 3", (1, 13), "write >= for at least"),
    ("contact.age === 3", (1, 13), "compare with =="),
]


@pytest.mark.parametrize(("text", "place", "message"), [*NAMES, *QUOTES, *LISTS, *TYPES, *SYNTAX])
def test_what_to_write_instead_is_said(text: str, place: tuple[int, int], message: str) -> None:
    with pytest.raises(RuleError) as raised:
        compile_rule(text, REGISTRY)
    assert message in raised.value.message
    assert (raised.value.line, raised.value.column) == place


# What the messages above tell to write.
MENDED = [
    'contact.region_code == "VN" && "vip" in contact.tags && !("a" in contact.tags)',
    'contact.locality.contains("vip") && events.order_placed.size() > 3 && contact.vip == true && contact.score > 3.0',
    'events.order_placed.exists(e, e.category == "…") || events.page_visited.exists(e, now - e.time <= days(30))',
    'contact.create_time > timestamp("2026-03-01T00:00:00Z") && now - contact.create_time < days(30)',
    "has(contact.age) && !has(contact.gender) && contact.age >= 3 && contact.age <= 5",
    'in_segment("segments/loyal") && contact.traits.rfm_recency > 3 && contact.consents.email_marketing == "granted"',
]


@pytest.mark.parametrize("text", MENDED)
def test_what_is_said_to_write_can_be_written(text: str) -> None:
    assert compile_rule(text, REGISTRY).text == text


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            [
                *(
                    "contact",
                    "events",
                    "now",
                    "order_placed",
                    "tags",
                    "age",
                    "vip",
                    "Germany",
                    "in",
                    "and",
                    "not",
                    "is",
                ),
                *(
                    ".",
                    "(",
                    ")",
                    "[",
                    "]",
                    ",",
                    "==",
                    "!=",
                    "<",
                    "=>",
                    "=",
                    "&",
                    "&&",
                    "||",
                    "!",
                    "-",
                    "“",
                    "{",
                    "\n",
                    " ",
                ),
                *(
                    '"vip"',
                    "'a",
                    '"',
                    "3",
                    "3.0",
                    "2026-01-01",
                    "true",
                    "null",
                    "size()",
                    "exists(e, e",
                    "//x",
                    "\\",
                    "ễ",
                ),
            ]
        ),
        max_size=12,
    ).map(" ".join)
)
def test_no_mistake_is_a_crash_and_each_place_is_in_the_rule(text: str) -> None:
    error = None
    try:
        compile_rule(text, REGISTRY)
    except RuleError as raised:
        error = raised
    if error is not None:
        lines = text.split("\n")
        assert error.message
        assert 1 <= error.line <= len(lines)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1


def test_without_plugins_a_function_of_one_says_so() -> None:
    with pytest.raises(
        RuleError, match="no plugin offers a function; a newly installed plugin needs a restart"
    ):
        compile_rule('loyalty.tier(contact) == "gold"', Registry())
