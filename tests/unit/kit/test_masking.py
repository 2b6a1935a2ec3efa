"""Secrets and personal data are masked in whatever form and depth they reach a log line."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.kit.masking import MASK, mask_fields, safe_text

JWT = "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJhbiIsImV4cCI6MX0.c2lnbmF0dXJlLW9mLWEtdG9rZW4"

# Each with what must not be left of it.
HOSTILE = [
    ("mail to an.nguyen+vip@example.test now", ["an.nguyen", "example.test"]),
    ("<An@Example.TEST>", ["An@", "Example"]),
    ("a@b.test,c@d.test;e@f.test", ["b.test", "d.test", "f.test"]),
    ("mailto:an%40example.test", ["example.test"]),
    ("fullwidth an＠example.test", ["example.test"]),
    ("nguyễn.an@ví-dụ.test", ["nguyễn", "ví-dụ"]),
    ("call +84 912 345 678 or 0912.345.678", ["912", "345", "678"]),
    ("(024) 3825 1234", ["3825"]),
    ("phone 0912345678.", ["0912345678"]),
    ("+1 (415) 555‑0132", ["415", "555"]),
    ("+86-138-0013-8000", ["138", "8000"]),
    ("postgresql://rapport:s3cr3t-p4ss@db.test:5432/x", ["s3cr3t-p4ss", "rapport:"]),
    ("redis://:only-password@cache.test", ["only-password"]),
    ("https://user@host.test/x", ["user@"]),
    ("amqp://u:p%40ss:word@mq.test//", ["p%40ss", "word@"]),
    (f"Authorization: Bearer {JWT}", [JWT, JWT.split(".")[1]]),
    (f"bearer\t{JWT}", [JWT]),
    ("authorization: Basic dXNlcjpwYXNz", ["dXNlcjpwYXNz"]),
    (f"token={JWT}&x=1", [JWT]),
    (f"got {JWT.rpartition('.')[0]}. as unsigned", [JWT.split(".")[1]]),
    ("Bearer opaque-T0ken_of~43/chars+here=", ["opaque-T0ken"]),
    ("password=hunter2 next", ["hunter2"]),
    ("{'password': 'hunter2 with space', 'user': 'x'}", ["hunter2", "with space"]),
    ('{"api_key": "abc123def"}', ["abc123def"]),
    ("RAPPORT_SECRET_KEY=zzz-topsecret-zzz", ["zzz-topsecret"]),
    ("RAPPORT_TOKEN: abcdefgh", ["abcdefgh"]),
    ("https://x.test/unsubscribe?token=abc.def&e=an@x.test", ["abc.def", "an@x"]),
    ("POST https://hooks.test/x?key=0DD-k3y&n=1 failed", ["0DD-k3y"]),
    ("clientSecret=0DD-k3y, accessToken: 1DD-k3y", ["0DD-k3y", "1DD-k3y"]),
    ("smtp passphrase=hunter2", ["hunter2"]),
    ("x-zalo-signature: mac=0DD-k3y", ["0DD-k3y"]),
    ("-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\nabc=\n-----END EC PRIVATE KEY-----", ["MHcCAQEE", "abc="]),
    ("cut short -----BEGIN PRIVATE KEY-----\nMHcCAQEE", ["MHcCAQEE"]),
    ("line one\nan@example.test\r\nBcc: b@example.test", ["an@", "b@"]),
]
# What operators need, and what only looks like the above.
HARMLESS = [
    "contacts/0190a5dc-ac96-774b-bcce-b302099a8057 was changed",
    "request 0190a5dcac96774bbcceb302099a8057",
    "2026-03-01T12:00:00+00:00",
    "rapport.contacts.v1.ContactService/GetContact",
    "127.0.0.1:7401",
    "took 12345.678 ms for 500 events",
    "https://idp.example.test/keys",
    "https://idp.example.test/keys: what is wrong?",
    "the access token has expired: get a new one",
    "position 12345678",
    "services/kit/process.py:99",
    "SELECT 1",
    "address:ipv4:192.168.100.200",
]


@pytest.mark.parametrize(("text", "gone"), HOSTILE, ids=[text[:30] for text, _ in HOSTILE])
def test_what_is_personal_or_secret_is_masked(text, gone):
    nested = {"a": [{"b": (text, {text})}]}
    fields = {"event": text, "problem": text, "deep": nested, "raw": text.encode(), "error": ValueError(text)}
    masked = json.dumps(mask_fields(fields), ensure_ascii=False)
    for part in gone:
        assert part not in safe_text(text)
        assert part not in masked


@pytest.mark.parametrize("text", HARMLESS)
def test_what_operators_need_stays(text):
    if text.startswith("the access token"):
        assert safe_text(text).startswith("the access token has expired")
    else:
        assert safe_text(text) == text


@pytest.mark.parametrize(
    "key",
    [
        *(
            "token",
            "access_token",
            "Authorization",
            "x-api-key",
            "api_key",
            "password",
            "db_password",
            "secret",
        ),
        *(
            "secret_key",
            "client.secret",
            "cookie",
            "email",
            "phone",
            "given_name",
            "private_key",
            "refresh_tokens",
            "clientSecret",
            "accessToken",
            "apiKey",
            "passphrase",
            "emails",
            "phone_number",
            "recipient",
        ),
    ],
)
def test_fields_are_masked_by_their_names(key):
    for value in ("plain", 12345, ["x"], {"y": 1}, None):
        assert mask_fields({key: value})[key] == MASK
        assert mask_fields({"deep": {key: value}})["deep"] == {key: MASK}


@pytest.mark.parametrize(
    "key", ["event", "tokens_file_of", "method", "caller", "reason", "count", "rows", "keys"]
)
def test_other_fields_stay(key):
    assert mask_fields({key: "plain"})[key] == "plain"


@settings(max_examples=40, deadline=None)
@given(
    st.from_regex(r"[a-z][a-z0-9.+_-]{2,20}@[a-z0-9-]{2,15}\.(test|example)", fullmatch=True),
    st.text(max_size=30),
)
def test_no_address_survives_whatever_stands_around_it(address, around):
    assert address not in safe_text(f"{around} {address} {around}")
    assert address not in safe_text(f"{around}<{address}>{around}")


@settings(max_examples=40, deadline=None)
@given(
    st.recursive(
        st.text() | st.integers() | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_masking_never_fails(value):
    mask_fields({"value": value})


def test_masking_looks_at_no_part_of_a_long_text_again_and_again():
    # A pattern that goes back to each character takes minutes for these, which the runner's time limit ends.
    for unit in (
        "a",
        "1 ",
        "x@",
        "ey",
        "-ey",
        "a://",
        "a://a.",
        "a://?",
        "-----BEGIN PRIVATE KEY-----",
        "://u:",
        "token=",
        "token ",
        "1(.)",
        "bearer ",
        "+",
        "%40a",
        "1.",
    ):
        assert len(safe_text(unit * (200_000 // len(unit)))) <= 200_001
