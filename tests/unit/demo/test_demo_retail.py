"""Reading Online Retail: what is right, and every way in which a file can be wrong."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from services.demo.expect import expected_base, expected_segments
from services.demo.records import DataError, SaleLine
from services.demo.retail import COLUMNS, load_retail
from tests.support.retail import PATH_VARIABLE, REQUIRE_VARIABLE, real_retail

HEADER = ",".join(COLUMNS)
LINES = (
    "536365,85123A,WHITE HEART,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom",
    "536365,71053,,6,2010-12-01 08:26:00,3.39,17850.0,United Kingdom",
    "C536379,D,Discount,-1,2011-07-01 09:41:00,27.505,14527,EIRE",
    "536370,71053,WHITE LANTERN,1,2010-12-01 09:00:00,0.0,12583.0,Unspecified",
    "536365,85123A,OTHER NAME,2,2010-12-01 08:27:00,2.55,17850.0,France",
    "536414,22139,,56,2010-12-01 11:52:00,0.0,,United Kingdom",
    "536414,22139,,-3,2010-12-01 11:52:00,-11062.06,,United Kingdom",
    '536371,"A,1","say ""hi""\nthere",1.5,2010-12-01 09:01:00,1,12580.0,RSA',
)


def write(folder: Path, *lines: str, header: str = HEADER, end: str = "\n") -> Path:
    path = folder / "retail.csv"
    path.write_bytes(end.join((header, *lines, "")).encode())
    return path


def test_lines_become_records(tmp_path: Path) -> None:
    data = load_retail(write(tmp_path, *LINES))
    assert (data.currency, data.time_zone) == ("GBP", "Europe/London")
    assert data.now == datetime(2011, 12, 10, tzinfo=UTC)
    assert [(item.code, item.title) for item in data.items] == [
        ("85123A", "WHITE HEART"),
        ("71053", "WHITE LANTERN"),
        ("D", "Discount"),
        ("22139", ""),
        ("A,1", 'say "hi"\nthere'),
    ]
    people = {person.number: person for person in data.people}
    assert people.keys() == {"17850", "14527", "12583", "12580"}
    assert people["17850"].email == "c17850@example.test"
    assert [people[number].consent for number in ("17850", "12583", "12580")] == [False, True, False]
    assert [people[number].region_code for number in ("17850", "14527", "12583", "12580")] == [
        "FR",
        "IE",
        "",
        "ZA",
    ]
    assert [(sale.kind, sale.number, sale.customer) for sale in data.sales] == [
        ("order", "536365", "17850"),
        ("return", "C536379", "14527"),
        ("order", "536370", "12583"),
        ("order", "536371", "12580"),
    ]
    first, returned = data.sales[:2]
    assert first.time == datetime(2010, 12, 1, 8, 26, tzinfo=UTC)
    assert [line.quantity for line in first.lines] == [6, 6, 2]
    assert first.total == Decimal("40.74")
    assert returned.time == datetime(2011, 7, 1, 8, 41, tzinfo=UTC)
    assert returned.lines == (SaleLine("D", Decimal(1), Decimal("27.505")),)
    assert [(line.number, line.quantity, line.unit_price) for line in data.loose_lines] == [
        ("536414/1", Decimal(56), Decimal(0)),
        ("536414/2", Decimal(-3), Decimal("-11062.06")),
    ]


def test_packed_with_a_mark_and_columns_in_another_order(tmp_path: Path) -> None:
    order = (7, 6, 5, 4, 3, 2, 1, 0)
    lines = [",".join(line.split(",")[index] for index in order) for line in (HEADER, *LINES[:7])]
    path = tmp_path / "any name"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + "\r\n".join(lines).encode()))
    plain = load_retail(write(tmp_path, *LINES[:7]))
    assert load_retail(path) == plain


def test_a_file_that_is_called_gzip_and_is_not_is_said(tmp_path: Path) -> None:
    path = tmp_path / "orders.csv.gz"
    path.write_text("\n".join((HEADER, GOOD)))
    with pytest.raises(DataError, match=r"orders\.csv\.gz is named \.gz, but is not gzip"):
        load_retail(path)


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        ("2011-10-30 00:59:59", datetime(2011, 10, 29, 23, 59, 59, tzinfo=UTC)),
        ("2011-10-30 01:30:00", datetime(2011, 10, 30, 0, 30, tzinfo=UTC)),
        ("2011-10-30 02:00:00", datetime(2011, 10, 30, 2, 0, tzinfo=UTC)),
        ("2011-03-27 01:30:00", datetime(2011, 3, 27, 1, 30, tzinfo=UTC)),
        ("2011-03-27 02:00:00", datetime(2011, 3, 27, 1, 0, tzinfo=UTC)),
        ("2011-12-10 00:00:00", datetime(2011, 12, 10, tzinfo=UTC)),
    ],
)
def test_times_are_those_of_london(tmp_path: Path, local: str, utc: datetime) -> None:
    [sale] = load_retail(write(tmp_path, f"1,A,a,1,{local},1,1,Spain")).sales
    assert sale.time == utc


GOOD = "1,A,a,1,2011-01-01 10:00:00,1.00,5,Spain"


@pytest.mark.parametrize(
    ("line", "column", "value"),
    [
        (",A,a,1,2011-01-01 10:00:00,1,5,Spain", "InvoiceNo", ""),
        ("2,,a,1,2011-01-01 10:00:00,1,5,Spain", "StockCode", ""),
        ("2,A,a,one,2011-01-01 10:00:00,1,5,Spain", "Quantity", "'one'"),
        ("2,A,a,,2011-01-01 10:00:00,1,5,Spain", "Quantity", "''"),
        ("2,A,a,1e5,2011-01-01 10:00:00,1,5,Spain", "Quantity", "'1e5'"),
        ("2,A,a,NaN,2011-01-01 10:00:00,1,5,Spain", "Quantity", "'NaN'"),
        ("2,A,a,12345678901,2011-01-01 10:00:00,1,5,Spain", "Quantity", "'12345678901'"),
        ("2,A,a,0,2011-01-01 10:00:00,1,5,Spain", "Quantity", "'0'"),
        ("2,A,a,-1,2011-01-01 10:00:00,1,5,Spain", "Quantity", "'-1'"),
        ("C2,A,a,1,2011-01-01 10:00:00,1,5,Spain", "Quantity", "'1'"),
        ("2,A,a,1,2011-02-29 10:00:00,1,5,Spain", "InvoiceDate", "'2011-02-29 10:00:00'"),
        ("2,A,a,1,01/12/2010 08:26,1,5,Spain", "InvoiceDate", "'01/12/2010 08:26'"),
        ("2,A,a,1,2011-01-01,1,5,Spain", "InvoiceDate", "'2011-01-01'"),
        ("2,A,a,1,,1,5,Spain", "InvoiceDate", "''"),
        ("2,A,a,1,2011-12-10 00:00:01,1,5,Spain", "InvoiceDate", "'2011-12-10 00:00:01'"),
        ("2,A,a,1,2051-01-01 10:00:00,1,5,Spain", "InvoiceDate", "after 2011-12-10 00:00:00"),
        ("2,A,a,1,2051-01-01 10:00:00,1,,Spain", "InvoiceDate", "'2051-01-01 10:00:00'"),
        ("2,A,a,1,2011-01-01 10:00:00,£1,5,Spain", "UnitPrice", "'£1'"),
        ("2,A,a,1,2011-01-01 10:00:00,Infinity,5,Spain", "UnitPrice", "'Infinity'"),
        ("2,A,a,1,2011-01-01 10:00:00,-1,5,Spain", "UnitPrice", "'-1'"),
        ("2,A,a,1,2011-01-01 10:00:00,1,five,Spain", "CustomerID", "'five'"),
        ("2,A,a,1,2011-01-01 10:00:00,1,5.5,Spain", "CustomerID", "'5.5'"),
        ("1,A,a,1,2011-01-01 10:00:00,1,6,Spain", "CustomerID", "'6'"),
        ("1,A,a,1,2011-01-01 10:00:00,1,,Spain", "CustomerID", "is empty"),
        (
            "2,A,a,999999999,2011-01-01 10:00:00,999999999,5,Spain",
            "UnitPrice",
            "1,000,000,000,000,000 or more",
        ),
        (f"{'2' * 191},A,a,1,2011-01-01 10:00:00,1,5,Spain", "InvoiceNo", "has 191 characters"),
        (f"2,{'B' * 101},a,1,2011-01-01 10:00:00,1,5,Spain", "StockCode", "has 101 characters"),
        (f"2,B,{'b' * 501},1,2011-01-01 10:00:00,1,5,Spain", "Description", "has 501 characters"),
        ("2,B\x00,b,1,2011-01-01 10:00:00,1,5,Spain", "StockCode", "NUL"),
        ("2, ,b,1,2011-01-01 10:00:00,1,5,Spain", "StockCode", "is blank"),
    ],
)
def test_a_bad_value_is_named_with_its_place(tmp_path: Path, line: str, column: str, value: str) -> None:
    path = write(tmp_path, GOOD, '3,A,"two\nlines",1,2011-01-01 10:00:00,1,5,Spain', line)
    with pytest.raises(DataError) as caught:
        load_retail(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, line 5, column {column}: ")
    assert value in message


def test_an_invoice_of_more_lines_than_an_order_may_have_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, *[GOOD] * 5_001)
    with pytest.raises(DataError, match="line 5002, column InvoiceNo: more than 5,000 lines"):
        load_retail(path)


def test_an_invoice_that_gets_a_customer_later_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD.replace(",5,", ",,"), GOOD)
    with pytest.raises(DataError, match="line 3, column CustomerID: invoice 1 has lines without a customer"):
        load_retail(path)


@pytest.mark.parametrize("line", ["1,A,a,1,2011-01-01 10:00:00,1.00,5", f"{GOOD},more"])
def test_a_line_with_another_number_of_fields_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match="line 3: expected 8 fields, got"):
        load_retail(write(tmp_path, GOOD, line))


@pytest.mark.parametrize(
    ("header", "problem"),
    [
        (HEADER.replace("InvoiceDate", "Date"), "InvoiceDate is missing, 'Date' is not expected"),
        (f"{HEADER},Country", "Country stands there twice"),
        ("a;b;c", "InvoiceNo is missing"),
    ],
)
def test_wrong_columns_are_named(tmp_path: Path, header: str, problem: str) -> None:
    with pytest.raises(DataError, match="line 1: wrong columns") as caught:
        load_retail(write(tmp_path, GOOD, header=header))
    assert problem in str(caught.value)


def test_files_that_are_no_such_files(tmp_path: Path) -> None:
    packed = gzip.compress("\n".join((HEADER, *[f"{n}{GOOD}" for n in range(20000)])).encode())
    wrong = bytearray(packed)
    wrong[len(wrong) // 2] ^= 0xFF
    for content, problem in (
        (b"", "is empty"),
        (HEADER.encode(), "holds no lines"),
        (packed[: len(packed) // 2], "gzip file is damaged"),
        (bytes(wrong), "damaged|proper CSV|UTF-8|expected"),
        (
            f"{HEADER}\n{GOOD}\n1,A,caf".encode() + b"\xe9" + b",1,2011-01-01 10:00:00,1,5,Spain\n",
            "no UTF-8 text",
        ),
        (f'{HEADER}\n{GOOD}\n1,A,"open'.encode(), "proper CSV"),
    ):
        path = tmp_path / "file"
        path.write_bytes(content)
        with pytest.raises(DataError, match=problem) as caught:
            load_retail(path)
        assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize(
    "line", [GOOD.replace(",5,", ",,"), GOOD.replace("1.00", "0.0"), f"C{GOOD}".replace("a,1", "a,-1")]
)
def test_a_file_from_which_nothing_can_be_ordered_is_refused(tmp_path: Path, line: str) -> None:
    with pytest.raises(DataError, match="holds no order of a customer with a price"):
        load_retail(write(tmp_path, line))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="No such file"):
        load_retail(tmp_path / "missing.csv")
    with pytest.raises(DataError, match="directory"):
        load_retail(tmp_path)


def test_without_the_real_file_tests_are_skipped_or_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(PATH_VARIABLE, raising=False)
    monkeypatch.delenv(REQUIRE_VARIABLE, raising=False)
    with pytest.raises(pytest.skip.Exception, match=f"is not named; name it in {PATH_VARIABLE}"):
        real_retail()
    monkeypatch.setenv(PATH_VARIABLE, str(tmp_path / "missing.csv.gz"))
    with pytest.raises(pytest.skip.Exception, match=r"missing\.csv\.gz"):
        real_retail()
    monkeypatch.setenv(REQUIRE_VARIABLE, "1")
    with pytest.raises(pytest.fail.Exception, match=r"missing\.csv\.gz"):
        real_retail()
    (tmp_path / "missing.csv.gz").touch()
    assert real_retail() == tmp_path / "missing.csv.gz"


def test_the_real_file() -> None:
    data = load_retail(real_retail())
    base = expected_base(data)
    assert (base.customers, base.orders, base.returns) == (4372, 18536, 3654)
    assert base.lines_without_customer == len({line.number for line in data.loose_lines}) == 135_080
    assert str(base.revenue) == "8911407.904"
    assert len(data.items) == 4070
    members = expected_segments(data.sales, data.visits, data.now)
    assert {name: len(found) for name, found in members.items()} == {
        "browsers": 0,
        "lapsed": 1449,
        "loyal": 787,
        "newcomers": 253,
        "repeat": 1020,
    }
