"""What a mistake in a rule most likely meant is said, with its place."""

from __future__ import annotations

import pytest

from services.segmentation.rules import Registry, RuleError, RuleFunction, compile_rule

REGISTRY = Registry(
    functions=(
        RuleFunction("loyalty.tier", "string"),
        RuleFunction("acme.bought", "bool", ("string", "int")),
    )
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


def test_without_plugins_a_function_of_one_says_so() -> None:
    with pytest.raises(
        RuleError, match="no plugin offers a function; a newly installed plugin needs a restart"
    ):
        compile_rule('loyalty.tier(contact) == "gold"', Registry())
