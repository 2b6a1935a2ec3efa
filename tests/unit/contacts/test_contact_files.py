"""Files of contacts: places of rows, damage, headers, cells."""

from __future__ import annotations

import csv
import gzip
import io
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contacts.domain.attributes import Attribute, ValueType
from services.contacts.domain.consents import Wish
from services.contacts.domain.contact import Draft
from services.contacts.domain.identity import Identity
from services.contacts.domain.imports.columns import Columns, attribute_names
from services.contacts.domain.imports.errors import FileRefused, HeaderRefused
from services.contacts.domain.imports.reader import LONGEST_LINE, Place, Reader, Row, inflate

NOW = datetime(2026, 3, 1, tzinfo=UTC)
SIZE = Attribute("size", ValueType.INT, minimum=10.0)


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def read(data: bytes, size: int = 7, start: Place | None = None) -> list[Row]:
    return list(Reader(pieces(data, size), start or Place()))


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
TABLES = st.lists(st.lists(CELLS, min_size=2, max_size=3), max_size=6)


def written(table: list[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(table)
    return text.getvalue().encode()


@given(TABLES, st.integers(1, 40), st.booleans(), st.booleans())
def test_any_table_is_read_back_from_any_pieces(
    table: list[list[str]], size: int, packed: bool, marked: bool
) -> None:
    data = (b"\xef\xbb\xbf" if marked else b"") + written(table)
    sent = pieces(gzip.compress(data) if packed else data, size)
    assert [row.cells for row in Reader(inflate(sent))] == table


@given(TABLES, st.integers(1, 40), st.data())
def test_a_reader_that_starts_at_a_place_goes_on_there(
    table: list[list[str]], size: int, data: st.DataObject
) -> None:
    content = b"\xef\xbb\xbf" + written(table)
    reader = Reader(pieces(content, size))
    taken = data.draw(st.integers(0, len(table)))
    rows = iter(reader)
    for _ in range(taken):
        next(rows)
    if taken:
        rest = read(content, size, reader.place)
        assert rest == list(rows)
        assert [row.cells for row in rest] == table[taken:]


def test_rows_know_the_line_on_which_they_start() -> None:
    rows = read(b'h\r\n"a\r\nb",1\r\n\r\nc,2\nd,3')
    assert [(row.line, row.cells) for row in rows] == [
        (1, ["h"]),
        (2, ["a\r\nb", "1"]),
        (5, ["c", "2"]),
        (6, ["d", "3"]),
    ]
    assert rows[1].raw == '"a\r\nb",1'


def test_bad_rows_are_told_and_the_next_ones_follow() -> None:
    long = b"x" * (LONGEST_LINE + 500)
    rows = read(b'a,1\n"b"x,2\n\xff,3\nc,4\n' + long + b'\nd,5\n"open,6\nlast', 100_000)
    assert [(row.line, row.cells, bool(row.problem)) for row in rows] == [
        (1, ["a", "1"], False),
        (2, [], True),
        (3, [], True),
        (4, ["c", "4"], False),
        (5, [], True),
        (6, ["d", "5"], False),
        (7, [], True),
    ]
    assert "UTF-8" in rows[2].problem
    assert str(LONGEST_LINE) in rows[4].problem
    assert len(rows[4].raw) == 10_000


@pytest.mark.parametrize("cut", [1, 9, 30])
def test_a_cut_or_damaged_gzip_file_is_refused(cut: int) -> None:
    data = gzip.compress(b"".join(b"row %d\n" % n for n in range(1000)))
    with pytest.raises(FileRefused, match="cut off"):
        list(inflate(pieces(data[:-cut], 11)))
    broken = bytearray(data)
    broken[-6] ^= 0xFF
    with pytest.raises(FileRefused, match="damaged"):
        list(inflate([bytes(broken)]))


def test_gzip_members_in_a_row_are_one_file() -> None:
    data = gzip.compress(b"a\n") + gzip.compress(b"b\n") + b"\0" * 20
    assert b"".join(inflate(pieces(data, 3))) == b"a\nb\n"
    assert list(inflate([])) == []
    assert b"".join(inflate([b"a"])) == b"a"


def columns(*header: str, mapping: dict[str, str] | None = None) -> Columns:
    return Columns(header, mapping or {}, {"size": SIZE}, "VN", NOW)


def one(parsed: Columns, *cells: str) -> Draft:
    sheet, places, refused = parsed.read([cells])
    assert (places, refused) == ([0], {})
    return sheet.draft(0)


def refusal(parsed: Columns, *cells: str) -> tuple[str, str]:
    sheet, places, refused = parsed.read([cells])
    assert (sheet.size, places) == (0, [])
    return refused[0].column, str(refused[0])


@pytest.mark.parametrize(
    ("header", "mapping", "words"),
    [
        (["email", "nickname"], {}, ["'nickname' is unknown", "display_name"]),
        (["email", "Shoe size"], {}, ["(-c 'Shoe size=')"]),
        (["emial", "Display Name"], {}, ["did you mean email?", "did you mean display_name?"]),
        (["email", "city", "locallity"], {}, ["did you mean address.locality?"]),
        (["email", "sizes"], {}, ["did you mean attributes.size?"]),
        (["email", "consent:emial:marketing"], {}, ["did you mean consent:email:marketing?"]),
        (["email", "consent:emails:news"], {}, ["did you mean consent:email:news?"]),
        (["email", "ok"], {"ok": "consent:weecom:news"}, ["'ok'", "did you mean consent:wecom:news?"]),
        (["Mail", "emal"], {"Mail": "given_name"}, ["'emal' is called like no field: did you mean email?"]),
        (["email;phone"], {}, ["separated by ';'?"]),
        (["email\tphone"], {}, [r"separated by '\t'?"]),
        (["email", "email"], {}, ["'email' is given twice"]),
        (["given_name"], {}, ["identifies the contact is missing"]),
        (["email", "attributes.colour"], {}, ["attributes.colour"]),
        (["email", "external:My Shop"], {}, ["external:My Shop"]),
        (["email", "consent:e mail:x"], {}, ["consent:e mail:x"]),
        (["Mail", "Other"], {"Mail": "email"}, ["'Other' is called like no field"]),
        (["Mail"], {"Mail": "email", "Tel": "phone"}, ["'Tel' is missing"]),
        (["A", "B"], {"A": "email", "B": "email"}, ["'email' is given twice"]),
        (["A"], {"A": ""}, ["is missing"]),
        (["email", ""], {}, ["''"]),
    ],
)
def test_headers_that_do_not_fit_are_refused_by_name(
    header: list[str], mapping: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(HeaderRefused) as caught:
        columns(*header, mapping=mapping)
    for word in words:
        assert word in str(caught.value)


def test_consents_to_channels_of_plugins_are_taken() -> None:
    for header in (
        ("email", "consent:viber:news"),
        ("email", "consent:zalo2:news"),
        ("email", "consent:webpush:news"),
    ):
        [consent] = one(columns(*header), "an@example.test", "granted").consents
        assert consent.channel == header[1].split(":")[1]
    near = columns("external:mail", "consent:mail:news")
    assert one(near, "4711", "denied").consents == [Wish("mail", "news", False, None, "import")]


def test_columns_that_are_not_mapped_keep_their_own_field() -> None:
    parsed = columns("Ten", "email", "Junk", mapping={"Ten": "given_name", "Junk": ""})
    draft = one(parsed, "An", "a@example.test", "x")
    assert draft.fields["given_name"] == "An"
    assert [identity.value for identity in draft.identities] == ["a@example.test"]


def test_every_field_is_understood() -> None:
    cells: dict[str, str] = {
        "email": "A@Example.test",
        "phone": "0901234567",
        "qq": "12345",
        "external:shop": "C1",
        "kind": "Organization",
        "display_name": " ACME ",
        "language_code": "VI",
        "time_zone": "Asia/Tokyo",
        "birth_date": "1990-02-28",
        "gender": " ",
        "address.region_code": "vn",
        "address.locality": "Huế",
        "address.address_lines": "1 A; 2 B",
        "address.location": "10.5, 106.5",
        "tags": "vip; new;",
        "attributes.size": "42",
        "consent:email:marketing": "Granted ",
        "consent:sms:marketing": "denied",
        "create_time": "2020-01-01",
    }
    draft = one(columns(*cells), *cells.values())
    expected: dict[str, Any] = {
        "kind": 2,
        "display_name": "ACME",
        "language_code": "vi",
        "time_zone": "Asia/Tokyo",
        "birth_date": date(1990, 2, 28),
        "region_code": "VN",
        "locality": "Huế",
        "address_lines": ("1 A", "2 B"),
        "latitude": 10.5,
        "longitude": 106.5,
    }
    assert draft.fields == expected
    assert draft.identities == [
        Identity(1, "", "a@example.test"),
        Identity(2, "", "+84901234567"),
        Identity(5, "", "12345"),
        Identity(7, "shop", "C1"),
    ]
    assert draft.tags == ["vip", "new"]
    assert draft.attributes == {"size": 42}
    assert draft.consents == [
        Wish("email", "marketing", True, None, "import"),
        Wish("sms", "marketing", False, None, "import"),
    ]
    assert draft.create_time == datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "cell"),
    [
        ("phone", "123"),
        ("qq", "x"),
        ("kind", "dog"),
        ("birth_date", "28/02/1990"),
        ("birth_date", "2027-01-01"),
        ("birth_date", "1700-01-01"),
        ("language_code", "!"),
        ("time_zone", "Mars"),
        ("display_name", "x" * 301),
        ("address.region_code", "Vietnam"),
        ("address.region_code", "QX"),
        ("address.location", "91,0"),
        ("address.location", "somewhere"),
        ("address.location", "nan,1"),
        ("tags", "x" * 101),
        ("tags", ";".join(map(str, range(201)))),
        ("attributes.size", "9"),
        ("attributes.size", "big"),
        ("consent:email:marketing", "perhaps"),
        ("consent:email:marketing", "yes"),
        ("consent:email:marketing", "true"),
        ("consent:email:marketing", "0"),
        ("create_time", "2027-01-01"),
        ("create_time", "yesterday"),
        ("display_name", "a\0b"),
    ],
)
def test_bad_cells_refuse_their_row_and_name_the_column(field: str, cell: str) -> None:
    parsed = columns("email", field)
    assert refusal(parsed, "a@example.test", cell)[0] == field
    # A refusal is remembered with its cell, and tells the same the next time.
    assert refusal(parsed, "a@example.test", cell)[0] == field
    assert one(parsed, "a@example.test", "")


def test_rows_with_other_widths_or_without_identity_are_refused_in_place() -> None:
    parsed = columns("email", "phone")
    sheet, places, refused = parsed.read(
        [["a@x.com"], ["b@x.com", ""], ["", " "], ["x", "y"], ["", "0901234567"], ["a", "b", "c"]]
    )
    assert places == [1, 4]
    assert [sheet.draft(row).identities[0].value for row in range(sheet.size)] == ["b@x.com", "+84901234567"]
    texts = {index: str(one) for index, one in refused.items()}
    assert set(texts) == {0, 2, 3, 5}
    assert "too few columns: 1 instead of 2" in texts[0]
    assert "by which to know" in texts[2]
    assert "phone: " in texts[3]
    assert "too many" in texts[5]


def test_mapped_columns() -> None:
    parsed = columns("Mail", "Junk", mapping={"Mail": "email", "Junk": ""})
    assert one(parsed, "a@x.com", "whatever").fields == {}
    assert attribute_names(["S", "x"], {"S": "attributes.size", "x": ""}) == {"size"}
    assert attribute_names(["attributes.size", "email"], {}) == {"size"}
