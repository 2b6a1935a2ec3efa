"""UCI Online Retail as a dataset: a CSV file, plain or gzip, of the lines of all invoices.

The file's times are local to Europe/London and have no offset. An hour that happens twice in autumn is read
as its first occurrence, and one that is skipped in spring with the offset before the change.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo

from services.demo.records import DataError, Dataset, Item, LooseLine, Person, Sale, SaleLine
from services.demo.regions import region_code

COLUMNS = (
    "InvoiceNo",
    "StockCode",
    "Description",
    "Quantity",
    "InvoiceDate",
    "UnitPrice",
    "CustomerID",
    "Country",
)
TIME_ZONE = "Europe/London"
NOW = datetime(2011, 12, 10, tzinfo=ZoneInfo(TIME_ZONE)).astimezone(UTC)
"""The day after the file ends, at midnight in London."""

_ZONE = ZoneInfo(TIME_ZONE)
_DATE = re.compile(r"(?:19|20)\d{2}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}", re.ASCII)
# Three and six places at the most: their product fits the nine of an exact amount.
_QUANTITY = re.compile(r"-?\d{1,9}(?:\.\d{1,3})?", re.ASCII)
_PRICE = re.compile(r"-?\d{1,9}(?:\.\d{1,6})?", re.ASCII)
_CUSTOMER = re.compile(r"(\d{1,12})(?:\.0)?", re.ASCII)
# What sales takes; of the number of an invoice some is left for that of a line.
_LONGEST = {"InvoiceNo": 190, "StockCode": 100, "Description": 500}
_MOST_LINES = 5_000
_MOST_MONEY = 10**15


class Rows(Protocol):
    """Yield the rows of a CSV file."""

    line_num: int

    def __next__(self) -> list[str]:
        """Return the next row."""
        ...

    def __iter__(self) -> Iterator[list[str]]:
        """Return itself."""
        ...


def load_retail(path: Path) -> Dataset:
    """Read the whole file; raises DataError, which names file, line, column and value, at the first fault."""
    return _Reader(path).load()


@dataclass(slots=True)
class _Document:
    """An invoice as far as it was read: where it began, whose it is, and its lines."""

    line: int
    customer: str
    time: datetime
    lines: list[SaleLine] = field(default_factory=list)
    total: Decimal = Decimal(0)


class _Reader:
    """Read one file. Lines of an invoice need not stand together, so sales are complete at the end only."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._line = 0
        self._times: dict[str, datetime] = {}
        self._quantities: dict[str, Decimal] = {}
        self._prices: dict[str, Decimal] = {}
        self._numbers: dict[str, str] = {"": ""}
        self._titles: dict[str, str] = {}
        self._countries: dict[str, str] = {}
        self._documents: dict[str, _Document] = {}
        self._loose: list[LooseLine] = []
        self._loose_counts: dict[str, int] = {}

    def load(self) -> Dataset:
        with self._open() as rows:
            order = self._header(rows)
            for row in rows:
                if len(row) != len(COLUMNS):
                    raise self._fault("", f"expected {len(COLUMNS)} fields, got {len(row)}")
                self._take(*(row[index] for index in order))
                self._line = rows.line_num + 1
        if not self._titles:
            raise DataError(f"{self._path}: holds no lines below its header")
        if not any(
            number[0] != "C" and any(line.unit_price for line in document.lines)
            for number, document in self._documents.items()
        ):
            # The demo places live orders, of customers and goods that are known from such.
            raise DataError(f"{self._path}: holds no order of a customer with a price")
        return Dataset(
            name="online-retail",
            now=NOW,
            time_zone=TIME_ZONE,
            currency="GBP",
            people=[self._person(number) for number in self._countries],
            items=[Item(code, title) for code, title in self._titles.items()],
            sales=[self._sale(number, document) for number, document in self._documents.items()],
            loose_lines=self._loose,
        )

    @contextmanager
    def _open(self) -> Iterator[Rows]:
        """Open the file, packed or not; what goes wrong while it is read becomes a DataError."""
        try:
            with self._path.open("rb") as raw:
                packed = raw.peek(2)[:2] == b"\x1f\x8b"
                if self._path.suffix == ".gz" and not packed and raw.peek(1):
                    raise DataError(
                        f"{self._path} is named .gz, but is not gzip; is it damaged, or plain CSV?"
                    )
                content = gzip.GzipFile(fileobj=raw) if packed else raw
                with io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as text:
                    yield csv.reader(text, strict=True)
        except UnicodeDecodeError as error:
            bad = error.object[error.start : error.end]
            raise DataError(f"{self._path}, near line {self._line}: {bad!r} is no UTF-8 text") from error
        except csv.Error as error:
            raise DataError(f"{self._path}, near line {self._line}: is not proper CSV: {error}") from error
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DataError(
                f"{self._path}, near line {self._line}: the gzip file is damaged: {error}"
            ) from error
        except OSError as error:
            raise DataError(f"{self._path}: cannot be read: {error.strerror or error}") from error

    def _header(self, rows: Rows) -> list[int]:
        """Return where each of COLUMNS stands."""
        header = next(rows, None)
        if header is None:
            raise DataError(f"{self._path}: is empty")
        problems = [f"{name} is missing" for name in COLUMNS if name not in header]
        problems += [f"{name!r} is not expected" for name in header if name not in COLUMNS]
        problems += [f"{name} stands there twice" for name in COLUMNS if header.count(name) > 1]
        if problems:
            raise DataError(
                f"{self._path}, line 1: wrong columns: {', '.join(problems)}; expected {','.join(COLUMNS)}"
            )
        self._line = rows.line_num + 1
        return [header.index(name) for name in COLUMNS]

    def _take(
        self,
        invoice: str,
        code: str,
        title: str,
        quantity_text: str,
        date: str,
        price_text: str,
        customer_text: str,
        country: str,
    ) -> None:
        """Take in one line."""
        if invoice not in self._documents and invoice not in self._loose_counts:
            self._check_text("InvoiceNo", invoice)
        if code not in self._titles:
            self._check_text("StockCode", code)
        # Most texts recur thousands of times: each is read once, and records share the value.
        time = self._times.get(date) or self._time(date)
        quantity = self._quantities.get(quantity_text)
        if quantity is None:
            quantity = self._quantity(quantity_text)
        price = self._prices.get(price_text)
        if price is None:
            price = self._price(price_text)
        customer = self._numbers.get(customer_text)
        if customer is None:
            customer = self._number(customer_text)
        if not self._titles.get(code):
            title = title.strip()
            if title:
                self._check_text("Description", title)
            self._titles[code] = title
        if not customer:
            self._take_loose(invoice, time, code, quantity, price)
            return
        # The newest line tells where the customer is now.
        self._countries[customer] = country
        document = self._documents.get(invoice)
        if document is None:
            if invoice in self._loose_counts:
                raise self._fault(
                    "CustomerID", f"invoice {invoice} has lines without a customer above", customer
                )
            document = self._documents[invoice] = _Document(self._line, customer, time)
        elif document.customer != customer:
            raise self._fault(
                "CustomerID",
                f"invoice {invoice} is of customer {document.customer} in line {document.line}",
                customer,
            )
        returned = invoice[0] == "C"
        if returned != (quantity < 0) or not quantity:
            wanted = "negative, as in every return" if returned else "positive, as in every order"
            raise self._fault("Quantity", f"expected to be {wanted}", quantity_text)
        if price < 0:
            raise self._fault("UnitPrice", "must not be negative for a customer", price_text)
        if len(document.lines) == _MOST_LINES:
            raise self._fault("InvoiceNo", f"more than {_MOST_LINES:,} lines of one invoice", invoice)
        document.total += abs(quantity * price)
        if document.total >= _MOST_MONEY:
            raise self._fault("UnitPrice", f"invoice {invoice} comes to {_MOST_MONEY:,} or more", price_text)
        document.lines.append(SaleLine(code, -quantity if returned else quantity, price))

    def _take_loose(self, invoice: str, time: datetime, code: str, quantity: Decimal, price: Decimal) -> None:
        if invoice in self._documents:
            known = self._documents[invoice]
            raise self._fault(
                "CustomerID",
                f"is empty, but invoice {invoice} is of customer {known.customer} in line {known.line}",
            )
        count = self._loose_counts[invoice] = self._loose_counts.get(invoice, 0) + 1
        self._loose.append(LooseLine(f"{invoice}/{count}", invoice, time, code, quantity, price))

    def _check_text(self, column: str, text: str) -> None:
        if not text.strip():
            raise self._fault(column, "is blank" if text else "is empty")
        if len(text) > _LONGEST[column]:
            raise self._fault(
                column, f"has {len(text)} characters, at most {_LONGEST[column]} are taken", text
            )
        if "\x00" in text:
            raise self._fault(column, "holds a NUL character", text)

    def _time(self, text: str) -> datetime:
        try:
            if not _DATE.fullmatch(text):
                raise ValueError("another form")
            time = datetime.fromisoformat(text).replace(tzinfo=_ZONE).astimezone(UTC)
        except ValueError:
            raise self._fault("InvoiceDate", "expected a time like 2010-12-01 08:26:00", text) from None
        if time > NOW:
            until = NOW.astimezone(_ZONE).replace(tzinfo=None)
            raise self._fault("InvoiceDate", f"lies after {until}, which is now for this data", text)
        return self._times.setdefault(text, time)

    def _quantity(self, text: str) -> Decimal:
        if not _QUANTITY.fullmatch(text):
            raise self._fault("Quantity", "expected a number like 6 or -1", text)
        return self._quantities.setdefault(text, Decimal(text))

    def _price(self, text: str) -> Decimal:
        if not _PRICE.fullmatch(text):
            raise self._fault("UnitPrice", "expected a price like 2.55", text)
        return self._prices.setdefault(text, Decimal(text))

    def _number(self, text: str) -> str:
        match = _CUSTOMER.fullmatch(text)
        if match is None:
            raise self._fault("CustomerID", "expected a number like 17850.0, or nothing", text)
        return self._numbers.setdefault(text, match[1])

    def _person(self, number: str) -> Person:
        return Person(
            number=number,
            email=f"c{number}@example.test",
            consent=not number.endswith("0"),
            region_code=region_code(self._countries[number]),
        )

    def _sale(self, number: str, document: _Document) -> Sale:
        return Sale(
            "return" if number[0] == "C" else "order",
            number,
            document.customer,
            document.time,
            tuple(document.lines),
        )

    def _fault(self, column: str, problem: str, value: str | None = None) -> DataError:
        where = f", column {column}" if column else ""
        got = "" if value is None else f", got {value[:100]!r}"
        return DataError(f"{self._path}, line {self._line}{where}: {problem}{got}")
