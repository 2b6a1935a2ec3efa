"""Queries on orders, and on what of them is attributed to messages.

Whoever writes sales or conversions owns one lock: an order and its return that come at once would otherwise miss each
other, and a recomputation would work beside the arrival of what it counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql as pg

from services.campaign.domain.attribution import (
    CLICK,
    NOBODY,
    OPEN,
    ORDER,
    RETURN,
    SENT,
    Part,
    Rule,
    Sale,
    Touch,
)
from services.campaign.domain.ids import TRANSACTIONAL
from services.campaign.domain.interactions import HUMAN
from services.campaign.models import AMOUNT, attribution_rule, conversion, coupon, interaction, message, sale
from services.kit.locks import lock_key

_UUIDS = pg.ARRAY(pg.UUID(as_uuid=True))
_TEXTS = pg.ARRAY(sa.Text)
_LOCK = lock_key("attribution")
_TOUCH = (message.c.send_time, message.c.id, message.c.origin, message.c.channel)
# Who clicks has opened.
_KINDS = {OPEN: (OPEN, CLICK), CLICK: (CLICK,)}


def lock(connection: Connection) -> None:
    """Own sales and conversions until the transaction ends. Take the lock of contacts that are gone before."""
    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def get_rule(connection: Connection) -> Rule:
    """Return the rule in force."""
    columns = [attribution_rule.c[name] for name in Rule.__dataclass_fields__]
    row = connection.execute(sa.select(*columns)).one_or_none()
    return Rule() if row is None else Rule(**row._mapping)


def set_rule(connection: Connection, rule: Rule) -> None:
    """Store the rule."""
    values: dict[str, Any] = {name: getattr(rule, name) for name in Rule.__dataclass_fields__}
    insert = pg.insert(attribution_rule).values(values)
    connection.execute(insert.on_conflict_do_update(index_elements=["id"], set_=values))


def add_sales(connection: Connection, sales: Sequence[Sale]) -> None:
    """Write orders and returns; known ones stay as they are."""
    if not sales:
        return
    item = (
        sa.func.unnest(
            sa.cast([each.id for each in sales], _UUIDS),
            sa.cast([each.contact_id for each in sales], _UUIDS),
            sa.cast([each.kind for each in sales], _TEXTS),
            sa.cast([each.order_id for each in sales], _UUIDS),
            sa.cast([each.amount for each in sales], pg.ARRAY(AMOUNT)),
            sa.cast([each.currency for each in sales], _TEXTS),
            sa.cast([each.coupon_key for each in sales], _TEXTS),
            sa.cast([each.time for each in sales], pg.ARRAY(sa.DateTime(timezone=True))),
        )
        .table_valued(*Sale.__dataclass_fields__, name="item")
        .render_derived()
    )
    names = list(Sale.__dataclass_fields__)
    rows = sa.select(*(item.c[name] for name in names))
    connection.execute(pg.insert(sale).from_select(names, rows).on_conflict_do_nothing())


def orders(connection: Connection, keys: Collection[UUID]) -> list[Sale]:
    """Return the orders of the ids that there are, by id."""
    query = sa.select(sale).where(sale.c.id == sa.any_(sa.cast(list(keys), _UUIDS)), sale.c.kind == ORDER)
    return [Sale(**row._mapping) for row in connection.execute(query.order_by(sale.c.id))]


def page(connection: Connection, *, after: UUID | None, count: int) -> list[UUID]:
    """Return the next orders by id."""
    query = sa.select(sale.c.id).where(sale.c.kind == ORDER).order_by(sale.c.id).limit(count)
    return list(connection.scalars(query.where(sale.c.id > after) if after else query))


def orders_of(connection: Connection, contact_id: UUID) -> list[UUID]:
    """Return the orders of a contact."""
    return list(
        connection.scalars(sa.select(sale.c.id).where(sale.c.contact_id == contact_id, sale.c.kind == ORDER))
    )


def returns_of(connection: Connection, keys: Collection[UUID]) -> Mapping[UUID, list[Sale]]:
    """Return the returns of orders, by order, each list by id."""
    wanted = sale.c.order_id == sa.any_(sa.cast(list(keys), _UUIDS))
    found: dict[UUID, list[Sale]] = defaultdict(list)
    for row in connection.execute(sa.select(sale).where(wanted, sale.c.kind == RETURN).order_by(sale.c.id)):
        found[row.order_id].append(Sale(**row._mapping))
    return found


def touches(connection: Connection, rule: Rule, keys: Collection[UUID]) -> Mapping[UUID, list[Touch]]:
    """Return the messages to who ordered that were sent within the window before each order.

    Where the rule goes by openings or clicks, those that a person opened or clicked in within it, with the newest time.
    """
    _, key, origin, channel = _TOUCH
    time: Any = message.c.send_time
    query = sa.select(sale.c.id.label("order_id"), time.label("time"), key, origin, channel)
    query = query.join(message, message.c.contact_id == sale.c.contact_id)
    if rule.touch != SENT:
        time = interaction.c.time
        query = (
            sa.select(sale.c.id.label("order_id"), sa.func.max(time).label("time"), key, origin, channel)
            .join(message, message.c.contact_id == sale.c.contact_id)
            .join(interaction, interaction.c.message_id == message.c.id)
            .where(interaction.c.verdict == HUMAN, interaction.c.kind.in_(_KINDS[rule.touch]))
            .group_by(sale.c.id, key, origin, channel)
        )
    query = query.where(
        sale.c.id == sa.any_(sa.cast(list(keys), _UUIDS)),
        message.c.state == "sent",
        time <= sale.c.time,
        time > sale.c.time - rule.window,
        message.c.origin.not_like("requests/%"),
    )
    if not rule.include_transactional:
        query = query.where(message.c.topic != TRANSACTIONAL)
    return _by_order(connection, query)


def orders_after(connection: Connection, rule: Rule, messages: Collection[UUID]) -> list[UUID]:
    """Return the orders of those who got messages that came within the window after these were sent."""
    query = (
        sa.select(sale.c.id)
        .distinct()
        .join(message, message.c.contact_id == sale.c.contact_id)
        .where(
            message.c.id == sa.any_(sa.cast(list(messages), _UUIDS)),
            sale.c.kind == ORDER,
            message.c.send_time <= sale.c.time,
            message.c.send_time > sale.c.time - rule.window,
        )
        .order_by(sale.c.id)
    )
    return list(connection.scalars(query))


def orders_touched(connection: Connection, rule: Rule, messages: Collection[UUID]) -> list[UUID]:
    """Return the orders that openings of messages and clicks in them may have brought, whoever made these."""
    query = (
        sa.select(sale.c.id)
        .distinct()
        .join(message, message.c.contact_id == sale.c.contact_id)
        .join(interaction, interaction.c.message_id == message.c.id)
        .where(
            message.c.id == sa.any_(sa.cast(list(messages), _UUIDS)),
            sale.c.kind == ORDER,
            interaction.c.kind.in_(_KINDS[rule.touch]),
            interaction.c.time <= sale.c.time,
            interaction.c.time > sale.c.time - rule.window,
        )
        .order_by(sale.c.id)
    )
    return list(connection.scalars(query))


def coupon_touches(connection: Connection, keys: Collection[UUID]) -> Mapping[UUID, list[Touch]]:
    """Return the message whose coupon was shown for each order.

    Its state does not count: who shows the coupon has got the message.
    """
    query = (
        sa.select(sale.c.id.label("order_id"), *_TOUCH)
        .join(coupon, coupon.c.key == sale.c.coupon_key)
        .join(message, message.c.id == coupon.c.message_id)
        .where(sale.c.id == sa.any_(sa.cast(list(keys), _UUIDS)), sale.c.coupon_key != "")
    )
    return _by_order(connection, query)


def touches_kept(connection: Connection, keys: Collection[UUID]) -> Mapping[UUID, list[Touch]]:
    """Return the messages to which orders are attributed now."""
    query = (
        sa.select(conversion.c.order_id, *_TOUCH)
        .join(message, message.c.id == conversion.c.message_id)
        .where(
            conversion.c.order_id == sa.any_(sa.cast(list(keys), _UUIDS)),
            conversion.c.sale_id == conversion.c.order_id,
        )
    )
    return _by_order(connection, query)


def _by_order(connection: Connection, query: sa.Select[Any]) -> Mapping[UUID, list[Touch]]:
    found: dict[UUID, list[Touch]] = defaultdict(list)
    for order_id, time, key, origin, channel in connection.execute(query):
        found[order_id].append(Touch(time, key, origin, channel))
    return found


def replace_parts(
    connection: Connection, keys: Collection[UUID], parts: Sequence[Part], rule_revision: int
) -> None:
    """Let these be all parts of the orders."""
    connection.execute(
        sa.delete(conversion).where(conversion.c.order_id == sa.any_(sa.cast(list(keys), _UUIDS)))
    )
    if not parts:
        return
    names = list(Part.__dataclass_fields__)
    types: dict[str, Any] = {
        "origin": _TEXTS,
        "channel": _TEXTS,
        "currency": _TEXTS,
        "amount": pg.ARRAY(AMOUNT),
    }
    item = (
        sa.func.unnest(
            *(sa.cast([getattr(part, name) for part in parts], types.get(name, _UUIDS)) for name in names)
        )
        .table_valued(*names, name="item")
        .render_derived()
    )
    rows = sa.select(*(item.c[name] for name in names), sa.literal(rule_revision, sa.BigInteger))
    connection.execute(pg.insert(conversion).from_select([*names, "rule_revision"], rows))


def hand_over(connection: Connection, key: UUID, heir: UUID) -> None:
    """Give the orders of a contact to another one."""
    connection.execute(sa.update(sale).where(sale.c.contact_id == key).values(contact_id=heir))


def empty(connection: Connection, contact_ids: Collection[UUID]) -> None:
    """Take contacts out of orders and conversions; what is attributed stays."""
    gone = sa.cast(list(contact_ids), _UUIDS)
    for table in (sale, conversion):
        statement = sa.update(table).where(table.c.contact_id == sa.any_(gone)).values(contact_id=NOBODY)
        connection.execute(statement)
