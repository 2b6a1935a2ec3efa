"""Rules of orders, returns and payments: exact money, sensible times, and when two records are the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal, Inexact, InvalidOperation, Overflow
from functools import cached_property, lru_cache
from hashlib import sha256
from typing import Generic, Protocol, TypeVar
from uuid import UUID

MAX_UNITS = 10**15
MAX_QUANTITY = 10**12
EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LEEWAY = timedelta(days=1)

# Every operation is exact or raises: 60 digits hold the product of any quantity and price within the limits.
EXACT = Context(prec=60, traps=[Inexact, InvalidOperation, Overflow])
NANO = Decimal("1e-9")
MICRO = Decimal("1e-6")
ZERO = Decimal("0E-9")

_QUANTITY = re.compile(r"-?[0-9]{1,13}(?:\.[0-9]{1,6})?", re.ASCII)
_CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)


class RuleError(ValueError):
    """Say why a value is refused and what would be right; whoever knows the field adds its path."""


@dataclass(frozen=True, slots=True)
class Amount:
    """Hold an exact amount of money: ISO 4217 code and value with at most 9 decimal places."""

    currency: str
    value: Decimal


@dataclass(frozen=True, slots=True)
class Product:
    """Describe something that is sold. An empty title or category means "as it is" in an upsert."""

    code: str
    title: str
    category: str
    id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """Describe a line: quantity with 6 places, unit price and their exact product with 9."""

    product_code: str
    quantity: Decimal
    unit_price: Decimal
    amount: Decimal


@dataclass(frozen=True, kw_only=True)
class Order:
    """Describe an order. `contact_id` is None once the contact was erased.

    `id` and `create_time` are set once it is stored; lists leave `lines` out.
    """

    contact_id: UUID | None
    source: str
    external_id: str
    order_time: datetime
    currency: str
    lines: Sequence[Line]
    total: Decimal
    coupon_code: str = ""
    historical: bool = False
    id: UUID | None = None
    create_time: datetime | None = None

    @cached_property
    def content_hash(self) -> bytes:
        """Return the digest of what happened, without `historical`, which only says how to treat it."""
        return _digest(
            "order",
            self.contact_id,
            self.order_time,
            self.currency,
            self.coupon_code,
            *_line_parts(self.lines),
        )


@dataclass(frozen=True, kw_only=True)
class Return:
    """Describe goods that came back; amounts are positive."""

    contact_id: UUID | None
    order_id: UUID | None
    source: str
    external_id: str
    return_time: datetime
    currency: str
    lines: Sequence[Line]
    total: Decimal
    historical: bool = False
    id: UUID | None = None

    @cached_property
    def content_hash(self) -> bytes:
        """Return the digest of what happened, without `historical`."""
        return _digest(
            "return",
            self.contact_id,
            self.order_id,
            self.return_time,
            self.currency,
            *_line_parts(self.lines),
        )


@dataclass(frozen=True, kw_only=True)
class Payment:
    """Describe money received."""

    contact_id: UUID | None
    order_id: UUID | None
    source: str
    external_id: str
    pay_time: datetime
    amount: Amount
    method: str
    historical: bool = False
    id: UUID | None = None

    @cached_property
    def content_hash(self) -> bytes:
        """Return the digest of what happened, without `historical`."""
        return _digest(
            "payment",
            self.contact_id,
            self.order_id,
            self.pay_time,
            self.amount.currency,
            format(self.amount.value, "f"),
            self.method,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UnattributedLine:
    """Describe a line of a source system that names no customer; quantity and price of either sign."""

    source: str
    external_id: str
    document: str
    occur_time: datetime
    product_code: str
    quantity: Decimal
    unit_price: Amount


class Recordable(Protocol):
    """Name what every record of another system has."""

    @property
    def source(self) -> str:
        """Return the system that it comes from."""
        ...

    @property
    def external_id(self) -> str:
        """Return its id there."""
        ...

    @property
    def content_hash(self) -> bytes:
        """Return the digest of its content."""
        ...


R = TypeVar("R", bound=Recordable)
Key = tuple[str, str]


def key_of(record: Recordable) -> Key:
    """Return what identifies a record: its source and its id there."""
    return record.source, record.external_id


@dataclass(slots=True)
class Distinct(Generic[R]):
    """Hold the distinct records of a batch by key, each with the index at which it first stands.

    clashes: pairs of indexes that share a key and differ in content.
    """

    records: dict[Key, R] = field(default_factory=dict)
    indexes: dict[Key, int] = field(default_factory=dict)
    clashes: list[tuple[int, int]] = field(default_factory=list)


def distinct(records: Sequence[R]) -> Distinct[R]:
    """Fold repetitions of the same record in a batch and find those that contradict each other."""
    folded: Distinct[R] = Distinct()
    for index, record in enumerate(records):
        key = key_of(record)
        first = folded.records.setdefault(key, record)
        if first is record:
            folded.indexes[key] = index
        elif first.content_hash != record.content_hash:
            folded.clashes.append((folded.indexes[key], index))
    return folded


# Quantities and prices recur within and across batches; the caches save a quarter of the time of a line.
@lru_cache(maxsize=8192)
def parse_quantity(text: str, *, signed: bool = False) -> Decimal:
    """Read a decimal of at most 6 places, positive unless `signed`; raises RuleError."""
    if not _QUANTITY.fullmatch(text):
        raise RuleError(
            f"expected a plain decimal with at most 6 places, such as '6' or '1.25', got {text[:40]!r}"
        )
    value = Decimal(text).quantize(MICRO, context=EXACT)
    if abs(value) > MAX_QUANTITY:
        raise RuleError(f"{text} is beyond the limit of {MAX_QUANTITY:,}")
    if value <= 0 and not signed:
        raise RuleError(f"must be greater than zero, got {text!r}")
    return value


def parse_currency(code: str) -> str:
    """Check the form of a currency code; raises RuleError."""
    if not _CURRENCY.fullmatch(code):
        raise RuleError(f"expected three capital letters of ISO 4217, such as 'VND', got {code[:20]!r}")
    return code


@lru_cache(maxsize=8192)
def parse_value(units: int, nanos: int, *, signed: bool = False) -> Decimal:
    """Put whole units and billionths together; not negative unless `signed`; raises RuleError."""
    if not -999_999_999 <= nanos <= 999_999_999:
        raise RuleError(f"nanos must lie between -999,999,999 and 999,999,999, got {nanos}")
    if (units > 0 > nanos) or (units < 0 < nanos):
        raise RuleError(f"units and nanos must have the same sign, got {units} and {nanos}")
    if abs(units) >= MAX_UNITS:
        raise RuleError(f"{units} is beyond the limit of {MAX_UNITS:,}")
    if (units < 0 or nanos < 0) and not signed:
        raise RuleError("must not be negative")
    return Decimal(units * 1_000_000_000 + nanos).scaleb(-9, EXACT)


def multiply(quantity: Decimal, unit_price: Decimal) -> Decimal:
    """Return quantity times price with 9 places; raises RuleError where that is not exact or too large."""
    product = EXACT.multiply(quantity, unit_price)
    try:
        amount = product.quantize(NANO, context=EXACT)
    except Inexact:
        raise RuleError(
            f"{_plain(quantity)} × {_plain(unit_price)} = {_plain(product)} needs more than 9 decimal "
            "places; give the quantity or the price with fewer"
        ) from None
    if abs(amount) >= MAX_UNITS:
        raise RuleError(f"{_plain(quantity)} × {_plain(unit_price)} is beyond the limit of {MAX_UNITS:,}")
    return amount


def add(amounts: Iterable[Decimal]) -> Decimal:
    """Return the exact sum with 9 places; raises RuleError when it is too large."""
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    if abs(total) >= MAX_UNITS:
        raise RuleError(f"the sum {_plain(total)} is beyond the limit of {MAX_UNITS:,}")
    return total


def check_time(time: datetime, now: datetime) -> datetime:
    """Refuse times before 1900 or more than a day ahead of the business clock; raises RuleError."""
    if time < EARLIEST:
        raise RuleError(f"{time.isoformat()} lies before 1900")
    if time > now + LEEWAY:
        raise RuleError(
            f"{time.isoformat()} lies more than one day after the business time, {now.isoformat()}"
        )
    return time


def check_text(text: str) -> str:
    """Refuse what the database cannot hold or nobody can see; raises RuleError."""
    if "\x00" in text:
        raise RuleError("must not hold a NUL character")
    if text and not text.strip():
        raise RuleError("must not be blank")
    return text


def main_category(lines: Sequence[Line], categories: dict[str, str]) -> str:
    """Return the category of the line with the greatest amount, the first such line."""
    return categories[max(lines, key=lambda line: line.amount).product_code]


def _plain(value: Decimal) -> str:
    text = format(value, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def _line_parts(lines: Sequence[Line]) -> Iterable[str]:
    for line in lines:
        yield line.product_code
        yield format(line.quantity, "f")
        yield format(line.unit_price, "f")


def _digest(*parts: object) -> bytes:
    # JSON with ASCII only: unambiguous, and the same on every Python version.
    return sha256(json.dumps([_text(part) for part in parts], separators=(",", ":")).encode()).digest()


def _text(part: object) -> str:
    return part.astimezone(UTC).isoformat() if isinstance(part, datetime) else str(part)
