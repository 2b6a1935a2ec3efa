"""Cohorts of the UCI Online Retail file, beside figures counted from the file's own texts."""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from services.kit.db import copy_rows
from services.segmentation.rules import tables
from services.segmentation.usecases import insight
from services.segmentation.usecases.insight import Target
from tests.support.postgres import DatabaseFactory
from tests.support.retail import real_retail
from tests.support.segmentation import world

LONDON = ZoneInfo("Europe/London")
NOW = datetime(2011, 12, 10, tzinfo=UTC)

Invoice = tuple[str, str, str]
"""Number, customer and local time."""


def invoices(path: Path) -> dict[Invoice, Decimal]:
    """Return what each invoice that is no cancellation and has a customer amounts to."""
    found: dict[Invoice, Decimal] = defaultdict(Decimal)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row["CustomerID"] and not row["InvoiceNo"].startswith("C"):
                key = row["InvoiceNo"], row["CustomerID"], row["InvoiceDate"]
                found[key] += Decimal(row["Quantity"]) * Decimal(row["UnitPrice"])
    return found


def test_cohorts_by_month(make_database: DatabaseFactory) -> None:
    """The times in the file are London's, so the month of an order is the first seven characters of its text."""
    sold = invoices(real_retail())
    first: dict[str, str] = {}
    for _, customer, moment in sold:
        first[customer] = min(first.get(customer, moment), moment)
    sizes: dict[str, int] = defaultdict(int)
    for moment in first.values():
        sizes[moment[:7]] += 1
    active: dict[tuple[str, str], set[str]] = defaultdict(set)
    spent: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for (_, customer, moment), amount in sold.items():
        cell = first[customer][:7], moment[:7]
        active[cell].add(customer)
        spent[cell] += amount
    months = ["2010-12", *(f"2011-{n:02d}" for n in range(1, 13))]
    assert sorted(sizes) == months

    with world(make_database.with_tables("segmentation"), now=NOW, time_zone="Europe/London") as place:
        with place.db.transaction() as connection:
            copy_rows(connection, tables.profile, ["contact_id"], ((UUID(int=int(float(c))),) for c in first))
            copy_rows(
                connection,
                tables.event_table,
                ["contact_id", "event_id", "type", "occurred_at", "amount"],
                (
                    (
                        UUID(int=int(float(customer))),
                        UUID(int=number),
                        "order.placed",
                        datetime.fromisoformat(moment).replace(tzinfo=LONDON),
                        amount,
                    )
                    for number, ((_, customer, moment), amount) in enumerate(sold.items())
                ),
            )
        found, _ = insight.cohorts(place.service, Target(), count=13)
        loyal, _ = insight.cohorts(
            place.service, Target(rule="events.order_placed.size() >= 5"), period="month", count=13
        )
    assert [(c.start.isoformat()[:7], c.contacts) for c in found] == [(m, sizes[m]) for m in months]
    for cohort in found:
        start = cohort.start.isoformat()[:7]
        assert [p.start.isoformat()[:7] for p in cohort.periods] == [m for m in months if m >= start]
        for item in cohort.periods:
            cell = start, item.start.isoformat()[:7]
            assert (item.active, item.amount) == (len(active[cell]), spent[cell])
            assert item.share == pytest.approx(len(active[cell]) / sizes[start], abs=0)
            assert item.complete == (cell[1] != "2011-12")
    # 4,339 customers have an invoice; who ordered five times comes back more often than all do.
    assert sum(cohort.contacts for cohort in found) == len(first) == 4339
    everyone, often = (sum(p.active for c in cohorts for p in c.periods[1:]) for cohorts in (found, loyal))
    assert 0 < often < everyone
    assert sum(cohort.contacts for cohort in loyal) < len(first)
