"""Sales of merged contacts are those of who remains; of erased ones the records of the business stay, of nobody."""

from __future__ import annotations

from uuid import UUID, uuid4

import sqlalchemy as sa

from services.kit.runtime import Runtime
from services.sales import models
from services.sales.usecases import figures, orders, parting, payments, returns
from tests.integration.sales.test_sales_ingest import decode_orders, decode_payments, decode_returns
from tests.support.partings import batch
from tests.support.sales_data import contact, goods_back, order, payment


def sell(runtime: Runtime, key: UUID, number: str) -> None:
    """Record an order, a return and a payment."""
    orders.ingest_orders(runtime, decode_orders(order(number, contact=contact(key))))
    returns.ingest_returns(runtime, decode_returns(goods_back(number, contact=contact(key))))
    payments.ingest_payments(runtime, decode_payments(payment(number, contact=contact(key))))


def owners(runtime: Runtime) -> set[UUID | None]:
    """Return whose all records are, after a check that there are as many of each kind."""
    tables = (models.sales_order, models.sales_return, models.payment)
    with runtime.db.read() as connection:
        found = [list(connection.scalars(sa.select(table.c.contact_id))) for table in tables]
    assert sorted(map(str, found[0])) == sorted(map(str, found[1])) == sorted(map(str, found[2]))
    return set(found[0])


def told(runtime: Runtime) -> list[UUID | None]:
    with runtime.db.read() as connection:
        outbox = models.kit.outbox
        return list(connection.scalars(sa.select(outbox.c.contact_id).order_by(outbox.c.id)))


def test_sales_follow_merges_whatever_the_order(runtime: Runtime) -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    sell(runtime, first, "1")
    parting.let_go(runtime, batch((second, third)))
    parting.let_go(runtime, batch((first, second)))
    sell(runtime, second, "2")
    assert owners(runtime) == {third}
    assert told(runtime)[3:] == [third] * 3
    # What was recorded under the old name is still known by it.
    assert orders.ingest_orders(runtime, decode_orders(order("1", contact=contact(first)))).skipped == 1
    assert len(orders.list_orders(runtime, contact_id=third, after=None, count=9)) == 2


def test_sales_of_an_erased_contact_are_nobodys(runtime: Runtime) -> None:
    """Revenue stays what it was; the events told of the contact go."""
    key, absorbed, other = uuid4(), uuid4(), uuid4()
    for number, who in enumerate((key, absorbed, other)):
        sell(runtime, who, str(number))
    before = figures.summarise_sales(runtime)
    parting.let_go(runtime, batch((absorbed, key)))
    parting.let_go(runtime, batch((key, None)))
    assert owners(runtime) == {None, other}
    assert told(runtime) == [other] * 3
    after = figures.summarise_sales(runtime)
    assert after.currencies == before.currencies
    assert (before.customer_count, after.customer_count) == (3, 1)
    sell(runtime, key, "late")
    assert owners(runtime) == {None, other}
    assert told(runtime)[3:] == [None] * 3
