"""Consents, definitions, activities and imports over a real port: each RPC with a right call and its errors."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from rapport.contacts.v1 import contacts_pb2 as pb
from rapport_client import errors

from services.contacts.models import kit
from services.contacts.usecases import import_run
from services.kit.names import parse_name
from services.kit.operations import store as operations
from tests.support.contacts_data import attempt
from tests.support.stack import NOW, Served

NOBODY = f"contacts/{uuid4()}"


def fields(caught: pytest.ExceptionInfo[Any]) -> set[str]:
    return {violation.field for violation in caught.value.violations}


def make(client: Any, **values: Any) -> Any:
    identity = {"type": "TYPE_EMAIL", "value": f"{uuid4().hex}@example.test"}
    return client.create_contact(contact={"identities": [identity], **values}).contact


def decision(contact: str, granted: bool, **values: Any) -> dict[str, Any]:
    state = "STATE_GRANTED" if granted else "STATE_DENIED"
    return {"contact": contact, "channel": "email", "topic": "marketing", "state": state, **values}


def test_record_consents(client: Any) -> None:
    one, other = make(client), make(client)
    early, late = NOW - timedelta(days=2), NOW - timedelta(days=1)
    client.record_consents(
        consents=[
            decision(one.name, True, decide_time=late, source="form", proof="I agree\nfully"),
            decision(one.name, False, decide_time=early),
            decision(other.name, False),
        ]
    )
    after = client.get_contact(name=one.name).contact
    (in_force,) = after.consents
    assert (in_force.state, in_force.source, in_force.proof) == (
        pb.Consent.STATE_GRANTED,
        "form",
        "I agree\nfully",
    )
    assert in_force.contact == one.name
    assert after.revision == 2
    assert client.get_contact(name=other.name).contact.consents[0].decide_time.ToDatetime() == NOW.replace(
        tzinfo=None
    )
    # Sent again, as a retry would: nothing new.
    client.record_consents(consents=[decision(other.name, False)])
    assert client.get_contact(name=other.name).contact.revision == 2


def test_record_consents_does_all_or_nothing_and_names_what_is_wrong(client: Any) -> None:
    made = make(client)
    with pytest.raises(errors.NotFound) as caught:
        client.record_consents(consents=[decision(made.name, True), decision(NOBODY, True)])
    assert caught.value.metadata["resource"] == NOBODY
    assert not client.get_contact(name=made.name).contact.consents
    with pytest.raises(errors.InvalidArgument) as invalid:
        client.record_consents(
            consents=[
                decision(made.name, True, channel="E-Mail"),
                decision(made.name, True, topic="a b"),
                decision(made.name, True, decide_time=NOW + timedelta(days=2)),
            ]
        )
    assert fields(invalid) == {
        "consents[0].channel",
        "consents[1].topic",
        "consents[2].decide_time",
    }
    for bad in (
        [decision("contacts/1", True)],
        [{**decision(made.name, True), "state": 0}],
        [decision(made.name, True, proof="\0")],
        [],
    ):
        with pytest.raises(errors.InvalidArgument):
            client.record_consents(consents=bad)


def test_list_consents(client: Any) -> None:
    made = make(client)
    times = [NOW - timedelta(days=n) for n in range(5)]
    client.record_consents(
        consents=[decision(made.name, n % 2 == 0, decide_time=when) for n, when in enumerate(times)]
    )
    whole = client.list_consents(contact=made.name).consents
    assert [one.decide_time.ToDatetime() for one in whole] == [when.replace(tzinfo=None) for when in times]
    first = client.list_consents(contact=made.name, page_size=2)
    second = client.list_consents(contact=made.name, page_size=3, page_token=first.next_page_token)
    assert [*first.consents, *second.consents] == list(whole)
    assert not second.next_page_token
    assert not client.list_consents(contact=make(client).name).consents
    with pytest.raises(errors.NotFound):
        client.list_consents(contact=NOBODY)
    with pytest.raises(errors.InvalidArgument) as caught:
        client.list_consents(contact=make(client).name, page_token=first.next_page_token)
    assert caught.value.reason == "PAGE_TOKEN_MISMATCH"


def test_batch_get_recipients(client: Any) -> None:
    identities = [
        {"type": "TYPE_PHONE", "value": "0987654321"},
        {"type": "TYPE_EMAIL", "value": "First@example.test"},
        {"type": "TYPE_EMAIL", "value": "second@example.test"},
    ]
    one = make(
        client,
        identities=identities,
        given_name="An",
        language_code="vi",
        attributes={"size": {"int_value": 3}},
        tags=["vip", "early"],
    )
    other = make(client, identities=[])
    client.record_consents(consents=[decision(one.name, True)])
    asked = {"contacts": [other.name, NOBODY, one.name], "topic": "marketing"}
    found = client.batch_get_recipients(channel="email", **asked).recipients
    assert [(r.contact, r.address, r.consent) for r in found] == [
        (other.name, "", pb.Consent.STATE_UNSPECIFIED),
        (one.name, "first@example.test", pb.Consent.STATE_GRANTED),
    ]
    assert (found[1].given_name, found[1].language_code, found[1].attributes["size"].int_value) == (
        "An",
        "vi",
        3,
    )
    assert [list(r.tags) for r in found] == [[], ["early", "vip"]]
    sms = client.batch_get_recipients(channel="sms", **asked).recipients[1]
    assert (sms.address, sms.consent) == ("+84987654321", pb.Consent.STATE_UNSPECIFIED)
    with pytest.raises(errors.InvalidArgument) as caught:
        client.batch_get_recipients(contacts=[one.name], channel="E mail", topic="!")
    assert fields(caught) == {"channel", "topic"}
    with pytest.raises(errors.InvalidArgument):
        client.batch_get_recipients(contacts=[NOBODY] * 1001, channel="email", topic="marketing")


def test_create_attribute(served: Served, client: Any) -> None:
    said = {"id": "hobby", "type": "VALUE_TYPE_STRING", "allowed_values": ["chess", "go"], "label": "Hobby"}
    made = client.create_attribute(attribute=said).attribute
    assert (made.id, made.type, list(made.allowed_values)) == ("hobby", pb.VALUE_TYPE_STRING, ["chess", "go"])
    assert not made.HasField("minimum")
    with pytest.raises(errors.AlreadyExists):
        client.create_attribute(attribute=said)
    contact = make(client, attributes={"hobby": {"string_value": "go"}})
    assert contact.attributes["hobby"].string_value == "go"
    with pytest.raises(errors.InvalidArgument) as caught:
        make(client, attributes={"hobby": {"string_value": "golf"}})
    assert fields(caught) == {"contact.attributes.hobby"}
    for attribute, field in [
        ({"id": "region_code", "type": "VALUE_TYPE_STRING"}, "attribute.id"),
        ({"id": "Hobby", "type": "VALUE_TYPE_STRING"}, "attribute.id"),
        ({"id": "x"}, "attribute.type"),
        ({"id": "x", "type": 99}, "attribute.type"),
        ({"id": "x", "type": "VALUE_TYPE_BOOL", "minimum": 1}, "attribute.minimum"),
    ]:
        with pytest.raises(errors.InvalidArgument) as caught:
            client.create_attribute(attribute=attribute)
        assert fields(caught) == {field}


@pytest.mark.parametrize(
    ("method", "field", "first", "other"),
    [
        (
            "create_attribute",
            "attribute",
            {"id": "once", "type": "VALUE_TYPE_INT"},
            {"id": "twice", "type": "VALUE_TYPE_INT"},
        ),
        ("create_activity_type", "activity_type", {"id": "once.done"}, {"id": "twice.done"}),
    ],
)
def test_a_definition_with_a_request_id_is_made_once(
    served: Served, client: Any, method: str, field: str, first: dict[str, Any], other: dict[str, Any]
) -> None:
    def told() -> int:
        with served.runtime.db.read() as connection:
            return int(connection.scalar(sa.select(sa.func.count()).select_from(kit.outbox)) or 0)

    create = getattr(client, method)
    before = told()
    made = create(**{field: first}, request_id="once")
    assert create(**{field: first}, request_id="once") == made
    assert told() == before + 1
    with pytest.raises(errors.AlreadyExists):
        create(**{field: first}, request_id="another")
    with pytest.raises(errors.InvalidArgument) as caught:
        create(**{field: other}, request_id="once")
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_list_attributes(client: Any) -> None:
    ids = [one.id for one in client.list_attributes().attributes]
    assert ids == sorted(ids)
    assert {"size", "colours"} <= set(ids)
    first = client.list_attributes(page_size=1)
    assert [one.id for one in first.attributes] == ids[:1]
    rest = client.list_attributes(page_token=first.next_page_token)
    assert [one.id for one in rest.attributes] == ids[1:]
    with pytest.raises(errors.InvalidArgument):
        client.list_attributes(page_token="x")


def test_create_activity_type(client: Any) -> None:
    said = {"id": "survey.answered", "fields": [{"id": "score", "type": "VALUE_TYPE_INT"}], "label": "Survey"}
    made = client.create_activity_type(activity_type=said).activity_type
    assert (made.id, made.label, made.fields[0].id) == ("survey.answered", "Survey", "score")
    for other in ("survey.answered", "survey_answered"):
        with pytest.raises(errors.AlreadyExists):
            client.create_activity_type(activity_type={"id": other})
    for definition, field in [
        ({"id": "order.placed"}, "activity_type.id"),
        ({"id": "Bad"}, "activity_type.id"),
        ({"id": "x", "fields": [{"id": "time", "type": "VALUE_TYPE_INT"}]}, "activity_type.fields[0].id"),
        ({"id": "x", "fields": [{"id": "a", "type": "VALUE_TYPE_STRINGS"}]}, "activity_type.fields[0].type"),
    ]:
        with pytest.raises(errors.InvalidArgument) as caught:
            client.create_activity_type(activity_type=definition)
        assert fields(caught) == {field}


def test_list_activity_types(client: Any) -> None:
    ids = [one.id for one in client.list_activity_types().activity_types]
    assert ids == sorted(ids)
    assert "page.visited" in ids
    first = client.list_activity_types(page_size=1)
    rest = client.list_activity_types(page_token=first.next_page_token) if first.next_page_token else None
    assert [one.id for one in (*first.activity_types, *(rest.activity_types if rest else ()))] == ids
    with pytest.raises(errors.InvalidArgument):
        client.list_activity_types(page_token=first.next_page_token + "x")


def visit(contact: str, **values: Any) -> dict[str, Any]:
    fields = {"url": {"string_value": "/"}}
    return {"contact": contact, "type": "page.visited", "occur_time": NOW, "fields": fields, **values}


def test_record_activities(served: Served, client: Any) -> None:
    made = make(client)
    keyed = visit(made.name, source="web", external_id=uuid4().hex)
    answer = client.record_activities(
        activities=[keyed, visit(made.name), visit(made.name, historical=True), keyed]
    )
    assert (answer.recorded_count, answer.skipped_count) == (3, 1)
    again = client.record_activities(activities=[keyed, visit(made.name)])
    assert (again.recorded_count, again.skipped_count) == (1, 1)
    assert len(client.list_activities(contact=made.name).activities) == 4
    with served.runtime.db.read() as connection:
        table = kit.outbox
        query = table.select().where(
            table.c.type == "activity.recorded", table.c.contact_id == parse_name(made.name, "contacts")
        )
        told = connection.execute(query).all()
    assert [row.historical for row in told].count(True) == 1
    assert len(told) == 4


def test_record_activities_does_all_or_nothing_and_names_what_is_wrong(client: Any) -> None:
    made = make(client)
    with pytest.raises(errors.NotFound) as caught:
        client.record_activities(activities=[visit(made.name), visit(NOBODY)])
    assert caught.value.metadata["resource"] == NOBODY
    with pytest.raises(errors.InvalidArgument) as invalid:
        client.record_activities(
            activities=[
                visit(made.name, type="page.unknown"),
                visit(made.name, fields={}),
                visit(made.name, fields={"url": {"int_value": 1}}),
                visit(made.name, fields={"url": {"string_value": "/"}, "x": {"int_value": 1}}),
                visit(made.name, occur_time=NOW + timedelta(days=2)),
                visit(made.name, external_id="1"),
            ]
        )
    assert fields(invalid) == {
        "activities[0].type",
        "activities[1].fields.url",
        "activities[2].fields.url",
        "activities[3].fields.x",
        "activities[4].occur_time",
        "activities[5].source",
    }
    assert not client.list_activities(contact=made.name).activities
    with pytest.raises(errors.InvalidArgument):
        client.record_activities(activities=[visit(made.name)] * 5001)


def test_record_activities_takes_five_thousand(client: Any) -> None:
    made = make(client)
    batch = [visit(made.name, source="web", external_id=f"{made.name}-{n}") for n in range(5000)]
    assert client.record_activities(activities=batch).recorded_count == 5000
    assert client.record_activities(activities=batch).skipped_count == 5000


def test_list_activities(client: Any) -> None:
    made = make(client)
    times = [NOW - timedelta(hours=n) for n in (3, 1, 2)]
    seconds = {"url": {"string_value": "/é"}, "seconds": {"double_value": 2}}
    client.record_activities(activities=[visit(made.name, occur_time=when, fields=seconds) for when in times])
    whole = client.list_activities(contact=made.name).activities
    assert [one.occur_time.ToDatetime() for one in whole] == sorted(
        (t.replace(tzinfo=None) for t in times), reverse=True
    )
    assert (whole[0].fields["seconds"].double_value, whole[0].fields["url"].string_value) == (2.0, "/é")
    assert whole[0].name.startswith("activities/")
    first = client.list_activities(contact=made.name, page_size=2)
    rest = client.list_activities(contact=made.name, page_token=first.next_page_token)
    assert [*first.activities, *rest.activities] == list(whole)
    with pytest.raises(errors.NotFound):
        client.list_activities(contact=NOBODY)


def upload(data: bytes, piece: int = 1 << 20, **config: Any) -> Iterator[pb.ImportContactsRequest]:
    yield pb.ImportContactsRequest(config=pb.ImportContactsConfig(**config))
    for at in range(0, len(data), piece):
        yield pb.ImportContactsRequest(chunk=data[at : at + piece])


def test_import_contacts(served: Served, client: Any) -> None:
    mail = uuid4().hex
    data = f"Mail,Ten\n{mail}@example.test,An\n{mail}@example.test,Bình\nx,y\n".encode()
    # Its header holds the time, so packing twice may give two files.
    packed = gzip.compress(data)
    columns = {"Mail": "email", "Ten": "given_name"}
    operation = client.import_contacts(upload(packed, 20, columns=columns, request_id=mail)).operation
    assert (operation.kind, operation.done) == ("import_contacts", False)
    again = client.import_contacts(upload(packed, columns=columns, request_id=mail)).operation
    assert again.name == operation.name
    # What the worker does, in this process.
    context = attempt(served.runtime, operation.name)
    result = import_run.run(served.runtime, context)
    with served.runtime.db.transaction() as connection:
        key = parse_name(operation.name, "operations")
        operations.finish(connection, kit, key, 1, result, NOW)
    done = served.rapport.operations("contacts").get_operation(name=operation.name).operation
    unpacked = pb.ImportContactsResult()
    assert done.response.Unpack(unpacked)
    assert (unpacked.row_count, unpacked.created_count, unpacked.updated_count, unpacked.error_count) == (
        3,
        1,
        1,
        1,
    )
    found = client.lookup_contact(identity={"type": "TYPE_EMAIL", "value": f"{mail}@example.test"}).contact
    assert found.given_name == "Bình"


def test_import_contacts_refuses_what_does_not_fit(served: Served, client: Any) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        client.import_contacts(upload(b"email,nickname,nickname\nx,y,z\n"))
    assert caught.value.reason == "BAD_COLUMNS"
    assert "'nickname' is given twice" in str(caught.value)
    assert "unknown" in str(caught.value)
    header = next(upload(b""))
    chunk = pb.ImportContactsRequest(chunk=b"email\n")
    for parts in (
        [],
        [chunk],
        [header],
        [header, header],
        [header, chunk, header],
        [pb.ImportContactsRequest()],
    ):
        with pytest.raises(errors.InvalidArgument):
            client.import_contacts(iter(parts))
    with pytest.raises(errors.PermissionDenied):
        served.client_with("contacts.write").import_contacts(upload(b"email\n"))
    assert served.client_with("contacts.import").import_contacts(upload(b"email\n")).operation.name


def test_list_import_errors(served: Served, client: Any) -> None:
    operation = client.import_contacts(upload(b"email,phone\n" + b"bad,12\n" * 5)).operation
    assert not client.list_import_errors(operation=operation.name).errors
    import_run.run(served.runtime, attempt(served.runtime, operation.name))
    first = client.list_import_errors(operation=operation.name, page_size=3)
    rest = client.list_import_errors(operation=operation.name, page_token=first.next_page_token)
    every = [*first.errors, *rest.errors]
    assert [one.line for one in every] == [2, 3, 4, 5, 6]
    assert {(one.column, one.row) for one in every} == {("email", "bad,12")}
    assert "phone: " in every[0].reason
    with pytest.raises(errors.NotFound):
        client.list_import_errors(operation=f"operations/{uuid4()}")
    with pytest.raises(errors.InvalidArgument):
        client.list_import_errors(operation=NOBODY)
