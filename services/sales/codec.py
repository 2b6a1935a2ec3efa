"""Messages of the API to what the domain knows, and back.

Decoding collects every violation before it raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from rapport.sales.v1 import sales_pb2
from rapport.type.v1.money_pb2 import Money

from services.kit.errors import FieldViolation, InvalidArgument, OutOfRange, RapportError
from services.kit.money import to_money
from services.kit.names import format_name, parse_name
from services.kit.wire import from_timestamp, to_timestamp
from services.sales import domain
from services.sales.domain import Amount, Line, Order, Payment, Product, Return, RuleError, UnattributedLine
from services.sales.store.figures import CurrencyFigures

T = TypeVar("T")
_MOST_VIOLATIONS = 100


class Decoder:
    """Decode requests as of one business time and collect what is wrong with them."""

    def __init__(self, now: datetime) -> None:
        """Start without violations."""
        self._now = now
        self._violations: list[FieldViolation] = []

    def finish(self) -> None:
        """Raise InvalidArgument that names every bad field, if there are any."""
        if self._violations:
            quoted = "; ".join(f"{item.field}: {item.description}" for item in self._violations[:3])
            more = f"; and {len(self._violations) - 3} more" if len(self._violations) > 3 else ""
            raise InvalidArgument(
                f"{quoted}{more}", reason="INVALID_FIELDS", violations=self._violations[:_MOST_VIOLATIONS]
            )

    def products(self, messages: Iterable[sales_pb2.Product]) -> list[Product]:
        """Decode the products of a batch."""
        decoded = []
        for index, message in enumerate(messages):
            self._texts(message, f"products[{index}]", "code", "title", "category")
            decoded.append(Product(message.code, message.title, message.category))
        self.finish()
        return decoded

    def orders(self, messages: Iterable[sales_pb2.Order]) -> list[Order]:
        """Decode the orders of a batch."""
        decoded = [self._order(message, f"orders[{index}]") for index, message in enumerate(messages)]
        self.finish()
        return decoded

    def order(self, message: sales_pb2.Order) -> Order:
        """Decode a single order."""
        decoded = self._order(message, "order")
        self.finish()
        return decoded

    def returns(self, messages: Iterable[sales_pb2.Return]) -> list[Return]:
        """Decode the returns of a batch."""
        decoded = [self._return(message, f"returns[{index}]") for index, message in enumerate(messages)]
        self.finish()
        return decoded

    def payments(self, messages: Iterable[sales_pb2.Payment]) -> list[Payment]:
        """Decode the payments of a batch."""
        decoded = [self._payment(message, f"payments[{index}]") for index, message in enumerate(messages)]
        self.finish()
        return decoded

    def unattributed(self, messages: Iterable[sales_pb2.UnattributedLine]) -> list[UnattributedLine]:
        """Decode lines that name no customer."""
        decoded = [self._unattributed(message, f"lines[{index}]") for index, message in enumerate(messages)]
        self.finish()
        return decoded

    def _order(self, message: sales_pb2.Order, path: str) -> Order:
        self._texts(message, path, "source", "external_id", "coupon_code")
        currency, lines, total = self._lines(message.lines, path)
        return Order(
            contact_id=self._name(message.contact, "contacts", path, "contact"),
            source=message.source,
            external_id=message.external_id,
            order_time=self._time(message.order_time, path, "order_time"),
            currency=currency,
            lines=lines,
            total=total,
            coupon_code=message.coupon_code,
            historical=message.historical,
        )

    def _return(self, message: sales_pb2.Return, path: str) -> Return:
        self._texts(message, path, "source", "external_id")
        currency, lines, total = self._lines(message.lines, path)
        return Return(
            contact_id=self._name(message.contact, "contacts", path, "contact"),
            order_id=self._name(message.order, "orders", path, "order") if message.order else None,
            source=message.source,
            external_id=message.external_id,
            return_time=self._time(message.return_time, path, "return_time"),
            currency=currency,
            lines=lines,
            total=total,
            historical=message.historical,
        )

    def _payment(self, message: sales_pb2.Payment, path: str) -> Payment:
        self._texts(message, path, "source", "external_id", "method")
        amount = self._try(path, "amount", _positive, message.amount, default=Amount("", domain.ZERO))
        return Payment(
            contact_id=self._name(message.contact, "contacts", path, "contact"),
            order_id=self._name(message.order, "orders", path, "order") if message.order else None,
            source=message.source,
            external_id=message.external_id,
            pay_time=self._time(message.pay_time, path, "pay_time"),
            amount=amount,
            method=message.method,
            historical=message.historical,
        )

    def _unattributed(self, message: sales_pb2.UnattributedLine, path: str) -> UnattributedLine:
        self._texts(message, path, "source", "external_id", "document", "product_code")
        return UnattributedLine(
            source=message.source,
            external_id=message.external_id,
            document=message.document,
            occur_time=self._time(message.occur_time, path, "occur_time"),
            product_code=message.product_code,
            quantity=self._try(path, "quantity", _signed_quantity, message.quantity, default=domain.ZERO),
            unit_price=self._try(
                path, "unit_price", _signed, message.unit_price, default=Amount("", domain.ZERO)
            ),
        )

    def _lines(self, messages: Sequence[sales_pb2.Line], path: str) -> tuple[str, list[Line], Decimal]:
        """Return the currency, the lines and their sum."""
        before = len(self._violations)
        if not messages:
            self._refuse(f"{path}.lines", "at least one line is needed")
        currency = messages[0].unit_price.currency_code if messages else ""
        lines = []
        for index, message in enumerate(messages):
            try:
                lines.append(_line(message, currency))
            except _FieldError as error:
                self._refuse(f"{path}.lines[{index}].{error.field}", str(error))
        total = domain.ZERO
        if len(self._violations) == before:
            total = self._try(path, "lines", domain.add, [line.amount for line in lines], default=total)
        return currency, lines, total

    def _texts(self, message: Any, path: str, *fields: str) -> None:
        for field in fields:
            text = getattr(message, field)
            if text:
                self._try(path, field, domain.check_text, text, default=text)

    def _name(self, name: str, collection: str, path: str, field: str) -> UUID:
        try:
            return parse_name(name, collection, f"{path}.{field}")
        except RapportError as error:
            self._violations.extend(error.violations)
            return UUID(int=0)

    def _time(self, stamp: Timestamp, path: str, field: str) -> datetime:
        return self._try(path, field, self._checked_time, stamp, default=self._now)

    def _checked_time(self, stamp: Timestamp) -> datetime:
        return domain.check_time(from_timestamp(stamp), self._now)

    def _try(self, path: str, field: str, parse: Callable[[Any], T], value: object, *, default: T) -> T:
        try:
            return parse(value)
        except RuleError as error:
            self._refuse(f"{path}.{field}", str(error))
            return default

    def _refuse(self, field: str, description: str) -> None:
        self._violations.append(FieldViolation(field, description))


class _FieldError(RuleError):
    def __init__(self, field: str, description: str) -> None:
        super().__init__(description)
        self.field = field


def _line(message: sales_pb2.Line, currency: str) -> Line:
    """Decode a line; raises _FieldError that names the bad field."""
    price = message.unit_price
    field = "product_code"
    try:
        domain.check_text(message.product_code)
        field = "quantity"
        quantity = domain.parse_quantity(message.quantity)
        field = "unit_price"
        domain.parse_currency(price.currency_code)
        value = domain.parse_value(price.units, price.nanos)
        if price.currency_code != currency:
            raise RuleError(f"is in {price.currency_code}, but the first line is in {currency}")
        amount = domain.multiply(quantity, value)
    except RuleError as error:
        raise _FieldError(field, str(error)) from None
    return Line(message.product_code, quantity, value, amount)


def _signed_quantity(text: str) -> Decimal:
    return domain.parse_quantity(text, signed=True)


def _signed(message: Money) -> Amount:
    return Amount(
        domain.parse_currency(message.currency_code),
        domain.parse_value(message.units, message.nanos, signed=True),
    )


def _positive(message: Money) -> Amount:
    amount = _signed(message)
    if amount.value <= 0:
        raise RuleError("must be greater than zero")
    return amount


def encode_product(product: Product) -> sales_pb2.Product:
    """Encode a product."""
    name = format_name("products", product.id) if product.id else ""
    return sales_pb2.Product(name=name, code=product.code, title=product.title, category=product.category)


def encode_order(order: Order) -> sales_pb2.Order:
    """Encode a stored order; its lines as far as they are loaded."""
    return sales_pb2.Order(
        name=format_name("orders", order.id) if order.id else "",
        contact=format_name("contacts", order.contact_id) if order.contact_id else "",
        source=order.source,
        external_id=order.external_id,
        order_time=timestamp(order.order_time),
        lines=_encode_lines(order.currency, order.lines),
        total=to_money(order.total, order.currency),
        coupon_code=order.coupon_code,
        historical=order.historical,
        create_time=timestamp(order.create_time),
    )


def encode_return(item: Return) -> sales_pb2.Return:
    """Encode a stored return with its lines."""
    return sales_pb2.Return(
        name=format_name("returns", item.id) if item.id else "",
        contact=format_name("contacts", item.contact_id) if item.contact_id else "",
        order=format_name("orders", item.order_id) if item.order_id else "",
        source=item.source,
        external_id=item.external_id,
        return_time=timestamp(item.return_time),
        lines=_encode_lines(item.currency, item.lines),
        total=to_money(item.total, item.currency),
        historical=item.historical,
    )


def encode_payment(payment: Payment) -> sales_pb2.Payment:
    """Encode a stored payment."""
    return sales_pb2.Payment(
        name=format_name("payments", payment.id) if payment.id else "",
        contact=format_name("contacts", payment.contact_id) if payment.contact_id else "",
        order=format_name("orders", payment.order_id) if payment.order_id else "",
        source=payment.source,
        external_id=payment.external_id,
        pay_time=timestamp(payment.pay_time),
        amount=to_money(payment.amount.value, payment.amount.currency),
        method=payment.method,
        historical=payment.historical,
    )


def encode_currencies(figures: Iterable[CurrencyFigures]) -> list[sales_pb2.CurrencySummary]:
    """Encode the sums of each currency; raises OutOfRange when one is more than the message can hold."""
    try:
        return [
            sales_pb2.CurrencySummary(
                revenue=to_money(item.revenue, item.currency),
                returned=to_money(item.returned, item.currency),
                paid=to_money(item.paid, item.currency),
            )
            for item in figures
        ]
    except InvalidArgument as error:
        # Nothing is wrong with the question.
        raise OutOfRange(f"the sums cannot be told: {error.message}", reason="SUM_TOO_LARGE") from error


def timestamp(instant: datetime | None) -> Timestamp | None:
    """Encode a time, or None."""
    return None if instant is None else to_timestamp(instant)


def _encode_lines(currency: str, lines: Sequence[Line]) -> list[sales_pb2.Line]:
    return [
        sales_pb2.Line(
            product_code=line.product_code,
            quantity=_plain(line.quantity),
            unit_price=to_money(line.unit_price, currency),
            amount=to_money(line.amount, currency),
        )
        for line in lines
    ]


def _plain(quantity: Decimal) -> str:
    text = format(quantity, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
