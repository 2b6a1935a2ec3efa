"""Signed links: what was signed comes back, and nothing else is taken for it."""

from __future__ import annotations

import base64
import hmac
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.campaign.domain.ids import RuleError
from services.campaign.domain.links import (
    MAX_LINKS,
    MAX_URL,
    BadToken,
    BadUrl,
    Link,
    Unsubscription,
    check_url,
    is_web,
    link_token,
    open_token,
    read_link,
    read_open,
    read_unsubscribe,
    unsubscribe_token,
)
from services.kit.signing import Signer

SIGNER, OTHER = Signer("a secret of the shop"), Signer("a secret of somebody else")
MESSAGE, CONTACT = UUID(int=7 << 64), UUID(int=9 << 64)
READERS = (read_link, read_open, read_unsubscribe)
urls = st.from_regex(
    r"https?://[a-z]{1,20}\.test(:[1-9][0-9]{1,3})?(/[a-zA-Z0-9%éø-]{0,20}){0,3}(\?[a-z]=[a-z0-9&=]{0,30})?",
    fullmatch=True,
)


@settings(max_examples=40)
@given(st.uuids(), st.integers(0, MAX_LINKS - 1), st.none() | urls)
def test_a_link_comes_back(message_id: UUID, number: int, url: str | None) -> None:
    assert read_link(SIGNER, link_token(SIGNER, message_id, number, url)) == Link(message_id, number, url)


@settings(max_examples=25)
@given(st.uuids(), st.from_regex(r"[a-z][a-z0-9_]{0,15}", fullmatch=True), st.none() | st.uuids())
def test_an_unsubscription_comes_back(contact_id: UUID, topic: str, message_id: UUID | None) -> None:
    token = unsubscribe_token(SIGNER, contact_id, topic, message_id)
    assert read_unsubscribe(SIGNER, token) == Unsubscription(
        contact_id, topic, message_id if message_id and message_id.int else None
    )
    assert read_open(SIGNER, open_token(SIGNER, contact_id)) == contact_id


def test_tokens_are_short() -> None:
    assert len(link_token(SIGNER, MESSAGE, 3, None)) <= 38
    assert len(open_token(SIGNER, MESSAGE)) <= 35
    assert len(unsubscribe_token(SIGNER, CONTACT, "marketing", MESSAGE)) <= 68


def test_a_token_is_good_for_one_use_and_one_key() -> None:
    made = (
        link_token(SIGNER, MESSAGE, 3, None),
        open_token(SIGNER, MESSAGE),
        unsubscribe_token(SIGNER, CONTACT, "news", None),
    )
    for token, own in zip(made, READERS, strict=True):
        for read in READERS:
            with pytest.raises(BadToken):
                read(OTHER, token)
            if read is not own:
                with pytest.raises(BadToken):
                    read(SIGNER, token)


@settings(max_examples=60)
@given(st.data())
def test_a_changed_token_is_refused(data: st.DataObject) -> None:
    read, token = data.draw(
        st.sampled_from(
            [
                (read_link, link_token(SIGNER, MESSAGE, 3, "https://shop.test/a?b=c")),
                (read_open, open_token(SIGNER, MESSAGE)),
                (read_unsubscribe, unsubscribe_token(SIGNER, CONTACT, "news", MESSAGE)),
            ]
        )
    )
    place = data.draw(st.integers(0, len(token) - 1))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    letter = data.draw(st.sampled_from(letters).filter(lambda drawn: drawn != token[place]))
    changed = data.draw(
        st.sampled_from(
            [token[:place] + letter + token[place + 1 :], token[:place], token + letter, token + "="]
        )
    )
    with pytest.raises(BadToken):
        read(SIGNER, changed)


@settings(max_examples=40)
@given(st.text(max_size=80))
def test_any_text_is_refused_in_order(token: str) -> None:
    for read in READERS:
        with pytest.raises(BadToken):
            read(SIGNER, token)


def test_even_a_signed_body_of_the_wrong_form_is_refused() -> None:
    # As a key that was used for something else might have signed it.
    def forge(use: str, body: bytes) -> str:
        return base64.urlsafe_b64encode(body + SIGNER.mac(use, body)[:10]).rstrip(b"=").decode()

    for read, token in [
        (read_link, forge("link", MESSAGE.bytes)),
        (read_link, forge("link", MESSAGE.bytes + b"\xff\xff")),
        (read_link, forge("link", MESSAGE.bytes + b"\0\1javascript:alert(1)")),
        (read_link, forge("link", MESSAGE.bytes + b"\0\1https://\xff")),
        (read_open, forge("open", MESSAGE.bytes + b"\0")),
        (read_unsubscribe, forge("unsubscribe", MESSAGE.bytes)),
        (read_unsubscribe, forge("unsubscribe", CONTACT.bytes + MESSAGE.bytes + b"A\r\nB")),
    ]:
        with pytest.raises(BadToken):
            read(SIGNER, token)


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "file:///etc/passwd",
        "//evil.test/x",
        "/x",
        "",
        "https://",
        "https:///x",
        "https://a.test@evil.test/",
        "https://a.test\\@evil.test/",
        "https://a.test/\r\nX: y",
        "https://a.test/ x",
        "https://a.test/\tx",
        'https://a.test/"onclick=',
        "https://[::1/",
        "https://a.test:99999/",
        "mailto:",
        "https://a.test/" + "a" * MAX_URL,
    ],
)
def test_what_must_not_be_linked_to(url: str) -> None:
    with pytest.raises(BadUrl):
        check_url(url)
    with pytest.raises(BadUrl):
        link_token(SIGNER, MESSAGE, 0, url)


@pytest.mark.parametrize(
    ("url", "web"),
    [
        ("https://shop.test/á?x=%20&y=1#z", True),
        ("HTTP://shop.test", True),
        ("mailto:a@shop.test?subject=x", False),
        ("tel:+84901234567", False),
    ],
)
def test_what_may_be_linked_to(url: str, web: bool) -> None:
    assert check_url(url) == url
    assert is_web(url) is web


def test_numbers_and_topics_have_bounds() -> None:
    for number in (-1, MAX_LINKS):
        with pytest.raises(ValueError, match="numbered"):
            link_token(SIGNER, MESSAGE, number, None)
    with pytest.raises(RuleError):
        unsubscribe_token(SIGNER, CONTACT, "Not a topic", None)


@pytest.mark.parametrize("length", [16, 63, 64, 65, 200])
def test_codes_are_those_of_hmac_whatever_the_length_of_the_key(length: int) -> None:
    secret = "s" * length
    expected = hmac.digest(secret.encode(), b"link\0data", "sha256")
    assert Signer(secret).mac("link", b"data") == expected
    assert Signer(secret).mac("link", b"data") == expected, "a code leaves nothing behind for the next one"
