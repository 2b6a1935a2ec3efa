"""Which names of templates are known, which have a fallback, and what was meant."""

from __future__ import annotations

import pytest

from services.campaign.domain.rendering import CompiledContent, Content
from services.campaign.domain.template_names import Named, absent, asks_contacts, unknown

ATTRIBUTES = ("shoe_size", "since")


def names(text: str, html: str = "", mjml: str = "") -> tuple[Named, ...]:
    return CompiledContent(Content("", "s", text, html, mjml)).names


def told(text: str, html: str = "", mjml: str = "") -> list[str]:
    return [str(item) for item in unknown(names(text, html, mjml), ATTRIBUTES)]


def empty(name: str, hint: str, place: str = "text, line 1") -> str:
    return f"{place}: nothing is named {name!r}, so it would be empty: {hint}"


FIELDS = (
    "contact has name, display_name, given_name, family_name, language_code, time_zone, region_code, locality, "
    "attributes"
)


@pytest.mark.parametrize(
    "text",
    [
        "{{ contact.given_name }} {{ contact['family_name'] }} {{ contact }}",
        "{{ contact.given_name.upper() }} {{ contact.given_name[:1] }} {{ contact.given_name | title }}",
        "{{ contact.attributes.shoe_size }} {{ contact.attributes['since'] | date }}",
        "{{ contact.attributes[contact.locality] }} {% for key in contact.attributes %}{{ key }}{% endfor %}",
        "{{ now.year }} {{ now.strftime('%d') }} {{ links.unsubscribe }} {{ links.reply }}",
        "{{ event.whatever.deep }} {{ coupon }} {{ coupon.lower() }}",
        "{% set who = contact.given_name %}{{ who }}{% if true %}{% set more = 1 %}{% endif %}{{ more }}",
        "{% for n in [] %}{{ n }}{{ loop.index }}{% for a, b in [] %}{{ a }}{{ b }}{{ n }}{% endfor %}{% endfor %}",
        "{% with who = contact %}{{ who.anything }}{% endwith %}",
        "{% block a %}{{ contact.name }}{% endblock %}{{ self.a() }}",
        "https://shop.test/{{ contact.locality }}?x=1 and https://shop.test/b",
        "no names {{ 1 + 2 }} {{ 'text' }} {{ true }} {# {{ comment }} #}{% raw %}{{ raw }}{% endraw %}",
    ],
)
def test_names_that_are_known(text: str) -> None:
    assert told(text) == []


@pytest.mark.parametrize(
    ("text", "name", "hint"),
    [
        ("{{ frist_name }}", "frist_name", "did you mean contact.given_name?"),
        ("{{ given_name }}", "given_name", "did you mean contact.given_name?"),
        ("{{ contcat.given_name }}", "contcat", "did you mean contact?"),
        ("{{ shoe_size }}", "shoe_size", "did you mean contact.attributes.shoe_size?"),
        ("{{ zebra }}", "zebra", "there are contact, coupon, event, links, now"),
        ("{{ contact.first_name }}", "contact.first_name", "did you mean contact.given_name?"),
        ("{{ contact['surname'] }}", "contact.surname", "did you mean contact.family_name?"),
        ("{{ contact.shoe_size }}", "contact.shoe_size", "did you mean contact.attributes.shoe_size?"),
        ("{{ contact.shoesize }}", "contact.shoesize", "did you mean contact.attributes.shoe_size?"),
        ("{{ contact.zebra.stripe }}", "contact.zebra", FIELDS),
        ("{{ contact.items() }}", "contact.items", FIELDS),
        (
            "{{ contact.attributes.shoe }}",
            "contact.attributes.shoe",
            "did you mean contact.attributes.shoe_size?",
        ),
        (
            "{{ contact.attributes['zebra'] }}",
            "contact.attributes.zebra",
            "the attributes defined in contacts are shoe_size, since",
        ),
        ("{{ links.unsubscribed }}", "links.unsubscribed", "did you mean links.unsubscribe?"),
        ("{{ links.web }}", "links.web", "links has unsubscribe, reply"),
        ("{{ now.yeer }}", "now.yeer", "did you mean now.year?"),
        # Neither a fallback nor a test makes one right that is never there.
        (
            "{{ contact.first_name | default('you') }}",
            "contact.first_name",
            "did you mean contact.given_name?",
        ),
        ("{% if frist is defined %}{% endif %}", "frist", "there are contact, coupon, event, links, now"),
        ("{{ contact.given_name or nick }}", "nick", "there are contact, coupon, event, links, now"),
        ("{{ contact.attributes[zebra] }}", "zebra", "there are contact, coupon, event, links, now"),
        ("https://shop.test/{{ contact.citty }}", "contact.citty", "did you mean contact.locality?"),
        # What a block made itself is not known outside of it, nor before.
        (
            "{% for zebra in [] %}{{ zebra }}{% endfor %}{{ zebra }}",
            "zebra",
            "there are contact, coupon, event, links, now",
        ),
        ("{{ zebra }}{% set zebra = 1 %}", "zebra", "there are contact, coupon, event, links, now"),
        ("{{ loop.index }}", "loop", "there are contact, coupon, event, links, now"),
    ],
)
def test_names_that_nobody_knows(text: str, name: str, hint: str) -> None:
    assert told(text) == [empty(name, hint)]


def test_each_name_is_told_once_with_part_and_line_of_the_source() -> None:
    page = "<style>p {color: red}</style>\n<p>x</p>\n<p>{{ frist }} <a href='https://a.test/{{ zebra }}'>b</a></p>"
    there = "there are contact, coupon, event, links, now"
    assert told("a\n{{ frist }}\n{{ frist }} {{ frist.b }}", page) == [
        empty("frist", there, "text, line 2"),
        empty("frist", there, "html, line 3"),
        empty("zebra", there, "html, line 3"),
    ]
    mail = (
        "<mjml><mj-body><mj-section><mj-column>\n<mj-text>\n{{ frist }}</mj-text>"
        "</mj-column></mj-section></mj-body></mjml>"
    )
    assert told("x", "", mail) == [empty("frist", there, "mjml, line 3")]


@pytest.mark.parametrize(
    "text",
    [
        "{{ coupon | default('none') }} {{ event.total | money | d('-') }} {{ coupon | fallback('x') }}",
        "{{ coupon or 'none' }} {{ 'Code ' ~ coupon if coupon else '' }} {{ coupon and 'Code ' ~ coupon }}",
        "{% if coupon %}Code {{ coupon }}{% elif event.total %}{{ event.total }}{% endif %}",
        "{% if coupon is defined and coupon != 'X' %}{% if true %}{{ coupon }}{% endif %}{% endif %}",
        "{% if not event %}nothing{% else %}{{ event.total }}{% endif %}",
        "{% for line in event.lines %}{{ line.sku }} {{ event.total }}{% endfor %}",
        "{% set code = coupon %}{% if code %}{{ code }}{% endif %}",
        "{% with total = event.total %}{{ total | default('') }}{% endwith %}",
    ],
)
def test_uses_that_cope_without_event_and_coupon(text: str) -> None:
    assert absent(names(text), {"coupon", "event"}) == []
    assert told(text) == []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("{{ coupon }}", ("coupon",)),
        ("{{ event.total.amount }}", ("event", "total", "amount")),
        ("{{ coupon | upper }}", ("coupon",)),
        ("{% if contact.given_name %}{{ coupon }}{% endif %}", ("coupon",)),
        ("{% if coupon %}{{ coupon }}{% endif %} {{ coupon }}", ("coupon",)),
        ("{{ coupon | default('') }}{{ coupon }}", ("coupon",)),
        ("{{ contact.given_name | default(coupon) }}", ("coupon",)),
        ("{{ contact.given_name or coupon }}", ("coupon",)),
        ("{% if coupon %}{{ event.total }}{% endif %}", ("event", "total")),
    ],
)
def test_uses_that_do_not_cope_without(text: str, path: tuple[str, ...]) -> None:
    assert [item.path for item in absent(names(text), {"coupon", "event"})] == [path]
    assert absent(names(text), ()) == []


@pytest.mark.parametrize(
    ("text", "asks"),
    [
        ("{{ contact.given_name }} {{ event.size }} {{ contact.attributes | length }}", False),
        ("{{ contact.attributes.size }}", True),
        ("{{ contact.size }}", True),
        ("{{ size }}", True),
    ],
)
def test_attributes_are_asked_for_when_they_decide(text: str, asks: bool) -> None:
    assert asks_contacts(names(text)) is asks
