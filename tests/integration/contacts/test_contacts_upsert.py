"""Upserts on a real database: laws, races, and how many statements they take."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rapport.contacts.v1 import events_pb2

from services.contacts.domain.consents import Wish
from services.contacts.domain.contact import Contact, Draft
from services.contacts.domain.identity import Identity
from services.contacts.domain.updating import Update
from services.contacts.models import activity, consent, contact, identity, kit
from services.contacts.store.writing import write
from services.contacts.usecases import consents, contacts
from services.contacts.usecases.upsert import batch_upsert_contacts, upsert_contact
from services.kit.errors import AlreadyExists, FailedPrecondition, InvalidArgument
from services.kit.runtime import Runtime
from tests.support.contacts_data import draft, email, every, external, written_events

FULL = Draft(
    {
        "kind": 2,
        "display_name": 'A\\B "quoted" \u201cx\u201d',
        "given_name": "Đỗ",
        "family_name": "N'a",
        "language_code": "zh-Hans",
        "time_zone": "Asia/Tokyo",
        "region_code": "VN",
        "administrative_area": "{x}",
        "locality": "Huế",
        "sublocality": "NULL",
        "postal_code": "\\N",
        "address_lines": ('1 "A"', "back\\slash", "NULL", "a,b{c}"),
        "latitude": 10.123456789012345,
        "longitude": -0.1,
        "birth_date": date(1990, 2, 28),
        "gender": "x",
        "lifecycle_stage": "lead",
        "industry": "y",
        "occupation": "z",
    },
    {
        "size": 2**62 + 1,
        "weight": 1e300,
        "note": 'line\nbreak\ttab "q" \\ end',
        "vip": False,
        "since": datetime(2020, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        "colours": ("red", 'b"l\\ue'),
    },
    ["b", 'a "tag"', "c\\d", "NULL", "x,y"],
    [external('q"uo\\te'), email("full"), Identity(3, "", "v 1")],
    [Wish("email", "marketing", True, None, "form", 'I "agree"\n\\ fully')],
)


def without_ids(found: list[Contact]) -> list[Any]:
    names = [name for name in Contact.__slots__ if name != "id"]
    return sorted(
        ([getattr(one, name) for name in names] for one in found),
        key=lambda values: str(values[names.index("identities")]),
    )


@pytest.mark.parametrize("extra", [0, 20], ids=["alone", "in a batch"])
def test_every_field_is_stored_exactly_when_made_and_when_changed(runtime: Runtime, extra: int) -> None:
    others = [draft(email(f"x{n}")) for n in range(extra)]
    batch_upsert_contacts(runtime, [FULL, *others])
    batch_upsert_contacts(runtime, [draft(external("late")), *others])
    late = Draft(dict(FULL.fields), dict(FULL.attributes), FULL.tags, [external("late")], list(FULL.consents))
    batch_upsert_contacts(runtime, [late, *others])
    made, changed = (one for one in every(runtime) if one.kind == 2)
    for one in (made, changed):
        for name, value in FULL.fields.items():
            assert getattr(one, name) == value, name
        assert one.attributes == FULL.attributes
        assert {name: type(value) for name, value in one.attributes.items()} == {
            name: type(value) for name, value in FULL.attributes.items()
        }
        assert one.tags == tuple(sorted(FULL.tags))
        assert one.consents["email_marketing"].proof == FULL.consents[0].proof
    assert made.identities == tuple(FULL.identities)
    assert (made.revision, changed.revision) == (1, 2)


def test_an_upsert_that_changes_nothing_writes_nothing(runtime: Runtime) -> None:
    first, outcome = upsert_contact(runtime, FULL)
    assert outcome.created
    before = written_events(runtime.db)
    again, outcome = upsert_contact(runtime, FULL)
    assert (outcome.created, outcome.changed) == (False, False)
    assert again == first
    assert written_events(runtime.db) == before


def test_the_events_hold_the_whole_snapshot_and_no_identity_value(runtime: Runtime) -> None:
    upsert_contact(runtime, FULL)
    _, key, revision, data = written_events(runtime.db)[-1]
    payload = events_pb2.ContactChanged.FromString(data)
    assert revision == 1
    assert key is not None
    assert payload.has_email
    assert not payload.has_phone
    assert payload.attributes["size"].int_value == 2**62 + 1
    assert dict(payload.consents) == {"email_marketing": "granted"}
    assert payload.birth_date.day == 28
    assert list(payload.tags) == sorted(FULL.tags)
    for secret in ("example.test", "quoted", "Đỗ", "N'a", "back", "agree"):
        assert secret.encode() not in data
    upsert_contact(runtime, draft(email("full"), Identity(2, "", "+84901234567")))
    kind, _, revision, data = written_events(runtime.db)[-1]
    assert (kind, revision) == ("contact.updated", 2)
    assert events_pb2.ContactChanged.FromString(data).has_phone


FEW = [email("a"), email("b"), email("c"), Identity(2, "", "+84901234567"), external("1")]
DRAFTS = st.builds(
    Draft,
    st.dictionaries(st.sampled_from(["given_name", "family_name", "locality"]), st.sampled_from(["x", "ý"])),
    st.dictionaries(st.sampled_from(["size", "note"]), st.just(None))
    | st.fixed_dictionaries({"size": st.integers(0, 3)}),
    st.lists(st.sampled_from(["t", "u"]), max_size=2),
    st.lists(st.sampled_from(FEW), min_size=1, max_size=2),
    st.lists(st.builds(Wish, st.just("email"), st.just("news"), st.booleans()), max_size=1),
)
ON_DATABASE = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def clear(*runtimes: Runtime) -> None:
    for one in runtimes:
        with one.db.transaction() as connection:
            for table in (contact, identity, consent, activity, kit.outbox):
                connection.execute(sa.delete(table))


@ON_DATABASE
@given(batch=st.lists(DRAFTS, min_size=1, max_size=6))
def test_a_batch_leaves_what_the_sequence_of_its_items_leaves(
    runtime: Runtime, other: Runtime, batch: list[Draft]
) -> None:
    clear(runtime, other)
    sound: list[Draft] = []
    for one in batch:
        try:
            upsert_contact(other, one)
            sound.append(one)
        except FailedPrecondition:
            with pytest.raises(FailedPrecondition, match=rf"contacts\[{len(sound)}\]"):
                batch_upsert_contacts(runtime, [*sound, one])
            assert every(runtime) == []
    outcomes = batch_upsert_contacts(runtime, sound)
    assert without_ids(every(runtime)) == without_ids(every(other))
    assert [one.created for one in outcomes].count(True) == len(every(runtime))
    # One event a contact, with the revision that the contact has.
    told = {(key, revision) for _, key, revision, _ in written_events(runtime.db)}
    assert told == {(one.id, one.revision) for one in every(runtime)}


@ON_DATABASE
@given(said=DRAFTS)
def test_an_upsert_twice_is_an_upsert_once(runtime: Runtime, said: Draft) -> None:
    clear(runtime)
    upsert_contact(runtime, said)
    before = every(runtime), written_events(runtime.db)
    _, outcome = upsert_contact(runtime, said)
    assert not outcome.changed
    assert (every(runtime), written_events(runtime.db)) == before


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Do things in threads that start together; return results, or the errors that were raised."""
    gate = threading.Barrier(len(works))
    results: list[Any] = [None] * len(works)

    def run(index: int, work: Callable[[], Any]) -> None:
        gate.wait()
        try:
            results[index] = work()
        except Exception as error:
            results[index] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_upserts_of_one_new_identity_at_once_make_one_contact(runtime: Runtime) -> None:
    for turn in range(10):
        said = [draft(email(f"new{turn}"), external(f"{turn}-{n}")) for n in range(6)]
        results = at_once(*(lambda one=one: upsert_contact(runtime, one) for one in said))
        assert not [one for one in results if isinstance(one, Exception)]
        assert [outcome.created for _, outcome in results].count(True) == 1
        assert len({outcome.contact_id for _, outcome in results}) == 1
        (made,) = (one for one in every(runtime) if email(f"new{turn}") in one.identities)
        assert len(made.identities) == 7
        assert made.revision == 6


def test_batches_that_overlap_crosswise_at_once_end_well(runtime: Runtime) -> None:
    for turn in range(5):
        names = [f"{turn}-{n}" for n in range(60)]
        works = [
            lambda order=order, mark=mark: batch_upsert_contacts(
                runtime, [draft(email(name), external(name), **{mark: "x"}) for name in order]
            )
            for order, mark in [
                (names, "gender"),
                (names[::-1], "industry"),
                (names[30:] + names[:30], "occupation"),
            ]
        ]
        results = at_once(*works)
        assert not [one for one in results if isinstance(one, Exception)], results
    found = every(runtime)
    assert len(found) == 300
    assert {(one.gender, one.industry, one.occupation, one.revision) for one in found} == {("x", "x", "x", 3)}


def test_an_identity_that_moves_while_others_upsert_it_stays_with_one_contact(runtime: Runtime) -> None:
    one, _ = upsert_contact(runtime, draft(email("one"), email("moving")))
    other, _ = upsert_contact(runtime, draft(email("other")))

    def move(source: Contact, target: Contact, keep: str, take: str) -> None:
        def work(connection: sa.Connection) -> None:
            contacts.update(connection, runtime, source.id, Update(identities=[email(keep)]), "")
            contacts.update(
                connection, runtime, target.id, Update(identities=[email(take), email("moving")]), ""
            )

        write(runtime.db, work)

    def back_and_forth() -> None:
        for _ in range(10):
            move(one, other, "one", "other")
            move(other, one, "other", "one")

    def upsert_often() -> None:
        for n in range(20):
            upsert_contact(runtime, draft(email("moving"), gender=str(n)))

    results = at_once(back_and_forth, upsert_often, upsert_often)
    assert results == [None, None, None]
    assert len(every(runtime)) == 2


def test_an_identity_is_taken_by_one_creator_only(runtime: Runtime) -> None:
    def create() -> Contact:
        return write(runtime.db, lambda c: contacts.create(c, runtime, draft(email("wanted"))))

    results = at_once(*[create] * 5)
    assert sum(isinstance(one, Contact) for one in results) == 1
    assert sum(isinstance(one, AlreadyExists) and one.reason == "IDENTITY_TAKEN" for one in results) == 4
    assert len(every(runtime)) == 1


@contextmanager
def statements(runtime: Runtime) -> Iterator[list[str]]:
    """Note what SQLAlchemy sends; COPY goes past it."""
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    sa.event.listen(runtime.db.engine, "before_cursor_execute", note)
    yield seen
    sa.event.remove(runtime.db.engine, "before_cursor_execute", note)


def test_a_thousand_contacts_take_a_handful_of_statements(runtime: Runtime) -> None:
    batch = [
        Draft({"gender": "x"}, {}, [], [email(str(n)), external(str(n))], [Wish("email", "news", True)])
        for n in range(1000)
    ]
    with statements(runtime) as making:
        batch_upsert_contacts(runtime, batch)
    for one in batch:
        one.fields["gender"] = "y"
    with statements(runtime) as changing:
        outcomes = batch_upsert_contacts(runtime, batch)
    assert {one.revision for one in outcomes} == {2}
    assert len(making) <= 6
    assert len(changing) <= 6


def test_too_much_for_one_contact_names_the_item(runtime: Runtime) -> None:
    tags = [f"t{n}" for n in range(150)]
    said = [
        draft(email("x")),
        Draft({}, {}, tags, [email("a")], []),
        Draft({}, {}, [t + "x" for t in tags], [email("a")], []),
    ]
    with pytest.raises(InvalidArgument) as caught:
        batch_upsert_contacts(runtime, said)
    assert [one.field for one in caught.value.violations] == ["contacts[2].tags"]
    assert every(runtime) == []


def test_decisions_at_once_are_all_recorded_and_the_newest_is_in_force(runtime: Runtime) -> None:
    made, _ = upsert_contact(runtime, draft(email("a")))
    times = [datetime(2026, 1, day, tzinfo=UTC) for day in range(1, 11)]
    works = [
        lambda when=when: consents.record(
            runtime, [(made.id, Wish("email", "news", when.day % 2 == 0, when))]
        )
        for when in times
    ]
    assert at_once(*works) == [None] * 10
    (after,) = every(runtime)
    assert after.consents["email_news"].decide_time == times[-1]
    history, more = consents.page(runtime, made.id, None, 100)
    assert [one.decide_time for one in history] == times[::-1]
    assert not more
