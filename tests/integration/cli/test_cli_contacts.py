"""`rapport contacts find` against a served contacts service; nobody there tells of segments."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from rapport.contacts.v1 import contacts_pb2 as pb
from rapport_client.errors import AlreadyExists

from tests.integration.cli.conftest import Office

TYPE = pb.Identity


@pytest.fixture
def an(contacts: Office) -> Any:
    """A contact of whom much is known, by an address and an external id of its own."""
    client, key = contacts.served.client, uuid4().hex
    with suppress(AlreadyExists):
        client.create_attribute(attribute={"id": "sizes", "type": pb.VALUE_TYPE_STRINGS})
    made = client.upsert_contact(
        contact={
            "given_name": "An",
            "family_name": "Nguyễn",
            "language_code": "vi",
            "birth_date": {"year": 1990, "month": 2, "day": 3},
            "address": {"address_lines": ["17 Phố Huế\x1b[31m"], "locality": "Hà Nội", "region_code": "VN"},
            "attributes": {"sizes": {"strings_value": {"values": ["38", "39"]}}},
            "tags": ["vip", "regular"],
            "identities": [
                {"type": TYPE.TYPE_EMAIL, "value": f"an.{key}@example.test"},
                {"type": TYPE.TYPE_EXTERNAL, "source": "shop", "value": key},
            ],
        }
    ).contact
    consent = {"channel": "email", "topic": "marketing", "state": pb.Consent.STATE_GRANTED, "source": "form"}
    client.record_consents(consents=[{"contact": made.name, **consent}])
    return client.get_contact(name=made.name).contact


def test_what_is_known_is_shown(contacts: Office, an: Any) -> None:
    email, external = (item.value for item in sorted(an.identities, key=lambda item: item.type))
    ran = contacts.rapport("contacts", "find", email.upper())
    assert ran.code == 0
    rows = [[part.strip() for part in line.split("│")[1:-1]] for line in ran.out.splitlines() if "│" in line]
    assert rows == [
        ["contact", an.name],
        ["person", "Nguyễn An"],
        ["given name", "An"],
        ["family name", "Nguyễn"],
        ["language", "vi"],
        ["birth date", "1990-02-03"],
        ["address", "17 Phố Huế\\x1b[31m"],
        ["", "Hà Nội, VN"],
        ["tags", "regular, vip"],
        ["attributes", "sizes: 38, 39"],
        ["identities", f"email:{email}"],
        ["", f"external:shop:{external}"],
        ["consents", "email marketing: granted since 2026-03-01 (form)"],
        ["made", "2026-03-01T12:00:00Z"],
        ["changed", "2026-03-01T12:00:00Z"],
    ]
    assert "its segments are not known: " in ran.err


def test_every_way_of_asking_finds_the_same(contacts: Office, an: Any) -> None:
    email, external = (item.value for item in sorted(an.identities, key=lambda item: item.type))
    phone = f"0912{int(an.name[-5:], 16) % 1_000_000:06}"
    identity = {"type": TYPE.TYPE_PHONE, "value": phone}
    contacts.served.client.update_contact(
        contact={"name": an.name, "identities": [*an.identities, pb.Identity(**identity)]},
        update_mask=["identities"],
    )
    for words in (
        (an.name,),
        (an.name.removeprefix("contacts/"),),
        (email,),
        (f"email:{email}",),
        ("--email", email),
        (f"external:shop:{external}",),
        (f"phone:{phone}",),
        ("--phone", phone),
        (f"+84{phone[1:]}",),
    ):
        ran = contacts.rapport("contacts", "find", *words, "--json")
        assert ran.code == 0, ran.err
        found = json.loads(ran.out)
        assert (found["name"], found["segments"]) == (an.name, None)
        assert found["consents"][0]["state"] == "STATE_GRANTED"


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("nobody@example.test",), 1, "no contact has the identity email:nobody@example.test"),
        (("external:shop:none",), 1, "no contact has the identity external:shop:none"),
        ((f"contacts/{uuid4()}",), 1, "does not exist"),
        (("An Nguyễn",), 1, "'An Nguyễn' is neither an e-mail address"),
        (("external:4711",), 1, "write external:SOURCE:VALUE"),
        (("--phone", "12"), 1, "identity.value"),
        ((), 2, "name one"),
        (("a@example.test", "--email", "b@example.test"), 2, "name one"),
    ],
)
def test_what_finds_nobody_is_told(contacts: Office, words: tuple[str, ...], code: int, told: str) -> None:
    ran = contacts.rapport("contacts", "find", *words)
    assert (ran.code, ran.out) == (code, "")
    assert told in ran.err
