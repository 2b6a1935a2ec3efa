"""MergeContacts and EraseContact over a real port: a right call each, its errors, and what repeating it does."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from rapport_client import errors

NOBODY = f"contacts/{uuid4()}"


def make(client: Any, **values: Any) -> Any:
    identity = {"type": "TYPE_EMAIL", "value": f"{uuid4().hex}@example.test"}
    return client.create_contact(contact={"identities": [identity], **values}).contact


def test_merge_contacts(client: Any) -> None:
    survivor, absorbed = make(client, tags=["a"]), make(client, tags=["b"], gender="f")
    asked: dict[str, Any] = {
        "survivor": survivor.name,
        "absorbed": absorbed.name,
        "survivor_etag": survivor.etag,
        "absorbed_etag": absorbed.etag,
        "request_id": str(uuid4()),
    }
    tried = client.merge_contacts(**asked, validate_only=True).contact
    assert (list(tried.tags), tried.gender) == (["a", "b"], "f")
    for one in (survivor, absorbed):
        assert client.get_contact(name=one.name).contact == one
    merged = client.merge_contacts(**asked).contact
    assert merged == tried
    assert client.merge_contacts(**asked).contact == merged
    assert client.get_contact(name=survivor.name).contact == merged
    for identity in (*survivor.identities, *absorbed.identities):
        assert client.lookup_contact(identity=identity).contact == merged
    with pytest.raises(errors.NotFound) as caught:
        client.get_contact(name=absorbed.name)
    assert caught.value.reason == "CONTACT_MERGED"
    assert caught.value.metadata["into"] == survivor.name


def test_merge_contacts_that_cannot_be_merged(client: Any) -> None:
    one, other = make(client), make(client)
    with pytest.raises(errors.InvalidArgument) as caught:
        client.merge_contacts(survivor=one.name, absorbed=one.name)
    assert [violation.field for violation in caught.value.violations] == ["absorbed"]
    with pytest.raises(errors.InvalidArgument) as caught:
        client.merge_contacts(survivor="contacts/x", absorbed=one.name)
    assert [violation.field for violation in caught.value.violations] == ["survivor"]
    with pytest.raises(errors.NotFound):
        client.merge_contacts(survivor=one.name, absorbed=NOBODY)
    for field in ("survivor_etag", "absorbed_etag"):
        with pytest.raises(errors.Aborted) as stale:
            client.merge_contacts(survivor=one.name, absorbed=other.name, **{field: "r9"})
        assert stale.value.reason == "ETAG_MISMATCH"
    many = [make(client, tags=[f"{letter}{n}" for n in range(150)]) for letter in "ab"]
    with pytest.raises(errors.FailedPrecondition) as full:
        client.merge_contacts(survivor=many[0].name, absorbed=many[1].name)
    assert full.value.reason == "MERGED_TOO_LARGE"
    client.merge_contacts(survivor=one.name, absorbed=other.name)
    with pytest.raises(errors.NotFound) as merged:
        client.merge_contacts(survivor=many[0].name, absorbed=other.name)
    assert merged.value.reason == "CONTACT_MERGED"


def test_erase_contact(client: Any) -> None:
    one, other = make(client), make(client)
    client.record_consents(
        consents=[{"contact": one.name, "channel": "email", "topic": "news", "state": "STATE_GRANTED"}]
    )
    merged = client.merge_contacts(survivor=one.name, absorbed=other.name).contact
    with pytest.raises(errors.Aborted) as stale:
        client.erase_contact(name=one.name, etag=one.etag)
    assert stale.value.reason == "ETAG_MISMATCH"
    asked = {"name": one.name, "etag": merged.etag, "request_id": str(uuid4())}
    receipt = client.erase_contact(**asked).receipt
    assert (receipt.contact, list(receipt.absorbed)) == (one.name, [other.name])
    # Made twice, decided, and changed by the merge.
    counts = (receipt.identity_count, receipt.consent_count, receipt.activity_count, receipt.event_count)
    assert counts == (2, 1, 0, 4)
    assert client.erase_contact(**asked).receipt == receipt
    for name in (one.name, other.name, NOBODY):
        for call in (client.get_contact, client.erase_contact):
            with pytest.raises(errors.NotFound) as caught:
                call(name=name)
            assert caught.value.reason == "NOT_FOUND"
    with pytest.raises(errors.NotFound):
        client.lookup_contact(identity=one.identities[0])
    with pytest.raises(errors.InvalidArgument):
        client.erase_contact(name="x")
