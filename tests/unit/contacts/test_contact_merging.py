"""Upserts, updates and consents worked out in memory."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contacts.domain.consents import Decision, Wish
from services.contacts.domain.contact import Contact, Draft, make, merge, touched
from services.contacts.domain.errors import IdentitiesConflict, Refused
from services.contacts.domain.identity import Identity
from services.contacts.domain.merging import Upserts
from services.contacts.domain.updating import Update, retagged, updated

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)


def email(name: str) -> Identity:
    return Identity(1, "", f"{name}@example.test")


def draft(*identities: Identity, **fields: Any) -> Draft:
    return Draft(fields=fields, identities=list(identities))


def contact(said: Draft) -> Contact:
    return make(said, uuid4(), NOW)


def upserts(*stored: Contact, now: datetime = LATER) -> Upserts:
    owners = {identity: one.id for one in stored for identity in one.identities}
    return Upserts(owners, {one.id: one for one in stored}, now, uuid4)


def test_the_display_name_follows_the_parts_of_the_name_until_somebody_writes_it() -> None:
    made = contact(draft(given_name="An", family_name="Nguyễn", language_code="vi"))
    assert made.display_name == "Nguyễn An"
    renamed = merge(made, draft(given_name="Bình"))
    assert renamed.display_name == "Nguyễn Bình"
    written = merge(renamed, draft(display_name="Anh Bình"))
    assert merge(written, draft(given_name="Chi")).display_name == "Anh Bình"
    assert updated(written, Update(fields={"display_name": ""})).display_name == "Nguyễn Bình"
    assert contact(draft(kind=2, given_name="An")).display_name == ""


def test_an_upsert_sets_what_is_set_adds_tags_and_identities_and_removes_attributes_without_value() -> None:
    before = contact(
        Draft({"gender": "female", "locality": "Huế"}, {"size": 38, "vip": True}, ["b"], [email("a")], [])
    )
    after = merge(
        before, Draft({"locality": "Hà Nội"}, {"vip": None, "size": 39}, ["a", "b"], [email("z")], [])
    )
    assert (after.gender, after.locality) == ("female", "Hà Nội")
    assert after.attributes == {"size": 39}
    assert after.tags == ("a", "b")
    assert after.identities == (email("a"), email("z"))


def test_an_upsert_of_what_is_known_changes_nothing() -> None:
    said = Draft(
        {"birth_date": date(1990, 1, 2), "latitude": 1.5, "longitude": 2.5},
        {"size": 38, "gone": None},
        ["b", "a"],
        [email("a")],
        [],
    )
    before = contact(said)
    assert merge(before, said) is before
    work = upserts(before)
    outcome = work.apply(said)
    assert (outcome.created, outcome.changed, outcome.revision) == (False, False, 1)
    assert (work.updated, work.created, work.claims) == ({}, {}, [])


def test_identities_of_different_contacts_conflict_and_nothing_is_done() -> None:
    one, other = contact(draft(email("a"))), contact(draft(email("b")))
    work = upserts(one, other)
    with pytest.raises(IdentitiesConflict) as caught:
        work.apply(draft(email("new"), email("a"), email("b"), gender="x"))
    assert set(caught.value.owners) == {one.id, other.id}
    assert (work.updated, work.created, work.claims) == ({}, {}, [])
    # The identity that came along is still free.
    assert work.apply(draft(email("new"))).created


def test_items_of_one_batch_that_share_an_identity_are_one_contact() -> None:
    work = upserts()
    first = work.apply(draft(email("a"), given_name="An"))
    second = work.apply(draft(email("a"), email("b"), gender="female"))
    third = work.apply(draft(email("b"), given_name="Bình"))
    assert first.created
    assert not second.created
    assert first.contact_id == second.contact_id == third.contact_id
    assert third.revision == 3
    made = work.created[first.contact_id]
    assert (made.given_name, made.gender, made.identities) == ("Bình", "female", (email("a"), email("b")))
    assert [claim for claim, _ in work.claims] == [email("a"), email("b")]


def test_a_contact_cannot_grow_without_bounds() -> None:
    before = contact(Draft({}, {}, [f"t{n:03}" for n in range(200)], [email("a")], []))
    work = upserts(before)
    with pytest.raises(Refused) as caught:
        work.apply(Draft({}, {}, ["one more"], [email("a"), email("b")], []))
    assert caught.value.field == "tags"
    assert not work.claims


FEW = [email("a"), email("b"), Identity(2, "", "+84901234567"), Identity(7, "shop", "1")]
DRAFTS = st.builds(
    Draft,
    st.dictionaries(st.sampled_from(["given_name", "family_name", "gender"]), st.sampled_from(["x", "y"])),
    st.dictionaries(st.sampled_from(["size", "note"]), st.sampled_from([None, 1, 2])),
    st.lists(st.sampled_from(["t", "u"])),
    st.lists(st.sampled_from(FEW), min_size=1, max_size=3),
    st.lists(st.builds(Wish, st.just("email"), st.just("marketing"), st.booleans()), max_size=1),
)


def play(batches: list[list[Draft]]) -> list[tuple[Any, ...]]:
    """Apply batches one after the other, each to what the former left, and return all contacts without their ids."""
    stored: dict[UUID, Contact] = {}
    for batch in batches:
        work = Upserts({i: c.id for c in stored.values() for i in c.identities}, stored, NOW, uuid4)
        for one in batch:
            try:
                work.apply(one)
            except IdentitiesConflict:
                continue
        stored = {**stored, **work.created, **work.updated}
    return sorted(
        (
            c.identities,
            c.given_name,
            c.display_name,
            sorted(c.attributes.items()),
            c.tags,
            c.revision,
            sorted((key, one.granted) for key, one in c.consents.items()),
        )
        for c in stored.values()
    )


@given(st.lists(DRAFTS, max_size=8))
def test_a_batch_is_the_sequence_of_its_items(drafts: list[Draft]) -> None:
    assert play([drafts]) == play([[one] for one in drafts])


@given(st.lists(DRAFTS, max_size=5))
def test_the_last_upsert_done_again_changes_nothing(drafts: list[Draft]) -> None:
    if drafts:
        assert play([drafts]) == play([drafts, [drafts[-1]]])


def test_a_decision_without_a_time_is_newer_than_the_one_in_force_even_when_the_clock_stands_still() -> None:
    before = contact(draft(email("a")))
    work = upserts(before, now=NOW)
    work.record(before.id, [Wish("email", "marketing", True), Wish("email", "marketing", False)])
    work.record(before.id, [Wish("email", "marketing", True)])
    after = work.contact(before.id)
    assert after.consents["email_marketing"].granted
    assert [one.granted for _, one in work.decisions] == [True, False, True]
    assert after.revision == 3


def test_a_decision_sent_twice_is_recorded_once() -> None:
    before = contact(draft(email("a")))
    work = upserts(before)
    wish = Wish("email", "marketing", True, None, "form", "I agree")
    work.record(before.id, [wish])
    work.record(before.id, [wish])
    timed = Wish("sms", "marketing", True, NOW)
    work.record(before.id, [timed, timed])
    assert len(work.decisions) == 2


def test_an_older_decision_goes_into_the_history_only() -> None:
    before = contact(draft(email("a")))
    work = upserts(before)
    work.record(before.id, [Wish("email", "marketing", False, NOW)])
    revision = work.contact(before.id).revision
    work.record(before.id, [Wish("email", "marketing", True, NOW - timedelta(days=1))])
    after = work.contact(before.id)
    assert not after.consents["email_marketing"].granted
    assert after.revision == revision
    assert len(work.decisions) == 2


@given(st.permutations([(0, True), (1, False), (2, True), (3, False)]))
def test_the_newest_decision_is_in_force_in_whatever_order_they_arrive(order: list[tuple[int, bool]]) -> None:
    before = contact(draft(email("a")))
    work = upserts(before)
    for day, granted in order:
        work.record(before.id, [Wish("email", "news", granted, NOW + timedelta(days=day))])
    assert work.contact(before.id).consents["email_news"] == Decision(
        "email", "news", False, NOW + timedelta(days=3)
    )


def test_an_update_replaces_what_the_mask_names_and_nothing_else() -> None:
    before = contact(Draft({"gender": "x", "locality": "Huế"}, {"a": 1, "b": 2}, ["t"], [email("a")], []))
    after = updated(before, Update(fields={"gender": ""}, attribute_changes={"a": None}, tags=[]))
    assert (after.gender, after.locality, after.attributes, after.tags) == ("", "Huế", {"b": 2}, ())
    assert updated(before, Update(attributes={"c": 3})).attributes == {"c": 3}
    assert updated(before, Update(identities=[email("z")])).identities == (email("z"),)
    assert updated(before, Update(fields={"gender": "x"}, attributes={"a": 1, "b": 2}, tags=["t"])) is before


def test_tags_are_added_and_removed_once() -> None:
    before = contact(Draft({}, {}, ["a", "b"], [], []))
    assert retagged(before, ["c", "a"], ["b", "x"]).tags == ("a", "c")
    assert retagged(before, ["a"], ["x"]) is before
    with pytest.raises(Refused, match="added and removed"):
        retagged(before, ["a"], ["a"])


def test_an_etag_fits_no_other_history_of_the_same_length() -> None:
    # As after a restore: what was changed before is undone, and something else is changed later.
    made = contact(draft(given_name="An"))
    undone = touched(merge(made, draft(given_name="Bình")), LATER)
    after = touched(merge(made, draft(given_name="Chi")), LATER + timedelta(microseconds=1))
    assert undone.revision == after.revision
    assert len({made.etag, undone.etag, after.etag}) == 3
