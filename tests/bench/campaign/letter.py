"""The mail of the benchmark: a personal newsletter in text and HTML of about four kilobytes."""

from __future__ import annotations

import secrets

WEB = "https://go.shop.test"
"""Where the links of messages lead: they are rewritten, openings are counted, and one click unsubscribes."""
PEOPLE = (
    ("An", "Nguyễn", "Hà Nội"),
    ("Mary", "Smith", "London"),
    ("Linh", "Trần", "Đà Nẵng"),
    ("James", "Jones", "Leeds"),
    ("Olivia", "Brown", "Bristol"),
)
_PARAGRAPH = (
    "This month we have put together what customers like you asked for: new arrivals, a look behind the scenes, and "
    "an offer that is yours alone. Take your time, everything stays available until the end of the month."
)
_LINKS = "".join(
    f'<p><a href="https://shop.test/offer/{number}">Offer number {number}</a>: {_PARAGRAPH}</p>\n'
    for number in range(1, 6)
)
CONTENT = {
    "language_code": "",
    "subject": "{{ contact.given_name | default('Hello', true) }}, your spring offers are here",
    "text": (
        "Dear {{ contact.given_name }} {{ contact.family_name }},\n\n"
        f"{_PARAGRAPH}\n\n"
        "{% if contact.locality %}Our shop in {{ contact.locality }} is open until eight.{% endif %}\n"
        "Unsubscribe: {{ links.unsubscribe }}\n"
    ),
    "html": (
        "<html><body><h1>Dear {{ contact.given_name }} {{ contact.family_name }},</h1>\n"
        f"<p>{_PARAGRAPH}</p>\n"
        "{% if contact.locality %}<p>Our shop in {{ contact.locality }} is open until eight.</p>{% endif %}\n"
        f"{_LINKS}"
        '<p><a href="{{ links.unsubscribe }}">Unsubscribe</a></p></body></html>\n'
    ),
}


def token() -> str:
    """Return a text as long as a signed token."""
    return secrets.token_hex(23)
