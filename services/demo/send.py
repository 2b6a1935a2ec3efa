"""Send a dataset through the API in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from decimal import Decimal
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from rapport.contacts.v1 import contacts_pb2 as contacts
from rapport.sales.v1 import sales_pb2 as sales
from rapport_client import Rapport
from rapport_client.money import to_money

from services.demo.records import Item, LooseLine, Person, Sale, Visit

T = TypeVar("T")
Advance = Callable[[int], None]
"""Told how many more records were sent."""


_Call = tuple[Callable[[], object], int]
"""A call, and how many records it sends."""


def _make(calls: Iterable[_Call], advance: Advance) -> None:
    """Make calls one after another, and prepare the next one while the last is under way."""
    with ThreadPoolExecutor(1, "send") as sender:
        under_way: Future[object] | None = None
        sent = 0
        for call, count in calls:
            if under_way is not None:
                under_way.result()
                advance(sent)
            under_way, sent = sender.submit(call), count
        if under_way is not None:
            under_way.result()
            advance(sent)


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield lists of at most `size` items."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _sale_batches(sales_: Iterable[Sale], most: int = 400, most_lines: int = 20_000) -> Iterator[list[Sale]]:
    """Yield lists of so many sales or lines at most: messages have a largest size."""
    batch: list[Sale] = []
    lines = 0
    for sale in sales_:
        if batch and (len(batch) == most or lines + len(sale.lines) > most_lines):
            yield batch
            batch, lines = [], 0
        batch.append(sale)
        lines += len(sale.lines)
    if batch:
        yield batch


def people(rapport: Rapport, persons: Iterable[Person], source: str, advance: Advance) -> dict[str, str]:
    """Upsert customers with their consent and return their resource names by number."""
    names: dict[str, str] = {}
    for batch in batches(persons, 1000):
        consents = [
            contacts.IndexedConsent(
                index=index,
                channel="email",
                topic="marketing",
                state=contacts.Consent.STATE_GRANTED if person.consent else contacts.Consent.STATE_DENIED,
                source="demo",
            )
            for index, person in enumerate(batch)
            if person.consent is not None
        ]
        answer = rapport.contacts.batch_upsert_contacts(
            contacts=[_contact(person, source) for person in batch], consents=consents
        )
        names.update(
            (person.number, result.name) for person, result in zip(batch, answer.results, strict=True)
        )
        advance(len(batch))
    return names


def _contact(person: Person, source: str) -> contacts.Contact:
    identity = contacts.Identity
    identities = [
        identity(type=identity.TYPE_EXTERNAL, source=source, value=person.number),
        identity(type=identity.TYPE_EMAIL, value=person.email),
    ]
    if person.phone:
        identities.append(identity(type=identity.TYPE_PHONE, value=person.phone))
    contact = contacts.Contact(
        kind=contacts.Contact.KIND_PERSON,
        given_name=person.given_name,
        family_name=person.family_name,
        display_name=person.display_name,
        language_code=person.language_code,
        gender=person.gender,
        occupation=person.occupation,
        tags=person.tags,
        identities=identities,
        address=contacts.Address(
            region_code=person.region_code,
            administrative_area=person.administrative_area,
            locality=person.locality,
            sublocality=person.sublocality,
        ),
    )
    if person.birth_date is not None:
        born = person.birth_date
        contact.birth_date.year, contact.birth_date.month, contact.birth_date.day = (
            born.year,
            born.month,
            born.day,
        )
    return contact


def products(rapport: Rapport, items: Iterable[Item], advance: Advance) -> None:
    """Upsert products."""
    for batch in batches(items, 2000):
        rapport.sales.batch_upsert_products(
            products=[
                sales.Product(code=item.code, title=item.title, category=item.category) for item in batch
            ]
        )
        advance(len(batch))


def order(
    sale: Sale, contact: str, currency: str, source: str, *, historical: bool, coupon: str = ""
) -> sales.Order:
    """Return an order as a message."""
    message = sales.Order(
        contact=contact,
        source=source,
        external_id=sale.number,
        lines=_lines(sale, currency),
        historical=historical,
        coupon_code=coupon,
    )
    message.order_time.FromDatetime(sale.time)
    return message


def _lines(sale: Sale, currency: str) -> list[sales.Line]:
    return [
        sales.Line(
            product_code=line.code,
            quantity=_plain(line.quantity),
            unit_price=to_money(line.unit_price, currency),
        )
        for line in sale.lines
    ]


def _plain(number: Decimal) -> str:
    return f"{number:f}"


def past_sales(
    rapport: Rapport,
    records: Iterable[Sale],
    names: dict[str, str],
    currency: str,
    source: str,
    advance: Advance,
) -> None:
    """Ingest orders and returns of the past, in order."""

    def calls() -> Iterator[_Call]:
        for batch in _sale_batches(records):
            orders = [
                order(sale, names[sale.customer], currency, source, historical=True)
                for sale in batch
                if sale.kind == "order"
            ]
            if orders:
                yield partial(rapport.sales.batch_ingest_orders, orders=orders), len(orders)
            returns = [
                _return(sale, names[sale.customer], currency, source)
                for sale in batch
                if sale.kind == "return"
            ]
            if returns:
                yield partial(rapport.sales.batch_ingest_returns, returns=returns), len(returns)

    _make(calls(), advance)


def _return(sale: Sale, contact: str, currency: str, source: str) -> sales.Return:
    message = sales.Return(
        contact=contact, source=source, external_id=sale.number, lines=_lines(sale, currency), historical=True
    )
    message.return_time.FromDatetime(sale.time)
    return message


def loose_lines(
    rapport: Rapport, lines: Iterable[LooseLine], currency: str, source: str, advance: Advance
) -> None:
    """Keep lines that name no customer."""

    def calls() -> Iterator[_Call]:
        for batch in batches(lines, 5000):
            loose = [_loose(line, currency, source) for line in batch]
            yield partial(rapport.sales.record_unattributed_lines, lines=loose), len(loose)

    _make(calls(), advance)


def _loose(line: LooseLine, currency: str, source: str) -> sales.UnattributedLine:
    message = sales.UnattributedLine(
        source=source,
        external_id=line.number,
        document=line.document,
        product_code=line.code,
        quantity=_plain(line.quantity),
        unit_price=to_money(line.unit_price, currency),
    )
    message.occur_time.FromDatetime(line.time)
    return message


def visits(
    rapport: Rapport, records: Iterable[Visit], names: dict[str, str], source: str, advance: Advance
) -> None:
    """Record visits of pages."""
    for batch in batches(records, 2000):
        rapport.contacts.record_activities(activities=[_visit(visit, names, source) for visit in batch])
        advance(len(batch))


def _visit(visit: Visit, names: dict[str, str], source: str) -> contacts.Activity:
    value: Any = contacts.AttributeValue
    message = contacts.Activity(
        contact=names[visit.customer],
        type="page.visited",
        source=source,
        external_id=visit.number,
        historical=True,
        fields={"page": value(string_value=visit.page), "seconds": value(int_value=visit.seconds)},
    )
    message.occur_time.FromDatetime(visit.time)
    return message
