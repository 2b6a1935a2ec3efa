"""Imports on a real database: what becomes of rows, and of an import that is cut off."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rapport.contacts.v1.events_pb2 import ContactChanged

from services.contacts.domain.attributes import Attribute, Value, ValueType
from services.contacts.domain.consents import Wish
from services.contacts.domain.contact import Contact, Draft
from services.contacts.domain.identity import Identity
from services.contacts.models import consent, contact, identity, kit
from services.contacts.usecases import events, import_run, imports, schema
from services.contacts.usecases.upsert import upsert_contact
from services.kit.errors import Cancelled, FailedPrecondition, InvalidArgument
from services.kit.names import parse_name
from services.kit.operations import store as operations
from services.kit.runtime import Runtime
from tests.support.contacts_data import (
    attempt,
    count,
    counts,
    do_import,
    draft,
    email,
    every,
    external,
    start_import,
    written_events,
)

HEADER = b"email,given_name,family_name,phone\n"


def errors(runtime: Runtime, name: str) -> list[tuple[int, str, str, str]]:
    found, _ = imports.error_page(runtime, parse_name(name, "operations"), 0, 1000)
    return [(one.line, one.column, one.reason, one.row) for one in found]


def test_rows_become_contacts_and_bad_rows_are_told_with_their_line(runtime: Runtime) -> None:
    data = (
        b"\xef\xbb\xbf" + HEADER + b"A@example.test,An,Nguy\xe1\xbb\x85n,0901234567\n"
        b'"b@example.test","Bi\nnh",,\n'
        b"not an address,Chi,,\n"
        b"c@example.test,Chi,,12\n"
        b"too,few\n"
        b"d@example.test,\xff,,\n"
        b'e@example.test,"E"x,,\n'
        b"\n"
        b",nobody,,\n"
        b"a@example.test,An,,\n"
        b"a@example.test,Anh,,\n"
        b"b@example.test,,,0901234567\n"
        b"f@example.test,F,,"
    )
    result, name = do_import(runtime, data)
    assert counts(result) == (12, 3, 1, 1, 7)
    a, b, f = every(runtime)
    assert (a.display_name, b.given_name, f.display_name) == ("Anh Nguyễn", "Bi nh", "F")
    found = errors(runtime, name)
    assert [(line, column) for line, column, _, _ in found] == [
        (5, "email"),
        (6, "phone"),
        (7, ""),
        (8, ""),
        (9, ""),
        (11, ""),
        (14, ""),
    ]
    assert found[0][3] == "not an address,Chi,,"
    assert "too few columns" in found[2][2]
    assert "UTF-8" in found[3][2]
    assert "different contacts" in found[6][2]
    assert [kind for kind, *_ in written_events(runtime.db)[-3:]] == ["contact.created"] * 3


def test_every_kind_of_column_arrives(runtime: Runtime) -> None:
    data = (
        b"external:shop,kind,display_name,address.location,tags,attributes.size,attributes.since,"
        b"consent:email:marketing,create_time\n"
        b'C1,organization,ACME,"10.5,106.5",a;b,7,2020-01-01,granted,2019-05-06T00:00:00Z\n'
    )
    result, _ = do_import(runtime, data)
    assert counts(result)[1] == 1
    (made,) = every(runtime)
    assert (made.kind, made.display_name, made.latitude, made.tags) == (2, "ACME", 10.5, ("a", "b"))
    assert made.attributes["size"] == 7
    assert made.consents["email_marketing"].source == "import"
    assert made.create_time.year == 2019
    with runtime.db.read() as connection:
        query = sa.select(kit.outbox.c.historical, kit.outbox.c.occur_time)
        row = connection.execute(query.where(kit.outbox.c.type == "contact.created")).one()
    assert (row.historical, row.occur_time.year) == (True, 2019)


def test_the_same_file_again_changes_nothing(runtime: Runtime) -> None:
    data = b"email,given_name,tags,consent:email:news,attributes.size\n" + b"".join(
        b"p%d@example.test,P,t,granted,%d\n" % (n, n) for n in range(30)
    )
    assert counts(do_import(runtime, data)[0]) == (30, 30, 0, 0, 0)
    before = every(runtime), written_events(runtime.db)
    assert counts(do_import(runtime, gzip.compress(data))[0]) == (30, 0, 0, 30, 0)
    assert (every(runtime), written_events(runtime.db)) == before


# The columns of a file, what may stand in them, and what a draft says then; an import takes identities in the order of
# their columns.
IDENTITIES: dict[str, dict[str, Identity | None]] = {
    "email": {
        "": None,
        "A@example.test": email("a"),
        "b@example.test": email("b"),
        "c@example.test": email("c"),
    },
    "external:shop": {"": None, "1": external("1"), "2": external("2"), 'x"y\\z': external('x"y\\z')},
    "external:till": {"": None, "1": Identity(7, "till", "1")},
}
FIELDS: dict[str, dict[str, dict[str, Any]]] = {
    "given_name": {"": {}, "An": {"given_name": "An"}, 'q"\\t': {"given_name": 'q"\\t'}},
    "family_name": {"": {}, "Đỗ, Văn": {"family_name": "Đỗ, Văn"}},
    "display_name": {"": {}, "ACME \\N": {"display_name": "ACME \\N"}},
    "kind": {"": {}, "organization": {"kind": 2}},
    "language_code": {"": {}, "vi": {"language_code": "vi"}},
    "birth_date": {"": {}, "1990-12-31": {"birth_date": date(1990, 12, 31)}},
    "address.address_lines": {"": {}, 'a "b";c\\d': {"address_lines": ('a "b"', "c\\d")}},
    "address.location": {"": {}, "10.5,-0.1": {"latitude": 10.5, "longitude": -0.1}},
    "address.postal_code": {"": {}, "70000": {"postal_code": "70000"}},
}
TAGS = {"": (), "u;t;u": ("u", "t", "u"), 't"\\': ('t"\\',)}
ATTRIBUTES: dict[str, dict[str, Value | None]] = {
    "attributes.size": {"": None, "1": 1, "2": 2},
    "attributes.note": {"": None, 'n"\\': 'n"\\'},
    "attributes.since": {"": None, "2020-01-01": datetime(2020, 1, 1, tzinfo=UTC)},
}
CONSENTS = {
    name: {
        "": None,
        **{
            word: Wish(*name.split(":")[1:], word == "granted", None, "import")
            for word in ("granted", "denied")
        },
    }
    for name in ("consent:email:news", "consent:sms:news")
}
CREATE_TIMES = {"": None, "2019-05-06": datetime(2019, 5, 6, tzinfo=UTC)}
COLUMNS: dict[str, Mapping[str, Any]] = {
    **IDENTITIES,
    **FIELDS,
    **ATTRIBUTES,
    **CONSENTS,
    "tags": TAGS,
    "create_time": CREATE_TIMES,
}
OPTIONAL = [name for name in COLUMNS if name != "email"]


def as_draft(row: Mapping[str, str]) -> Draft:
    """What a row says, read in another way than an import reads it."""
    fields: dict[str, Any] = {}
    for name, cells in FIELDS.items():
        fields |= cells[row.get(name, "")]
    attributes = {name.partition(".")[2]: cells[row.get(name, "")] for name, cells in ATTRIBUTES.items()}
    return Draft(
        fields,
        {name: value for name, value in attributes.items() if value is not None},
        TAGS[row.get("tags", "")],
        [known for name, cells in IDENTITIES.items() if (known := cells[row.get(name, "")])],
        [wish for name, cells in CONSENTS.items() if (wish := cells[row.get(name, "")])],
        CREATE_TIMES[row.get("create_time", "")],
    )


def everything(runtime: Runtime) -> list[Any]:
    """All contacts with all that they hold, their decisions and their events, but for what differs by chance."""
    with runtime.db.read() as connection:
        outbox = (
            sa.select(kit.outbox).where(kit.outbox.c.contact_id.is_not(None)).order_by(kit.outbox.c.revision)
        )
        written: dict[UUID, list[Any]] = {}
        for row in connection.execute(outbox):
            assert row.subject == f"contacts/{row.contact_id}"
            written.setdefault(row.contact_id, []).append(row)
        decided = sorted(
            (str(row.contact_id), row.decide_time, row.channel, row.topic, row.granted, row.source)
            for row in connection.execute(sa.select(consent))
        )
        folded = {row.id: row.folded_name for row in connection.execute(sa.select(contact))}
    found = []
    for one in every(runtime):
        held = {name: getattr(one, name) for name in Contact.__slots__ if name != "id"}
        mine = [decision[1:] for decision in decided if decision[0] == str(one.id)]
        # A batch tells of several changes of one contact at once.
        first, *_ = about = written.pop(one.id)
        told = first.type, first.occur_time, first.historical
        state = about[-1].revision, ContactChanged.FromString(about[-1].data)
        found.append((one.identities, held, folded[one.id], mine, told, state))
    assert not written
    return sorted(found, key=lambda one: one[0])


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    names=st.lists(st.sampled_from(OPTIONAL), unique=True).map(
        lambda some: [n for n in COLUMNS if n in ("email", *some)]
    ),
    size=st.integers(1, 4),
    data=st.data(),
)
def test_an_import_leaves_what_its_rows_as_upserts_leave(
    runtime: Runtime, other: Runtime, names: list[str], size: int, data: st.DataObject
) -> None:
    cells = st.fixed_dictionaries({name: st.sampled_from(list(COLUMNS[name])) for name in names})
    rows = data.draw(st.lists(cells, min_size=1, max_size=10))
    for one in (runtime, other):
        with one.db.transaction() as connection:
            for table in (contact, identity, consent, kit.outbox):
                connection.execute(sa.delete(table))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names)
    writer.writeheader()
    writer.writerows(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_run, "BATCH_ROWS", size)
        result, _ = do_import(runtime, text.getvalue().encode())
    refused = changed = created = 0
    for row in rows:
        said = as_draft(row)
        if not said.identities:
            refused += 1
            continue
        try:
            _, outcome = upsert_contact(other, said)
        except FailedPrecondition:
            refused += 1
        else:
            created += outcome.created
            changed += outcome.changed and not outcome.created
    assert (result.error_count, result.created_count, result.updated_count) == (refused, created, changed)
    assert everything(runtime) == everything(other)


def test_a_row_that_repeats_what_another_one_of_its_batch_changes_is_no_idle_one(runtime: Runtime) -> None:
    upsert_contact(runtime, Draft({"given_name": "An"}, identities=[email("a"), external("1")]))
    data = b"email,external:shop,given_name\nnew@example.test,1,Anh\na@example.test,,An\n"
    assert counts(do_import(runtime, data)[0]) == (2, 0, 2, 0, 0)
    (one,) = every(runtime)
    assert (one.given_name, one.revision, len(one.identities)) == ("An", 3, 3)


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("phone", "0901234567"),
        ("kind", "organization"),
        ("language_code", "vi"),
        ("time_zone", "Asia/Ho_Chi_Minh"),
        ("gender", "f"),
        ("lifecycle_stage", "lead"),
        ("industry", "retail"),
        ("occupation", "baker"),
        ("address.region_code", "VN"),
        ("address.administrative_area", "A"),
        ("address.locality", "L"),
        ("address.sublocality", "S"),
        ("address.postal_code", "7"),
        ("address.location", "1.5,2.5"),
        ("birth_date", "1990-12-31"),
        ("tags", "t"),
        ("attributes.size", "1"),
        ("consent:email:news", "granted"),
        ("create_time", "2019-05-06"),
    ],
)
def test_events_of_new_people_who_differ_in_one_thing_differ(
    runtime: Runtime, column: str, cell: str
) -> None:
    other = "denied" if cell == "granted" else ""
    data = f'email,{column}\na@example.test,"{cell}"\nb@example.test,{other}\n'
    assert counts(do_import(runtime, data.encode())[0]) == (2, 2, 0, 0, 0)
    told = {key: payload for kind, key, _, payload in written_events(runtime.db) if kind == "contact.created"}
    assert told == {one.id: events.snapshot(one).SerializeToString() for one in every(runtime)}
    assert len(set(told.values())) == 2


def test_new_people_beside_known_ones_are_all_made(runtime: Runtime) -> None:
    upsert_contact(runtime, draft(email("p3"), given_name="P3"))
    data = b"email,given_name\n" + b"".join(b"p%d@example.test,P%d\n" % (n % 8, n % 8) for n in range(9))
    assert counts(do_import(runtime, data)[0]) == (9, 7, 0, 2, 0)
    assert sorted(one.given_name for one in every(runtime)) == [f"P{n}" for n in range(8)]


class Cut(Exception):
    """Stand in for the death of a worker."""


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("deaths", [[1], [2, 3], [1, 1, 1]])
def test_an_import_that_was_cut_off_goes_on_without_loss_or_double(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, deaths: list[int], packed: bool
) -> None:
    monkeypatch.setattr(import_run, "BATCH_ROWS", 10)
    rows = [b'p%d@example.test,"P\n%d",,\n' % (n, n) for n in range(95)]
    rows[50] = b"bad,,,\n"
    data = HEADER + b"".join(rows)
    name = start_import(runtime, gzip.compress(data) if packed else data, piece=100)
    for batches in deaths:
        context = attempt(runtime, name)
        left = batches

        def dies(*arguments: Any, context: Any = context, **named: Any) -> None:
            nonlocal left
            type(context).checkpoint(context, *arguments, **named)
            left -= 1
            if left < 0:
                # After the checkpoint's statement, before its commit.
                raise Cut

        monkeypatch.setattr(context, "checkpoint", dies)
        with pytest.raises(Cut):
            import_run.run(runtime, context)
    done = sum(deaths) * 10
    assert count(runtime.db) == done - (1 if done > 50 else 0)
    context = attempt(runtime, name)
    assert context.resumed
    assert counts(import_run.run(runtime, context)) == (95, 94, 0, 0, 1)
    found = every(runtime)
    assert len(found) == 94
    assert {one.revision for one in found} == {1}
    assert [error[0] for error in errors(runtime, name)] == [102]
    created = [key for kind, key, *_ in written_events(runtime.db) if kind == "contact.created"]
    assert len(created) == len(set(created)) == 94


def test_an_import_can_be_cancelled_between_batches(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(import_run, "BATCH_ROWS", 10)
    name = start_import(runtime, HEADER + b"".join(b"p%d@example.test,,,\n" % n for n in range(100)))
    context = attempt(runtime, name)
    original = context.checkpoint

    def cancels(*arguments: Any, **named: Any) -> None:
        with runtime.db.transaction() as connection:
            operations.request_cancel(connection, kit, parse_name(name, "operations"))
        original(*arguments, **named)

    monkeypatch.setattr(context, "checkpoint", cancels)
    with pytest.raises(Cancelled):
        import_run.run(runtime, context)
    assert count(runtime.db) == 10


def test_a_check_reports_and_writes_nothing(runtime: Runtime) -> None:
    upsert_contact(runtime, draft(email("a"), given_name="An"))
    before = every(runtime), written_events(runtime.db)
    data = HEADER + b"a@example.test,An,,\na@example.test,Anh,,\nnew@example.test,,,\nbad,,,\n"
    result, name = do_import(runtime, data, validate_only=True)
    assert counts(result) == (4, 1, 1, 1, 1)
    assert [line for line, *_ in errors(runtime, name)] == [5]
    assert (every(runtime), written_events(runtime.db)) == before


def test_progress_tells_rows(runtime: Runtime) -> None:
    name = start_import(runtime, HEADER + b"a@example.test,,,\n" * 3)
    import_run.run(runtime, attempt(runtime, name))
    with runtime.db.read() as connection:
        progress = operations.load(connection, kit, parse_name(name, "operations")).progress
    assert (progress.completed, progress.total, progress.unit, progress.stage) == (3, 3, "rows", "importing")


@pytest.mark.parametrize(
    ("data", "config", "reason", "words"),
    [
        (b"", {}, "BAD_FILE", "empty"),
        (b"email,nickname\n", {}, "BAD_COLUMNS", "nickname"),
        (b"email,email\nx,y\n", {}, "BAD_COLUMNS", "twice"),
        (b"given_name\n", {}, "BAD_COLUMNS", "missing"),
        (b"email,attributes.colour\n", {}, "BAD_COLUMNS", "colour"),
        (b"\xff\xfe\n", {}, "BAD_COLUMNS", "UTF-8"),
        (b'"email\n', {}, "BAD_COLUMNS", "CSV"),
        (b"Mail\n", {"columns": {"Tel": "phone"}}, "BAD_COLUMNS", "Tel"),
        (b"email\n", {"default_region": "V1"}, "INVALID_ARGUMENT", "V1"),
        (b"\x1f\x8b\x08\x00damaged", {}, "BAD_FILE", "gzip"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_anything_is_stored(
    runtime: Runtime, data: bytes, config: dict[str, Any], reason: str, words: str
) -> None:
    with pytest.raises(InvalidArgument, match=words) as caught:
        start_import(runtime, data, **config)
    assert caught.value.reason == reason
    with runtime.db.read() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(kit.operation)).scalar_one() == 0


def test_a_file_that_breaks_off_is_refused_as_a_whole(runtime: Runtime) -> None:
    data = gzip.compress(HEADER + b"".join(b"p%d@example.test,%d,,\n" % (n, n * 7919) for n in range(9000)))
    name = start_import(runtime, data[:-2000])
    with pytest.raises(InvalidArgument, match=r"cut off.*nothing was imported"):
        import_run.run(runtime, attempt(runtime, name))
    assert count(runtime.db) == 0


def test_the_same_request_id_is_the_same_import(runtime: Runtime) -> None:
    data = HEADER + b"a@example.test,,,\n"
    name = start_import(runtime, data, request_id="r1")
    assert start_import(runtime, data, piece=5, request_id="r1") == name
    with pytest.raises(InvalidArgument) as caught:
        start_import(runtime, data + b"b@example.test,,,\n", request_id="r1")
    assert caught.value.reason == "REQUEST_ID_REUSED"


def test_an_attribute_defined_elsewhere_is_known_at_once(runtime: Runtime) -> None:
    data = b"email,attributes.colour\na@example.test,red\n"
    with pytest.raises(InvalidArgument):
        start_import(runtime, data)
    with runtime.db.transaction() as connection:
        colour = Attribute("colour", ValueType.STRING, allowed_values=("red",))
        schema.create_attribute(runtime, connection, colour)
    assert counts(do_import(runtime, data)[0])[1] == 1
