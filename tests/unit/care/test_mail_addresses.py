"""Which addresses care takes mail for, and what they say."""

from __future__ import annotations

from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.care.domain.addresses import NewCase, Reply, Unsubscribe, parse_recipient
from services.kit.signing import CASE, CONTACT, Signer

DOMAIN = "mail.example.test"


@pytest.mark.parametrize(
    ("address", "target"),
    [
        (f"care@{DOMAIN}", NewCase()),
        (f"Support@{DOMAIN.upper()}", NewCase()),
        (f"<postmaster@{DOMAIN}>", NewCase()),
        (f"reply+abc234@{DOMAIN}", Reply("abc234")),
        (f"REPLY+ABC234@{DOMAIN}", Reply("abc234")),
        (f"u+marketing.abc@{DOMAIN}", Unsubscribe("marketing", "abc")),
        (f"u+a-b_c.abc@{DOMAIN}", Unsubscribe("a-b_c", "abc")),
        (f"u+marketing@{DOMAIN}", None),
        (f"u+marketing.@{DOMAIN}", None),
        (f"u+.abc@{DOMAIN}", None),
        (f"u+{'x' * 17}.abc@{DOMAIN}", None),
        (f"someone@{DOMAIN}", None),
        (f"care+x@{DOMAIN}", None),
        ("care@other.test", None),
        (f"care@sub.{DOMAIN}", None),
        (f"care@other.test@{DOMAIN}", None),
        ("care", None),
        ("", None),
        ("@", None),
    ],
)
def test_an_address_says_what_it_stands_for(address: str, target: object):
    assert parse_recipient(address, DOMAIN) == target


def test_signed_addresses_fit_into_a_local_part():
    signer = Signer("k" * 32)
    key = uuid4().bytes
    reply, stop = signer.sign(CASE, key), signer.sign(CONTACT, key)
    longest = f"u+{'t' * 16}.{stop}"
    assert len(f"reply+{reply}") <= 64
    assert len(longest) <= 64
    assert parse_recipient(f"{longest}@{DOMAIN}", DOMAIN) == Unsubscribe("t" * 16, stop)


@given(st.text(max_size=80))
def test_no_text_is_too_strange(text: str):
    assert parse_recipient(text, DOMAIN) is None
    assert (
        parse_recipient(f"{text}@{DOMAIN}", DOMAIN) is None
        or "+" in text
        or text.strip("< >").lower()
        in (
            "care",
            "support",
            "postmaster",
        )
    )
