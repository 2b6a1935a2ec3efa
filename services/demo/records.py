"""What a data source hands to the demo: plain records, in the order in which they are to be sent."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Literal, Protocol


class DataError(Exception):
    """Report a fault of a data file, with file, line, column and value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A customer. number: unique in the source; consent: to marketing mail, None when never asked."""

    number: str
    email: str
    consent: bool | None
    phone: str = ""
    given_name: str = ""
    family_name: str = ""
    display_name: str = ""
    language_code: str = ""
    region_code: str = ""
    administrative_area: str = ""
    locality: str = ""
    sublocality: str = ""
    birth_date: date | None = None
    gender: str = ""
    occupation: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Item:
    """Something on sale."""

    code: str
    title: str
    category: str = ""


@dataclass(frozen=True, slots=True)
class SaleLine:
    """A line of a sale; quantity is positive."""

    code: str
    quantity: Decimal
    unit_price: Decimal


@dataclass(frozen=True, slots=True)
class Sale:
    """An order or a return of a customer; time is aware, in UTC."""

    kind: Literal["order", "return"]
    number: str
    customer: str
    time: datetime
    lines: tuple[SaleLine, ...]

    @property
    def total(self) -> Decimal:
        """The exact sum of the lines."""
        return sum((line.quantity * line.unit_price for line in self.lines), Decimal(0))


@dataclass(frozen=True, slots=True)
class LooseLine:
    """A line that names no customer, as it stands in the source; quantity and price may have either sign."""

    number: str
    document: str
    time: datetime
    code: str
    quantity: Decimal
    unit_price: Decimal


@dataclass(frozen=True, slots=True)
class Visit:
    """A page that a customer looked at."""

    number: str
    customer: str
    time: datetime
    page: str
    seconds: int


@dataclass(slots=True)
class Dataset:
    """All that a source holds. now: the business time at which the demo takes place, aware, in UTC."""

    name: str
    now: datetime
    time_zone: str
    currency: str
    people: list[Person] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    sales: list[Sale] = field(default_factory=list)
    loose_lines: list[LooseLine] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)


class Source(Protocol):
    """Load a dataset; raises DataError."""

    def load(self) -> Dataset:
        """Read or make everything."""
        ...


def orders(sales: Iterable[Sale]) -> list[Sale]:
    """Return the orders among sales."""
    return [sale for sale in sales if sale.kind == "order"]
