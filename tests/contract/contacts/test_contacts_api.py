"""Contacts themselves over a real port: each RPC with a right call and its errors."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from rapport.contacts.v1 import contacts_pb2 as pb
from rapport_client import errors

from tests.support.postgres import DatabaseFactory
from tests.support.stack import NOW, Served, serve

NOBODY = f"contacts/{uuid4()}"
READS: dict[str, dict[str, Any]] = {
    "get_contact": {"name": NOBODY},
    "batch_get_contacts": {"names": [NOBODY]},
    "list_contacts": {},
    "count_contacts": {},
    "lookup_contact": {"identity": {"type": "TYPE_EMAIL", "value": "nobody@example.test"}},
    "list_consents": {"contact": NOBODY},
    "list_attributes": {},
    "list_activity_types": {},
    "list_activities": {"contact": NOBODY},
    "list_import_errors": {"operation": f"operations/{uuid4()}"},
}
OTHERS: dict[str, tuple[str, dict[str, Any]]] = {
    "create_contact": ("contacts.write", {"contact": {}}),
    "update_contact": ("contacts.write", {"contact": {"name": NOBODY}, "update_mask": {"paths": ["gender"]}}),
    "upsert_contact": ("contacts.write", {"contact": {"gender": "x"}}),
    "batch_upsert_contacts": ("contacts.write", {"contacts": [{"gender": "x"}]}),
    "modify_tags": ("contacts.write", {"name": NOBODY}),
    "record_consents": (
        "contacts.consents.write",
        {"consents": [{"contact": NOBODY, "channel": "email", "topic": "news", "state": "STATE_DENIED"}]},
    ),
    "batch_get_recipients": (
        "contacts.recipients.read",
        {"contacts": [NOBODY], "channel": "email", "topic": "news"},
    ),
    "create_attribute": ("contacts.schema.write", {"attribute": {"id": "age", "type": "VALUE_TYPE_INT"}}),
    "create_activity_type": ("contacts.schema.write", {"activity_type": {"id": "order.placed"}}),
    "record_activities": ("contacts.activities.write", {"activities": []}),
}
EVERY = {"contacts.read", "contacts.import"} | {permission for permission, _ in OTHERS.values()}


def email(name: str = "") -> dict[str, str]:
    return {"type": "TYPE_EMAIL", "value": f"{name or uuid4().hex}@example.test"}


def external(key: str = "") -> dict[str, str]:
    return {"type": "TYPE_EXTERNAL", "source": "shop", "value": key or uuid4().hex}


def fields(caught: pytest.ExceptionInfo[Any]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def make(client: Any, **values: Any) -> Any:
    return client.create_contact(contact={"identities": [email()], **values}).contact


@pytest.mark.parametrize("method", [*READS, *OTHERS])
def test_each_rpc_asks_for_its_permission_and_no_more(served: Served, method: str) -> None:
    permission, arguments = OTHERS.get(method, ("contacts.read", READS.get(method, {})))
    with pytest.raises(errors.Unauthenticated):
        getattr(served.client_with(token="wrong"), method)(**arguments)
    with pytest.raises(errors.PermissionDenied):
        getattr(served.client_with(*(EVERY - {permission})), method)(**arguments)
    # Past the door: an answer, or what the request deserves.
    try:
        getattr(served.client_with(permission), method)(**arguments)
    except (errors.NotFound, errors.InvalidArgument):
        assert method not in ("list_contacts", "count_contacts", "list_attributes", "create_contact")


def test_create_contact(client: Any) -> None:
    said = {
        "kind": "KIND_PERSON",
        "given_name": " An ",
        "family_name": "Nguyễn",
        "language_code": "VI",
        "time_zone": "Asia/Ho_Chi_Minh",
        "address": {
            "region_code": "vn",
            "locality": "Huế",
            "address_lines": ["1 Lê Lợi"],
            "location": {"latitude": 16.46, "longitude": 107.59},
        },
        "birth_date": {"year": 1990, "month": 2, "day": 28},
        "gender": "female",
        "attributes": {"size": {"int_value": 38}, "colours": {"strings_value": {"values": ["red", "blue"]}}},
        "tags": ["b", "a", "b"],
        "identities": [
            {"type": "TYPE_EMAIL", "value": "An.N@Example.test"},
            {"type": "TYPE_PHONE", "value": "0901 234 560"},
        ],
        "name": NOBODY,
        "revision": 7,
        "consents": [{"contact": NOBODY, "channel": "email", "topic": "x", "state": "STATE_GRANTED"}],
    }
    made = client.create_contact(contact=said).contact
    assert made.name.startswith("contacts/")
    assert made.name != NOBODY
    assert (made.kind, made.display_name, made.given_name) == (pb.Contact.KIND_PERSON, "Nguyễn An", "An")
    assert (made.language_code, made.address.region_code, made.address.locality) == ("vi", "VN", "Huế")
    assert list(made.address.address_lines) == ["1 Lê Lợi"]
    assert made.address.location.latitude == 16.46
    assert (made.birth_date.year, made.birth_date.month, made.birth_date.day) == (1990, 2, 28)
    assert made.attributes["size"].int_value == 38
    assert list(made.attributes["colours"].strings_value.values) == ["red", "blue"]
    assert list(made.tags) == ["a", "b"]
    assert [one.value for one in made.identities] == ["an.n@example.test", "+84901234560"]
    assert (made.revision, list(made.consents)) == (1, [])
    assert made.etag
    assert made.create_time.ToDatetime() == NOW.replace(tzinfo=None)
    assert client.get_contact(name=made.name).contact == made


def test_create_contact_is_repeatable_by_its_request_id(client: Any) -> None:
    key = uuid4().hex
    contact = {"identities": [email()]}
    first = client.create_contact(contact=contact, request_id=key)
    assert client.create_contact(contact=contact, request_id=key) == first
    with pytest.raises(errors.InvalidArgument) as caught:
        client.create_contact(contact={"identities": [email()]}, request_id=key)
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_create_contact_refuses_an_identity_of_another(client: Any) -> None:
    taken = email()
    owner = make(client, identities=[taken])
    with pytest.raises(errors.AlreadyExists) as caught:
        client.create_contact(contact={"identities": [email(), {**taken, "value": taken["value"].upper()}]})
    assert caught.value.reason == "IDENTITY_TAKEN"
    assert caught.value.metadata["contact"] == owner.name
    assert "example.test" not in str(caught.value)


@pytest.mark.parametrize(
    ("contact", "field"),
    [
        ({"identities": [{"type": "TYPE_EMAIL", "value": "x"}]}, "contact.identities[0].value"),
        ({"identities": [{"type": "TYPE_PHONE", "value": "12"}]}, "contact.identities[0].value"),
        ({"identities": [{"type": "TYPE_QQ", "value": "x", "source": ""}]}, "contact.identities[0].value"),
        ({"identities": [{"type": "TYPE_EXTERNAL", "value": "x"}]}, "contact.identities[0].source"),
        ({"identities": [{"value": "x"}]}, "contact.identities[0].type"),
        ({"identities": [{"type": "TYPE_EMAIL"}]}, "contact.identities[0].value"),
        ({"kind": 9}, "contact.kind"),
        ({"display_name": "x" * 301}, "contact.display_name"),
        ({"given_name": "a\0"}, "contact.given_name"),
        ({"language_code": "!"}, "contact.language_code"),
        ({"time_zone": "Mars"}, "contact.time_zone"),
        ({"address": {"region_code": "V1"}}, "contact.address.region_code"),
        ({"address": {"location": {"latitude": 91}}}, "contact.address.location"),
        ({"address": {"address_lines": ["x" * 201]}}, "contact.address.address_lines"),
        ({"birth_date": {"year": 1990, "month": 2}}, "contact.birth_date"),
        ({"birth_date": {"year": 2027, "month": 2, "day": 1}}, "contact.birth_date"),
        ({"tags": ["x" * 101]}, "contact.tags"),
        ({"tags": [" "]}, "contact.tags"),
        ({"attributes": {"colour": {"string_value": "red"}}}, "contact.attributes.colour"),
        ({"attributes": {"size": {"string_value": "38"}}}, "contact.attributes.size"),
        ({"attributes": {"size": {"int_value": 61}}}, "contact.attributes.size"),
    ],
)
def test_create_contact_names_the_field_that_is_wrong(
    client: Any, contact: dict[str, Any], field: str
) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        client.create_contact(contact=contact)
    assert fields(caught) == {field}


def test_create_contact_tells_all_that_is_wrong_at_once(client: Any) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        client.create_contact(
            contact={"time_zone": "Mars", "tags": [""], "identities": [{"type": 1, "value": "x"}]}
        )
    assert fields(caught) == {"contact.time_zone", "contact.tags", "contact.identities[0].value"}


def test_get_contact(client: Any) -> None:
    made = make(client)
    assert client.get_contact(name=made.name).contact == made
    with pytest.raises(errors.NotFound) as caught:
        client.get_contact(name=NOBODY)
    assert caught.value.metadata["resource"] == NOBODY
    for name in ("contacts/1", "orders/" + str(uuid4()), ""):
        with pytest.raises(errors.InvalidArgument):
            client.get_contact(name=name)


def test_batch_get_contacts(client: Any) -> None:
    made = [make(client) for _ in range(3)]
    names = [made[2].name, made[0].name, made[2].name]
    assert [one.name for one in client.batch_get_contacts(names=names).contacts] == names
    with pytest.raises(errors.NotFound) as caught:
        client.batch_get_contacts(names=[made[0].name, NOBODY])
    assert caught.value.metadata["resource"] == NOBODY
    with pytest.raises(errors.InvalidArgument):
        client.batch_get_contacts(names=[NOBODY] * 1001)


@pytest.fixture(scope="module")
def people(make_module_database: DatabaseFactory) -> Iterator[Any]:
    """A service with seven contacts of known names, made a minute apart, two of them in one batch."""
    url = make_module_database.with_tables("contacts")
    with serve("contacts", url) as running:
        for name in ("Đặng Văn An", "王小明", "Mary O'Brien", "100% Pure_Ltd", "Dang Thu"):
            kind = "KIND_ORGANIZATION" if "Ltd" in name else "KIND_PERSON"
            tags = ["vip", "vip plus"] if "a" in name else []
            running.client.create_contact(contact={"display_name": name, "kind": kind, "tags": tags})
            running.clock.instant += timedelta(minutes=1)
        batch = [{"display_name": f"Batch {n}", "identities": [email()]} for n in range(2)]
        running.client.batch_upsert_contacts(contacts=batch)
        yield running.client


def names(response: Any) -> list[str]:
    return [one.display_name for one in response.contacts]


def test_list_contacts(people: Any) -> None:
    everyone = names(people.list_contacts())
    assert everyone[:5] == ["Đặng Văn An", "王小明", "Mary O'Brien", "100% Pure_Ltd", "Dang Thu"]
    assert sorted(everyone[5:]) == ["Batch 0", "Batch 1"]
    seen: list[str] = []
    token = ""
    while True:
        page = people.list_contacts(page_size=3, page_token=token)
        seen += names(page)
        token = page.next_page_token
        if not token:
            break
        assert len(page.contacts) == 3
    assert seen == everyone


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("dang", ["Đặng Văn An", "Dang Thu"]),
        ("ĐẶNG", ["Đặng Văn An", "Dang Thu"]),
        ("小", ["王小明"]),
        ("o'b", ["Mary O'Brien"]),
        ("0%", ["100% Pure_Ltd"]),
        ("e_l", ["100% Pure_Ltd"]),
        ("a_", []),
        ("nobody", []),
    ],
)
def test_list_contacts_finds_names_without_accents_and_case(
    people: Any, query: str, found: list[str]
) -> None:
    assert names(people.list_contacts(query=query)) == found


def test_list_contacts_by_tag(people: Any) -> None:
    assert names(people.list_contacts(tag="vip")) == ["Mary O'Brien", "Dang Thu"]
    assert names(people.list_contacts(tag="vip", query="thu")) == ["Dang Thu"]
    assert names(people.list_contacts(tag="vi")) == []


def test_list_contacts_refuses_a_token_of_another_question(people: Any) -> None:
    token = people.list_contacts(page_size=1).next_page_token
    with pytest.raises(errors.InvalidArgument) as caught:
        people.list_contacts(page_token=token, query="a")
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"
    for bad in ({"page_token": "x"}, {"page_size": -1}, {"page_size": 1001}, {"query": "a\0"}, {"tag": "\0"}):
        with pytest.raises(errors.InvalidArgument):
            people.list_contacts(**bad)


def test_count_contacts(people: Any) -> None:
    answer = people.count_contacts()
    assert (answer.contact_count, answer.organization_count) == (7, 1)


def test_lookup_contact(client: Any) -> None:
    made = make(client, identities=[{"type": "TYPE_PHONE", "value": "0912345678"}, external("L-1")])
    for identity in (
        {"type": "TYPE_PHONE", "value": "+84 912 345 678"},
        {"type": "TYPE_PHONE", "value": "0912.345.678"},
        external("L-1"),
    ):
        assert client.lookup_contact(identity=identity).contact == made
    for identity in (email("nobody"), external("l-1"), {**external("L-1"), "source": "other"}):
        with pytest.raises(errors.NotFound):
            client.lookup_contact(identity=identity)
    with pytest.raises(errors.InvalidArgument) as caught:
        client.lookup_contact(identity={"type": "TYPE_EMAIL", "value": "x"})
    assert fields(caught) == {"identity.value"}


def update(client: Any, contact: dict[str, Any], *paths: str, **more: Any) -> Any:
    return client.update_contact(contact=contact, update_mask={"paths": list(paths)}, **more).contact


def test_update_contact(client: Any) -> None:
    made = make(
        client,
        gender="x",
        given_name="An",
        family_name="Lê",
        attributes={"size": {"int_value": 38}},
        tags=["t"],
    )
    new = {
        "name": made.name,
        "gender": "ignored, as the mask does not name it",
        "given_name": "Bình",
        "address": {"locality": "Huế", "region_code": "!!"},
        "attributes": {"colours": {"strings_value": {"values": ["red"]}}},
    }
    changed = update(
        client, new, "given_name", "address.locality", "attributes.colours", "attributes.size", "tags"
    )
    assert (changed.gender, changed.given_name, changed.display_name) == ("x", "Bình", "Bình Lê")
    assert (changed.address.locality, changed.address.region_code) == ("Huế", "")
    assert set(changed.attributes) == {"colours"}
    assert list(changed.tags) == []
    assert changed.revision == 2
    assert changed.etag != made.etag
    assert client.get_contact(name=made.name).contact == changed
    # Nothing new: nothing written.
    assert update(client, new, "given_name") == changed
    cleared = update(client, {"name": made.name}, "*")
    assert (cleared.gender, cleared.display_name, len(cleared.identities)) == ("", "", 0)
    assert not cleared.HasField("address")


def test_update_contact_checks_the_etag(client: Any) -> None:
    made = make(client)
    changed = update(client, {"name": made.name, "gender": "a"}, "gender", etag=made.etag)
    with pytest.raises(errors.Aborted) as caught:
        update(client, {"name": made.name, "gender": "b"}, "gender", etag=made.etag)
    assert caught.value.reason == "ETAG_MISMATCH"
    assert client.get_contact(name=made.name).contact == changed


def test_update_contact_replaces_identities_and_frees_the_old(client: Any) -> None:
    old, kept, new, foreign = email(), email(), email(), email()
    made = make(client, identities=[old, kept])
    make(client, identities=[foreign])
    changed = update(client, {"name": made.name, "identities": [new, kept]}, "identities")
    assert [one.value for one in changed.identities] == [new["value"], kept["value"]]
    assert client.lookup_contact(identity=new).contact.name == made.name
    with pytest.raises(errors.NotFound):
        client.lookup_contact(identity=old)
    assert make(client, identities=[old]).revision == 1
    with pytest.raises(errors.AlreadyExists) as caught:
        update(client, {"name": made.name, "identities": [foreign]}, "identities")
    assert caught.value.reason == "IDENTITY_TAKEN"
    assert client.get_contact(name=made.name).contact == changed


def test_update_contact_refuses_what_it_cannot_do(client: Any) -> None:
    made = make(client)
    with pytest.raises(errors.NotFound):
        update(client, {"name": NOBODY}, "gender")
    for paths, field in [
        (["nickname"], "update_mask"),
        (["revision"], "update_mask"),
        (["consents"], "update_mask"),
        (["address.planet"], "update_mask"),
        (["attributes.unknown"], "update_mask.attributes.unknown"),
        (["gender.x"], "update_mask"),
        ([""], "update_mask"),
    ]:
        with pytest.raises(errors.InvalidArgument) as caught:
            update(client, {"name": made.name}, *paths)
        assert fields(caught) == {field}
    with pytest.raises(errors.InvalidArgument):
        update(client, {"name": made.name})
    with pytest.raises(errors.InvalidArgument) as caught:
        update(client, {"name": made.name, "time_zone": "Mars"}, "time_zone", "gender")
    assert fields(caught) == {"contact.time_zone"}
    key = uuid4().hex
    first = update(client, {"name": made.name, "gender": "x"}, "gender", request_id=key)
    update(client, {"name": made.name, "gender": "y"}, "gender")
    assert update(client, {"name": made.name, "gender": "x"}, "gender", request_id=key) == first


def test_upsert_contact(client: Any) -> None:
    mail, shop = email(), external()
    first = client.upsert_contact(contact={"identities": [mail], "gender": "x", "tags": ["a"]})
    assert first.created
    second = client.upsert_contact(
        contact={"identities": [shop, mail], "tags": ["b"], "attributes": {"size": {"int_value": 1}}}
    )
    assert not second.created
    assert (second.contact.name, second.contact.gender, list(second.contact.tags)) == (
        first.contact.name,
        "x",
        ["a", "b"],
    )
    assert len(second.contact.identities) == 2
    third = client.upsert_contact(contact={"identities": [shop], "attributes": {"size": {}}})
    assert not third.contact.attributes
    assert client.upsert_contact(contact={"identities": [shop]}).contact == third.contact


def test_upsert_contact_refuses_conflicts_and_the_nameless(client: Any) -> None:
    one, other = email(), email()
    owners = {make(client, identities=[identity]).name for identity in (one, other)}
    with pytest.raises(errors.FailedPrecondition) as caught:
        client.upsert_contact(contact={"identities": [one, other]})
    assert caught.value.reason == "IDENTITY_CONFLICT"
    assert set(caught.value.metadata["contacts"].split(",")) == owners
    with pytest.raises(errors.InvalidArgument) as invalid:
        client.upsert_contact(contact={"gender": "x"})
    assert fields(invalid) == {"contact.identities"}


def test_batch_upsert_contacts(client: Any) -> None:
    known = email()
    made = make(client, identities=[known])
    fresh = email()
    decided = {"channel": "email", "topic": "marketing", "source": "shop"}
    request = {
        "contacts": [
            {"identities": [fresh]},
            {"identities": [known], "gender": "x"},
            {"identities": [fresh], "gender": "y"},
        ],
        "consents": [
            {"index": 1, "state": "STATE_DENIED", **decided},
            {"index": 2, "state": "STATE_GRANTED", **decided},
        ],
    }
    results = client.batch_upsert_contacts(**request).results
    assert [one.created for one in results] == [True, False, False]
    assert results[0].name == results[2].name
    assert (results[1].name, results[1].revision, results[2].revision) == (made.name, 2, 2)
    states = [client.get_contact(name=one.name).contact.consents[0].state for one in results[:2]]
    assert states == [pb.Consent.STATE_GRANTED, pb.Consent.STATE_DENIED]
    again = client.batch_upsert_contacts(**request).results
    assert [one.revision for one in again] == [2, 2, 2]


def test_batch_upsert_contacts_does_all_or_nothing_and_names_the_item(client: Any) -> None:
    one, other, fresh = email(), email(), email()
    make(client, identities=[one])
    make(client, identities=[other])
    with pytest.raises(errors.FailedPrecondition) as caught:
        client.batch_upsert_contacts(contacts=[{"identities": [fresh]}, {"identities": [one, other]}])
    assert caught.value.metadata["item"] == "contacts[1]"
    with pytest.raises(errors.NotFound):
        client.lookup_contact(identity=fresh)
    decided = {"channel": "email", "topic": "x", "state": "STATE_GRANTED"}
    late = {**decided, "decide_time": NOW + timedelta(days=2)}
    with pytest.raises(errors.InvalidArgument) as invalid:
        client.batch_upsert_contacts(
            contacts=[{"identities": [fresh]}, {"gender": "x"}, {"identities": [{"type": 2, "value": "1"}]}],
            consents=[
                {"index": 3, **decided},
                {"index": 0, **decided, "channel": "e_mail"},
                {"index": 0, **late},
            ],
        )
    assert fields(invalid) == {
        "contacts[1].identities",
        "contacts[2].identities[0].value",
        "consents[0].index",
        "consents[1].channel",
        "consents[2].decide_time",
    }
    with pytest.raises(errors.InvalidArgument):
        client.batch_upsert_contacts(contacts=[{"identities": [fresh]}] * 1001)


def test_modify_tags(client: Any) -> None:
    made = make(client, tags=["a", "b"])
    changed = client.modify_tags(name=made.name, add_tags=["c", "a"], remove_tags=["b", "x"]).contact
    assert (list(changed.tags), changed.revision) == (["a", "c"], 2)
    assert client.modify_tags(name=made.name, add_tags=["c"]).contact == changed
    with pytest.raises(errors.NotFound):
        client.modify_tags(name=NOBODY, add_tags=["a"])
    for arguments, field in [
        ({"add_tags": [""]}, "add_tags"),
        ({"add_tags": ["a"], "remove_tags": ["a"]}, "remove_tags"),
        ({"remove_tags": ["x" * 101]}, "remove_tags[0]"),
    ]:
        with pytest.raises(errors.InvalidArgument) as caught:
            client.modify_tags(name=made.name, **arguments)
        assert fields(caught) == {field}
    with pytest.raises(errors.InvalidArgument) as caught:
        client.modify_tags(name=made.name, add_tags=[f"t{n}" for n in range(199)])
    assert fields(caught) == {"tags"}
