"""Imports on a real database: what becomes of rows, and of an import that is cut off."""

from __future__ import annotations

import csv
import gzip
import io
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.contacts.domain.attributes import Attribute, ValueType
from services.contacts.domain.consents import Wish
from services.contacts.domain.contact import Draft
from services.contacts.models import contact, identity, kit
from services.contacts.usecases import import_run, imports, schema
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


# An import takes identities in the order of their columns.
NAMES = ["email", "external:shop", "given_name", "tags", "attributes.size", "consent:email:news"]
CELLS = st.fixed_dictionaries(
    {
        "email": st.sampled_from(["", "A@example.test", "b@example.test", "c@example.test"]),
        "external:shop": st.sampled_from(["", "1", "2", 'x"y\\z']),
        "given_name": st.sampled_from(["", "An", "Bình, Đỗ", 'q"\\t']),
        "tags": st.sampled_from(["", "t", "t;u"]),
        "attributes.size": st.sampled_from(["", "1", "2"]),
        "consent:email:news": st.sampled_from(["", "granted", "denied"]),
    }
)


def as_draft(row: dict[str, str]) -> Draft:
    known = [email(row["email"][0].lower())] if row["email"] else []
    if row["external:shop"]:
        known.append(external(row["external:shop"]))
    answer = row["consent:email:news"]
    return Draft(
        {"given_name": row["given_name"]} if row["given_name"] else {},
        {"size": int(row["attributes.size"])} if row["attributes.size"] else {},
        row["tags"].split(";") if row["tags"] else [],
        known,
        [Wish("email", "news", answer == "granted", None, "import")] if answer else [],
    )


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(rows=st.lists(CELLS, min_size=1, max_size=8), size=st.integers(1, 4))
def test_an_import_leaves_what_its_rows_as_upserts_leave(
    runtime: Runtime, other: Runtime, rows: list[dict[str, str]], size: int
) -> None:
    for one in (runtime, other):
        with one.db.transaction() as connection:
            connection.execute(sa.delete(contact))
            connection.execute(sa.delete(identity))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, NAMES)
    writer.writeheader()
    writer.writerows(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(import_run, "BATCH_ROWS", size)
        result, _ = do_import(runtime, text.getvalue().encode())
    refused = 0
    for row in rows:
        said = as_draft(row)
        try:
            if said.identities:
                upsert_contact(other, said)
            else:
                refused += 1
        except FailedPrecondition:
            refused += 1
    assert result.error_count == refused

    def shown(runtime: Runtime) -> list[Any]:
        return sorted(
            (
                one.identities,
                one.given_name,
                one.display_name,
                one.tags,
                sorted(one.attributes.items()),
                one.revision,
                sorted((key, given.granted, given.source) for key, given in one.consents.items()),
            )
            for one in every(runtime)
        )

    assert shown(runtime) == shown(other)


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
