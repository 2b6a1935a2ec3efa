"""Merging loses nothing and leads on from the old name; erasing leaves nothing but that there was a contact."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from rapport.campaign.v1 import events_pb2 as campaign
from rapport.care.v1 import events_pb2 as care
from rapport.contacts.v1 import contacts_pb2 as pb
from rapport.contacts.v1 import events_pb2
from rapport.events.v1 import events_pb2 as stream

from services.contacts.domain.activities import Activity
from services.contacts.domain.attributes import ActivityType
from services.contacts.domain.consents import Wish
from services.contacts.domain.contact import MOST_TAGS, Contact, Draft
from services.contacts.domain.identity import Identity
from services.contacts.domain.updating import Update
from services.contacts.models import kit, metadata
from services.contacts.store import gone as gone_store
from services.contacts.store.writing import write
from services.contacts.usecases import activities, consents, contacts, parting, schema, unsubscribe
from services.contacts.usecases.upsert import batch_upsert_contacts, upsert_contact
from services.kit.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from services.kit.idempotency import remember, replay
from services.kit.names import new_id
from services.kit.runtime import Runtime
from services.kit.wire import to_timestamp
from tests.support.contacts_data import draft, email, every, external, written_events
from tests.support.stack import NOW


def put(runtime: Runtime, made: Draft) -> Contact:
    return upsert_contact(runtime, made)[0]


def merge(runtime: Runtime, survivor: UUID, absorbed: UUID, **etags: str) -> Contact:
    return write(
        runtime.db, lambda connection: parting.merge(connection, runtime, survivor, absorbed, **etags)
    )


def erase(runtime: Runtime, key: UUID, etag: str = "") -> parting.Receipt:
    return write(runtime.db, lambda connection: parting.erase(connection, runtime, key, etag))


def visit(runtime: Runtime, key: UUID, external_id: str = "") -> None:
    activities.record(runtime, [Activity(new_id(), key, "page.visited", NOW, {}, "web", external_id, False)])


def define_visits(runtime: Runtime) -> None:
    with runtime.db.transaction() as connection:
        schema.create_activity_type(runtime, connection, ActivityType("page.visited", "", ()))


def rows_with(runtime: Runtime, *needles: str) -> set[str]:
    """Return the tables of which a row, as text or in its bytes, holds one of some texts."""
    found = set()
    with runtime.db.read() as connection:
        for table in metadata.sorted_tables:
            for (row,) in connection.exec_driver_sql(f'SELECT to_jsonb(t)::text FROM "{table.name}" AS t'):
                if any(needle in row or needle.encode().hex() in row for needle in needles):
                    found.add(table.name)
    return found


def pair(runtime: Runtime) -> tuple[Contact, Contact]:
    """Two contacts that are one person."""
    first = put(runtime, draft(email("an"), display_name="An", region_code="VN"))
    second = put(runtime, draft(email("an.2"), external("77"), display_name="An Nguyễn"))
    return first, second


def test_merging_two_contacts_loses_nothing(runtime: Runtime) -> None:
    """What the survivor has wins, what it has not is taken; names and addresses are taken as a whole."""
    define_visits(runtime)
    agreed = NOW - timedelta(days=9)
    survivor = put(
        runtime,
        Draft(
            {"display_name": "An", "given_name": "An", "region_code": "VN", "gender": "f"},
            {"size": 3, "vip": False},
            ["b", "a"],
            [email("an")],
            [
                Wish("email", "news", True, agreed, "form", "signed 1"),
                Wish("email", "marketing", True, NOW - timedelta(days=3), "form", "x"),
                Wish("sms", "news", True, agreed, "form", "y"),
            ],
        ),
    )
    absorbed = put(
        runtime,
        Draft(
            {
                "display_name": "An N",
                "given_name": "Anh",
                "family_name": "Nguyễn",
                "locality": "Huế",
                "gender": "x",
                "birth_date": date(1990, 1, 2),
            },
            {"size": 9, "note": "tall"},
            ["c", "a"],
            [external("77"), email("an.2")],
            [
                Wish("email", "news", True, agreed, "paper", "signed 2"),
                Wish("email", "marketing", False, NOW - timedelta(days=1), "call", "said no"),
                Wish("sms", "news", False, agreed, "call", "z"),
                Wish("zalo", "news", True, agreed, "form", "w"),
            ],
        ),
    )
    visit(runtime, survivor.id)
    visit(runtime, absorbed.id, "v1")
    after = merge(runtime, survivor.id, absorbed.id)
    assert [after] == every(runtime)
    assert after.revision == survivor.revision + 1
    assert (after.display_name, after.given_name, after.family_name) == ("An", "An", "")
    assert (after.region_code, after.locality) == ("VN", "")
    assert (after.gender, after.birth_date) == ("f", date(1990, 1, 2))
    assert after.attributes == {"size": 3, "vip": False, "note": "tall"}
    assert after.tags == ("a", "b", "c")
    assert after.identities == (email("an"), external("77"), email("an.2"))
    granted = {key: one.granted for key, one in after.consents.items()}
    assert granted == {"email_news": True, "email_marketing": False, "sms_news": False, "zalo_news": True}
    history, _ = consents.page(runtime, survivor.id, None, 100)
    proofs = " ".join(f"{one.source} {one.proof}" for one in history)
    assert len(history) == 6
    for proof in ("signed 1", "paper: signed 2", "x", "said no", "y", "z", "w"):
        assert proof in proofs
    assert len(activities.page(runtime, survivor.id, None, 10)[0]) == 2
    assert rows_with(runtime, str(absorbed.id)) == {"contact_gone", "outbox"}
    for identity in (email("an"), external("77"), email("an.2")):
        assert contacts.lookup(runtime, identity) == after
    told = [item for item in written_events(runtime.db) if item[0] != "attribute.defined"][-2:]
    assert [(type_, key, revision) for type_, key, revision, _ in told] == [
        ("contact.merged", absorbed.id, absorbed.revision + 1),
        ("contact.updated", survivor.id, after.revision),
    ]
    assert events_pb2.ContactMerged.FromString(told[0][3]).into == f"contacts/{survivor.id}"
    # What the absorbed contact did is not taken for new when it is reported once more.
    visit(runtime, survivor.id, "v1")
    assert len(activities.page(runtime, survivor.id, None, 10)[0]) == 2


def test_an_old_name_says_which_contact_remains(runtime: Runtime) -> None:
    """Whatever is asked of it, at the end of all merges; an erased one is as if it never was."""
    define_visits(runtime)
    first, second = pair(runtime)
    third = put(runtime, draft(email("third")))
    merge(runtime, second.id, first.id)
    merge(runtime, third.id, second.id)

    def calls(key: UUID) -> list[Any]:
        return [
            lambda: contacts.get(runtime, key),
            lambda: contacts.batch_get(runtime, [third.id, key]),
            lambda: contacts.modify_tags(runtime, key, ["x"], []),
            lambda: write(
                runtime.db, lambda c: contacts.update(c, runtime, key, Update({"gender": "f"}), "")
            ),
            lambda: consents.record(runtime, [(key, Wish("email", "news", True, None, "", ""))]),
            lambda: consents.page(runtime, key, None, 10),
            lambda: visit(runtime, key),
            lambda: activities.page(runtime, key, None, 10),
            lambda: merge(runtime, third.id, key),
            lambda: erase(runtime, key),
        ]

    for key in (first.id, second.id):
        for call in calls(key):
            with pytest.raises(NotFound) as caught:
                call()
            assert caught.value.reason == "CONTACT_MERGED"
            assert caught.value.metadata == {"resource": f"contacts/{key}", "into": f"contacts/{third.id}"}
    erase(runtime, third.id)
    for key in (first.id, second.id, third.id):
        for call in (calls(key)[0], calls(key)[9]):
            with pytest.raises(NotFound) as caught:
                call()
            assert caught.value.reason == "NOT_FOUND"


def test_a_merge_that_cannot_be_changes_nothing(runtime: Runtime) -> None:
    """A contact and itself, a stale etag of either, a contact that is not there, more than one contact can hold."""
    first, second = pair(runtime)
    contacts.modify_tags(runtime, first.id, [f"a{n}" for n in range(MOST_TAGS // 2 + 1)], [])
    contacts.modify_tags(runtime, second.id, [f"b{n}" for n in range(MOST_TAGS // 2)], [])
    before = every(runtime)
    for error, reason, attempt in (
        (InvalidArgument, "INVALID_ARGUMENT", lambda: merge(runtime, first.id, first.id)),
        (Aborted, "ETAG_MISMATCH", lambda: merge(runtime, first.id, second.id, survivor_etag="r1")),
        (Aborted, "ETAG_MISMATCH", lambda: merge(runtime, first.id, second.id, absorbed_etag="r1")),
        (NotFound, "NOT_FOUND", lambda: merge(runtime, first.id, new_id())),
        (FailedPrecondition, "MERGED_TOO_LARGE", lambda: merge(runtime, first.id, second.id)),
        (Aborted, "ETAG_MISMATCH", lambda: erase(runtime, first.id, "r1")),
    ):
        with pytest.raises(error) as caught:
            attempt()
        assert caught.value.reason == reason
    assert every(runtime) == before
    contacts.modify_tags(runtime, first.id, [], ["a0"])
    now = {one.id: one.etag for one in every(runtime)}
    after = merge(runtime, first.id, second.id, survivor_etag=now[first.id], absorbed_etag=now[second.id])
    assert len(after.tags) == MOST_TAGS


def test_an_erased_contact_leaves_nothing_personal(runtime: Runtime) -> None:
    """Nor do those that were merged into it, in any table, events and answers kept for repeated requests included."""
    define_visits(runtime)
    made = draft(
        email("secret"), external("hidden"), display_name="Zebra", given_name="Zeb", locality="Nowhere"
    )
    made.consents.append(Wish("email", "news", True, None, "form", "Zebra signed"))
    absorbed = put(runtime, made)
    key = put(runtime, draft(email("secret.too"))).id
    other = put(runtime, draft(email("other"), display_name="Other"))
    visit(runtime, key)
    visit(runtime, absorbed.id)
    merge(runtime, key, absorbed.id)
    request = pb.CreateContactRequest(request_id=str(new_id()))
    for name, owner in (("Zebra", key), ("Other", other.id)):
        request = pb.CreateContactRequest(request_id=str(new_id()))
        response = pb.Contact(name=f"contacts/{owner}", display_name=name)
        with runtime.db.transaction() as connection:
            assert replay(connection, kit.request_log, request.request_id, request, pb.Contact) is None
            remember(connection, kit.request_log, request.request_id, request, response, NOW)
    assert rows_with(runtime, "Zebra", "secret@") >= {"contact", "identity", "consent", "request_log"}
    receipt = erase(runtime, key, contacts.get(runtime, key).etag)
    assert (receipt.contact_id, receipt.time, receipt.absorbed) == (key, NOW, (absorbed.id,))
    removed = receipt.removed
    assert (removed.identities, removed.consents, removed.activities) == (3, 1, 2)
    # Made, made, visited twice, and changed by the merge; the merge itself must still be told.
    assert removed.events == 5
    assert rows_with(runtime, "Zebra", "Zeb", "secret", "hidden", "Nowhere") == set()
    assert rows_with(runtime, str(key), str(absorbed.id)) == {"contact_gone", "outbox"}
    told = [item[:2] for item in written_events(runtime.db) if item[1] in (key, absorbed.id)]
    assert told == [("contact.merged", absorbed.id), ("contact.erased", key)]
    assert every(runtime) == [other]
    assert rows_with(runtime, "Other") == {"contact", "request_log"}
    # The address is free, for somebody that nobody knows.
    again = put(runtime, draft(email("secret")))
    assert again.id not in (key, absorbed.id)
    assert not again.consents


def test_the_wish_of_a_merged_contact_is_that_of_the_survivor(runtime: Runtime) -> None:
    """Mail that was sent to the old name can still be answered with a no."""
    first, second = pair(runtime)
    consents.record(runtime, [(second.id, Wish("email", "news", True, None, "", ""))])
    merge(runtime, second.id, first.id)
    events = []
    for key in (first.id, new_id()):
        event = stream.Event(id=str(new_id()), type="unsubscribe.requested", contact=f"contacts/{key}")
        event.occur_time.CopyFrom(to_timestamp(NOW + timedelta(seconds=1)))
        event.data.Pack(care.UnsubscribeRequested(channel="email", topic="news"))
        events.append(event)
    with runtime.db.transaction() as connection:
        unsubscribe.record(connection, runtime, events)
    assert not contacts.get(runtime, second.id).consents["email_news"].granted


@pytest.mark.parametrize(
    ("payload", "proof"),
    [
        (care.UnsubscribeRequested(channel="email", topic="news"), "unsubscribe mail"),
        (
            campaign.UnsubscribeRequested(channel="email", topic="news", source="one-click"),
            "unsubscribe link",
        ),
        (campaign.UnsubscribeRequested(channel="email", topic="news", source="complaint"), "complaint"),
    ],
)
def test_a_wish_is_recorded_with_what_proves_it(runtime: Runtime, payload: Any, proof: str) -> None:
    made, _ = pair(runtime)
    event = stream.Event(id=str(new_id()), type="unsubscribe.requested", contact=f"contacts/{made.id}")
    event.occur_time.CopyFrom(to_timestamp(NOW))
    event.data.Pack(payload)
    with runtime.db.transaction() as connection:
        unsubscribe.record(connection, runtime, [event])
    consent = contacts.get(runtime, made.id).consents["email_news"]
    assert (consent.granted, consent.source, consent.decide_time) == (False, proof, NOW)


def test_merges_beside_writes_leave_no_row_behind(runtime: Runtime) -> None:
    """Upserts by both identities, activities, consents and merges at once: all belongs to a contact that is there."""
    define_visits(runtime)
    batch_upsert_contacts(runtime, [draft(email(f"p{n}")) for n in range(8)])
    start = threading.Barrier(4)
    errors: list[BaseException] = []
    reasons: set[str] = set()

    def guarded(work: Any) -> None:
        try:
            start.wait()
            work()
        except BaseException as error:
            errors.append(error)

    def owner(number: int) -> UUID:
        return contacts.lookup(runtime, email(f"p{number}")).id

    def merging() -> None:
        for number in range(1, 8):
            merge(runtime, owner(0), owner(number))

    def upserting() -> None:
        for turn in range(40):
            put(runtime, draft(email(f"p{turn % 8}"), Identity(7, "shop", f"s{turn}")))

    def recording() -> None:
        for turn in range(40):
            try:
                visit(runtime, owner(turn % 8))
            except NotFound as error:
                reasons.add(error.reason)

    def deciding() -> None:
        for turn in range(40):
            try:
                consents.record(runtime, [(owner(turn % 8), Wish("email", f"t{turn}", True, None, "", ""))])
            except NotFound as error:
                reasons.add(error.reason)

    threads = [
        threading.Thread(target=guarded, args=(one,)) for one in (merging, upserting, recording, deciding)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert reasons <= {"CONTACT_MERGED"}
    (left,) = every(runtime)
    assert len(left.identities) == 48
    with runtime.db.read() as connection:
        for table in ("consent", "activity"):
            owners = connection.execute(sa.text(f"SELECT DISTINCT contact_id FROM {table}")).scalars().all()
            assert owners == [left.id]
        history = connection.execute(sa.text("SELECT channel || '_' || topic FROM consent")).scalars().all()
        assert set(history) == left.consents.keys()
        targets = gone_store.absorbed_by(connection, left.id)
        assert len(targets) == 7
